"""Loss on a property of frames.

Differences are taken of (x - bias) / std with the deviation of the labels; extensive properties are divided by the number of atoms first.
Metrics are those of the property itself (per atom where extensive).
"""

from dptf.data.requirement import DataRequirement
from dptf.errors import UserError
from dptf.loss.base import Loss
from dptf.ops import tf

_FUNCTIONS = ("smooth_mae", "mae", "mse", "rmse", "mape")
#: Relative errors are taken of the label plus this.
_TINY = 1e-3


class PropertyLoss(Loss):
    """Property loss of a normalised ``loss`` section for a :class:`dptf.fitting.property.PropertyFitting`."""

    def __init__(self, section, start_lr, fitting):
        super().__init__(start_lr)
        self.fitting = fitting
        self.function, self.beta = section.get("loss_func", "smooth_mae"), float(section.get("beta", 1.0))
        self.shown = list(dict.fromkeys(section.get("metric", ["mae"])))
        for key, names in (("loss_func", [self.function]), ("metric", self.shown)):
            bad = [name for name in names if name not in _FUNCTIONS]
            if bad:
                raise UserError(f"'{bad[0]}' is not known", f"loss/{key}", f"one of {', '.join(_FUNCTIONS)}")
        if self.beta <= 0:
            raise UserError(f"is {self.beta}; it must be positive", "loss/beta")

    def label_requirements(self):
        """The property, which every system must have."""
        return [DataRequirement(self.fitting.name, self.fitting.task_dim, must=True, high_prec=True)]

    def metric_names(self):
        """Root of the loss, then the chosen errors."""
        return ["rmse"] + [self._name(m) for m in self.shown]

    @staticmethod
    def _name(metric):
        return "rmse_prop" if metric == "rmse" else metric

    def build(self, outputs, labels, natoms, lr):
        """Loss and metrics; see the base."""
        f = self.fitting
        value = outputs["property"]
        label = tf.reshape(labels[f.name], [-1, f.task_dim])
        if not f.intensive:
            value, label = value / outputs["counted"], label / outputs["counted"]
        bias, std = (tf.cast(x[0, 0], tf.float64) for x in outputs["out_stat"])
        loss = self._error(self.function, (value - bias) / std, (label - bias) / std, total=True)
        metrics = {self._name(m): self._error(m, value, label) for m in self.shown}
        return loss, {"rmse": tf.sqrt(loss), **metrics}

    def _error(self, function, value, label, total=False):
        """An error of frames and components: the sum (`total`) for the functions that add up, else the mean."""
        diff = value - label
        size = tf.abs(diff)
        reduce = tf.reduce_sum if total else tf.reduce_mean
        if function == "smooth_mae":
            return reduce(tf.where(size < self.beta, 0.5 * diff * diff / self.beta, size - 0.5 * self.beta))
        if function == "mae":
            return reduce(size)
        if function == "mse":
            return reduce(diff * diff)
        if function == "rmse":
            return tf.sqrt(tf.reduce_mean(diff * diff))
        return tf.reduce_mean(size / (tf.abs(label) + _TINY))
