"""Models of model files and of graphs: standard ones, pair tables, sums, tables that take over at short distances (``zbl``).

``read(node, where, suffix)`` gives the ``model`` section of an input and the values by variable name; ``write`` goes back.
Names of the members of a sum end in ``_model<k>``, as the graph has them.
"""

import logging
import re

import numpy as np

from dptf.errors import UserError
from dptf.exchange import kinds, nodes, own_form

log = logging.getLogger(__name__)

_COMMON = ("type_map", "atom_exclude_types", "pair_exclude_types", "rcond", "preset_out_bias", "@variables")
_SECTION = {"data_stat_nbatch": 10, "data_stat_protect": 0.01, "data_bias_nsample": 10}


def read(node, where, suffix="", type_map=None):
    """Translate a model.

    Parameters
    ----------
    node : dict
        A ``Model`` object.
    where : str
        Its path in the file, for messages.
    suffix : str
        Of the names of this model in the graph.
    type_map : list of str, optional
        Of the model that this one is a member of.

    Returns
    -------
    section : dict
        ``model`` section of an input, with all defaults.
    values : dict
        Variable name -> array.
    """
    kind = node.get("type", "standard")
    if kind not in _READERS:
        raise UserError(
            f"model type '{kind}' cannot be turned into a graph", f"{where}/type", f"known: {', '.join(_READERS)}"
        )
    if type_map is not None and list(node["type_map"]) != type_map:
        raise UserError(f"is {node['type_map']}, that of the whole model {type_map}", f"{where}/type_map")
    return _READERS[kind](node, where, suffix)


def _scope(suffix):
    return f"model_attr{suffix}/model_attr{suffix}"  # the doubled scope is the released spelling


def _excluded(node):
    return {
        "pair_exclude_types": [list(map(int, p)) for p in node.get("pair_exclude_types") or []],
        "atom_exclude_types": sorted(map(int, node.get("atom_exclude_types") or [])),
    }


def _read_statistics(node, section, values, suffix):
    """Output bias and deviation."""
    ntypes = len(section["type_map"])
    bias, std = (np.asarray(node["@variables"][key]).reshape(1, ntypes, -1) for key in ("out_bias", "out_std"))
    if section.get("fitting_net", {}).get("type") != "property" and not np.all(std == 1):
        section["ignore_out_std"] = True  # as the backends that write such files do
    values[f"{_scope(suffix)}/t_out_bias"], values[f"{_scope(suffix)}/t_out_std"] = bias, std


def _read_standard(node, where, suffix):
    nodes.expect(node, where, cls="Model", versions=(1, 2), keys=(*_COMMON, "descriptor", "fitting"))
    type_map = list(node["type_map"])
    ntypes = len(type_map)
    descriptor, values = kinds.descriptor(node["descriptor"].get("type"), f"{where}/descriptor/type").read(
        node["descriptor"], f"{where}/descriptor", ntypes, suffix
    )
    fitting, more = kinds.fitting(node["fitting"].get("type"), f"{where}/fitting/type").read(
        node["fitting"], f"{where}/fitting", ntypes
    )
    values |= {name.replace("/", f"{suffix}/", 1): value for name, value in more.items()}
    section = {
        "type": "standard", "type_map": type_map, "descriptor": descriptor, "fitting_net": fitting, **_excluded(node), **_SECTION,
    }  # fmt: skip
    if "type_embedding" in descriptor:
        section["type_embedding"] = descriptor.pop("type_embedding")
    if "sel_type" not in fitting:
        excluded = {*section["atom_exclude_types"], *map(int, node["fitting"].get("exclude_types") or [])}
        section["atom_exclude_types"] = sorted(excluded)
    _read_statistics(node, section, values, suffix)
    return section, values


def _read_table(node, where, suffix):
    """The pieces of a table, and what else its object tells."""
    tab = node["tab"]
    keys = ("rmin", "rmax", "hh", "ntypes", "rcut", "nspline", "@variables")
    nodes.expect(tab, f"{where}/tab", cls="PairTab", versions=(1, 1), keys=keys)
    arrays = tab["@variables"]
    values = {f"model_attr{suffix}/t_tab_{key}": np.asarray(arrays[f"tab_{key}"]).ravel() for key in ("info", "data")}
    kept = {key: tab[key] for key in ("rmin", "rmax", "hh", "rcut", "nspline")}
    return kept | {"vdata": np.asarray(arrays["vdata"]).tolist()}, values


