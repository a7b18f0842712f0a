"""Fitting networks: one module per property, made from the ``model/fitting_net`` section."""

import importlib

from dptf.errors import UserError

#: Type name -> module and class.
KINDS = {
    "ener": ("ener", "EnerFitting"),
    "dipole": ("dipole", "DipoleFitting"),
    "polar": ("polar", "PolarFitting"),
    "dos": ("dos", "DosFitting"),
    "property": ("property", "PropertyFitting"),
}


def make_fitting(section, descriptor, ntypes, where="model/fitting_net", *, mixed_types=False, dim_type=0):
    """The fitting of a normalised input section; see :class:`dptf.fitting.base.Fitting`."""
    kind = section.get("type", "ener")
    if kind not in KINDS:
        raise UserError(f"fitting '{kind}' is not known", f"{where}/type", f"known: {', '.join(KINDS)}")
    module, name = KINDS[kind]
    cls = getattr(importlib.import_module(f"dptf.fitting.{module}"), name)
    return cls(section, descriptor, ntypes, where, mixed_types=mixed_types, dim_type=dim_type)
