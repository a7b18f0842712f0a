"""Descriptors and models that other backends cannot express: the section of the input and the arrays of the graph as they are.

Files with them are archives for this package; readers of other backends refuse the type, as they do not know it.
"""

import json

from dptf.errors import UserError
from dptf.exchange import nodes
from dptf.graph.transfer import is_trained_array
from dptf.train.sharing import part_of

TYPE = "dptf_graph_form"
#: Kinds whose arrays have the names that are looked for.
_KINDS = {
    "se_e2_a", "se_a", "se_e2_r", "se_r", "se_e3", "se_at", "se_a_3be", "se_t", "se_a_ebd_v2", "se_a_tpe_v2", "se_atten",
    "dpa1", "se_atten_v2", "loc_frame", "se_a_mask", "se_a_ef",
}  # fmt: skip


#: Models that are kept whole: no other backend has them.
MODELS = ("pairwise_dprc", "deepspin")


def can_hold(section):
    """Whether a descriptor section is of a kind that this form takes."""
    parts = section["list"] if section.get("type") == "hybrid" else [section]
    return all(part.get("type") in _KINDS and not part.get("exchange_form") for part in parts)


def write(section, values, ntypes, type_map, suffix=""):
    """Translate; arguments as `dptf.exchange.se.write`, the type embedding of the model being a key of the section."""
    arrays = {}
    for name, value in values.items():
        scope, _, rest = name.partition("/")
        if is_trained_array(name) and part_of(name) in ("descriptor", "type_embedding") and suffix in scope:
            arrays[f"{scope.replace(suffix, '', 1) if suffix else scope}/{rest}"] = value
    return {
        "@class": "Descriptor", "type": TYPE, "@version": 1, "section": json.loads(json.dumps(section)),
        "names": list(arrays), "@variables": {str(k): value for k, value in enumerate(arrays.values())},
    }  # fmt: skip


def read(node, where, ntypes, suffix=""):
    """Translate back; returns ``section`` and ``values``."""
    nodes.expect(node, where, cls="Descriptor", versions=(1, 1), keys=("section", "names", "@variables"))
    section, values = dict(node["section"]), {}
    for k, name in enumerate(node["names"]):
        scope, _, rest = name.partition("/")
        if str(k) not in node["@variables"]:
            raise UserError(f"has no array {name}", where)
        values[f"{_with_suffix(scope, suffix, section)}/{rest}"] = node["@variables"][str(k)]
    return section, values


def write_model(kind, section, values, type_map):
    """A whole model; `kind` is one of ``MODELS``."""
    arrays = {name: value for name, value in values.items() if is_trained_array(name)}
    return {
        "@class": "Model", "type": kind, "@version": 1, "type_map": list(type_map), "section": json.loads(json.dumps(section)),
        "names": list(arrays), "@variables": {str(k): value for k, value in enumerate(arrays.values())},
    }  # fmt: skip


def read_model(node, where, suffix=""):
    """Translate a whole model back; returns ``section`` and ``values``."""
    nodes.expect(node, where, cls="Model", versions=(1, 1), keys=("type_map", "section", "names", "@variables"))
    if suffix:
        raise UserError(f"a model of type '{node['type']}' cannot be a member of another", where)
    missing = [name for k, name in enumerate(node["names"]) if str(k) not in node["@variables"]]
    if missing:
        raise UserError(f"has no array {missing[0]}", where)
    return dict(node["section"]), {name: node["@variables"][str(k)] for k, name in enumerate(node["names"])}


def _with_suffix(scope, suffix, section):
    """The scope in a model with a suffix; that of a part of a hybrid stays behind it."""
    if section.get("type") == "hybrid" and not scope.startswith("type_embed_net"):
        base, _, part = scope.rpartition("_")
        return f"{base}{suffix}_{part}"
    return scope + suffix
