"""What training asks of a descriptor and a fitting, answered by models that have several of them or none."""

from dptf.descriptor.several import Several
from dptf.errors import UserError


def bias_share(section, suffix=""):
    """The energy bias that stands for that of a whole model, from its section.

    Returns
    -------
    name : str
        Of the array.
    share : float
        How often it counts in the energy.

    None where no part has one.
    """
    kind = section.get("type", "standard")
    if kind == "standard":
        return f"fitting_attr{suffix}/t_bias_atom_e", 1.0
    if kind == "pairwise_dprc":
        return f"fitting_attr{suffix}_qm/t_bias_atom_e", 1.0
    if kind == "linear_ener":
        members = section["models"]
        members = list(members.values()) if isinstance(members, dict) else members
        for k, (member, weight) in enumerate(zip(members, weights_of(section["weights"], len(members)))):
            found = bias_share(member, f"{suffix}_model{k}")
            if found and weight:
                return found[0], found[1] * weight
    return None


def weights_of(weights, count):
    """Numbers for ``mean``, ``sum`` or a list."""
    if isinstance(weights, str):
        if weights not in ("mean", "sum"):
            raise UserError(f"is '{weights}'", "model/weights", "use mean, sum, or one number per model")
        return [1.0 / count if weights == "mean" else 1.0] * count
    if len(weights) != count:
        raise UserError(f"has {len(weights)} entries for {count} models", "model/weights")
    return [float(w) for w in weights]


class JoinedDescriptors(Several):
    """The descriptors of the members of a composed model, as far as training looks at them.

    Parameters
    ----------
    models : list of models
    suffixes : list of str, optional
        Of their names in the graph; by default ``_model<k>``.
    """

    def __init__(self, models=(), suffixes=None):
        self._models = list(models)
        self._suffixes = suffixes or [f"_model{k}" for k in range(len(self._models))]

    @property
    def parts(self):
        """Descriptors with nets; a member that is composed itself counts by its own parts."""
        found = []
        for m in self._models:
            found += m.descriptor.parts if isinstance(m.descriptor, JoinedDescriptors) else [m.descriptor]
        return found

    @property
    def needs_mask(self):
        """Whether atomic parameters say which atoms are there."""
        return any(p.needs_mask for p in self.parts)

    @property
    def needs_field(self):
        """Whether a member sees an electric field."""
        return any(p.needs_field for p in self.parts)

    def stored_names(self, suffix=""):
        """(scope, tail) of the tables of compressed nets of all members."""
        return [
            name for m, own in zip(self._models, self._suffixes)
            if m.descriptor.can_compress for name in m.descriptor.stored_names(f"{suffix}{own}")
        ]  # fmt: skip

    @property
    def can_compress(self):
        """Whether a member has nets to be stored as tables."""
        return any(m.descriptor.can_compress for m in self._models)


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


def compress_members(models, values, settings):
    """Tables for the nets of the members that have any; `models` by the suffixes of their names."""
    able = {suffix: m for suffix, m in models.items() if m.descriptor.can_compress}
    if not able:
        raise UserError("no member has nets that can be stored as tables", "model")
    for suffix, m in able.items():
        m.compress(values, settings, suffix)


def energy_member(model, where):
    """Demand that a member of a composed model is an energy model."""
    if model.model_type != "ener":
        raise UserError(f"is a model of type '{model.model_type}'; only energies can be combined", where)
    return model
