"""Model of densities of states: of atoms, and of the frame."""

from dptf.model.standard import StandardModel
from dptf.ops import tf


class DosModel(StandardModel):
    """DOS model of a ``model`` section."""

    def outputs(self, atomic, natoms, atype, params, suffix):
        """Densities of states.

        Returns
        -------
        dict of tensors
            dos (nf, numb_dos) float64, atom_dos (nf, nloc, numb_dos).
        """
        atom_dos = self._affine(atomic, atype[:, : natoms[0]], params, suffix)
        atom_dos = tf.identity(atom_dos, name=f"o_atom_dos{suffix}")
        dos = tf.reduce_sum(tf.cast(atom_dos, tf.float64), axis=1, name=f"o_dos{suffix}")
        return {"dos": dos, "atom_dos": atom_dos}