def _read_pairtab(node, where, suffix):
    nodes.expect(node, where, cls="Model", versions=(1, 2), keys=(*_COMMON, "tab", "rcut", "sel"))
    table, values = _read_table(node, where, suffix)
    sel = node["sel"]
    section = {
        "type": "pairtab", "type_map": list(node["type_map"]), "tab_file": "(in the model)", "table": table,
        "rcut": float(node["rcut"]), "sel": int(np.sum(sel)), **_excluded(node), **_SECTION,
    }  # fmt: skip
    _read_statistics(node, section, values, suffix)
    return section, values


def _read_linear(node, where, suffix):
    nodes.expect(node, where, cls="Model", versions=(1, 3), keys=(*_COMMON, "models", "weights"))
    type_map, whole = list(node["type_map"]), _excluded(node)
    sections, values = [], {}
    for k, member in enumerate(node["models"]):
        section, own = read(member, f"{where}/models/{k}", f"{suffix}_model{k}", type_map)
        # What is excluded from the sum is excluded from its members.
        for key, items in whole.items():
            section[key] = section.get(key, []) + [i for i in items if i not in section.get(key, [])]
        sections.append(section)
        values |= own
    weights = node.get("weights", "mean")
    section = {
        "type": "linear_ener", "type_map": type_map, "models": sections,
        "weights": weights if isinstance(weights, str) else [float(w) for w in weights], "total_bias": True, **_SECTION,
    }  # fmt: skip
    _read_statistics(node, section, values, suffix)
    return section, values


def _read_zbl(node, where, suffix):
    keys = (*_COMMON, "models", "weights", "sw_rmin", "sw_rmax", "smin_alpha")
    nodes.expect(node, where, cls="Model", versions=(1, 3), keys=keys)
    type_map = list(node["type_map"])
    net, pairs = node["models"]
    if net.get("type") != "standard" or pairs.get("type") != "pairtab":
        raise UserError("needs a standard model and a pair table, in this order", f"{where}/models")
    for k, member in enumerate((net, pairs)):
        if any(_excluded(member).values()):
            raise UserError("a member with excluded types cannot be expressed by graphs", f"{where}/models/{k}")
    section, values = read(net, f"{where}/models/0", suffix, type_map)
    table, more = _read_table(pairs, f"{where}/models/1", suffix)
    rcut = section["descriptor"].get("rcut", table["rcut"])
    if float(pairs["rcut"]) != float(rcut):
        raise UserError(f"is {pairs['rcut']}, that of the net {rcut}; graphs have one", f"{where}/models/1/rcut")
    values |= more
    for k, member in enumerate((net, pairs)):
        bias = np.asarray(member["@variables"]["out_bias"]).reshape(1, len(type_map), -1)
        values[f"model_attr{suffix}_model{k}/t_out_bias"] = bias
    section |= {
        "use_srtab": "(in the model)", "table": table | {"sel": int(np.sum(pairs["sel"]))}, "exact_switch": True, "srtab_add_bias": False, "part_bias": True,
        **{key: float(node[key]) for key in ("smin_alpha", "sw_rmin", "sw_rmax")}, **_excluded(node),
    }  # fmt: skip
    section.pop("ignore_out_std", None)
    _read_statistics(node, section, values, suffix)
    return section, values


def _read_spin(node, where, suffix):
    nodes.expect(node, where, keys=("backbone_model", "spin"))
    section, values = read(node["backbone_model"], f"{where}/backbone_model", suffix)
    if section["type"] != "standard" or "use_srtab" in section:
        raise UserError("the inner model must be a standard one", f"{where}/backbone_model/type")
    spin = node["spin"]
    nodes.expect(spin, f"{where}/spin", keys=("use_spin", "virtual_scale"))
    count = len(spin["use_spin"])
    section["type_map"] = section["type_map"][:count]
    scale = (
        np.broadcast_to(spin["virtual_scale"], [count])
        if np.ndim(spin["virtual_scale"]) == 0
        else spin["virtual_scale"]
    )
    section["spin"] = {
        "use_spin": [bool(u) for u in spin["use_spin"]], "virtual_scale": [float(s) for s in scale], "extended": True,
    }  # fmt: skip
    return section, values


_READERS = {
    **dict.fromkeys(own_form.MODELS, own_form.read_model),
    "spin_ener": _read_spin,
    "standard": _read_standard,
    "pairtab": _read_pairtab,
    "linear": _read_linear,
    "linear_ener": _read_linear,
    "zbl": _read_zbl,
}


