"""se_e2_a for clusters of varying size, padded to one number of atoms (``se_a_mask``).

Every atom sees every other one: no cell, no cutoff, no normalisation. ``aparam`` is the mask, 1 for real atoms and 0 for padding.
There is no virial.
"""

from dptf.descriptor.interface import Descriptor
from dptf.descriptor.se_e2_a import SeE2A
from dptf.errors import UserError
from dptf.nn.parameters import global_dtype
from dptf.ops import op_module, tf


class SeAMask(SeE2A):
    """se_a_mask; ``sel`` is the number of atoms of each type in every frame, padding included."""

    needs_mask = True

    def __init__(self, section, ntypes, where="model/descriptor"):
        # A cutoff of -1 is how graphs say that there is none.
        super().__init__({**section, "rcut": -1.0, "rcut_smth": -1.0, "set_davg_zero": True}, ntypes, where)

    def statistics(self, batches, stat_file=None):
        """Nothing is normalised; frames of another composition than sel are refused."""
        for batch in (b for system in batches for b in system):
            counts = [int(n) for n in batch["natoms_vec"][2:]]
            if counts != self.sel:
                raise UserError(
                    f"is {self.sel}, but a system has {counts} atoms of each type", f"{self.where}/sel",
                    "pad all systems with virtual atoms (aparam 0) to the same composition",
                )  # fmt: skip

    def build(self, coord, atype, natoms, box, mesh, params, suffix="", *, tabulated=None, type_table=None, mask=None):
        """Assemble the descriptor; ``mask`` has shape (nf, nall). See :meth:`Descriptor.build`."""
        if self.pair_excluded:
            raise UserError("is not supported with se_a_mask", "model/pair_exclude_types", "use exclude_types")
        if mask is None:
            raise UserError("se_a_mask cannot be part of a hybrid descriptor", self.where, "use it alone")
        self.constants(suffix)
        self.mask = tf.cast(tf.reshape(mask, [-1, natoms[1]]), tf.int32)
        em, deriv, rij, nlist = op_module.descrpt_se_a_mask(
            coord, atype, self.mask, box, natoms, mesh, name="DescrptSeAMask"
        )
        self.rmat = tf.identity(tf.reshape(em, [-1, self.ndescrpt]), name=f"o_rmat{suffix}")
        self.rmat_deriv = tf.identity(deriv, name=f"o_rmat_deriv{suffix}")
        self.rij = tf.identity(rij, name=f"o_rij{suffix}")
        self.nlist = tf.identity(nlist, name=f"o_nlist{suffix}")
        self.natoms = natoms
        loc_type = tf.reshape(atype[:, : natoms[0]], [-1])
        d = self._features(tf.cast(self.rmat, self.precision), loc_type, natoms, self._nets(params, suffix), None)
        d = tf.reshape(tf.cast(d, global_dtype()), [-1, natoms[0], self.dim_out])
        return tf.identity(d, name=f"o_descriptor{suffix}")

    def force_and_virial(self, scalar, suffix="", *, atomic=None):
        """Forces (nf, nall*3); virial (nf, 9) and atomic virials (nf, nall*9) are zeros."""
        net_deriv = tf.reshape(tf.gradients(scalar, self.rmat)[0], [-1, self.natoms[0] * self.ndescrpt])
        force = op_module.prod_force_se_a_mask(
            net_deriv, self.rmat_deriv, self.mask, tf.reshape(self.nlist, [-1, self.nnei * self.nnei]),
            total_atom_num=self.nnei, name="ProdForceSeAMask",
        )  # fmt: skip
        nframes = tf.shape(force)[0]
        return force, tf.zeros([nframes, 9], force.dtype), tf.zeros([nframes, 9 * self.natoms[1]], force.dtype)

    def can_tabulate(self):
        """The argument of the nets, 1/r, has no bound."""
        return False

    def compress(self, values, settings, suffix=""):
        """Not possible: without a cutoff the argument of the nets has no range; see :meth:`Descriptor.compress`."""
        Descriptor.compress(self, values, settings, suffix)
