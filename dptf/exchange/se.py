"""Descriptors with one block of slots per neighbor type: ``se_e2_a``, ``se_e2_r``, ``se_e3``."""

from dataclasses import dataclass

import numpy as np

from dptf.descriptor.pairs import pair_table, symmetric
from dptf.errors import UserError
from dptf.exchange import nodes


@dataclass(frozen=True)
class Kind:
    """How one descriptor is stored.

    Attributes
    ----------
    name : str
        Type in files; the type in inputs is the key in `KINDS`.
    ncomp : int
        Components of a row.
    keys : tuple of str
        Keys of its own.
    """

    name: str
    ncomp: int
    keys: tuple


KINDS = {
    "se_e2_a": Kind("se_e2_a", 4, ("axis_neuron", "type_one_side", "spin")),
    "se_e2_r": Kind("se_r", 1, ("type_one_side", "spin")),
    "se_e3": Kind("se_e3", 4, ()),
}
_ALIASES = {"se_a": "se_e2_a", "se_r": "se_e2_r", "se_at": "se_e3", "se_a_3be": "se_e3", "se_t": "se_e3"}
_KEYS = (
    "rcut", "rcut_smth", "sel", "neuron", "resnet_dt", "set_davg_zero", "activation_function", "precision", "embeddings",
    "env_mat", "exclude_types", "env_protection", "@variables", "type_map", "trainable", "compress",
)  # fmt: skip


def _kind(node):
    name = _ALIASES.get(node["type"], node["type"])
    return name, KINDS[name]


def net_names(name, ntypes, type_one_side, excluded):
    """Yield key in the collection, scope and suffix of every net that the graph has."""
    for j in range(ntypes):
        if type_one_side and name != "se_e3":
            yield (j,), "filter_type_all", f"_{j}"
            continue
        for i in range(ntypes):
            if name == "se_e3":
                if i <= j:
                    yield (i, j), "filter_type_all", f"_{i}_{j}"
            elif (i, j) not in excluded:
                yield (i, j), f"filter_type_{i}", f"_{j}"


def read(node, where, ntypes, suffix=""):
    """Translate a descriptor.

    Parameters
    ----------
    node : dict
    where : str
    ntypes : int
    suffix : str
        Of the variable names.

    Returns
    -------
    section : dict
        ``model/descriptor`` of the input.
    values : dict
        Variable name -> array.
    """
    name, kind = _kind(node)
    nodes.expect(node, where, cls="Descriptor", versions=(1, 3), keys=_KEYS + kind.keys)
    nodes.refuse(node, where, spin=[None])
    section = {
        "type": name,
        "sel": [int(n) for n in node["sel"]],
        "rcut": float(node["rcut"]),
        "rcut_smth": float(node["rcut_smth"]),
        "neuron": [int(n) for n in node["neuron"]],
        "resnet_dt": False,
        "exclude_types": [[int(t) for t in pair] for pair in node.get("exclude_types") or []],
        "env_protection": float(node.get("env_protection") or 0.0),
        "set_davg_zero": bool(node.get("set_davg_zero", False)),
        "activation_function": node.get("activation_function", "tanh"),
        "precision": node.get("precision", "default"),
        "trainable": bool(node.get("trainable", True)),
        "seed": None,
    }
    if any(float(np.float32(section[key])) != section[key] for key in ("rcut", "rcut_smth")):
        section["exact_cutoff"] = True
    if "axis_neuron" in kind.keys:
        section["axis_neuron"] = int(node["axis_neuron"])
    if "type_one_side" in kind.keys:
        section["type_one_side"] = bool(node.get("type_one_side", True))
    width = kind.ncomp * sum(section["sel"])
    attr = f"descrpt_attr{suffix}"
    values = {
        f"{attr}/t_avg": np.asarray(node["@variables"]["davg"]).reshape(ntypes, width),
        f"{attr}/t_std": np.asarray(node["@variables"]["dstd"]).reshape(ntypes, width),
    }
    # Other backends zero the rows of excluded neighbors only, graphs those of empty slots too; without mean the latter are
    # zero anyway, and the two agree.
    excluded = symmetric(section["exclude_types"])
    blocks = values[f"{attr}/t_avg"][~pair_table(ntypes, section["sel"], excluded).repeat(kind.ncomp, axis=1)]
    # Of the other descriptors the nets of zeroed rows count as well.
    if blocks.any() or (excluded and name != "se_e2_a"):
        section["exclude_real_only"], excluded = True, set()
    nets = {}
    for key, scope, tail in net_names(name, ntypes, section.get("type_one_side"), excluded):
        scope += suffix
        place = f"{where}/embeddings/{','.join(map(str, key))}"
        net = nodes.network(node["embeddings"], key, f"{where}/embeddings")
        if net is None:
            raise UserError("the net is missing", place)
        nets[scope, tail] = nodes.read_embedding(net, place, section["activation_function"])
    section["resnet_dt"] = nodes.add_embeddings(values, nets)
    return section, values


