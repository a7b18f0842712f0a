"""Descriptors: one module each, made from the ``model/descriptor`` section."""

import importlib

from dptf.errors import UserError

#: Type name -> module and class.
KINDS = {
    "se_e2_a": ("se_e2_a", "SeE2A"),
    "se_e2_r": ("se_e2_r", "SeE2R"),
    "se_e3": ("se_e3", "SeE3"),
    "se_atten": ("se_atten", "SeAtten"),
    "se_atten_v2": ("se_atten", "SeAtten"),
    "dpa3": ("dpa3", "DPA3"),
    "se_a_ebd_v2": ("se_a_tebd", "SeAStrip"),
    "se_e3_tebd": ("se_e3_tebd", "SeE3Tebd"),
    "loc_frame": ("loc_frame", "LocFrame"),
    "se_a_mask": ("se_a_mask", "SeAMask"),
    "se_a_ef": ("se_a_ef", "SeAEf"),
    "dpa2": ("dpa2", "DPA2"),
    "hybrid": ("hybrid", "Hybrid"),
}
#: The same for models with a type embedding.
TYPED = {
    "se_e2_a": ("se_a_tebd", "SeATebd"),
    "se_a_ebd_v2": ("se_a_tebd", "SeAStrip"),
    "se_atten": ("se_atten", "SeAtten"),
    "se_atten_v2": ("se_atten", "SeAtten"),
    "hybrid": ("hybrid", "Hybrid"),
}
ALIASES = {
    "se_a": "se_e2_a",
    "se_r": "se_e2_r",
    "se_at": "se_e3",
    "se_a_3be": "se_e3",
    "se_t": "se_e3",
    "dpa1": "se_atten",
    "se_a_tpe_v2": "se_a_ebd_v2",
}
#: With a type embedding of their own, whatever the model has.
EMBEDDED = ("dpa2", "dpa3", "se_e3_tebd")


def make_descriptor(section, ntypes, where="model/descriptor", *, typed=False):
    """The descriptor of a normalised input section; `typed` if the model has a type embedding."""
    kind = ALIASES.get(section.get("type"), section.get("type"))
    if kind not in KINDS:
        raise UserError(
            f"descriptor '{kind}' cannot be trained by this version", f"{where}/type", f"known: {', '.join(KINDS)}"
        )
    module, name = KINDS[kind]
    if typed:
        if kind not in TYPED:
            raise UserError(
                f"{kind} does not take a type embedding", f"{where}/type",
                f"remove model/type_embedding, or use one of {', '.join(TYPED)}",
            )  # fmt: skip
        module, name = TYPED[kind]
    cls = getattr(importlib.import_module(f"dptf.descriptor.{module}"), name)
    return cls(section, ntypes, where, **({"typed": typed} if kind == "hybrid" else {}))
