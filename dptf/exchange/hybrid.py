"""Descriptor ``hybrid``: a list of descriptors; variables of part k have the suffix ``_<k>``."""

from dptf.errors import UserError
from dptf.exchange import kinds, nodes


def _sees_types(part, embedding):
    """Whether a part takes its types from the embedding of the model."""
    from dptf.descriptor.se_atten import is_exchange_form

    if part["type"] in ("se_atten", "dpa1", "se_atten_v2"):
        return not is_exchange_form(part)
    return part["type"] in ("se_a_ebd_v2", "se_a_tpe_v2") or bool(embedding and part["type"] in ("se_e2_a", "se_a"))


def read(node, where, ntypes, suffix=""):
    """Translate a descriptor; returns ``section`` and ``values`` as its parts do."""
    nodes.expect(node, where, cls="Descriptor", versions=(1, 1), keys=("list",))
    sections, values = [], {}
    for k, part in enumerate(node["list"]):
        place = f"{where}/list/{k}"
        section, own = kinds.descriptor(part.get("type"), f"{place}/type").read(part, place, ntypes, f"{suffix}_{k}")
        sections.append(section)
        values |= own
    return {"type": "hybrid", "list": sections}, values


def write(section, values, ntypes, type_map, suffix=""):
    """Translate back; returns a ``Descriptor`` object."""
    embedding = section.get("type_embedding")
    typed = [_sees_types(part, embedding) for part in section["list"]]
    if any(typed) and not typed[-1]:
        raise UserError(
            "the fitting sees the types behind all parts, and the last part cannot bring them", "model/descriptor/list"
        )
    parts = []
    for k, part in enumerate(section["list"]):
        kind = part["type"]
        if typed[k]:
            # The last part brings what the fitting sees.
            part = part | {"tebd_suffix": suffix, "holds_types": k == len(typed) - 1}
            part |= {"type_embedding": embedding} if embedding else {}
            kind = "se_a_ebd_v2" if kind in ("se_e2_a", "se_a") else kind
        writer = kinds.descriptor(kind, f"model/descriptor/list/{k}/type")
        parts.append(writer.write(part, values, ntypes, type_map, f"{suffix}_{k}"))
    return {"@class": "Descriptor", "type": "hybrid", "@version": 1, "list": parts}
