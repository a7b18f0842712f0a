"""From the model tree to a frozen graph: the model section, the values by variable name, and the graph itself."""

import logging

import numpy as np

from dptf.errors import UserError
from dptf.exchange import kinds, nodes

log = logging.getLogger(__name__)

_MODEL_KEYS = (
    "type_map", "atom_exclude_types", "pair_exclude_types", "rcond", "preset_out_bias", "descriptor", "fitting", "@variables",
)  # fmt: skip


def read_model(tree, where="model"):
    """Translate a standard model.

    Parameters
    ----------
    tree : dict
        Top level, as `read_tree` returns it.

    Returns
    -------
    section : dict
        ``model`` section of an input, with all defaults.
    values : dict
        Variable name -> array.
    min_nbor_dist : float or None
        Å.
    """
    model = tree["model"]
    kind = model.get("type", "standard")
    if kind != "standard":
        raise UserError(f"model type '{kind}' cannot be turned into a graph by this version", f"{where}/type")
    nodes.expect(model, where, cls="Model", versions=(1, 2), keys=_MODEL_KEYS)
    type_map = list(model["type_map"])
    ntypes = len(type_map)
    descriptor, values = kinds.descriptor(model["descriptor"].get("type"), f"{where}/descriptor/type").read(
        model["descriptor"], f"{where}/descriptor", ntypes
    )
    fitting, more = kinds.fitting(model["fitting"].get("type"), f"{where}/fitting/type").read(
        model["fitting"], f"{where}/fitting", ntypes
    )
    values |= more
    excluded = {*map(int, model.get("atom_exclude_types") or [])}
    if "sel_type" not in fitting:
        excluded |= {*map(int, model["fitting"].get("exclude_types") or [])}
    section = {
        "type": "standard",
        "type_map": type_map,
        "descriptor": descriptor,
        "fitting_net": fitting,
        "pair_exclude_types": [list(map(int, p)) for p in model.get("pair_exclude_types") or []],
        "atom_exclude_types": sorted(excluded),
        "data_stat_nbatch": 10,
        "data_stat_protect": 0.01,
        "data_bias_nsample": 10,
    }
    bias = np.asarray(model["@variables"]["out_bias"]).reshape(1, ntypes, -1)
    std = np.asarray(model["@variables"]["out_std"]).reshape(1, ntypes, -1)
    if fitting["type"] != "property" and not np.all(std == 1):
        section["ignore_out_std"] = True  # as the backends that write such files do
    values["model_attr/model_attr/t_out_bias"] = bias
    values["model_attr/model_attr/t_out_std"] = std
    distance = (tree.get("@variables") or {}).get("min_nbor_dist")
    return section, values, None if distance is None else float(distance)


def graph_from_tree(tree):
    """Build the frozen graph of a model tree.

    Returns
    -------
    GraphDef
        Following the public contract, with constants instead of variables.
    """
    from dptf.graph.freeze import frozen_graph

    section, values, min_nbor_dist = read_model(tree)
    graph_def = frozen_graph({"model": section}, values, min_nbor_dist=min_nbor_dist)
    unused = set(values) - {node.name for node in graph_def.node}
    if unused:
        raise UserError(f"the graph has no place for '{min(unused)}'", "model", "this is a defect; please report it")
    return graph_def
