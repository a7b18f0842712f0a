"""Fitting ``ener`` (also called ``invar``): one net per center type."""

import numpy as np

from dptf.errors import UserError
from dptf.exchange import nodes

_KEYS = (
    "var_name", "ntypes", "dim_descrpt", "neuron", "resnet_dt", "numb_fparam", "numb_aparam", "dim_case_embd",
    "default_fparam", "rcond", "activation_function", "precision", "mixed_types", "exclude_types", "nets", "type_map",
    "tot_ener_zero", "trainable", "layer_name", "use_aparam_as_mask", "spin", "@variables", "dim_out", "atom_ener",
)  # fmt: skip
_NET_KEYS = ("in_dim", "out_dim", "neuron", "activation_function", "resnet_dt", "precision", "bias_out", "layers")
_PARAMS = {
    "fparam_avg": "t_fparam_avg",
    "fparam_inv_std": "t_fparam_istd",
    "aparam_avg": "t_aparam_avg",
    "aparam_inv_std": "t_aparam_istd",
}


def scopes(count, t):
    """Scopes of the layers of the net of type ``t``, the last one included."""
    return [f"layer_{k}_type_{t}" for k in range(count)] + [f"final_layer_type_{t}"]


def read(node, where, ntypes):
    """Translate a fitting; returns ``section`` and ``values`` as the descriptors do."""
    nodes.expect(node, where, cls="Fitting", versions=(1, 4), keys=_KEYS)
    nodes.refuse(
        node, where, mixed_types=[False], dim_case_embd=[0], dim_out=[1], tot_ener_zero=[False], spin=[None],
        default_fparam=[None],
    )  # fmt: skip
    activation = node.get("activation_function", "tanh")
    neuron = [int(n) for n in node["neuron"]]
    trainable = node.get("trainable", True)
    section = {
        "type": "ener",
        "neuron": neuron,
        "resnet_dt": False,
        "numb_fparam": int(node.get("numb_fparam") or 0),
        "numb_aparam": int(node.get("numb_aparam") or 0),
        "activation_function": activation,
        "precision": node.get("precision", "default"),
        "trainable": trainable if isinstance(trainable, bool) else [bool(v) for v in trainable],
        "rcond": node.get("rcond"),
        "atom_ener": [None if e is None else float(np.ravel(e)[0]) for e in node.get("atom_ener") or []],
        "use_aparam_as_mask": bool(node.get("use_aparam_as_mask", False)),
        "layer_name": None,
        "seed": None,
    }
    variables = node["@variables"]
    values = {"fitting_attr/t_bias_atom_e": np.asarray(variables["bias_atom_e"]).reshape(ntypes)}
    for key, name in _PARAMS.items():
        if variables.get(key) is not None:
            values[f"fitting_attr/{name}"] = np.asarray(variables[key]).ravel()
    time_steps = {}
    for t in range(ntypes):
        place = f"{where}/nets/{t}"
        net = nodes.network(node["nets"], (t,), f"{where}/nets")
        if net is None:
            raise UserError("the net is missing", place)
        nodes.expect(net, place, cls="FittingNetwork", versions=(1, 1), keys=_NET_KEYS)
        last = len(neuron)
        for k, (scope, layer) in enumerate(zip(scopes(last, t), net["layers"])):
            n_in, n_out = np.asarray(layer["@variables"]["w"]).shape
            residual = 0 < k < last and n_in == n_out
            w, b, idt = nodes.layer_arrays(
                layer, f"{place}/layers/{k}", activation=activation if k < last else "none", residual=residual
            )
            values[f"{scope}/matrix"], values[f"{scope}/bias"] = w, b
            if residual:
                time_steps[f"{scope}/idt"] = np.ones(n_out) if idt is None else idt
                section["resnet_dt"] |= idt is not None
    if section["resnet_dt"]:
        values |= time_steps
    return section, values


def write(section, values, ntypes, type_map):
    """Translate back; returns a ``Fitting`` object."""
    if section.get("layer_name"):
        raise UserError("nets that share layers cannot be exported", "model/fitting_net/layer_name")
    neuron = [int(n) for n in section["neuron"]]
    activation = section.get("activation_function", "tanh")
    resnet_dt = bool(section.get("resnet_dt", True))
    nf, na = int(section.get("numb_fparam") or 0), int(section.get("numb_aparam") or 0)
    nets, precision = {}, None
    for t in range(ntypes):
        layers, last = [], len(neuron)
        for k, scope in enumerate(scopes(last, t)):
            w, b = values[f"{scope}/matrix"], values[f"{scope}/bias"]
            precision = nodes.precision_name(None, w)
            n_in, n_out = w.shape
            residual = 0 < k < last and n_in == n_out
            # Others would also add the input where widths double or the first layer keeps them; graphs do not.
            resnet = k < last and (residual or n_out not in (n_in, 2 * n_in))
            layers.append(
                nodes.make_layer(
                    w,
                    b,
                    values.get(f"{scope}/idt") if residual and resnet_dt else None,
                    activation=activation if k < last else "none",
                    resnet=resnet,
                    precision=precision,
                )
            )
        nets[t,] = {
            "@class": "FittingNetwork",
            "@version": 1,
            "in_dim": int(layers[0]["@variables"]["w"].shape[0]),
            "out_dim": 1,
            "neuron": neuron,
            "activation_function": activation,
            "resnet_dt": resnet_dt,
            "precision": precision,
            "bias_out": True,
            "layers": layers,
        }
    extra = nf + (0 if section.get("use_aparam_as_mask") else na)
    dim_descrpt = values[f"{scopes(len(neuron), 0)[0]}/matrix"].shape[0] - extra
    atom_ener = section.get("atom_ener") or None
    trainable = section.get("trainable", True)
    return {
        "@class": "Fitting",
        "@version": 4,
        "var_name": "energy",
        "ntypes": ntypes,
        "dim_descrpt": dim_descrpt,
        "neuron": neuron,
        "resnet_dt": resnet_dt,
        "numb_fparam": nf,
        "numb_aparam": na,
        "dim_case_embd": 0,
        "default_fparam": None,
        "activation_function": activation,
        "precision": precision,
        "mixed_types": False,
        "nets": nodes.collection("fitting_network", ntypes, 1, nets),
        "rcond": section.get("rcond"),
        "exclude_types": [],
        "@variables": {
            "bias_atom_e": values["fitting_attr/t_bias_atom_e"].reshape(ntypes, 1),
            "case_embd": None,
            **{key: values.get(f"fitting_attr/{name}") for key, name in _PARAMS.items()},
        },
        "type_map": list(type_map),
        "tot_ener_zero": False,
        "trainable": [trainable] * (len(neuron) + 1) if isinstance(trainable, bool) else list(trainable),
        "layer_name": None,
        "use_aparam_as_mask": bool(section.get("use_aparam_as_mask", False)),
        "spin": None,
        "type": "ener",
        "dim_out": 1,
        "atom_ener": atom_ener,
    }
