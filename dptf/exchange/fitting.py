"""Fittings of all kinds: one net per center type, or one net for all."""

from dataclasses import dataclass

import numpy as np

from dptf.errors import UserError
from dptf.exchange import nodes


@dataclass(frozen=True)
class Kind:
    """How one fitting is stored.

    Attributes
    ----------
    name : str
        Type in inputs.
    version : int
        Written and highest known.
    keys : tuple of str
        Keys of its own.
    bias : str
        Variable of ``bias_atom_e``.
    optional_bias : bool
        Whether graphs have that variable only when it is not zero.
    """

    name: str
    version: int
    keys: tuple
    bias: str = "t_bias_atom_e"
    optional_bias: bool = True


KINDS = {
    "ener": Kind("ener", 4, ("dim_out", "atom_ener"), optional_bias=False),
    "dipole": Kind("dipole", 4, ("embedding_width", "r_differentiable", "c_differentiable")),
    "polar": Kind("polar", 5, ("embedding_width", "fit_diag", "shift_diag")),
    "dos": Kind("dos", 4, ("dim_out", "atom_ener"), "t_bias_dos", False),
    "property": Kind("property", 6, ("dim_out", "task_dim", "intensive", "distinguish_types", "atom_ener")),
}
_ALIASES = {"invar": "ener"}
_KEYS = (
    "var_name", "ntypes", "dim_descrpt", "neuron", "resnet_dt", "numb_fparam", "numb_aparam", "dim_case_embd",
    "default_fparam", "rcond", "activation_function", "precision", "mixed_types", "exclude_types", "nets", "type_map",
    "tot_ener_zero", "trainable", "layer_name", "use_aparam_as_mask", "spin", "@variables",
)  # fmt: skip
_NET_KEYS = ("in_dim", "out_dim", "neuron", "activation_function", "resnet_dt", "precision", "bias_out", "layers")
_PARAMS = {
    "fparam_avg": "t_fparam_avg",
    "fparam_inv_std": "t_fparam_istd",
    "aparam_avg": "t_aparam_avg",
    "aparam_inv_std": "t_aparam_istd",
}


def scopes(count, t):
    """Scopes of the layers of the net of type ``t`` (None: of all types), the last one included."""
    tail = "" if t is None else f"_type_{t}"
    return [f"layer_{k}{tail}" for k in range(count)] + [f"final_layer{tail}"]


def _net_keys(ntypes, mixed_types):
    """(type, key in the collection) of every net."""
    return [(None, ())] if mixed_types else [(t, (t,)) for t in range(ntypes)]


def read(node, where, ntypes):
    """Translate a fitting; returns ``section`` and ``values`` as the descriptors do."""
    name = _ALIASES.get(node["type"], node["type"])
    kind = KINDS[name]
    nodes.expect(node, where, cls="Fitting", versions=(1, kind.version), keys=_KEYS + kind.keys)
    nodes.refuse(node, where, tot_ener_zero=[False], spin=[None])
    if name == "ener":
        nodes.refuse(node, where, dim_out=[1])
    activation = node.get("activation_function", "tanh")
    trainable = node.get("trainable", True)
    section = {
        "type": name,
        "neuron": [int(n) for n in node["neuron"]],
        "resnet_dt": False,
        "numb_fparam": int(node.get("numb_fparam") or 0),
        "numb_aparam": int(node.get("numb_aparam") or 0),
        "activation_function": activation,
        "precision": node.get("precision", "default"),
        "trainable": trainable if isinstance(trainable, bool) else [bool(v) for v in trainable],
        "rcond": node.get("rcond"),
        "use_aparam_as_mask": bool(node.get("use_aparam_as_mask", False)),
        "layer_name": None,
        "seed": None,
    }
    excluded = [int(t) for t in node.get("exclude_types") or []]
    section |= _own_section(name, node, ntypes, excluded)
    if node.get("default_fparam") is not None:
        section["frame_default"] = [float(x) for x in np.ravel(node["default_fparam"])]
    variables = node["@variables"]
    values = {}
    if node.get("dim_case_embd"):
        section["case_length"] = int(node["dim_case_embd"])
        case = variables.get("case_embd")
        case = np.zeros(section["case_length"]) if case is None else np.asarray(case)
        values["fitting_attr/t_case_embd"] = case.reshape(section["case_length"])
    if variables.get("bias_atom_e") is not None:
        bias = np.asarray(variables["bias_atom_e"])
        bias = 0.5 * bias if _is_full(section) else bias
        if not kind.optional_bias or bias.any():
            values[f"fitting_attr/{kind.bias}"] = bias.reshape(ntypes) if name == "ener" else bias
    if section.get("shift_diag"):
        values["fitting_attr/t_constant_matrix"] = np.asarray(variables["constant_matrix"]).reshape(ntypes)
    for key, variable in _PARAMS.items():
        # A mask is not normalised.
        unused = key.startswith("aparam") and section["use_aparam_as_mask"]
        if variables.get(key) is not None and not unused:
            values[f"fitting_attr/{variable}"] = np.asarray(variables[key]).ravel()
    _read_nets(node, where, ntypes, section, values, excluded)
    return section, values


