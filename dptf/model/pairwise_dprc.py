"""QM/MM corrections over pairs of fragments (``pairwise_dprc``).

Atomic parameters number the fragments: the lowest number that is not negative is the QM region, every other one a residue of the
surroundings, negative numbers are ignored. With the energy of one model for the QM region and of another for each pair::

    E = E_qm(QM) + sum over residues E_qmmm(QM and residue)

Both models see their fragments without periodic images, as ghosts of the caller's list excepted. All sub-systems of a batch are
merged into one frame whose neighbor list connects the atoms of each of them.
"""

import logging

import numpy as np

from dptf.data.fragments import fragment_batches, members
from dptf.errors import UserError
from dptf.model.ener import EnergyModel
from dptf.model.parts import JoinedDescriptors, JoinedFittings, energy_member
from dptf.nn.parameters import global_dtype
from dptf.nn.type_embedding import TypeEmbedding
from dptf.ops import op_module, tf

log = logging.getLogger(__name__)

_MEMBERS = ("qm", "qmmm")


class PairwiseModel(EnergyModel):
    """Sum of a QM model and of a QM/MM model over all residues.

    Attributes
    ----------
    models : dict of str to model
        ``qm`` and ``qmmm``.
    """

    def __init__(self, section, *, min_nbor_dist=None):
        from dptf.model import build_model

        self.section, self.min_nbor_dist = section, min_nbor_dist
        self.type_map = list(section.get("type_map") or [])
        if not self.type_map:
            raise UserError("is missing; the fragments' models share it", "model/type_map")
        if not section.get("type_embedding"):
            raise UserError(
                "is missing; the fragments' models share one", "model/type_embedding", 'add it, {"neuron": [8]} say'
            )
        self.ntypes, self.atom_excluded = len(self.type_map), []
        # Frames of fragments hold atoms in any order, so the row of empty slots is always there.
        self.type_embedding = TypeEmbedding(section["type_embedding"], self.ntypes, self.type_map, padding=True)
        self.models = {}
        for name in _MEMBERS:
            where = f"model/{name}_model"
            sub = {"type_map": self.type_map, "type_embedding": section["type_embedding"], **section[f"{name}_model"]}
            self.models[name] = self._member(build_model(sub, min_nbor_dist=min_nbor_dist, where=where), where)
        self.rcut = max(m.rcut for m in self.models.values())
        members = list(self.models.values())
        self.descriptor = JoinedDescriptors(members, [f"_{name}" for name in _MEMBERS])
        self.fitting = JoinedFittings(members)
        self.fitting.numb_aparam = 1

    def _member(self, model, where):
        energy_member(model, where)
        known = model.type_map
        if known != self.type_map[: len(known)]:
            raise UserError(
                f"is {known}; it must be the first types of {self.type_map}", f"{where}/type_map",
                "give the same list, or leave it out",
            )  # fmt: skip
        if not getattr(model, "type_embedding", None):
            raise UserError(
                "does not use the type embedding", where, "use se_e2_a, se_a_ebd_v2, se_atten or se_atten_v2"
            )
        for key in ("numb_fparam", "numb_aparam"):
            if getattr(model.fitting, key):
                raise UserError("cannot be used by fragments", f"{where}/fitting_net/{key}", "set it to 0")
        return model

    # -- data -----------------------------------------------------------------------------------------------------

    def data_requirements(self):
        """The number of every atom's fragment."""
        from dptf.data.requirement import DataRequirement

        return [DataRequirement("aparam", 1, atomic=True, must=True)]

    def statistics(self, batches, stat_file=None):
        """Statistics of both models over their sub-systems.

        The energy bias is fitted by the QM model alone: the energy of a residue has no label, so it begins at the vacuum energies
        of ``atom_ener``, or 0.
        """
        if any(np.any(b.get("box", 0)) for system in batches for b in system):
            log.warning("the data are periodic, but fragments are taken at their coordinates, without images")
        for name, model in self.models.items():
            stat = stat_file.below(name) if stat_file else None
            own = [[fragment_batches(b, name == "qmmm", model.ntypes) for b in system] for system in batches]
            model.descriptor.statistics(own, stat)
            if name == "qm":
                model.fitting.output_statistics(own, stat, model.atom_excluded)
            else:
                model.fitting.bias_atom_e = np.array([e or 0.0 for e in model.fitting.preset])

    def lower_precision(self, dtype):
        """As both models do."""
        for model in self.models.values():
            model.lower_precision(dtype)

    def bias_counts(self, batch):
        """Those of the QM region, whose model has the bias."""
        ids = np.rint(batch["aparam"]).astype(int).reshape(len(batch["type"]), -1)
        chosen = [np.concatenate([*members(row, False), np.zeros(0, int)]).astype(int) for row in ids]
        return [np.bincount(t[own], minlength=self.ntypes) for t, own in zip(batch["type"], chosen)]

    def compress(self, values, settings, suffix=""):
        """Tables for the nets of both models; see :meth:`dptf.descriptor.interface.Descriptor.compress`."""
        table = self.type_embedding.evaluate(values, suffix)
        for name, model in self.models.items():
            model.descriptor.known_types = self._own_rows(table, model, np.concatenate)
            model.descriptor.compress(values, settings, f"{suffix}_{name}")

    def _own_rows(self, table, model, concat):
        """The rows of the type embedding that a member knows, and that of empty slots."""
        if model.ntypes == self.ntypes:
            return table
        return concat([table[: model.ntypes], table[self.ntypes :]], axis=0)

    # -- the graph ------------------------------------------------------------------------------------------------

    def constants(self, training_script=None):
        """Attribute nodes; the parameters are those of local and ghost atoms."""
        super().constants(training_script)
        tf.constant(True, name="fitting_attr/aparam_nall", dtype=tf.bool)

    def build(self, inputs, params, suffix="", *, tabulated=None):
        """As the base has it."""
        fp, natoms = global_dtype(), inputs["natoms"]
        tf.constant(self.rcut, dtype=fp, name=f"descrpt_attr{suffix}/rcut")
        tf.constant(self.ntypes, dtype=tf.int32, name=f"descrpt_attr{suffix}/ntypes")
        tf.constant(0, dtype=tf.int32, name=f"fitting_attr{suffix}/dfparam")
        tf.constant(1, dtype=tf.int32, name=f"fitting_attr{suffix}/daparam")
        ids = tf.cast(tf.round(tf.reshape(inputs["aparam"], [-1, natoms[1]])), tf.int32)
        split = op_module.dprc_pairwise_idx(ids, natoms, name="DprcPairwiseIdx")
        frames = tf.range(tf.shape(ids)[0])
        table = self.type_embedding.build(params, suffix)
        parts = [
            self._part("qm", inputs, split[0], split[4], frames, params, suffix, table, tabulated),
            self._part("qmmm", inputs, split[2], split[5], split[6], params, suffix, table, tabulated),
        ]
        energy, force, atom_virial = (tf.add_n(terms) for terms in zip(*parts))
        energy = tf.reshape(energy, [-1, natoms[1]])[:, : natoms[0]]
        atom_virial = tf.reshape(atom_virial, [-1, natoms[1], 9])
        total = {
            "energy": tf.reduce_sum(tf.cast(energy, tf.float64), axis=1),
            "force": tf.reshape(force, [-1, 3 * natoms[1]]),
            "virial": tf.reduce_sum(atom_virial, axis=1),
            "atom_energy": energy,
            "atom_virial": tf.reshape(atom_virial, [-1, 9 * natoms[1]]),
        }
        return {key: tf.identity(value, name=f"o_{key}{suffix}") for key, value in total.items()}

    def _part(self, name, inputs, forward, sub_natoms, frame, params, suffix, table, tabulated):
        """Energy, force and atomic virial of the atoms of all frames, from one model: shapes (nf * nall,), (.., 3), (.., 9).

        Parameters
        ----------
        forward : int32 tensor, shape (sub-systems, width)
            Atoms of every sub-system.
        sub_natoms, frame : int32 tensors
            Atoms of the sub-systems, and their frames.
        """
        natoms, model = inputs["natoms"], self.models[name]
        _, backward, merged, mesh = op_module.convert_forward_map(forward, sub_natoms, natoms, name="ConvertForwardMap")
        # Which atom of the batch each atom of the merged frame is.
        there = tf.where(backward >= 0)
        row, atom = tf.cast(there[:, 0], tf.int32), tf.cast(there[:, 1], tf.int32)
        place = tf.gather_nd(backward, there)[:, None]
        source = tf.scatter_nd(place, tf.gather(frame, row) * natoms[1] + atom, merged[1:2])
        # Where there is no sub-system at all, the frame still has an atom: it is not there.
        real = tf.scatter_nd(place, tf.ones_like(atom), merged[1:2])
        own = {
            "coord": tf.reshape(tf.gather(tf.reshape(inputs["coord"], [-1, 3]), source), [-1]),
            "type": tf.gather(tf.reshape(inputs["type"], [-1]), source) * real + real - 1,
            "natoms": merged[: 2 + model.ntypes],
            "box": tf.constant(np.eye(3).ravel(), global_dtype()),
            "mesh": mesh,
        }
        model.given_type_table = self._own_rows(table, model, tf.concat)
        out = model.build(own, params, f"{suffix}_{name}", tabulated=tabulated)
        count = tf.size(inputs["type"])

        def spread(key, width, where):
            return tf.math.unsorted_segment_sum(tf.reshape(out[key], [-1, width]), where, count)

        return (
            spread("atom_energy", 1, source[: merged[0]])[:, 0],
            spread("force", 3, source),
            spread("atom_virial", 9, source),
        )
