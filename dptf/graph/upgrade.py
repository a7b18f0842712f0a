"""Bring graphs frozen by old releases to the current layout, by op and node name.

==========  =============================================================================================
found       done
==========  =============================================================================================
0.12        ``Norot`` ops and ``*_test`` outputs renamed; dfparam, model_type and tmap added
1.0         daparam added
1.1, 1.2    attribute ``T`` added to the ops that had a fixed floating type
1.3         ``DescrptSeA``, ``DescrptSeR`` become ``ProdEnvMatA``, ``ProdEnvMatR``; version 1.0
2.0         ``TabulateFusion`` becomes ``TabulateFusionSeA``; version 1.1
==========  =============================================================================================
"""

import re

from dptf.errors import UserError

CURRENT_VERSION = "1.1"

_OPS_0_12 = {"DescrptNorot": "DescrptSeA", "ProdForceNorot": "ProdForceSeA", "ProdVirialNorot": "ProdVirialSeA"}
_NODES_0_12 = {"t_rcut": "descrpt_attr/rcut", "t_ntypes": "descrpt_attr/ntypes"} | {
    f"{name}_test": f"o_{name}" for name in ("energy", "force", "virial", "atom_energy", "atom_virial")
}
_OPS_1_3 = {"DescrptSeA": "ProdEnvMatA", "DescrptSeR": "ProdEnvMatR"}
_OPS_2_0 = {
    "TabInter": "PairTab",
    "TabulateFusion": "TabulateFusionSeA",
    "TabulateFusionGrad": "TabulateFusionSeAGrad",
    "TabulateFusionGradGrad": "TabulateFusionSeAGradGrad",
}
_TYPED = re.compile(r"(Descrpt|Prod(EnvMat|Force|Virial)|SoftMin|TabInter|PairTab)")


def detect_version(graph_def):
    """Release whose layout the graph has: ``0.12``, ``1.0``, ``1.2``, ``1.3``, ``2.0`` or ``2.1`` (current).

    1.1 and 1.2 differ in nothing that a file shows and are both reported as ``1.2``.
    """
    from dptf.graph.load import text_constant

    names = {node.name for node in graph_def.node}
    ops = {node.op for node in graph_def.node}
    if ops & set(_OPS_0_12) and "model_attr/model_version" not in names:
        return "0.12"
    version = text_constant(graph_def, "model_attr/model_version")
    if version:
        return {"1.0": "2.0", "1.1": "2.1"}.get(version, version)
    if "fitting_attr/dfparam" in names and "fitting_attr/daparam" not in names:
        return "1.0"
    typed = [node for node in graph_def.node if re.match(r"Descrpt|ProdEnvMat", node.op)]
    return "1.3" if any("T" in node.attr for node in typed) else "1.2"


def _rename_ops(graph_def, table):
    """Rename ops, and nodes that TensorFlow had named after them (``DescrptSeA``, ``DescrptSeA_1``)."""
    nodes = {}
    for node in graph_def.node:
        new = table.get(node.op)
        if new is None:
            continue
        scope, _, last = node.name.rpartition("/")
        if re.fullmatch(rf"{node.op}(_\d+)?", last):
            nodes[node.name] = (scope + "/" if scope else "") + last.replace(node.op, new, 1)
        node.op = new
    _rename_nodes(graph_def, nodes)


def _rename_nodes(graph_def, table):
    taken = {node.name for node in graph_def.node}
    table = {old: new for old, new in table.items() if old in taken and new not in taken}
    if not table:
        return
    for node in graph_def.node:
        node.name = table.get(node.name, node.name)
        for k, ref in enumerate(node.input):
            caret, body = ("^", ref[1:]) if ref.startswith("^") else ("", ref)
            name, colon, port = body.partition(":")
            if name in table:
                node.input[k] = caret + table[name] + colon + port


def _add_missing(graph_def, name, value, dtype=None):
    from dptf.graph.load import add_constant

    if all(node.name != name for node in graph_def.node):
        add_constant(graph_def, name, value, dtype)


def _add_float_type(graph_def):
    """Old ops had one floating type per build; it shows in the dtype of the coordinates."""
    from tensorflow.core.framework import types_pb2

    dtype = types_pb2.DT_DOUBLE
    for node in graph_def.node:
        if node.name == "t_coord" and node.op == "Placeholder":
            dtype = node.attr["dtype"].type
    for node in graph_def.node:
        if _TYPED.match(node.op) and "T" not in node.attr:
            node.attr["T"].type = dtype


def _set_version(graph_def, version):
    from dptf.graph.load import add_constant

    for node in list(graph_def.node):
        if node.name == "model_attr/model_version":
            graph_def.node.remove(node)
    add_constant(graph_def, "model_attr/model_version", version)


def upgrade_graph_def(graph_def, path=""):
    """Convert ``graph_def`` in place to the current layout.

    Parameters
    ----------
    graph_def : GraphDef
        Any release from 0.12 on.
    path : str, optional
        File name for messages.

    Returns
    -------
    str
        The release that was found (see `detect_version`).
    """
    import numpy as np

    found = detect_version(graph_def)
    if found == "2.1":
        return found
    order = ("0.12", "1.0", "1.2", "1.3", "2.0")
    if found not in order:
        raise UserError(
            f"the model was written by a newer release (graph version {found}, known up to {CURRENT_VERSION})",
            path,
            "update dptf",
        )
    step = order.index(found)
    if step <= 0:
        _rename_ops(graph_def, _OPS_0_12)
        _rename_nodes(graph_def, _NODES_0_12)
        _add_missing(graph_def, "model_attr/model_type", "ener")
        _add_missing(graph_def, "model_attr/tmap", "")
        _add_missing(graph_def, "fitting_attr/dfparam", np.int32(0))
    if step <= 1:
        _add_missing(graph_def, "fitting_attr/daparam", np.int32(0))
    if step <= 2:
        _add_float_type(graph_def)
    if step <= 3:
        _rename_ops(graph_def, _OPS_1_3)
    _rename_ops(graph_def, _OPS_2_0)
    _set_version(graph_def, CURRENT_VERSION)
    return found