def _is_full(section):
    """Whether nets give whole matrices Y: graphs form Y + Y^T of them, other backends (Y + Y^T) / 2."""
    return section.get("type") == "polar" and not section.get("fit_diag", True)


def _own_section(name, node, ntypes, excluded):
    """The options of one kind."""
    atom_ener = [None if e is None else float(np.ravel(e)[0]) for e in node.get("atom_ener") or []]
    if name == "ener":
        return {"atom_ener": atom_ener}
    if any(e is not None for e in atom_ener):
        raise UserError("is not expressed by graphs", f"{name}/atom_ener")
    if name == "dos":
        return {"numb_dos": int(node["dim_out"])}
    if name == "property":
        return {
            "task_dim": int(node.get("task_dim", node["dim_out"])),
            "intensive": bool(node.get("intensive", False)),
            "distinguish_types": bool(node.get("distinguish_types", False)),
            "property_name": node["var_name"],
        }
    own = {"sel_type": [t for t in range(ntypes) if t not in excluded]}
    if name == "polar":
        scale = node["@variables"].get("scale")
        own |= {
            "fit_diag": bool(node.get("fit_diag", True)),
            "shift_diag": bool(node.get("shift_diag", True)),
            "scale": [1.0] * ntypes if scale is None else [float(x) for x in np.ravel(scale)],
            "scaled_shift": True,
        }
    return own


def _read_nets(node, where, ntypes, section, values, excluded):
    activation, last = section["activation_function"], len(section["neuron"])
    tensor = section["type"] in ("dipole", "polar")
    adds, steps, time_steps = [], [], {}
    for t, key in _net_keys(ntypes, bool(node.get("mixed_types", False))):
        if tensor and t in excluded:
            continue
        place = f"{where}/nets/{0 if t is None else t}"
        net = nodes.network(node["nets"], key, f"{where}/nets")
        if net is None:
            raise UserError("the net is missing", place)
        nodes.expect(net, place, cls="FittingNetwork", versions=(1, 1), keys=_NET_KEYS)
        adds.append([_adds(layer) for layer in net["layers"][:last]])
        if adds[-1] != adds[0]:
            raise UserError("its layers add their inputs elsewhere than those of the other nets", place)
        steps.append([])
        for k, (scope, layer) in enumerate(zip(scopes(last, t), net["layers"])):
            w, b, idt = nodes.layer_arrays(
                layer,
                f"{place}/layers/{k}",
                activation=activation if k < last else "none",
                residual=k < last and adds[0][k],
                free_step=k < last,
            )
            if _is_full(section) and k == last:
                w, b = 0.5 * w, 0.5 * b
            values[f"{scope}/matrix"], values[f"{scope}/bias"] = w, b
            if k < last:
                time_steps[k, scope] = np.ones(w.shape[1]) if idt is None else idt
                steps[-1].append(idt is not None)
    steps = [any(flags) for flags in zip(*steps)]  # a layer without a step is one with the step 1
    section["resnet_dt"] = any(steps)
    values |= {f"{scope}/idt": idt for (k, scope), idt in time_steps.items() if steps[k]}
    widths = section["neuron"]
    if adds[0] != [k > 0 and widths[k] == widths[k - 1] for k in range(last)]:
        section["residual_layers"] = adds[0]
    if steps != [section["resnet_dt"] and a for a in adds[0]]:
        section["timestep_layers"] = steps


def _adds(layer):
    """Whether a layer adds its input."""
    n_in, n_out = np.asarray(layer["@variables"]["w"]).shape
    return bool(layer.get("resnet")) and n_out in (n_in, 2 * n_in)


