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


#: Composed models and models without a net.
OTHERS = {
    "pairtab": ("pairtab", "PairTabModel"),
    "linear_ener": ("linear", "LinearModel"),
    "frozen": ("frozen", "FrozenModel"),
    "pairwise_dprc": ("pairwise_dprc", "PairwiseModel"),
}


def build_model(section, *, min_nbor_dist=None, where="model", mixed_precision=None):
    """The model of a normalised ``model`` section (``sel`` already resolved to numbers).

    `mixed_precision` is the section of that name in ``training``.
    """
    kind = section.get("type", "standard")
    if kind == "standard":
        kind = section["fitting_net"].get("type", "ener")
        module, name = _member(STANDARD, kind, "fitting", f"{where}/fitting_net/type")
        if section.get("use_srtab"):
            if kind != "ener":
                raise UserError(f"pair energies do not go with a fitting of type '{kind}'", f"{where}/use_srtab")
            module, name = "srtab", "SwitchedModel"
        if section.get("spin"):
            if kind != "ener":
                raise UserError(f"spins do not go with a fitting of type '{kind}'", f"{where}/spin")
            module, name = "spin", "SpinModel"
    else:
        module, name = _member(OTHERS, kind, "model", f"{where}/type")
    model = getattr(importlib.import_module(f"dptf.model.{module}"), name)(section, min_nbor_dist=min_nbor_dist)
    if mixed_precision:
        from dptf.nn.parameters import get_precision

        model.lower_precision(get_precision(mixed_precision["compute_prec"]))
    return model


def _member(table, kind, what, where):
    if kind not in table:
        raise UserError(f"{what} '{kind}' is not known", where, f"known: {', '.join(table)}")
    return table[kind]