def write(section, constants, type_map, path, suffix=""):
    """Translate back.

    Parameters
    ----------
    section : dict
        ``model`` section of the input that the graph stores.
    constants : dict
        Name -> array, of all Const nodes.
    type_map : list of str
    path : str
        File, for messages.

    Returns
    -------
    dict
        A ``Model`` object.
    """
    kind = section.get("type", "standard")
    if kind not in _WRITERS:
        raise UserError(f"model type '{kind}' cannot be exported", path, f"known: {', '.join(_WRITERS)}")
    if section.get("modifier"):
        raise UserError("files have no place for the long-range part of a model", f"{path}: model/modifier")
    if section.get("spin") and not suffix:
        return _write_spin(section, constants, path)
    try:
        return _WRITERS[kind](section, constants, type_map, path, suffix)
    except KeyError as err:
        raise UserError(
            f"the graph has no constant {err}", path, "it was not written for the input it stores"
        ) from None


def _write_spin(section, constants, path):
    from dptf.model.spin import SpinModel

    model = SpinModel(section)
    if not model.atoms.separate:
        return _write_whole("deepspin", section, constants, section["type_map"])
    inner = {k: v for k, v in section.items() if k != "spin"}
    if not section["spin"].get("extended"):
        inner |= model._extended(section)
    names = model.atoms.all_names
    return {
        "type": "spin_ener", "backbone_model": write(inner | {"type_map": names}, constants, names, path),
        "spin": {"use_spin": model.atoms.use, "virtual_scale": model.atoms.length},
    }  # fmt: skip


def _write_whole(kind, section, constants, type_map):
    log.warning("other backends cannot express this model (%s), the file is for dptf alone", kind)
    return own_form.write_model(kind, section, constants, type_map)


def _write_pairwise(section, constants, type_map, path, suffix):
    if suffix:
        raise UserError("a sum with pairwise_dprc cannot be exported", path)
    return _write_whole("pairwise_dprc", section, constants, type_map)


def _statistics(constants, suffix, ntypes, width=1):
    """Output bias and deviation, shape (1, ntypes, width); the scope is doubled in files of 3.1 and later."""
    found = {}
    for key, default in (("bias", 0.0), ("std", 1.0)):
        value = constants.get(f"{_scope(suffix)}/t_out_{key}", constants.get(f"model_attr{suffix}/t_out_{key}"))
        shape = (1, ntypes, width)
        found[f"out_{key}"] = np.full(shape, default) if value is None else value.reshape(shape)
    return found


def _common(section, kind, type_map, statistics, version=2):
    return {
        "type_map": list(type_map), **_excluded(section), "rcond": None, "preset_out_bias": None, "@variables": statistics,
        "@class": "Model", "@version": version, "type": kind,
    }  # fmt: skip


def _write_standard(section, constants, type_map, path, suffix):
    ntypes = len(type_map)
    descriptor = _write_descriptor(section, constants, type_map, path, suffix)
    # The names of the fitting without suffix.
    end = re.compile(rf"^([^/]*){re.escape(suffix)}/")
    own = {end.sub(r"\1/", name): v for name, v in constants.items() if end.match(name)} if suffix else constants
    fitting_kind = section["fitting_net"].get("type", "ener")
    fitting = kinds.fitting(fitting_kind, f"{path}: model/fitting_net/type").write(
        section["fitting_net"], own, ntypes, type_map
    )
    width = {"dipole": 3, "polar": 9}.get(fitting["type"]) or fitting["dim_out"]
    tree = _common(section, "standard", type_map, _statistics(constants, suffix, ntypes, width))
    fitting["exclude_types"] = sorted({*tree["atom_exclude_types"], *fitting["exclude_types"]})
    if fitting.get("shift_diag"):
        tree["atom_exclude_types"] = fitting["exclude_types"]  # else others shift the diagonal of atoms without tensor
    tree |= {"descriptor": descriptor, "fitting": fitting}
    return _write_zbl(section, constants, tree, suffix) if section.get("use_srtab") else tree


