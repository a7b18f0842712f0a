"""Loss of models with spins: forces of real atoms and magnetic forces have prefactors of their own.

Forces and their labels hold the real atoms first, then the virtual ones; N, by which energies and virials are divided, counts both.
"""

from dptf.data.requirement import DataRequirement
from dptf.errors import UserError
from dptf.loss.base import Loss
from dptf.ops import tf

#: term -> label key
_LABELS = {"e": "energy", "ae": "atom_ener", "fr": "force", "fm": "force_mag", "v": "virial"}


class SpinEnergyLoss(Loss):
    """Energy loss of a model with spins; parameters as other losses have them.

    Attributes
    ----------
    terms : list of str
        Terms with a prefactor, in the order of the columns of lcurve.out.
    """

    def __init__(self, section, start_lr, model):
        super().__init__(start_lr)
        if not hasattr(model, "atoms"):
            raise UserError("needs a model with spins", "loss/type", "add model/spin, or use a loss of type ener")
        self.real_types = model.atoms.real_types
        self.pref = {
            k: (float(section.get(f"start_pref_{k}", 0.0)), float(section.get(f"limit_pref_{k}", 0.0))) for k in _LABELS
        }
        self.terms = [k for k in _LABELS if any(self.pref[k])]
        if not self.terms:
            raise UserError("every prefactor is 0: there is nothing to train on", "loss")
        for key in ("start_pref_pf", "limit_pref_pf", "relative_f", "enable_atom_ener_coeff"):
            if section.get(key):
                raise UserError("does not act on models with spins", f"loss/{key}", "remove it")
        self.intensive = bool(section.get("intensive_ener_virial", False))

    def label_requirements(self):
        """Labels, all optional."""
        table = {
            "energy": DataRequirement("energy", 1, high_prec=True),
            "force": DataRequirement("force", 3, atomic=True),
            "force_mag": DataRequirement("force_mag", 3, atomic=True),
            "virial": DataRequirement("virial", 9),
            "atom_ener": DataRequirement("atom_ener", 1, atomic=True),
        }
        keys = dict.fromkeys(["energy", *(_LABELS[k] for k in self.terms)])
        if "force_mag" in keys:
            keys["force"] = None  # its rows of virtual atoms are the magnetic forces
        return [table[k] for k in keys]

    def wanted_labels(self):
        """Keys that a term compares, except the energy; magnetic forces may stand among the forces."""
        return {req.key for req in self.label_requirements()} - {"energy", "force_mag"}

    def metric_names(self):
        """Columns: total first, then the terms."""
        return ["rmse"] + [f"rmse_{k}" for k in self.terms]

    def build(self, outputs, labels, natoms, lr):
        """Loss and metrics; see :meth:`dptf.loss.ener.EnergyLoss.build`."""
        n = tf.cast(natoms[0], tf.float64)
        scale = n ** -(2.0 if self.intensive else 1.0)
        real = tf.reduce_sum(natoms[2 : 2 + self.real_types])
        loss, metrics = tf.constant(0.0, tf.float64), {}
        if {"fr", "fm"} & set(self.terms):
            force = outputs["force"][:, : 3 * natoms[0]] - tf.reshape(labels["force"], [-1, 3 * natoms[0]])
        for k in self.terms:
            key = _LABELS[k]
            find = labels[f"find_{key}"]
            if k == "e":
                diff, factor, unit = outputs["energy"] - tf.reshape(labels["energy"], [-1]), scale, n
            elif k == "v":
                diff, factor, unit = outputs["virial"] - tf.reshape(labels["virial"], [-1, 9]), scale, n
            elif k == "ae":
                label = tf.reshape(labels["atom_ener"], [-1, natoms[0]])[:, :real]
                diff, factor, unit = outputs["atom_energy"] - label, 1.0, 1.0
            else:
                diff, factor, unit = (force[:, : 3 * real] if k == "fr" else force[:, 3 * real :]), 1.0, 1.0
            square = tf.square(tf.cast(diff, tf.float64))
            # Without virtual atoms there are no magnetic forces, and the term is absent.
            count = tf.cast(tf.size(square), tf.float64)
            find = tf.cast(find, tf.float64) * tf.cast(count > 0, tf.float64)
            mean = tf.reduce_sum(square) / tf.maximum(count, 1.0)
            loss += factor * self._scheduled(self.pref[k], lr, find) * mean
            metrics[f"rmse_{k}"] = tf.where(find > 0, tf.sqrt(mean) / unit, tf.constant(float("nan"), tf.float64))
        return loss, {"rmse": tf.sqrt(loss), **metrics}
