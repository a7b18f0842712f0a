"""What a frozen graph tells about its model: sizes of the nets, types seen in training."""

import re

import numpy as np

_DESCRIPTOR = re.compile(
    r"(^|/)(filter_type_(all|\d+)|attention_layer_\d+|type_embed_net|repinit|repformer|repflow)[^/]*/.*"
    r"(matrix|bias|idt|gamma|beta|residual)"
)
_FITTING = re.compile(r"(^|/)(layer_\d+|final_layer|share_)[^/]*/(matrix|bias|idt)$")


def is_weight(name):
    """Tell which net a Const belongs to: ``"descriptor"``, ``"fitting-net"`` or ``None``."""
    if name.endswith("/read"):
        return None
    if _FITTING.search(name):
        return "fitting-net"
    if _DESCRIPTOR.search(name):
        return "descriptor"
    return None


def model_size(constants):
    """Count trained parameters.

    Parameters
    ----------
    constants : dict
        Name -> array, of all Const nodes.

    Returns
    -------
    dict
        ``descriptor``, ``fitting-net``, ``total`` -> int.
    """
    size = {"descriptor": 0, "fitting-net": 0}
    for name, value in constants.items():
        kind = is_weight(name)
        if kind and np.issubdtype(np.asarray(value).dtype, np.floating):
            size[kind] += int(np.size(value))
    return size | {"total": sum(size.values())}


def tables(graph_def):
    """Tables of a compressed graph.

    Returns
    -------
    dict
        ``file`` and ``load`` (made from the nets when the graph is loaded) -> (number, bytes).
    """
    from dptf.graph.load import constants, input_node

    nodes, values = {n.name: n for n in graph_def.node}, constants(graph_def)

    def source(ref):
        node = nodes[input_node(ref)]
        return source(node.input[0]) if node.op == "Identity" else node

    found = {}
    for node in graph_def.node:
        if node.op.startswith("TabulateFusion") and "Grad" not in node.op:
            table = source(node.input[0])
            found[table.name] = table
    out = {"file": (0, 0), "load": (0, 0)}
    for table in found.values():
        kind = "load" if table.op == "DptfNetTable" else "file"
        if kind == "load":
            rows, width = values[source(table.input[0]).name][:, 3].sum(), table.attr["widths"].list.i[-1]
            size = int(rows * 6 * width * values[source(table.input[2]).name].itemsize)
        else:
            size = values[table.name].nbytes
        out[kind] = out[kind][0] + 1, out[kind][1] + size
    return out


def observed_types(constants):
    """Types for which the statistics saw atoms.

    The standard deviation of the environment of a type that never occurred is 1/rcut (or the floor of 0.01) in every
    slot, which data never produce.

    Parameters
    ----------
    constants : dict
        Name -> array, of all Const nodes.

    Returns
    -------
    dict
        ``type_num`` and ``observed_type``, the list of names (or numbers without a type map).
    """
    tmap = constants["model_attr/tmap"].item().decode().split() if "model_attr/tmap" in constants else []
    ntypes = int(constants["descrpt_attr/ntypes"])
    names = tmap or [str(t) for t in range(ntypes)]
    stds = [v for k, v in constants.items() if re.fullmatch(r"descrpt_attr[^/]*/t_std", k)]
    empty = (1e-2, 1.0 / float(constants["descrpt_attr/rcut"]))
    # A type whose pairs are all excluded has an empty environment too, but an energy of its own.
    bias = np.ravel(constants.get("fitting_attr/t_bias_atom_e", np.zeros(ntypes)))
    seen = [
        t
        for t in range(min(ntypes, len(names)))
        if not any(np.allclose(std[t], value, rtol=1e-6) for std in stds for value in empty)
        or (t < len(bias) and abs(bias[t]) > 1e-10)
    ]
    return {"type_num": len(seen), "observed_type": [names[t] for t in seen]}
