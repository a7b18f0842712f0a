"""Descriptors: one module each, made from the ``model/descriptor`` section."""

from dptf.errors import UserError


def make_descriptor(section, ntypes, where="model/descriptor"):
    """The descriptor of a normalised input section."""
    from dptf.descriptor.se_e2_a import SeE2A

    kinds = {"se_e2_a": SeE2A, "se_a": SeE2A}
    kind = section.get("type")
    if kind not in kinds:
        raise UserError(f"descriptor '{kind}' cannot be trained by this version", f"{where}/type", "use se_e2_a")
    return kinds[kind](section, ntypes, where)
