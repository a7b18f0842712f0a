"""Descriptor ``hybrid``: a list of descriptors; variables of part k have the suffix ``_<k>``."""

from dptf.exchange import kinds, nodes


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
    parts = [
        kinds.descriptor(part["type"], f"model/descriptor/list/{k}/type").write(
            part, values, ntypes, type_map, f"{suffix}_{k}"
        )
        for k, part in enumerate(section["list"])
    ]
    return {"@class": "Descriptor", "type": "hybrid", "@version": 1, "list": parts}
