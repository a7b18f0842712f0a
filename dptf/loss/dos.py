"""Loss on densities of states of frames and atoms, and on their running sums (cdf, acdf)."""

from dptf.data.requirement import DataRequirement
from dptf.errors import UserError
from dptf.loss.base import Loss, mean_square
from dptf.ops import tf

_ORDER = ("dos", "ados", "cdf", "acdf")
_LABELS = {"dos": "dos", "cdf": "dos", "ados": "atom_dos", "acdf": "atom_dos"}


class DosLoss(Loss):
    """DOS loss of a normalised ``loss`` section.

    L = (pref_dos mean(d^2) + pref_cdf mean(running sum of d, squared)) / N of frames, and the same without N of atoms.
    """

    def __init__(self, section, start_lr, fitting):
        super().__init__(start_lr)
        self.numb_dos = fitting.numb_dos
        self.pref = {
            k: (float(section.get(f"start_pref_{k}", 0.0)), float(section.get(f"limit_pref_{k}", 0.0))) for k in _ORDER
        }
        self.terms = [k for k in _ORDER if any(self.pref[k])]
        if not self.terms:
            raise UserError("every prefactor is 0: there is nothing to train on", "loss")

    def label_requirements(self):
        """Labels of the terms; those of frames always, because the bias needs them."""
        out = [DataRequirement("dos", self.numb_dos, high_prec=True)]
        if {"ados", "acdf"} & set(self.terms):
            out.append(DataRequirement("atom_dos", self.numb_dos, atomic=True, high_prec=True))
        return out

    def wanted_labels(self):
        """Keys that a term compares."""
        return {_LABELS[k] for k in self.terms}

    def metric_names(self):
        """Total first, then the terms."""
        return ["rmse"] + [f"rmse_{k}" for k in self.terms]

    def build(self, outputs, labels, natoms, lr):
        """Loss and metrics; see the base."""
        n = tf.cast(natoms[0], tf.float64)
        loss, metrics = tf.constant(0.0, tf.float64), {}
        for k in self.terms:
            key = _LABELS[k]
            find, predicted = labels[f"find_{key}"], outputs[key]
            label = tf.reshape(labels[key], tf.shape(predicted))
            diff = tf.cast(predicted, tf.float64) - label
            if k in ("cdf", "acdf"):
                diff = tf.cumsum(diff, axis=-1)
            square = mean_square(diff)
            per = n if key == "dos" else 1.0
            loss += self._scheduled(self.pref[k], lr, find) * square / per
            metrics[f"rmse_{k}"] = self._metric(find, tf.sqrt(square) / per)
        return loss, {"rmse": tf.sqrt(loss), **metrics}