def write(section, values, ntypes, type_map, suffix=""):
    """Translate back; arguments as `read` returns them.

    Returns
    -------
    dict
        A ``Descriptor`` object.
    """
    name, kind = _kind(section)
    attr = f"descrpt_attr{suffix}"
    if name != "se_e2_a" and section.get("exclude_types") and not section.get("exclude_real_only"):
        raise UserError(f"{name} with exclude_types cannot be exported", "model/descriptor/exclude_types")
    sel, neuron = [int(n) for n in section["sel"]], [int(n) for n in section["neuron"]]
    one_side = bool(section.get("type_one_side", False)) and name != "se_e3"
    resnet_dt = bool(section.get("resnet_dt", False))
    activation = section.get("activation_function", "tanh")
    exclude = [list(map(int, p)) for p in section.get("exclude_types") or []]
    davg, excluded = np.array(values[f"{attr}/t_avg"]), symmetric(exclude)
    if section.get("exclude_real_only"):
        excluded = set()
    else:  # the empty slots of excluded blocks count nothing here, elsewhere only without mean
        davg[~pair_table(ntypes, sel, excluded).repeat(kind.ncomp, axis=1)] = 0.0
    nets, precision = {}, None
    for key, scope, tail in net_names(name, ntypes, one_side, excluded):
        scope += suffix
        layers, n_in = [], 1
        for k, n_out in enumerate(neuron, start=1):
            w = values[f"{scope}/matrix_{k}{tail}"].reshape(n_in, n_out)
            idt = values.get(f"{scope}/idt_{k}{tail}") if resnet_dt and n_out in (n_in, 2 * n_in) else None
            layers.append((w, values[f"{scope}/bias_{k}{tail}"], idt))
            n_in = n_out
        precision = nodes.precision_name(None, layers[0][0])
        nets[key] = nodes.embedding_net(
            layers, neuron=neuron, activation=activation, resnet_dt=resnet_dt, precision=precision
        )
    ndim = 1 if one_side else 2
    if ndim == 2:
        _fill_excluded(nets, ntypes)
    # The cutoffs that the graph computes with.
    number = float if section.get("exact_cutoff") or section.get("env_protection") else lambda x: float(np.float32(x))
    rcut, smooth = number(section["rcut"]), number(section.get("rcut_smth", 0.5))
    protection = float(section.get("env_protection") or 0.0)
    shape = (ntypes, sum(sel), kind.ncomp)
    tree = {
        "@class": "Descriptor",
        "type": kind.name,
        "@version": 2,
        "rcut": rcut,
        "rcut_smth": smooth,
        "sel": sel,
        "neuron": neuron,
        "resnet_dt": resnet_dt,
        "set_davg_zero": bool(section.get("set_davg_zero", False)),
        "activation_function": activation,
        "precision": precision,
        "embeddings": nodes.collection("embedding_network", ntypes, ndim, nets),
        "env_mat": {"rcut": rcut, "rcut_smth": smooth, "protection": protection, "use_exp_switch": False},
        "exclude_types": exclude,
        "env_protection": protection,
        "@variables": {
            "davg": davg.reshape(shape),
            "dstd": values[f"{attr}/t_std"].reshape(shape),
        },
        "type_map": list(type_map),
        "trainable": bool(section.get("trainable", True)),
    }
    own = {"axis_neuron": int(section.get("axis_neuron", 4)), "type_one_side": one_side, "spin": None}
    return tree | {key: own[key] for key in kind.keys}


def _fill_excluded(nets, ntypes):
    """Graphs have no net for an excluded pair; other backends want one, whose output they discard."""
    template = next(iter(nets.values()))
    for i in range(ntypes):
        for j in range(ntypes):
            if (i, j) not in nets:
                nets[i, j] = nodes.zeros_like(template)
