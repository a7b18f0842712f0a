"""From the model tree to a frozen graph: the model section, the values by variable name, and the graph itself."""

from dptf.errors import UserError
from dptf.exchange import models


def read_model(tree, where="model"):
    """Translate a model.

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
    section, values = models.read(tree["model"], where)
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
    # Sections of imported models are complete, and hold options that inputs do not know.
    graph_def = frozen_graph({"model": section, "imported": True}, values, min_nbor_dist=min_nbor_dist)
    unused = set(values) - {node.name for node in graph_def.node}
    if unused:
        raise UserError(f"the graph has no place for '{min(unused)}'", "model", "this is a defect; please report it")
    return graph_def
