"""Models: atomic models and their compositions, made from the ``model`` section."""

import importlib

from dptf.errors import UserError

#: Standard models by what their fitting predicts: module and class.
STANDARD = {
    "ener": ("ener", "EnergyModel"),
    "dipole": ("tensor", "TensorModel"),
    "polar": ("tensor", "TensorModel"),
    "dos": ("dos", "DosModel"),
    "property": ("property", "PropertyModel"),
}


def build_model(section, *, min_nbor_dist=None):
    """The model of a normalised ``model`` section (``sel`` already resolved to numbers)."""
    kind = section.get("type", "standard")
    if kind != "standard":
        raise UserError(f"model type '{kind}' cannot be trained by this version", "model/type", "use standard")
    fitting = section["fitting_net"].get("type", "ener")
    if fitting not in STANDARD:
        raise UserError(f"fitting '{fitting}' is not known", "model/fitting_net/type", f"known: {', '.join(STANDARD)}")
    module, name = STANDARD[fitting]
    return getattr(importlib.import_module(f"dptf.model.{module}"), name)(section, min_nbor_dist=min_nbor_dist)
