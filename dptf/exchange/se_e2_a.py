"""Descriptor ``se_e2_a``."""

import numpy as np

from dptf.descriptor.pairs import pair_table, symmetric
from dptf.errors import UserError
from dptf.exchange import nodes

_KEYS = (
    "rcut", "rcut_smth", "sel", "neuron", "axis_neuron", "resnet_dt", "set_davg_zero", "activation_function", "precision",
    "embeddings", "env_mat", "exclude_types", "env_protection", "@variables", "type_map", "trainable", "type_one_side",
    "spin", "compress",
)  # fmt: skip


def net_names(ntypes, type_one_side, excluded):
    """Yield key in the collection, scope and number of every net that the graph has."""
    for j in range(ntypes):
        if type_one_side:
            yield (j,), "filter_type_all", j
            continue
        for i in range(ntypes):
            if (i, j) not in excluded:
                yield (i, j), f"filter_type_{i}", j


def read(node, where, ntypes):
    """Translate a descriptor.

    Returns
    -------
    section : dict
        ``model/descriptor`` of the input.
    values : dict
        Variable name -> array.
    """
    nodes.expect(node, where, cls="Descriptor", versions=(1, 3), keys=_KEYS)
    nodes.refuse(node, where, spin=[None])
    section = {
        "type": "se_e2_a",
        "sel": [int(n) for n in node["sel"]],
        "rcut": float(node["rcut"]),
        "rcut_smth": float(node["rcut_smth"]),
        "neuron": [int(n) for n in node["neuron"]],
        "axis_neuron": int(node["axis_neuron"]),
        "resnet_dt": False,
        "type_one_side": bool(node.get("type_one_side", True)),
        "exclude_types": [[int(t) for t in pair] for pair in node.get("exclude_types") or []],
        "env_protection": float(node.get("env_protection") or 0.0),
        "set_davg_zero": bool(node.get("set_davg_zero", False)),
        "activation_function": node.get("activation_function", "tanh"),
        "precision": node.get("precision", "default"),
        "trainable": bool(node.get("trainable", True)),
        "seed": None,
    }
    width = 4 * sum(section["sel"])
    values = {
        "descrpt_attr/t_avg": np.asarray(node["@variables"]["davg"]).reshape(ntypes, width),
        "descrpt_attr/t_std": np.asarray(node["@variables"]["dstd"]).reshape(ntypes, width),
    }
    # Other backends zero the rows of excluded neighbors only, graphs those of empty slots too; without mean the latter are
    # zero anyway, and the two agree.
    excluded = symmetric(section["exclude_types"])
    blocks = values["descrpt_attr/t_avg"][~pair_table(ntypes, section["sel"], excluded).repeat(4, axis=1)]
    if blocks.any():
        section["exclude_real_only"], excluded = True, set()
    time_steps = {}
    for key, scope, j in net_names(ntypes, section["type_one_side"], excluded):
        place = f"{where}/embeddings/{','.join(map(str, key))}"
        net = nodes.network(node["embeddings"], key, f"{where}/embeddings")
        if net is None:
            raise UserError("the net is missing", place)
        for k, (w, b, idt) in enumerate(nodes.read_embedding(net, place, section["activation_function"]), start=1):
            values[f"{scope}/matrix_{k}_{j}"] = w
            values[f"{scope}/bias_{k}_{j}"] = b
            if w.shape[1] in (w.shape[0], 2 * w.shape[0]):
                time_steps[f"{scope}/idt_{k}_{j}"] = np.ones(w.shape[1]) if idt is None else idt
            section["resnet_dt"] |= idt is not None
    if section["resnet_dt"]:  # a residual without time step is one with the step 1
        values |= {name: idt.reshape(1, -1) for name, idt in time_steps.items()}
    return section, values


def write(section, values, ntypes, type_map):
    """Translate back; arguments as `read` returns them.

    Returns
    -------
    dict
        A ``Descriptor`` object.
    """
    sel, neuron = [int(n) for n in section["sel"]], [int(n) for n in section["neuron"]]
    one_side = bool(section.get("type_one_side", False))
    resnet_dt = bool(section.get("resnet_dt", False))
    activation = section.get("activation_function", "tanh")
    exclude = [list(map(int, p)) for p in section.get("exclude_types") or []]
    davg, excluded = np.array(values["descrpt_attr/t_avg"]), symmetric(exclude)
    if section.get("exclude_real_only"):
        excluded = set()
    else:  # the empty slots of excluded blocks count nothing here, elsewhere only without mean
        davg[~pair_table(ntypes, sel, excluded).repeat(4, axis=1)] = 0.0
    nets, precision = {}, None
    for key, scope, j in net_names(ntypes, one_side, excluded):
        layers, n_in = [], 1
        for k, n_out in enumerate(neuron, start=1):
            w = values[f"{scope}/matrix_{k}_{j}"].reshape(n_in, n_out)
            idt = values.get(f"{scope}/idt_{k}_{j}") if resnet_dt and n_out in (n_in, 2 * n_in) else None
            layers.append((w, values[f"{scope}/bias_{k}_{j}"], idt))
            n_in = n_out
        precision = nodes.precision_name(None, layers[0][0])
        nets[key] = nodes.embedding_net(
            layers, neuron=neuron, activation=activation, resnet_dt=resnet_dt, precision=precision
        )
    if not one_side:
        _fill_excluded(nets, ntypes)
    rcut, smooth = float(section["rcut"]), float(section.get("rcut_smth", 0.5))
    protection = float(section.get("env_protection") or 0.0)
    shape = (ntypes, sum(sel), 4)
    return {
        "@class": "Descriptor",
        "type": "se_e2_a",
        "@version": 2,
        "rcut": rcut,
        "rcut_smth": smooth,
        "sel": sel,
        "neuron": neuron,
        "axis_neuron": int(section.get("axis_neuron", 4)),
        "resnet_dt": resnet_dt,
        "set_davg_zero": bool(section.get("set_davg_zero", False)),
        "activation_function": activation,
        "precision": precision,
        "embeddings": nodes.collection("embedding_network", ntypes, 1 if one_side else 2, nets),
        "env_mat": {"rcut": rcut, "rcut_smth": smooth, "protection": protection, "use_exp_switch": False},
        "exclude_types": exclude,
        "env_protection": protection,
        "@variables": {
            "davg": davg.reshape(shape),
            "dstd": values["descrpt_attr/t_std"].reshape(shape),
        },
        "type_map": list(type_map),
        "trainable": bool(section.get("trainable", True)),
        "type_one_side": one_side,
        "spin": None,
    }


def _fill_excluded(nets, ntypes):
    """Graphs have no net for an excluded pair; other backends want one, whose output they discard."""
    template = next(iter(nets.values()))
    for i in range(ntypes):
        for j in range(ntypes):
            if (i, j) not in nets:
                nets[i, j] = _zeros_like(template)


def _zeros_like(net):
    layers = [
        layer | {"@variables": {k: None if v is None else np.zeros_like(v) for k, v in layer["@variables"].items()}}
        for layer in net["layers"]
    ]
    return net | {"layers": layers}
