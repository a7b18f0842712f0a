"""Electronic densities of states."""

from dptf.infer.deep_eval import DeepEval


class DeepDOS(DeepEval):
    """A density of states on a fixed grid."""

    model_types = ("dos",)

    @property
    def numb_dos(self):
        """Number of grid points."""
        return self.deep_eval.numb_dos

    def eval(self, coords, cells, atom_types, atomic=False, fparam=None, aparam=None, mixed_type=False, **kwargs):
        """Evaluate frames; arguments as in ``DeepPot.eval``.

        Returns
        -------
        dos : (nf, N) array
        atom_dos : (nf, n, N) array
            Only if ``atomic``.
        """
        names = ["o_dos"] + (["o_atom_dos"] if atomic else [])
        out = self._evaluate(names, coords, cells, atom_types, fparam, aparam, mixed_type, kwargs)
        return tuple(out[name] for name in names)
