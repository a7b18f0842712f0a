"""Energy models that a tabulated pair potential replaces at short distances (``use_srtab``, ZBL).

With the switch w_i, 1 where the soft minimum of the distances around atom i is below sw_rmin and 0 above sw_rmax::

    E_i = (1 - w_i) E_i(net) + w_i E_i(table)
"""

import numpy as np

from dptf.env import GLOBAL_NP_FLOAT
from dptf.errors import UserError
from dptf.model.ener import EnergyModel
from dptf.model.pair_table import pair_sum, slot_forces, table_tensors
from dptf.nn.parameters import global_dtype
from dptf.ops import op_module, tf


class SwitchedModel(EnergyModel):
    """Energy model with a short-range table.

    Other backends switch in double precision, count every neighbor by its own type, and put the virial of a pair on the
    neighbor; so do imported models (``exact_switch``) and those whose neighbor list is not divided by type. All others are
    made of the public ops.
    """

    def __init__(self, section, *, min_nbor_dist=None):
        super().__init__(section, min_nbor_dist=min_nbor_dist)
        self.range = [float(section[key]) for key in ("smin_alpha", "sw_rmin", "sw_rmax")]
        alpha, rmin, rmax = self.range
        if alpha <= 0 or not 0 <= rmin < rmax:
            raise UserError(
                f"is {alpha} with sw_rmin {rmin} and sw_rmax {rmax}; it must be positive, and sw_rmin below sw_rmax",
                "model/smin_alpha",
            )  # fmt: skip
        self.exact = bool(section.get("exact_switch")) or self.descriptor.mixed_types

    def energies(self, atomic, natoms, atype, params, suffix):
        """As the base has it, of the switched energies."""
        d, loc_type = self.descriptor, atype[:, : natoms[0]]
        shape = [tf.shape(atype)[0], -1]
        rij, nlist = tf.reshape(d.rij, shape), tf.reshape(d.nlist, shape)
        table = table_tensors(params, suffix, self.section, self.ntypes, self.rcut, "model")
        # What an atomic energy counts in the total (0 for excluded types).
        zeros = tf.zeros_like(atomic)
        counts = tf.gradients(tf.reduce_sum(self._out_affine(zeros, loc_type, params, suffix)), zeros)[0]
        if self.exact:
            weight, d_weight = op_module.dptf_soft_min_switch(
                tf.constant(self.range, tf.float64), rij, nlist, natoms, name="DptfSoftMinSwitch"
            )
            pairs, slopes = pair_sum(table, atype, rij, nlist, natoms)
            of_table = slot_forces(weight * counts, slopes, rij, nlist, natoms)
        else:
            sel = {"sel_a": d.sel, "sel_r": [0] * len(d.sel)}
            alpha, rmin, rmax = self.range
            weight, d_weight = op_module.soft_min_switch(
                atype, rij, nlist, natoms, alpha=alpha, rmin=rmin, rmax=rmax, name="SoftMinSwitch", **sel
            )
            pairs, force, atom_virial = op_module.pair_tab(
                *table, atype, rij, nlist, natoms, weight * counts, name="PairTab", **sel
            )
            virial = tf.reduce_sum(tf.reshape(atom_virial, [-1, natoms[1], 9]), axis=1)
            of_table = force, virial, atom_virial
        net, pairs = self._biased(atomic, pairs, loc_type, params, suffix)
        mixed = (1.0 - weight) * net + weight * pairs
        atom_energy = self._out_affine(mixed, loc_type, params, suffix)
        parts = (
            d.force_and_virial(tf.reduce_sum(atom_energy), suffix, atomic=atom_energy),
            of_table,
            slot_forces(counts * (pairs - net), d_weight, rij, nlist, natoms),
        )
        return atom_energy, tuple(tf.add_n([tf.reshape(x, tf.shape(terms[0])) for x in terms]) for terms in zip(*parts))

    def _biased(self, net, pairs, loc_type, params, suffix):
        """Energies of net and table with the biases of their own."""
        safe, real = tf.maximum(loc_type, 0), tf.cast(loc_type >= 0, net.dtype)
        if self.section.get("srtab_add_bias", True):
            bias = params.get(
                f"fitting_attr{suffix}/t_bias_atom_e", [self.ntypes], np.zeros(self.ntypes, GLOBAL_NP_FLOAT),
                global_dtype(), False,
            )  # fmt: skip
            pairs += tf.gather(bias, safe) * real
        if self.section.get("part_bias"):
            both = []
            for k, energy in enumerate((net, pairs)):
                scope, shape = f"model_attr{suffix}_model{k}", [1, self.ntypes, 1]
                bias = params.get(f"{scope}/t_out_bias", shape, np.zeros(shape, GLOBAL_NP_FLOAT), global_dtype(), False)
                both.append(energy + tf.gather(bias[0, :, 0], safe) * real)
            net, pairs = both
        return net, pairs
