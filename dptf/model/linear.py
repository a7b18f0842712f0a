"""Weighted sums of energy models (``linear_ener``); member k has the name suffix ``_model<k>``."""

from dptf.errors import UserError
from dptf.model.ener import EnergyModel
from dptf.model.parts import JoinedDescriptors, JoinedFittings, compress_members, energy_member, weights_of
from dptf.nn.parameters import global_dtype
from dptf.ops import tf

_OUTPUTS = ("energy", "force", "virial", "atom_energy", "atom_virial")


class LinearModel(EnergyModel):
    """Weighted sum of energy models.

    Attributes
    ----------
    models : list of models
    weights : list of float
    """

    draws_by_part = True

    def __init__(self, section, *, min_nbor_dist=None):
        from dptf.model import build_model

        self.section, self.min_nbor_dist = section, min_nbor_dist
        members = section["models"]
        members = list(members.items() if isinstance(members, dict) else enumerate(members))
        if not members:
            raise UserError("is empty", "model/models", "name at least one model")
        self.type_map = list(section.get("type_map") or members[0][1].get("type_map") or [])
        self.models = []
        for name, sub in members:
            where = f"model/models/{name}"
            sub = {"type_map": self.type_map, **sub}
            if list(sub["type_map"]) != self.type_map:
                raise UserError(
                    f"is {sub['type_map']}, that of the whole model is {self.type_map}", f"{where}/type_map",
                    "give the same list, or leave it out",
                )  # fmt: skip
            self.models.append(energy_member(build_model(sub, min_nbor_dist=min_nbor_dist, where=where), where))
        self.ntypes = self.models[0].ntypes
        self.weights = weights_of(section["weights"], len(self.models))
        self.rcut = max(m.rcut for m in self.models)
        self.atom_excluded = []
        self.descriptor = JoinedDescriptors(self.models)
        self.fitting = JoinedFittings(self.models, "model/models")

    def data_requirements(self):
        """What the members read from the data, each key once."""
        found = {req.key: req for m in self.models for req in m.data_requirements()}
        return list(found.values())

    def statistics(self, batches, stat_file=None, draw=None):
        """Statistics of every member; each fits its bias to the whole energy.

        Parameters
        ----------
        draw : callable, optional
            Gives further batches: every member then has its own, as in the public package.
        """
        trained = 0
        for k, model in enumerate(self.models):
            if draw and trained and model.has_statistics:
                batches = draw()
            trained += model.has_statistics
            model.statistics(batches, stat_file.below(f"model{k}") if stat_file else None)

    def lower_precision(self, dtype):
        """As the members do."""
        for model in self.models:
            model.lower_precision(dtype)

    def compress(self, values, settings, suffix=""):
        """As the members do."""
        compress_members({f"{suffix}_model{k}": m for k, m in enumerate(self.models)}, values, settings)

    def build(self, inputs, params, suffix="", *, tabulated=None):
        """As the base has it."""
        tf.constant(self.rcut, dtype=global_dtype(), name=f"descrpt_attr{suffix}/rcut")
        tf.constant(self.ntypes, dtype=tf.int32, name=f"descrpt_attr{suffix}/ntypes")
        tf.constant(self.fitting.numb_fparam, dtype=tf.int32, name=f"fitting_attr{suffix}/dfparam")
        tf.constant(self.fitting.numb_aparam, dtype=tf.int32, name=f"fitting_attr{suffix}/daparam")
        parts = [m.build(inputs, params, f"{suffix}_model{k}", tabulated=tabulated) for k, m in enumerate(self.models)]
        total = {key: tf.add_n([w * part[key] for w, part in zip(self.weights, parts)]) for key in _OUTPUTS}
        if self.section.get("total_bias"):  # of imported models
            atype = tf.reshape(inputs["type"], [-1, inputs["natoms"][1]])[:, : inputs["natoms"][0]]
            total["atom_energy"] = self._out_affine(total["atom_energy"], atype, params, suffix)
            total["energy"] = tf.reduce_sum(tf.cast(total["atom_energy"], tf.float64), axis=1)
        return {key: tf.identity(value, name=f"o_{key}{suffix}") for key, value in total.items()}
