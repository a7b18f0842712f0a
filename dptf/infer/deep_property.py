"""Any property of frames."""

from dptf.infer.deep_eval import DeepEval


class DeepProperty(DeepEval):
    """A property of task_dim numbers per frame."""

    model_types = ("property",)

    @property
    def task_dim(self):
        """Numbers per frame."""
        return int(self.deep_eval.constant("fitting_attr/task_dim").item())

    def get_var_name(self):
        """Name of the property."""
        return self.deep_eval.constant("fitting_attr/property_name").item().decode()

    def get_intensive(self):
        """Whether the property is the mean over atoms, not the sum."""
        return bool(self.deep_eval.constant("fitting_attr/intensive").item())

    def eval(self, coords, cells, atom_types, atomic=False, fparam=None, aparam=None, mixed_type=False, **kwargs):
        """Evaluate frames; arguments as in ``DeepPot.eval``.

        Returns
        -------
        value : (nf, task_dim) array
        atom_value : (nf, n, task_dim) array
            Only if ``atomic``.
        """
        names = ["o_property"] + (["o_atom_property"] if atomic else [])
        out = self._evaluate(names, coords, cells, atom_types, fparam, aparam, mixed_type, kwargs)
        return tuple(out[name] for name in names)
