"""Losses, made from the ``loss`` section."""

from dptf.errors import UserError


def make_loss(section, start_lr):
    """The loss of a normalised section."""
    from dptf.loss.ener import EnergyLoss

    kind = section.get("type", "ener")
    if kind != "ener":
        raise UserError(f"loss '{kind}' cannot be used with this model by this version", "loss/type", "use ener")
    return EnergyLoss(section, start_lr)
