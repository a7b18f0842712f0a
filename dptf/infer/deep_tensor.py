"""Tensor models: dipoles, polarizabilities, Wannier centers."""

import numpy as np

from dptf.errors import UserError
from dptf.infer.deep_eval import DeepEval


class DeepTensor(DeepEval):
    """Base of the tensor models; rows of atoms that are not selected are zero."""

    #: Output nodes: per atom, and summed.
    atomic_node = global_node = ""

    def _evaluate(self, names, coords, cells, atom_types, fparam, aparam, mixed_type, more):
        for name in names:
            if not self.deep_eval.has(name):
                raise UserError(
                    f"the graph has no node '{name}' (tensor models frozen before release 2.0 give atomic tensors only)",
                    self.deep_eval.model_file,
                    "freeze the model again with a newer release",
                )
        return super()._evaluate(names, coords, cells, atom_types, fparam, aparam, mixed_type, more)

    def eval(self, coords, cells, atom_types, atomic=True, fparam=None, aparam=None, mixed_type=False, **kwargs):
        """Evaluate frames.

        Parameters
        ----------
        coords, cells, atom_types, fparam, aparam, mixed_type
            As in ``DeepPot.eval``.
        atomic : bool, optional
            Return the tensor of every atom instead of the sum.

        Returns
        -------
        (nf, n, m) array, or (nf, m) if not ``atomic``
        """
        name = self.atomic_node if atomic else self.global_node
        return self._evaluate([name], coords, cells, atom_types, fparam, aparam, mixed_type, kwargs)[name]

    def eval_full(self, coords, cells, atom_types, atomic=False, fparam=None, aparam=None, mixed_type=False, **kwargs):
        """Evaluate the summed tensor with its derivatives.

        Returns
        -------
        tensor : (nf, m) array
        force : (nf, m, n, 3) array
            Minus the derivative of the summed tensor to the positions.
        virial : (nf, m, 9) array
        atom_tensor : (nf, n, m) array
            Only if ``atomic``.
        atom_virial : (nf, m, n, 9) array
            Only if ``atomic``.
        """
        names = [self.global_node, "o_force", "o_virial"] + ([self.atomic_node, "o_atom_virial"] if atomic else [])
        out = self._evaluate(names, coords, cells, atom_types, fparam, aparam, mixed_type, kwargs)
        nframes, width = out[self.global_node].shape
        result = [out[self.global_node], out["o_force"], out["o_virial"].reshape(nframes, width, 9)]
        if atomic:
            result += [out[self.atomic_node], out["o_atom_virial"]]
        return tuple(np.ascontiguousarray(r) for r in result)

    @property
    def output_dim(self):
        """Numbers per atom."""
        return self.deep_eval.output_dim


class DeepDipole(DeepTensor):
    """Dipole moments of selected atoms."""

    model_types = ("dipole",)
    atomic_node, global_node = "o_dipole", "o_global_dipole"


class DeepPolar(DeepTensor):
    """Polarizabilities of selected atoms."""

    model_types = ("polar",)
    atomic_node, global_node = "o_polar", "o_global_polar"


class DeepGlobalPolar(DeepTensor):
    """Polarizability of the whole frame (graphs of releases up to 2.0)."""

    model_types = ("global_polar",)
    atomic_node, global_node = "o_polar", "o_global_polar"

    def eval(self, coords, cells, atom_types, atomic=False, fparam=None, aparam=None, mixed_type=False, **kwargs):
        """As ``DeepTensor.eval``, the sum being the default."""
        return super().eval(coords, cells, atom_types, atomic, fparam, aparam, mixed_type, **kwargs)


class DeepWFC(DeepTensor):
    """Wannier function centers (graphs of 1.x releases)."""

    model_types = ("wfc",)
    atomic_node = "o_wfc"

    def eval(self, coords, cells, atom_types, atomic=True, fparam=None, aparam=None, mixed_type=False, **kwargs):
        """Centers of every atom, (nf, n, m); ``atomic=False`` has no meaning here."""
        if not atomic:
            raise UserError("Wannier centers exist per atom only", "atomic", "use atomic=True")
        return super().eval(coords, cells, atom_types, True, fparam, aparam, mixed_type, **kwargs)

    def eval_full(self, *args, **kwargs):
        """Not stored in such graphs."""
        raise NotImplementedError("graphs of Wannier centers hold no derivatives")
