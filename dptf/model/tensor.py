"""Models of dipoles and polarizabilities: tensors of selected atoms, their sum, and the derivatives of each of its components."""

import numpy as np

from dptf.env import GLOBAL_NP_FLOAT
from dptf.model.standard import StandardModel
from dptf.nn.parameters import global_dtype
from dptf.ops import tf


class TensorModel(StandardModel):
    """Tensor model of a ``model`` section.

    Attributes
    ----------
    derivatives : bool
        Whether ``build`` makes the derivatives; training does not use them.
    """

    derivatives = True

    def outputs(self, atomic, natoms, atype, params, suffix):
        """Tensors and their derivatives (m components: 3 or 9).

        Returns
        -------
        dict of tensors
            dipole or polar (nf, nsel*m), global_dipole or global_polar (nf, m) float64, force (nf, m*nall*3), virial (nf, m*9),
            atom_virial (nf, m*nall*9); derivatives are those of component 0 first, then component 1, and so on.
        """
        name, width = self.model_type, self.fitting.output_dim
        types = atype[:, : natoms[0]]
        chosen = self.fitting.select(types, natoms, types)
        atomic = self._shift(atomic, chosen, params, suffix)
        kept = self._kept(tf.maximum(chosen, 0), atomic.dtype)
        atomic = atomic if kept is None else atomic * kept[:, :, None]
        nframes = tf.shape(atype)[0]
        flat = tf.reshape(atomic, [nframes, tf.shape(chosen)[1] * width], name=f"o_{name}{suffix}")
        rows = tf.reshape(flat, [nframes, -1, width])
        total = tf.reduce_sum(tf.cast(rows, tf.float64), axis=1, name=f"o_global_{name}{suffix}")
        if not self.derivatives:
            return {name: flat, f"global_{name}": total}
        of_atoms = self._at_their_atoms(rows, natoms, types)
        parts = [
            self.descriptor.force_and_virial(tf.reduce_sum(rows[:, :, k]), suffix, atomic=of_atoms[:, :, k])
            for k in range(width)
        ]
        shapes = zip(("force", "virial", "atom_virial"), (3 * natoms[1], 9, 9 * natoms[1]), zip(*parts))
        derivatives = {
            key: tf.concat([tf.reshape(p, [-1, size]) for p in terms], axis=1, name=f"o_{key}{suffix}")
            for key, size, terms in shapes
        }
        return {name: flat, f"global_{name}": total, **derivatives}

    def _at_their_atoms(self, rows, natoms, types):
        """Tensors (nf, nloc, m) of all local atoms: rows (nf, nsel, m) of the selected ones, zeros for the others."""
        nf, nloc = tf.shape(types)[0], natoms[0]
        atom = self.fitting.select(tf.tile(tf.range(nloc)[None], [nf, 1]), natoms, types)
        frame = tf.tile(tf.range(nf)[:, None], [1, tf.shape(atom)[1]])
        shape = tf.stack([nf, nloc, tf.shape(rows)[2]])
        return tf.scatter_nd(tf.stack([frame, atom], axis=2), tf.cast(rows, global_dtype()), shape)

    def _shift(self, atomic, types, params, suffix):
        """Imported polarizabilities with shifted diagonal: the mean diagonal of the output bias, times the scale, is added."""
        if not params.has(scope := f"model_attr{suffix}/model_attr{suffix}/t_out_bias"):
            shape = [1, self.ntypes, self.fitting.output_dim]
            for name, value in ((scope, 0.0), (scope.replace("_bias", "_std"), 1.0)):
                params.keep(name, shape, np.full(shape, value, GLOBAL_NP_FLOAT), global_dtype())
            return atomic
        bias, _ = self._out_stat(params, suffix, self.fitting.output_dim)
        if self.model_type != "polar" or not self.fitting.shift_diag:
            return atomic
        diagonal = (
            (bias[0, :, 0] + bias[0, :, 4] + bias[0, :, 8]) / 3.0 * tf.constant(self.fitting.scale, dtype=bias.dtype)
        )
        c = tf.gather(diagonal, tf.maximum(types, 0)) * tf.cast(types >= 0, bias.dtype)
        return atomic + c[:, :, None] * tf.reshape(tf.eye(3, dtype=bias.dtype), [9])
