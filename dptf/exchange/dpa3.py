"""Descriptor ``dpa3``."""

import dataclasses

import numpy as np

from dptf.descriptor import charge_spin
from dptf.descriptor.repflow import RepFlowOptions
from dptf.errors import UserError
from dptf.exchange import nodes, type_embedding

_CHARGE_NETS = tuple(charge_spin.NETS)
_KEYS = (
    "ntypes", "repflow_args", "concat_output_tebd", "activation_function", "precision", "exclude_types", "env_protection",
    "trainable", "use_econf_tebd", "use_tebd_bias", "use_loc_mapping", "add_chg_spin_ebd", "default_chg_spin", "type_map",
    "type_embedding", "repflow_variable", *_CHARGE_NETS, "mix_cs_mlp",
)  # fmt: skip
_OPTIONS = tuple(f.name for f in dataclasses.fields(RepFlowOptions))
#: Options that a layer repeats.
_LAYER_OPTIONS = (
    "e_rcut", "e_rcut_smth", "e_sel", "a_rcut", "a_rcut_smth", "a_sel", "ntypes", "n_dim", "e_dim", "a_dim", "a_compress_rate",
    "a_compress_e_rate", "a_compress_use_split", "n_multi_edge_message", "axis_neuron", "activation_function", "update_angle",
    "update_style", "update_residual", "update_residual_init", "precision", "optim_update", "smooth_edge_update",
    "use_dynamic_sel", "sel_reduce_factor", "sequential_update",
)  # fmt: skip
_LINEAR = (
    "node_self_mlp", "node_sym_linear", "node_edge_linear", "edge_self_linear", "edge_angle_linear1", "edge_angle_linear2",
    "angle_self_linear", "a_compress_n_linear", "a_compress_e_linear",
)  # fmt: skip


def read(node, where, ntypes, suffix=""):
    """Translate a descriptor; returns ``section`` and ``values`` as the other kinds do."""
    nodes.expect(node, where, cls="Descriptor", versions=(1, 2), keys=_KEYS)
    args = node["repflow_args"]
    nodes.expect(args, f"{where}/repflow_args", keys=(*_OPTIONS, "skip_stat"))
    options = RepFlowOptions.read(args, f"{where}/repflow_args")
    activation = node.get("activation_function", "silu")
    section = {
        "type": "dpa3",
        "repflow": dataclasses.asdict(options),
        "concat_output_tebd": bool(node.get("concat_output_tebd", False)),
        "activation_function": activation,
        "precision": node.get("precision", "default"),
        "exclude_types": [list(map(int, p)) for p in node.get("exclude_types") or []],
        "env_protection": float(node.get("env_protection") or 0.0),
        "trainable": bool(node.get("trainable", True)),
        "seed": None,
        "use_econf_tebd": bool(node.get("use_econf_tebd", False)),
        "use_tebd_bias": bool(node.get("use_tebd_bias", False)),
        "use_loc_mapping": bool(node.get("use_loc_mapping", True)),
        "add_chg_spin_ebd": bool(node.get("add_chg_spin_ebd", False)),
        "default_chg_spin": node.get("default_chg_spin"),
    }
    embedding, values = type_embedding.read(node["type_embedding"], f"{where}/type_embedding", suffix)
    if embedding["use_tebd_bias"] != section["use_tebd_bias"] or embedding["resnet_dt"]:
        raise UserError("differs from the options of the descriptor", f"{where}/type_embedding")
    if section["add_chg_spin_ebd"]:
        _read_charge_spin(node, where, section, suffix, values)
    variables, place = node["repflow_variable"], f"{where}/repflow_variable"
    for name, has_bias in (("edge_embd", True), ("angle_embd", False)):
        _read_linear(variables[name], f"{place}/{name}", f"repflow{suffix}/{name}", has_bias, values)
    _read_statistics(variables["@variables"], suffix, ntypes, values)
    layers = variables["repflow_layers"]
    if len(layers) != options.nlayers:
        raise UserError(f"has {len(layers)} layers, nlayers is {options.nlayers}", f"{place}/repflow_layers")
    for k, layer in enumerate(layers):
        _read_layer(layer, f"{place}/repflow_layers/{k}", options, f"repflow{suffix}/layer_{k}", activation, values)
    return section, values


def _read_charge_spin(node, where, section, suffix, values):
    for name, (low, high) in charge_spin.NETS.items():
        options, more = type_embedding.read(node[name], f"{where}/{name}", suffix, name)
        count, width = more[f"{name}{suffix}/matrix_1"].shape
        expected = high - low + 1, section["repflow"]["n_dim"]
        if (count, width) != expected or len(options["neuron"]) != 1 or options["resnet_dt"]:
            raise UserError(f"is not one linear layer of the shape {expected}", f"{where}/{name}")
        values |= more
    w, b, _ = nodes.layer_arrays(node["mix_cs_mlp"], f"{where}/mix_cs_mlp", activation="none", residual=False)
    values |= {f"mix_cs_mlp{suffix}/matrix": w, f"mix_cs_mlp{suffix}/bias": b}


def _read_linear(layer, where, scope, has_bias, values):
    w, b, _ = nodes.layer_arrays(layer, where, activation="none", residual=False)
    if not has_bias and np.any(b):
        raise UserError("has a bias, which this map does not take", where)
    values[f"{scope}/matrix"] = w
    if has_bias:
        values[f"{scope}/bias"] = b


