"""Descriptors: one module each, made from the ``model/descriptor`` section."""

import importlib

from dptf.errors import UserError

#: Type name -> module and class.
KINDS = {
    "se_e2_a": ("se_e2_a", "SeE2A"),
    "se_e2_r": ("se_e2_r", "SeE2R"),
    "se_e3": ("se_e3", "SeE3"),
    "hybrid": ("hybrid", "Hybrid"),
}
ALIASES = {"se_a": "se_e2_a", "se_r": "se_e2_r", "se_at": "se_e3", "se_a_3be": "se_e3", "se_t": "se_e3"}


def make_descriptor(section, ntypes, where="model/descriptor"):
    """The descriptor of a normalised input section."""
    kind = ALIASES.get(section.get("type"), section.get("type"))
    if kind not in KINDS:
        raise UserError(
            f"descriptor '{kind}' cannot be trained by this version", f"{where}/type", f"known: {', '.join(KINDS)}"
        )
    module, name = KINDS[kind]
    return getattr(importlib.import_module(f"dptf.descriptor.{module}"), name)(section, ntypes, where)
