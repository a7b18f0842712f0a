"""Models: atomic models and their compositions, made from the ``model`` section."""

from dptf.errors import UserError


def build_model(section, *, min_nbor_dist=None):
    """The model of a normalised ``model`` section (``sel`` already resolved to numbers)."""
    from dptf.model.ener import EnergyModel

    kind = section.get("type", "standard")
    if kind != "standard":
        raise UserError(f"model type '{kind}' cannot be trained by this version", "model/type", "use standard")
    return EnergyModel(section, min_nbor_dist=min_nbor_dist)
