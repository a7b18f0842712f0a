"""What training asks of a descriptor and a fitting, answered by models that have several of them or none."""

from dptf.errors import UserError
from dptf.ops import tf


class JoinedDescriptors:
    """The descriptors of the members of a composed model, as far as training looks at them.

    Parameters
    ----------
    models : list of models
    """

    def __init__(self, models=()):
        self._models = list(models)

    @property
    def parts(self):
        """Descriptors with nets; a member that is composed itself counts by its own parts."""
        found = []
        for m in self._models:
            found += m.descriptor.parts if isinstance(m.descriptor, JoinedDescriptors) else [m.descriptor]
        return found

    @property
    def activation(self):
        """Activation of the first part whose nets cannot be tabulated, for messages."""
        return next((p.activation for p in self.parts if not p.can_tabulate()), "none")

    @property
    def precision(self):
        """The lowest precision of the parts."""
        return min((p.precision for p in self.parts), key=lambda dtype: dtype.size, default=tf.float64)

    @property
    def table_error(self):
        """The largest interpolation error."""
        errors = [tf.cast(p.table_error, tf.float64) for p in self.parts if p.table_error is not None]
        return tf.reduce_max(tf.stack(errors)) if errors else None

    @property
    def any_order(self):
        """Whether atoms may come in any order."""
        return all(p.any_order for p in self.parts)

    @property
    def needs_mask(self):
        """Whether atomic parameters say which atoms are there."""
        return any(p.needs_mask for p in self.parts)

    def stored_names(self):
        """Tables of compressed nets; sums are not compressed."""
        return {}

    def can_tabulate(self):
        """Whether the nets of every part may be tabulated; false without parts."""
        return bool(self.parts) and all(p.can_tabulate() for p in self.parts)

    def tabulation_pays(self, atoms_per_batch):
        """Whether grids cost less than slots, for all parts."""
        return bool(self.parts) and all(p.tabulation_pays(atoms_per_batch) for p in self.parts)


class JoinedFittings:
    """The parameters that the members of a composed model take from the data.

    Parameters
    ----------
    models : list of models
    where : str
        Key path for messages.
    """

    model_type = "ener"

    def __init__(self, models=(), where="model"):
        for key in ("numb_fparam", "numb_aparam"):
            numbers = {n for m in models if (n := getattr(m.fitting, key))}
            if len(numbers) > 1:
                raise UserError(f"the members have {key} {sorted(numbers)}; those that use it must agree", where)
            setattr(self, key, max(numbers, default=0))


def energy_member(model, where):
    """Demand that a member of a composed model is an energy model."""
    if model.model_type != "ener":
        raise UserError(f"is a model of type '{model.model_type}'; only energies can be combined", where)
    return model
