"""Fitting networks: one module per property, made from the ``model/fitting_net`` section."""

from dptf.errors import UserError


def make_fitting(section, descriptor, ntypes, where="model/fitting_net"):
    """The fitting of a normalised input section."""
    from dptf.fitting.ener import EnerFitting

    kinds = {"ener": EnerFitting}
    kind = section.get("type", "ener")
    if kind not in kinds:
        raise UserError(f"fitting '{kind}' cannot be trained by this version", f"{where}/type", "use ener")
    return kinds[kind](section, descriptor, ntypes, where)