def _read_statistics(variables, suffix, ntypes, values):
    for key, name in (("davg", "t_avg"), ("dstd", "t_std")):
        values[f"descrpt_attr{suffix}/{name}"] = np.asarray(variables[key]).reshape(ntypes, -1)


def _read_layer(layer, where, options, scope, activation, values):
    nodes.expect(layer, where, cls="RepFlowLayer", versions=(1, 2), keys=(*_LAYER_OPTIONS, *_LINEAR, "@variables"))
    expected = dataclasses.asdict(options) | {"activation_function": activation, "e_sel": [options.e_sel]}
    for key in _LAYER_OPTIONS:
        if key in layer and key in expected and key != "update_residual" and layer[key] != expected[key]:
            raise UserError(f"is {layer[key]}, the descriptor says {expected[key]}", f"{where}/{key}")
    for name, _, _, bias in options.linear_maps():
        _read_linear(layer[name], f"{where}/{name}", f"{scope}/{name}", bias, values)
    residuals = layer.get("@variables") or layer
    for name, width, count in options.residuals():
        if len(residuals[name]) != count:
            raise UserError(f"has {len(residuals[name])} vectors, expected {count}", f"{where}/{name}")
        for k, vector in enumerate(residuals[name]):
            values[f"{scope}/{name}_{k}"] = np.asarray(vector).reshape(width)


def write(section, values, ntypes, type_map, suffix=""):
    """Translate back; returns a ``Descriptor`` object."""
    options = RepFlowOptions.read(section["repflow"], "model/descriptor/repflow")
    args = dataclasses.asdict(options)
    activation = section.get("activation_function", "silu")
    precision = nodes.precision_name(None, values[f"repflow{suffix}/edge_embd/matrix"])
    trainable, charged = bool(section.get("trainable", True)), bool(section.get("add_chg_spin_ebd", False))
    repeated = args | {
        "e_sel": [options.e_sel], "ntypes": ntypes, "activation_function": activation, "precision": precision,
    }  # fmt: skip

    def linear(scope, bias):
        b = values[f"{scope}/bias"] if bias else None
        return nodes.make_layer(
            values[f"{scope}/matrix"],
            b,
            None,
            activation="none",
            resnet=False,
            precision=precision,
            trainable=trainable,
        )

    def layer(k):
        scope = f"repflow{suffix}/layer_{k}"
        out = {"@class": "RepFlowLayer", "@version": 2, **{key: repeated[key] for key in _LAYER_OPTIONS}}
        for name, _, _, bias in options.linear_maps():
            out[name] = linear(f"{scope}/{name}", bias)
        if options.update_style == "res_residual":
            counts = {name: count for name, _, count in options.residuals()}
            out["@variables"] = {
                name: [values[f"{scope}/{name}_{i}"] for i in range(counts.get(name, 0))]
                for name in ("n_residual", "e_residual", "a_residual")
            }
        return out

    def statistic(name):
        return values[f"descrpt_attr{suffix}/{name}"].reshape(ntypes, options.e_sel, 4)

    embedding = {
        "neuron": [options.n_dim], "activation_function": "Linear", "resnet_dt": False, "trainable": trainable,
        "use_econf_tebd": bool(section.get("use_econf_tebd", False)), "use_tebd_bias": bool(section.get("use_tebd_bias", False)),
    }  # fmt: skip
    of_frame = {}
    for name, (low, high) in charge_spin.NETS.items() if charged else ():
        own = embedding | {"use_econf_tebd": False, "use_tebd_bias": f"{name}{suffix}/bias_1" in values}
        of_frame[name] = type_embedding.write(own, values, high - low + 1, None, padding=True, suffix=suffix, name=name)
    if charged:
        of_frame["mix_cs_mlp"] = linear(f"mix_cs_mlp{suffix}", True)
    return {
        "@class": "Descriptor",
        "type": "dpa3",
        "@version": 2,
        "ntypes": ntypes,
        "repflow_args": args,
        "concat_output_tebd": bool(section.get("concat_output_tebd", False)),
        "activation_function": activation,
        "precision": precision,
        "exclude_types": [list(map(int, p)) for p in section.get("exclude_types") or []],
        "env_protection": float(section.get("env_protection") or 0.0),
        "trainable": trainable,
        "use_econf_tebd": embedding["use_econf_tebd"],
        "use_tebd_bias": embedding["use_tebd_bias"],
        "use_loc_mapping": bool(section.get("use_loc_mapping", True)),
        "add_chg_spin_ebd": charged,
        "default_chg_spin": section.get("default_chg_spin"),
        "type_map": list(type_map),
        "type_embedding": type_embedding.write(embedding, values, ntypes, type_map, padding=True, suffix=suffix),
        **of_frame,
        "repflow_variable": {
            "edge_embd": linear(f"repflow{suffix}/edge_embd", True),
            "angle_embd": linear(f"repflow{suffix}/angle_embd", False),
            "repflow_layers": [layer(k) for k in range(options.nlayers)],
            "env_mat": {
                "rcut": options.e_rcut,
                "rcut_smth": options.e_rcut_smth,
                "protection": 0.0,
                "use_exp_switch": False,
            },
            "@variables": {"davg": statistic("t_avg"), "dstd": statistic("t_std")},
        },
    }
