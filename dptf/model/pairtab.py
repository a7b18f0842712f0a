"""Tabulated pair energies as a model of its own (``pairtab``)."""

import numpy as np

from dptf.descriptor.pairs import symmetric
from dptf.env import GLOBAL_NP_FLOAT
from dptf.errors import UserError
from dptf.model.ener import EnergyModel, energy_outputs
from dptf.model.pair_table import pair_sum, slot_forces, table_tensors
from dptf.model.parts import JoinedDescriptors, JoinedFittings
from dptf.nn.parameters import global_dtype
from dptf.ops import op_module, tf


class PairTabModel(EnergyModel):
    """Pair energies from a table, counted to the true type of every neighbor; parameters as the base has them."""

    has_statistics = False

    def __init__(self, section, *, min_nbor_dist=None):
        self.section, self.min_nbor_dist = section, min_nbor_dist
        self.type_map = list(section.get("type_map") or [])
        if not self.type_map:
            raise UserError("is missing; a pair table needs the names of its types", "model/type_map")
        self.ntypes, self.rcut = len(self.type_map), float(section["rcut"])
        sel = section["sel"]
        self.sel = [int(sum(sel)) if isinstance(sel, (list, tuple)) else int(sel)]
        self.atom_excluded = [int(t) for t in section.get("atom_exclude_types") or []]
        self.pair_excluded = symmetric([tuple(p) for p in section.get("pair_exclude_types") or []])
        self.descriptor, self.fitting = JoinedDescriptors(), JoinedFittings()

    def data_requirements(self):
        """Nothing."""
        return []

    def statistics(self, batches, stat_file=None):
        """Nothing is fitted."""

    def lower_precision(self, dtype):
        """Nothing of it is trained."""

    def build(self, inputs, params, suffix="", *, tabulated=None):
        """As the base has it."""
        natoms = inputs["natoms"]
        coord = tf.reshape(inputs["coord"], [-1, natoms[1] * 3])
        atype = tf.reshape(inputs["type"], [-1, natoms[1]])
        scope, fp, width = f"descrpt_attr{suffix}", global_dtype(), 4 * self.sel[0]
        tf.constant(self.rcut, dtype=fp, name=f"{scope}/rcut")
        tf.constant(self.ntypes, dtype=tf.int32, name=f"{scope}/ntypes")
        for key in ("dfparam", "daparam"):
            tf.constant(0, dtype=tf.int32, name=f"fitting_attr{suffix}/{key}")
        # Only the neighbor list is of use here.
        avg, std = (
            params.get(f"{scope}/t_{key}", [self.ntypes, width], np.full((self.ntypes, width), v, GLOBAL_NP_FLOAT), fp, False)
            for key, v in (("avg", 0.0), ("std", 1.0))
        )  # fmt: skip
        env = op_module.prod_env_mat_a_mix(
            coord, atype, natoms, tf.reshape(inputs["box"], [-1, 9]), inputs["mesh"], avg, std,
            rcut_a=-1.0, rcut_r=self.rcut, rcut_r_smth=self.rcut, sel_a=self.sel, sel_r=[0], name="ProdEnvMatAMix",
        )  # fmt: skip
        loc_type = atype[:, : natoms[0]]
        rij, nlist = env[2], self._without_excluded(env[3], env[4], loc_type)
        table = table_tensors(params, suffix, self.section, self.ntypes, self.rcut, "model")
        pairs, slopes = pair_sum(table, atype, rij, nlist, natoms)
        atom_energy = self._out_affine(pairs, loc_type, params, suffix)
        counts = tf.gradients(tf.reduce_sum(atom_energy), pairs)[0]
        return energy_outputs(atom_energy, slot_forces(counts, slopes, rij, nlist, natoms), natoms, suffix)

    def _without_excluded(self, nlist, neighbor_type, loc_type):
        """The list without the neighbors of excluded pairs of types."""
        if not self.pair_excluded:
            return nlist
        keep = np.ones((self.ntypes + 1, self.ntypes + 1), bool)
        for pair in self.pair_excluded:
            keep[pair] = False
        center = tf.reshape(tf.maximum(loc_type, 0), [-1, 1])
        kinds = tf.reshape(neighbor_type, [-1, self.sel[0]])
        kept = tf.gather_nd(tf.constant(keep), tf.stack([tf.broadcast_to(center, tf.shape(kinds)), kinds], axis=-1))
        rows = tf.reshape(nlist, [-1, self.sel[0]])
        return tf.reshape(tf.where(kept, rows, -tf.ones_like(rows)), tf.shape(nlist))