def _write_descriptor(section, constants, type_map, path, suffix):
    """The descriptor with the type embedding of the model; in a form of our own where others cannot express it."""
    options, where = section["descriptor"], f"{path}: model/descriptor/type"
    kind = options.get("type")
    if section.get("type_embedding"):
        options = options | {"type_embedding": section["type_embedding"]}
        kind = "se_a_ebd_v2" if kind in ("se_e2_a", "se_a") else kind  # such models are DPA-1 without attention
    try:
        return kinds.descriptor(kind, where).write(options, constants, len(type_map), type_map, suffix)
    except UserError as err:
        if not own_form.can_hold(options):
            raise
        log.warning("other backends cannot express this descriptor, the file is for dptf alone (%s)", err)
        return own_form.write(options, constants, len(type_map), type_map, suffix)


def _write_pairtab(section, constants, type_map, path, suffix):
    tree = _common(section, "pairtab", type_map, _statistics(constants, suffix, len(type_map)))
    rcut, sel = float(section["rcut"]), section["sel"]
    return tree | {"tab": _table(section, constants, suffix, rcut), "rcut": rcut, "sel": int(np.sum(sel))}


def _table(section, constants, suffix, rcut):
    """A ``PairTab`` object."""
    from dptf.model.pair_table import PairTable

    info, data = (constants[f"model_attr{suffix}/t_tab_{key}"].ravel() for key in ("info", "data"))
    kept = {key: v for key, v in (section.get("table") or {}).items() if key != "sel"}
    if kept:
        rows = np.array(kept.pop("vdata"))
    else:
        rows = PairTable.of_pieces(info, data).rows
        kept = {"rmin": info[0], "rmax": rows[-1, 0], "hh": info[1], "rcut": rcut, "nspline": int(info[2] + 0.1)}
    numbers = {key: int(v) if key == "nspline" else float(v) for key, v in kept.items()}
    return {
        "@class": "PairTab", "@version": 1, **numbers, "ntypes": int(info[3] + 0.1),
        "@variables": {"vdata": rows, "tab_info": info, "tab_data": data},
    }  # fmt: skip


def _write_linear(section, constants, type_map, path, suffix):
    members = section["models"]
    members = list(members.values()) if isinstance(members, dict) else members
    tree = _common({}, "linear", type_map, _statistics(constants, suffix, len(type_map)), version=3)
    weights = section["weights"]
    return tree | {
        "models": [write(m, constants, type_map, path, f"{suffix}_model{k}") for k, m in enumerate(members)],
        "weights": weights if isinstance(weights, str) else [float(w) for w in weights],
    }


def _write_zbl(section, constants, net, suffix):
    """The net and its table, switched."""
    type_map, ntypes = net["type_map"], len(net["type_map"])
    whole = {key: net[key] for key in ("atom_exclude_types", "pair_exclude_types")}
    ones, bias = np.ones((1, ntypes, 1)), np.zeros((2, 1, ntypes, 1))
    if section.get("part_bias"):
        bias = [constants[f"model_attr{suffix}_model{k}/t_out_bias"].reshape(1, ntypes, 1) for k in range(2)]
    elif section.get("srtab_add_bias", True):
        bias[1] = constants[f"fitting_attr{suffix}/t_bias_atom_e"].reshape(1, ntypes, 1)
    excluded = net["fitting"]["exclude_types"]
    net["fitting"]["exclude_types"] = [t for t in excluded if t not in whole["atom_exclude_types"]]
    rcut = float(constants[f"descrpt_attr{suffix}/rcut"])
    parts = net["descriptor"].get("list", [net["descriptor"]])
    sel = max(int(np.sum(part.get("sel", 0))) for part in parts)
    pairs = _common({}, "pairtab", type_map, {"out_bias": np.asarray(bias[1]), "out_std": ones}) | {
        "tab": _table(section, constants, suffix, rcut), "rcut": rcut, "sel": section.get("table", {}).get("sel", sel),
    }  # fmt: skip
    statistics = net["@variables"]
    net |= {
        "atom_exclude_types": [],
        "pair_exclude_types": [],
        "@variables": {"out_bias": np.asarray(bias[0]), "out_std": ones},
    }
    # The public ops take these numbers in single precision.
    number = float if section.get("exact_switch") else lambda x: float(np.float32(x))
    tree = _common(whole, "zbl", type_map, statistics)
    return tree | {
        "models": [net, pairs], "weights": "mean", **{key: number(section[key]) for key in ("sw_rmin", "sw_rmax", "smin_alpha")},
    }  # fmt: skip


_WRITERS = {
    "standard": _write_standard,
    "pairtab": _write_pairtab,
    "linear_ener": _write_linear,
    "pairwise_dprc": _write_pairwise,
}
