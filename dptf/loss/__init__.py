"""Losses, made from the ``loss`` section."""

import importlib

from dptf.errors import UserError

#: Type name -> module and class.
KINDS = {
    "ener": ("ener", "EnergyLoss"),
    "ener_spin": ("ener_spin", "SpinEnergyLoss"),
    "tensor": ("tensor", "TensorLoss"),
    "dos": ("dos", "DosLoss"),
    "property": ("property", "PropertyLoss"),
}
#: Losses by what the model predicts.
_OF_MODEL = {
    "ener": ("ener", "ener_spin"),
    "dipole": ("tensor",),
    "polar": ("tensor",),
    "dos": ("dos",),
    "property": ("property",),
}


def make_loss(section, start_lr, model):
    """The loss of a normalised section for a model."""
    wanted = _OF_MODEL.get(model.model_type, ("ener",))
    kind = section.get("type", wanted[0])
    if kind not in wanted:
        raise UserError(
            f"loss '{kind}' does not go with a model of type '{model.model_type}'", "loss/type",
            f"use {' or '.join(wanted)}",
        )  # fmt: skip
    module, name = KINDS[kind]
    cls = getattr(importlib.import_module(f"dptf.loss.{module}"), name)
    if kind == "ener":
        return cls(section, start_lr)
    return cls(section, start_lr, model if kind == "ener_spin" else model.fitting)
