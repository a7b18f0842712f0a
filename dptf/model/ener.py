"""The standard energy model: atomic energies, forces and virials."""

from dptf.model.standard import StandardModel
from dptf.ops import tf


class EnergyModel(StandardModel):
    """Energy model of a ``model`` section."""

    def outputs(self, atomic, natoms, atype, params, suffix):
        """Energies and their derivatives.

        Returns
        -------
        dict of tensors
            energy (nf,) float64, force (nf, nall*3), virial (nf, 9), atom_energy (nf, nloc), atom_virial (nf, nall*9).
        """
        return energy_outputs(*self.energies(atomic, natoms, atype, params, suffix), natoms, suffix)

    def energies(self, atomic, natoms, atype, params, suffix):
        """Atomic energies (nf, nloc), and force, virial and atomic virial; arguments as those of :meth:`outputs`."""
        atom_energy = self._out_affine(atomic, atype[:, : natoms[0]], params, suffix)
        # The sum in the working precision is what forces are taken of; its gradient is the same.
        return atom_energy, self.descriptor.force_and_virial(tf.reduce_sum(atom_energy), suffix, atomic=atom_energy)

    def _out_affine(self, atom_energy, loc_type, params, suffix):
        """E_i * t_out_std[type] + t_out_bias[type]."""
        bias, std = self._out_stat(params, suffix)
        safe = tf.maximum(loc_type, 0)
        real = tf.cast(loc_type >= 0, atom_energy.dtype)
        if not self.section.get("ignore_out_std"):
            atom_energy = atom_energy * tf.gather(std[0, :, 0], safe)
        result = atom_energy + tf.gather(bias[0, :, 0], safe) * real
        kept = self._kept(safe, result.dtype)
        return result if kept is None else result * kept


def energy_outputs(atom_energy, derivatives, natoms, suffix=""):
    """Output nodes of the contract from atomic energies (nf, nloc) and (force, virial, atomic virial)."""
    atom_energy = tf.identity(atom_energy, name=f"o_atom_energy{suffix}")
    force, virial, atom_virial = derivatives
    return {
        "energy": tf.reduce_sum(tf.cast(atom_energy, tf.float64), axis=1, name=f"o_energy{suffix}"),
        "force": tf.reshape(force, [-1, 3 * natoms[1]], name=f"o_force{suffix}"),
        "virial": tf.reshape(virial, [-1, 9], name=f"o_virial{suffix}"),
        "atom_energy": atom_energy,
        "atom_virial": tf.reshape(atom_virial, [-1, 9 * natoms[1]], name=f"o_atom_virial{suffix}"),
    }
