"""Energies, forces and virials."""

import numpy as np

from dptf.errors import UserError
from dptf.infer.deep_eval import DeepEval


class DeepPot(DeepEval):
    """A potential energy model.

    Examples
    --------
    >>> dp = DeepPot("frozen_model.pb")  # doctest: +SKIP
    >>> energy, force, virial = dp.eval(coords, cells, [0, 1, 1])  # doctest: +SKIP
    """

    model_types = ("ener",)

    def eval(
        self,
        coords,
        cells,
        atom_types,
        atomic=False,
        fparam=None,
        aparam=None,
        mixed_type=False,
        efield=None,
        spin=None,
        charge_spin=None,
        uncertainty=False,
        **kwargs,
    ):
        """Evaluate frames.

        Parameters
        ----------
        coords : array_like
            nf*n*3 coordinates [Å].
        cells : array_like or None
            nf*9 numbers, rows are lattice vectors [Å]; None for open boundaries.
        atom_types : array_like
            (n,), or (nf, n) with ``mixed_type``; -1 marks an atom that is not there.
        atomic : bool, optional
            Also return atomic energies and virials.
        fparam : array_like, optional
            nf*d frame parameters, or d for all frames.
        aparam : array_like, optional
            nf*n*d atomic parameters, or n*d for all frames, or d for all atoms.
        mixed_type : bool, optional
            Types differ between frames.
        efield : array_like, optional
            nf*n*3 electric field, for models that take one.
        spin : array_like, optional
            nf*n*3 spins, for models with spins, in the unit of the training data; without it, virtual atoms are expected among
            the atoms.

        charge_spin : array_like, optional
            nf*2 numbers, total charge and spin multiplicity of the frames, or 2 for all, for models that take them
            (``add_chg_spin_ebd``); without them, those of ``default_chg_spin``.
        uncertainty : bool, optional
            Also return expected errors of the forces (`eval_uncertainty`), from the same evaluation.

        Returns
        -------
        energy : (nf, 1) array
            [eV]
        force : (nf, n, 3) array
            [eV/Å]
        virial : (nf, 9) array
            [eV]
        atom_energy : (nf, n, 1) array
            Only if ``atomic``.
        atom_virial : (nf, n, 9) array
            Only if ``atomic``.
        force_mag : (nf, n, 3) array
            Minus the derivative in the spins [eV per unit of spin]; only if ``spin`` is given.
        mask_mag : (nf, n, 1) bool array
            Which atoms have a spin; only if ``spin`` is given.
        std : (nf, n) array
            Standard deviation of a force component [eV/Å]; only if ``uncertainty``.
        """
        if uncertainty:
            self._check_uncertainty(spin)
        if spin is not None:
            return self._eval_spin(coords, cells, atom_types, spin, atomic, fparam, aparam, mixed_type, charge_spin)
        names = ["o_energy", "o_force", "o_virial"] + (["o_atom_energy", "o_atom_virial"] if atomic else [])
        names += ["o_atom_uncertainty"] if uncertainty else []
        out = self.deep_eval.evaluate(names, coords, cells, atom_types, fparam, aparam, efield, mixed_type, charge_spin)
        energy = out["o_energy"].reshape(-1, 1)
        result = [energy, out["o_force"][:, 0], out["o_virial"]]
        if atomic:
            result += [out["o_atom_energy"], out["o_atom_virial"][:, 0]]
        if uncertainty:
            result.append(out["o_atom_uncertainty"][..., 0])
        return tuple(np.ascontiguousarray(r) for r in result)

    @property
    def has_uncertainty(self):
        """Whether the model carries uncertainties (``dp uncertainty``)."""
        return self.deep_eval.has("o_atom_uncertainty")

    def eval_uncertainty(self, coords, cells, atom_types, fparam=None, aparam=None, mixed_type=False):
        """Expected errors of the force components of every atom; arguments as in `eval`.

        Returns
        -------
        (nf, n) array
            Standard deviation [eV/Å].
        """
        self._check_uncertainty()
        out = self.eval_output("o_atom_uncertainty", coords, cells, atom_types, fparam, aparam, mixed_type)
        return out[..., 0]

    def _check_uncertainty(self, spin=None):
        """Refuse where there are no uncertainties."""
        if not self.has_uncertainty:
            raise UserError("carries no uncertainties", self.deep_eval.model_file, "make them with dp uncertainty")
        if self.deep_eval.neighbor_list is not None:
            raise UserError("needs the model's own neighbor list", "neighbor_list", "leave it out")
        if spin is not None:
            raise UserError("is not known for models with spins", "uncertainty", "leave it out")

    def eval_output(self, name, coords, cells, atom_types, fparam=None, aparam=None, mixed_type=False, **kwargs):
        """A node of the graph, (nf, n, width), in the order of the given atoms."""
        out = self.deep_eval.evaluate([name], coords, cells, atom_types, fparam, aparam, None, mixed_type)[name]
        return np.ascontiguousarray(out)

    def _eval_spin(self, coords, cells, atom_types, spin, atomic, fparam, aparam, mixed_type, charge_spin):
        """Evaluate frames of real atoms with spins; see :meth:`eval`."""
        from dptf.infer import guard

        node = self.deep_eval
        if not node.ntypes_spin:
            raise UserError("the model has no spins", node.model_file, "leave spin out")
        count = node.ntypes - node.ntypes_spin
        types = guard.as_types(atom_types, count, node.tmap)
        n = types.shape[-1] if types.ndim else 0
        coords = guard.as_coords(coords, n)
        types = np.broadcast_to(types, (len(coords), n))
        spin = guard.as_parameters(spin, "spin", 3, len(coords), n).reshape(len(coords), n, 3)
        length, norm = (np.ravel(node.constant(f"spin_attr/{k}")).astype(float) for k in ("virtual_len", "spin_norm"))
        ratio = np.zeros(count)
        ratio[: len(length)] = length / norm
        scale = np.where(types < 0, 0.0, ratio[np.maximum(types, 0)])[..., None]
        # Atoms without a spin have a virtual atom that is not there.
        virtual = np.where(scale[..., 0] > 0, types + count, -1)
        extended = np.concatenate(
            [coords.reshape(len(coords), n, 3), coords.reshape(len(coords), n, 3) + scale * spin], axis=1
        )
        if node.daparam and aparam is not None:
            aparam = guard.as_parameters(aparam, "aparam", node.daparam, len(coords), n).reshape(len(coords), n, -1)
            aparam = np.concatenate([aparam, np.zeros_like(aparam)], axis=1)
        both = np.concatenate([types, virtual], axis=1)
        energy, force, virial, *rest = self.eval(
            extended, cells, both, atomic, fparam, aparam, mixed_type=True, charge_spin=charge_spin
        )
        out = [energy, force[:, :n], virial]
        if atomic:
            out += [rest[0][:, :n], rest[1][:, :n]]
        return tuple(np.ascontiguousarray(r) for r in (*out, force[:, n:], scale > 0))
