"""Loss on energies, forces, virials, atomic energies, weighted and generalised forces.

L = sum_k p_k(t) * mean-square error of k, with p_k(t) = find_k (limit + (start - limit) lr(t) / lr(0)) and energies and
virials divided by the number of atoms (squared: intensive_ener_virial).
"""

from dptf.data.requirement import DataRequirement
from dptf.errors import UserError
from dptf.loss.base import Loss
from dptf.ops import tf

#: term -> label key
_LABELS = {"e": "energy", "f": "force", "v": "virial", "ae": "atom_ener", "pf": "atom_pref", "gf": "drdq"}
_ORDER = ("e", "ae", "f", "v", "pf", "gf")


class EnergyLoss(Loss):
    """Energy loss of a normalised ``loss`` section.

    Attributes
    ----------
    terms : list of str
        Terms with a prefactor, in the order of the columns of lcurve.out.
    """

    def __init__(self, section, start_lr):
        super().__init__(start_lr)
        self.pref = {
            k: (float(section.get(f"start_pref_{k}", 0.0)), float(section.get(f"limit_pref_{k}", 0.0))) for k in _ORDER
        }
        for k, (start, limit) in self.pref.items():
            if start < 0 or limit < 0:
                raise UserError("prefactors must not be negative", f"loss/start_pref_{k}")
        self.terms = [k for k in _ORDER if any(self.pref[k])]
        if not self.terms:
            raise UserError("every prefactor is 0: there is nothing to train on", "loss")
        self.relative_f = section.get("relative_f")
        self.use_coeff = bool(section.get("enable_atom_ener_coeff", False))
        self.intensive = bool(section.get("intensive_ener_virial", False))
        self.ngen = int(section.get("numb_generalized_coord", 0) or 0)
        if "gf" in self.terms and self.ngen < 1:
            raise UserError("must be at least 1 when pref_gf is used", "loss/numb_generalized_coord")
        self.huber = None
        if section.get("use_huber"):
            bad = [k for k in ("pf", "gf") if k in self.terms] + (["relative_f"] if self.relative_f is not None else [])
            if bad:
                raise UserError(f"cannot be combined with {', '.join(bad)}", "loss/use_huber")
            delta = section.get("huber_delta", 0.01)
            delta = list(delta) if isinstance(delta, (list, tuple)) else [delta] * 3
            self.huber = dict(zip("efv", delta))
        self.default_pf = bool(section.get("use_default_pf", False))
        for key, ok in (("loss_func", "mse"), ("f_use_norm", False)):
            if section.get(key, ok) != ok:
                raise UserError(f"'{section[key]}' is not available in graph mode", f"loss/{key}", f"set it to {ok!r}")
        if section.get("start_pref_h") or section.get("limit_pref_h"):
            raise UserError("Hessian training is not available in graph mode", "loss/start_pref_h", "set it to 0")

    def label_requirements(self):
        """Labels, all optional."""
        table = {
            "energy": DataRequirement("energy", 1, high_prec=True),
            "force": DataRequirement("force", 3, atomic=True),
            "virial": DataRequirement("virial", 9),
            "atom_ener": DataRequirement("atom_ener", 1, atomic=True),
            "atom_pref": DataRequirement("atom_pref", 1, atomic=True, repeat=3, default=float(self.default_pf)),
            "drdq": DataRequirement("drdq", 3 * self.ngen, atomic=True),
        }
        keys = dict.fromkeys(_LABELS[k] for k in self.terms)
        # Weighted and generalised forces are compared with the force labels; the energy bias needs energies.
        keys.update(dict.fromkeys(["energy"]))
        if {"pf", "gf"} & set(self.terms):
            keys["force"] = None
        out = [table[k] for k in keys]
        if self.use_coeff:
            out.append(DataRequirement("atom_ener_coeff", 1, atomic=True, default=1.0))
        return out

    def wanted_labels(self):
        """Keys that a term compares, except the energy, which others may do without."""
        return {req.key for req in self.label_requirements()} - {"energy"}

    def metric_names(self):
        """Columns: total first, then the terms."""
        return ["rmse"] + [f"rmse_{k}" for k in self.terms]

    def _mean(self, k, diff, delta=None):
        """Mean square, or mean Huber function, in float64."""
        diff = tf.cast(diff, tf.float64)
        if self.huber is None or k not in ("e", "f", "v", "ae"):
            return tf.reduce_mean(diff * diff)
        size = tf.abs(diff)
        return tf.reduce_mean(tf.where(size <= delta, 0.5 * diff * diff, delta * (size - 0.5 * delta)))

    def build(self, outputs, labels, natoms, lr):
        """Loss and metrics.

        Parameters
        ----------
        outputs : dict
            Of :meth:`dptf.model.ener.EnergyModel.build`.
        labels : dict of tensors
            Flat labels by key, and ``find_<key>``.
        natoms : int32 tensor
        lr : float tensor
            The unscaled learning rate.

        Returns
        -------
        tensor
            Scalar loss, float64.
        dict of tensors
            Metrics in the order of :meth:`metric_names`; unavailable labels give NaN there and nothing in the loss.
        """
        n = tf.cast(natoms[0], tf.float64)
        power = 2.0 if self.intensive else 1.0
        nloc3 = 3 * natoms[0]
        loss, metrics = tf.constant(0.0, tf.float64), {}
        force = outputs["force"][:, :nloc3]
        df = raw = None
        if {"f", "pf", "gf"} & set(self.terms):
            label = tf.reshape(labels["force"], [-1, nloc3])
            df = raw = force - label
            if self.relative_f is not None:
                norm = tf.norm(tf.reshape(label, [-1, 3]), axis=1, keepdims=True) + self.relative_f
                df = tf.reshape(tf.reshape(df, [-1, 3]) / norm, [-1, nloc3])
        for k in self.terms:
            key = _LABELS[k]
            find = labels["find_" + ("force" if k in ("f", "gf") else key)]
            if k in ("pf", "gf"):
                known = 1.0 if k == "pf" and self.default_pf else labels[f"find_{key}"]
                find = known * labels["find_force"]
            pref = self._scheduled(self.pref[k], lr, find)
            if k == "e":
                energy = outputs["energy"]
                if self.use_coeff:
                    coeff = tf.reshape(labels["atom_ener_coeff"], [-1, natoms[0]])
                    energy = tf.reduce_sum(tf.cast(coeff * outputs["atom_energy"], tf.float64), axis=1)
                diff = energy - tf.reshape(labels["energy"], [-1])
                if self.huber is None:
                    loss += n**-power * pref * self._mean(k, diff)
                else:
                    loss += pref * self._mean(k, diff / n, self.huber["e"])
                value = tf.sqrt(tf.reduce_mean(diff * diff)) / n
            elif k == "v":
                diff = tf.cast(outputs["virial"] - tf.reshape(labels["virial"], [-1, 9]), tf.float64)
                if self.huber is None:
                    loss += n**-power * pref * self._mean(k, diff)
                else:
                    loss += pref * self._mean(k, diff / n, self.huber["v"])
                value = tf.sqrt(tf.reduce_mean(diff * diff)) / n
            elif k == "f":
                loss += pref * self._mean(k, df, self.huber and self.huber["f"])
                value = tf.sqrt(tf.reduce_mean(tf.cast(df * df, tf.float64)))
            elif k == "ae":
                diff = outputs["atom_energy"] - tf.reshape(labels["atom_ener"], [-1, natoms[0]])
                loss += pref * self._mean(k, diff, self.huber and self.huber["e"])
                value = tf.sqrt(tf.reduce_mean(tf.cast(diff * diff, tf.float64)))
            elif k == "pf":
                square = tf.cast(tf.reshape(labels["atom_pref"], [-1, nloc3]) * df * df, tf.float64)
                loss += pref * tf.reduce_mean(square)
                value = tf.sqrt(tf.reduce_mean(square))
            else:
                drdq = tf.reshape(labels["drdq"], [-1, nloc3, self.ngen])
                diff = tf.cast(tf.einsum("fig,fi->fg", drdq, raw), tf.float64)
                loss += pref * tf.reduce_mean(diff * diff)
                value = tf.sqrt(tf.reduce_mean(diff * diff))
            metrics[f"rmse_{k}"] = self._metric(find, value)
        return loss, {"rmse": tf.sqrt(loss), **metrics}
