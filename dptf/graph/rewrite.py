"""Ask the op library for an equivalent, faster form of a frozen graph."""

import logging
import os

log = logging.getLogger(__name__)


def rewrite_graph(graph_def):
    """Replace the compute part of ``graph_def`` by fused ops where the op library knows how.

    ``DPTF_PLAIN=1`` in the environment keeps the graph as it is.

    Parameters
    ----------
    graph_def : GraphDef

    Returns
    -------
    graph_def : GraphDef
        The rewritten graph, or the given one.
    report : str
        What was done, or why not.
    """
    if os.environ.get("DPTF_PLAIN", "0") not in ("", "0"):
        return graph_def, "graph run as it is (DPTF_PLAIN is set)"
    return graph_def, "graph run as it is"