def write(section, values, ntypes, type_map):
    """Translate back; returns a ``Fitting`` object."""
    if section.get("layer_name"):
        raise UserError("nets that share layers cannot be exported", "model/fitting_net/layer_name")
    name = section.get("type", "ener")
    kind = KINDS[name]
    neuron = [int(n) for n in section["neuron"]]
    nf, na = int(section.get("numb_fparam") or 0), int(section.get("numb_aparam") or 0)
    mixed_types = "final_layer/matrix" in values
    trainable = section.get("trainable", True)
    chosen = _selected(section, ntypes)
    nets = {
        key: _write_net(section, values, t)
        for t, key in _net_keys(ntypes, mixed_types)
        if t is None or name not in ("dipole", "polar") or t in chosen
    }
    template = next(iter(nets.values()))
    for _, key in _net_keys(ntypes, mixed_types):
        if key not in nets:
            nets[key] = nodes.zeros_like(template)
    width = template["out_dim"]
    case = int(section.get("case_length") or section.get("dim_case_embd") or 0)
    extra = nf + (0 if section.get("use_aparam_as_mask") else na) + case
    full = _is_full(section)
    bias = values.get(f"fitting_attr/{kind.bias}")
    bias = np.zeros((ntypes, width)) if bias is None else (2.0 * bias if full else bias).reshape(ntypes, width)
    tree = {
        "@class": "Fitting",
        "@version": kind.version,
        "var_name": _VAR_NAMES.get(name) or section["property_name"],
        "ntypes": ntypes,
        "dim_descrpt": template["in_dim"] - extra,
        "neuron": neuron,
        "resnet_dt": bool(section.get("resnet_dt", True)),
        "numb_fparam": nf,
        "numb_aparam": na,
        "dim_case_embd": case,
        "default_fparam": section.get("frame_default") or section.get("default_fparam"),
        "activation_function": template["activation_function"],
        "precision": template["precision"],
        "mixed_types": mixed_types,
        "nets": nodes.collection("fitting_network", ntypes, 0 if mixed_types else 1, nets),
        "rcond": section.get("rcond"),
        "exclude_types": [],
        "@variables": {
            "bias_atom_e": bias,
            "case_embd": values["fitting_attr/t_case_embd"] if case else None,
            **{key: values.get(f"fitting_attr/{variable}") for key, variable in _PARAMS.items()},
        },
        "type_map": list(type_map),
        "tot_ener_zero": False,
        "trainable": [trainable] * (len(neuron) + 1) if isinstance(trainable, bool) else list(trainable),
        "layer_name": None,
        "use_aparam_as_mask": bool(section.get("use_aparam_as_mask", False)),
        "spin": None,
        "type": name,
    }
    if name in ("ener", "dos", "property"):
        tree |= {"dim_out": width, "atom_ener": (section.get("atom_ener") or None) if name == "ener" else None}
    if name == "property":
        tree |= {
            "task_dim": width,
            "intensive": bool(section.get("intensive", False)),
            "distinguish_types": bool(section.get("distinguish_types", True)),
        }
    if name in ("dipole", "polar"):
        tree["embedding_width"] = round(width**0.5) if full else width
        tree["exclude_types"] = [t for t in range(ntypes) if t not in chosen]
    if name == "dipole":
        tree |= {"r_differentiable": True, "c_differentiable": True}
    if name == "polar":
        tree |= {
            "fit_diag": bool(section.get("fit_diag", True)),
            "shift_diag": bool(section.get("shift_diag", True)),
        }
        tree["@variables"] |= _polar_variables(section, values, ntypes)
    return tree


_VAR_NAMES = {"ener": "energy", "dipole": "dipole", "polar": "polar", "dos": "dos"}


def _selected(section, ntypes):
    """Types that carry a tensor."""
    chosen = section.get("sel_type")
    if chosen is None:
        return list(range(ntypes))
    return [chosen] if isinstance(chosen, int) else list(chosen)


def _polar_variables(section, values, ntypes):
    scale = section.get("scale")
    scale = 1.0 if scale is None else scale
    scale = np.array(scale if isinstance(scale, (list, tuple)) else [scale] * ntypes, float)
    constant = values.get("fitting_attr/t_constant_matrix", np.zeros(ntypes))
    if not section.get("scaled_shift") and np.any(scale != 1):
        constant = constant / scale  # other backends scale the shift as well
    return {"scale": scale.reshape(ntypes, 1), "constant_matrix": constant.reshape(ntypes)}


def _write_net(section, values, t):
    neuron = [int(n) for n in section["neuron"]]
    last = len(neuron)
    activation = section.get("activation_function", "tanh")
    resnet_dt = bool(section.get("resnet_dt", True))
    full, steps = _is_full(section), section.get("timestep_layers")
    layers, precision = [], None
    for k, scope in enumerate(scopes(last, t)):
        w, b = values[f"{scope}/matrix"], values[f"{scope}/bias"]
        if full and k == last:
            w, b = 2.0 * w, 2.0 * b
        precision = nodes.precision_name(None, w)
        n_in, n_out = w.shape
        residual = 0 < k < last and n_in == n_out
        if section.get("residual_layers"):
            residual = k < last and section["residual_layers"][k]
        # Others would also add the input where widths double or the first layer keeps them; graphs do not.
        resnet = k < last and (residual or n_out not in (n_in, 2 * n_in))
        layers.append(
            nodes.make_layer(
                w,
                b,
                values[f"{scope}/idt"] if (steps[k] if steps and k < last else residual and resnet_dt) else None,
                activation=activation if k < last else "none",
                resnet=resnet,
                precision=precision,
            )
        )
    return {
        "@class": "FittingNetwork",
        "@version": 1,
        "in_dim": int(layers[0]["@variables"]["w"].shape[0]),
        "out_dim": int(layers[-1]["@variables"]["w"].shape[1]),
        "neuron": neuron,
        "activation_function": activation,
        "resnet_dt": resnet_dt,
        "precision": precision,
        "bias_out": True,
        "layers": layers,
    }
