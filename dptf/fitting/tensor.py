"""What dipoles and polarizabilities share: they live on selected types and need rotation matrices."""

import numpy as np

from dptf.errors import UserError
from dptf.fitting.base import Fitting
from dptf.ops import tf


class TensorFitting(Fitting):
    """Base of the tensor fittings; parameters as the base of all has them.

    Attributes
    ----------
    sel_type : list of int
        Types that carry the tensor, ascending.
    """

    #: Numbers per atom.
    output_dim = 0
    #: Stem of the label files: ``<label>.npy`` of the frame, ``atomic_<label>.npy`` of the atoms.
    label = ""

    def __init__(self, section, descriptor, ntypes, where="model/fitting_net", **kwargs):
        super().__init__(section, descriptor, ntypes, where, **kwargs)
        self.dim_rot = descriptor.dim_rot
        if not self.dim_rot:
            raise UserError(
                f"{self.model_type} needs a descriptor that knows directions", f"{where}/type",
                "use se_e2_a, se_atten, dpa2 or dpa3 (or a hybrid with one of them)",
            )  # fmt: skip
        selected = section.get("sel_type")
        if selected is None:
            selected = range(ntypes)
        elif isinstance(selected, int):
            selected = [selected]
        self.sel_type = sorted({int(t) for t in selected})
        if not self.sel_type or not 0 <= self.sel_type[0] <= self.sel_type[-1] < ntypes:
            raise UserError(f"is {self.sel_type}; types run from 0 to {ntypes - 1}", f"{where}/sel_type")

    def constants(self, suffix=""):
        """Attribute nodes."""
        super().constants(suffix)
        tf.constant(self.sel_type, dtype=tf.int32, name=f"model_attr{suffix}/sel_type")
        tf.constant(self.output_dim, dtype=tf.int32, name=f"model_attr{suffix}/output_dim")

    def select(self, x, natoms, types):
        """Rows of the selected types.

        Parameters
        ----------
        x : tensor, shape (nf, nloc, ...)
        natoms : int32 tensor
        types : int32 tensor, shape (nf, nloc)
            Virtual atoms count as type 0.

        Returns
        -------
        tensor, shape (nf, nsel, ...)
        """
        if len(self.sel_type) == self.ntypes:
            return x
        if self.mixed_types:
            chosen = np.zeros(self.ntypes, bool)
            chosen[self.sel_type] = True
            rows = tf.boolean_mask(x, tf.gather(tf.constant(chosen), tf.maximum(types, 0)))
            return tf.reshape(rows, tf.concat([tf.shape(x)[:1], [-1], tf.shape(x)[2:]], axis=0))
        parts, start = [], 0
        for t in range(self.ntypes):
            if t in self.sel_type:
                parts.append(x[:, start : start + natoms[2 + t]])
            start += natoms[2 + t]
        return tf.concat(parts, axis=1) if len(parts) > 1 else parts[0]

    def build(self, descriptor, natoms, atype, params, suffix="", *, rot_mat=None, **inputs):
        """Tensors of the selected atoms, shape (nf, nsel, output_dim), zero for virtual atoms; arguments as the base has them."""
        self.constants(suffix)
        types = atype[:, : natoms[0]]
        rot_mat = tf.reshape(rot_mat, [-1, natoms[0], self.dim_rot * 3], name=f"o_rot_mat{suffix}")
        values = self.evaluate(
            descriptor, natoms, atype, params, suffix, width=self._net_width, types=self.sel_type, **inputs
        )
        if self.mixed_types:
            values = self.select(values, natoms, types)
        rows, chosen = self.select(rot_mat, natoms, types), self.select(types, natoms, types)
        flat = tf.reshape(chosen, [-1])
        out = self._rotate(
            tf.reshape(values, [-1, self._net_width]), tf.reshape(rows, [-1, self.dim_rot, 3]), flat, params, suffix
        )
        out *= tf.cast(flat >= 0, out.dtype)[:, None]
        return tf.reshape(out, [tf.shape(descriptor)[0], -1, self.output_dim])

    @property
    def _net_width(self):
        """Outputs of a net."""
        return self.dim_rot

    def shift(self, out, center, params, suffix):
        """Add the bias of the net outputs that models of other backends have; graphs trained here have none."""
        return self._add_imported_bias(out, center, params, suffix, self._net_width)

    def _rotate(self, values, rot_mat, types, params, suffix):
        """Tensors (n, output_dim) from net outputs (n, net width) and rotation matrices (n, dim_rot, 3)."""
        raise NotImplementedError
