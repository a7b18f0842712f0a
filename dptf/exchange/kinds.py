"""Which module translates which kind of descriptor and fitting."""

import importlib

from dptf.errors import UserError

_DESCRIPTORS = {
    **dict.fromkeys(("se_e2_a", "se_a", "se_e2_r", "se_r", "se_e3", "se_at", "se_a_3be", "se_t"), "se"),
    "se_e3_tebd": "se_e3_tebd",
    "dpa3": "dpa3",
    **dict.fromkeys(("se_atten", "dpa1", "se_atten_v2", "se_a_ebd_v2", "se_a_tpe_v2"), "dpa1"),
    "dptf_graph_form": "own_form",
    "dpa2": "dpa2",
    "hybrid": "hybrid",
}
_FITTINGS = dict.fromkeys(("ener", "invar", "dipole", "polar", "dos", "property"), "fitting")


def _module(table, kind, what, where):
    if kind not in table:
        raise UserError(f"{what} '{kind}' cannot be exchanged by this version", where, f"known: {', '.join(table)}")
    return importlib.import_module(f"dptf.exchange.{table[kind]}")


def descriptor(kind, where):
    """The module for a descriptor type."""
    return _module(_DESCRIPTORS, kind, "descriptor", where)


def fitting(kind, where):
    """The module for a fitting type."""
    return _module(_FITTINGS, kind, "fitting", where)
