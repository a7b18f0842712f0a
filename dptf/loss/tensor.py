"""Loss on dipoles or polarizabilities of atoms and frames.

L = pref_atomic find mean(d_atomic^2) + pref find mean(d_frame^2) / nsel, with nsel the number of atoms that carry the tensor.
"""

import numpy as np

from dptf.data.requirement import DataRequirement
from dptf.errors import UserError
from dptf.loss.base import Loss
from dptf.ops import tf


class TensorLoss(Loss):
    """Tensor loss of a normalised ``loss`` section for a :class:`dptf.fitting.tensor.TensorFitting`."""

    needs_derivatives = False

    def __init__(self, section, start_lr, fitting):
        super().__init__(start_lr)
        self.fitting = fitting
        self.pref, self.pref_atomic = float(section["pref"]), float(section["pref_atomic"])
        if self.pref < 0 or self.pref_atomic < 0 or not self.pref + self.pref_atomic:
            raise UserError("pref and pref_atomic must not be negative, and not both 0", "loss")
        self.weighted = bool(section.get("enable_atomic_weight", False))

    def label_requirements(self):
        """The tensors that have a prefactor, all optional."""
        f, out = self.fitting, []
        chosen = None if len(f.sel_type) == f.ntypes else tuple(f.sel_type)
        # The shift of the diagonal of polarizabilities comes from atoms where they are labelled, whatever the prefactor.
        if self.pref_atomic or getattr(f, "shift_diag", False):
            out.append(DataRequirement(f"atomic_{f.label}", f.output_dim, atomic=True, type_sel=chosen))
        if self.pref:
            out.append(DataRequirement(f.label, f.output_dim))
        if self.weighted:
            out.append(DataRequirement("atomic_weight", 1, atomic=True, type_sel=chosen, default=1.0))
        return out

    def metric_names(self):
        """Total, atoms, frames."""
        return ["rmse"] + ["rmse_lc"] * bool(self.pref_atomic) + ["rmse_gl"] * bool(self.pref)

    def weight(self, batch):
        """Atoms that carry the tensor."""
        types = batch["type"]
        return float(np.count_nonzero(np.isin(types, self.fitting.sel_type))) / len(types)

    def build(self, outputs, labels, natoms, lr):
        """Loss and metrics; see the base."""
        name, label, width = self.fitting.model_type, self.fitting.label, self.fitting.output_dim
        loss, metrics = tf.constant(0.0, tf.float64), {}
        predicted = outputs[name]
        if self.pref_atomic:
            find = labels[f"find_atomic_{label}"]
            diff = tf.reshape(predicted, [-1, width]) - tf.reshape(labels[f"atomic_{label}"], [-1, width])
            if self.weighted:
                diff *= tf.reshape(labels["atomic_weight"], [-1, 1])
            square = _mean_square(diff)
            loss += self.pref_atomic * tf.cast(find, tf.float64) * square
            metrics["rmse_lc"] = self._metric(find, tf.sqrt(square))
        if self.pref:
            find, total = labels[f"find_{label}"], outputs[f"global_{name}"]
            n = tf.maximum(tf.cast(tf.shape(predicted)[1] // width, tf.float64), 1.0)
            square = _mean_square(total - tf.cast(tf.reshape(labels[label], [-1, width]), tf.float64))
            loss += self.pref * tf.cast(find, tf.float64) * square / n
            metrics["rmse_gl"] = self._metric(find, tf.sqrt(square) / n)
        return loss, {"rmse": tf.sqrt(loss), **metrics}


def _mean_square(diff):
    """Mean of the squares in float64, 0 if there is nothing (a system without selected atoms)."""
    diff = tf.cast(diff, tf.float64)
    return tf.reduce_sum(diff * diff) / tf.maximum(tf.cast(tf.size(diff), tf.float64), 1.0)
