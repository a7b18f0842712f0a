"""One model with its loss and data inside a training graph; a run has one branch, or one per task."""

import contextlib

import numpy as np

from dptf.descriptor.interface import totals_only
from dptf.errors import UserError
from dptf.nn.tabulated import DEFAULT_SPACING
from dptf.ops import tf
from dptf.train.sharing import TaskParameters


class Branch:
    """A model in training.

    Parameters
    ----------
    name : str
        Task; empty in a run of one model.
    model, loss : objects
    training : DataSystems
    validation : DataSystems or None
    section : dict
        ``training_data`` and ``validation_data`` of this branch.
    """

    def __init__(self, name, model, loss, training, validation, section):
        self.name, self.model, self.loss = name, model, loss
        self.training, self.validation = training, validation
        self.validation_batches = (section.get("validation_data") or {}).get("numb_btch", 1)
        self.spacing, self.sharing = None, None
        model.derivatives = loss.needs_derivatives

    @property
    def label(self):
        """Suffix for columns and messages."""
        return f"_{self.name}" if self.name else ""

    def variable_name(self, name):
        """Name in the training graph of a variable of the model."""
        return self.sharing.name(self.name, name) if self.name else name

    def names(self):
        """Names of the model's variables, as it has them alone."""
        return sorted(self._params.used)

    def choose_spacing(self, wish):
        """Grid spacing of the tabulated embedding, or None to evaluate the nets in every slot."""
        atoms = np.array(self.training.natoms) * np.array(self.training.batch_sizes)
        atoms = float(np.dot(atoms, self.training.probs))
        d = self.model.descriptor
        if getattr(self.model, "compressed", False):
            return None
        if wish is False or (wish == "auto" and not d.tabulation_pays(atoms)):
            return None
        if not d.can_tabulate():
            raise UserError(
                f"activation '{d.activation}' or this precision cannot be tabulated", "training/tabulated_embedding",
                "set it to false or 'auto'",
            )  # fmt: skip
        return DEFAULT_SPACING if wish in (True, "auto") else 1.0 / int(wish)

    def build(self, params, lr, script=None):
        """Assemble the graph of model and loss.

        Parameters
        ----------
        params : Parameters
        lr : tensor
            Unscaled learning rate.
        script : str, optional
            Normalised input, stored as a constant.
        """
        self._params = TaskParameters(params, self.sharing, self.name) if self.name else params
        with tf.name_scope(self.name) if self.name else contextlib.nullcontext():
            inputs = self.model.placeholders()
            labels = self.loss.placeholders()
            self.spacing_in = tf.placeholder_with_default(
                tf.constant(self.spacing or 0.0, tf.float64), [], name="embedding_spacing"
            )
            tabulated = None if self.spacing is None else self.spacing_in
            self.model.constants(script)
            with totals_only():
                self.outputs = self.model.build(inputs, self._params, tabulated=tabulated)
            self.objective, self.metrics = self.loss.build(self.outputs, labels, inputs["natoms"], lr)
            self.table_error = self.model.descriptor.table_error if tabulated is not None else None
        self.trainable = [v for v in tf.trainable_variables() if v.op.name in self._global_names()]
        self.inputs, self.labels = dict(inputs), labels
        # Only what a batch provides is fed: find flags and labels of terms without a prefactor do not exist here.
        self._feeds = {**inputs, **labels}
        self._feeds["natoms_vec"] = self._feeds.pop("natoms")
        self.inputs_lr = self._lr = lr

    def _global_names(self):
        return {self.variable_name(n) for n in self._params.used}

    @property
    def feed_list(self):
        """Placeholders in the order of :meth:`args`."""
        return [*self._feeds.values(), self._lr, self.spacing_in]

    def callables(self, session):
        """Make the functions that evaluate this branch in a session."""
        self.evaluate = session.make_callable(self.metrics, feed_list=self.feed_list)
        self.check_table = None
        if self.table_error is not None:
            self.check_table = session.make_callable(self.table_error, feed_list=self.feed_list)

    def args(self, batch, lr):
        """Values for :attr:`feed_list`."""
        flat = [np.ravel(batch[k]) if k in batch and batch[k].ndim else batch[k] for k in self._feeds]
        return [*flat, np.float32(lr), self.spacing or 0.0]

    def feed(self, batch):
        """Feed dictionary of a batch without labels, for evaluating the outputs alone."""
        names = {"natoms": "natoms_vec"}
        out = {p: np.ravel(batch[names.get(k, k)]) for k, p in self.inputs.items() if names.get(k, k) in batch}
        if self.spacing is not None:
            out[self.spacing_in] = self.spacing
        return out

    def train_metrics(self, batch, lr):
        """Metrics of a batch by name."""
        return {k: float(v) for k, v in self.evaluate(*self.args(batch, lr)).items()}

    def skip_validation(self):
        """Draw what :meth:`validation_metrics` draws: ranks that write no curve stay at the draws of the one that does."""
        for _ in range(self.validation_batches if self.validation is not None else 0):
            self.validation.draw()

    def validation_metrics(self, lr):
        """Metrics averaged over fresh validation batches, weighted by atoms; None without validation data."""
        if self.validation is None:
            return None
        sums, weights = None, 0.0
        for _ in range(self.validation_batches):
            batch = self.validation.next_batch()
            n = self.loss.weight(batch)
            values = np.array(list(self.evaluate(*self.args(batch, lr)).values())) * n
            sums, weights = values if sums is None else sums + values, weights + n
        return dict(zip(self.loss.metric_names(), sums / weights))
