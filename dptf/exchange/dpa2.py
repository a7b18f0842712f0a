"""Descriptor ``dpa2``."""

import numpy as np

from dptf.descriptor.repformer import RepformerLayer
from dptf.errors import UserError
from dptf.exchange import linear_embedding, nodes, pair_nets

_KEYS = (
    "ntypes", "repinit_args", "repformer_args", "concat_output_tebd", "precision", "smooth", "exclude_types", "env_protection",
    "trainable", "add_tebd_to_repinit_out", "use_econf_tebd", "use_tebd_bias", "type_map", "type_embedding",
    "g1_shape_tranform", "tebd_transform", "repinit_variable", "repformers_variable", "repinit_three_body_variable", "compress",
)  # fmt: skip
_BLOCK_KEYS = ("embeddings", "embeddings_strip", "env_mat", "@variables", "compress")
_FORMER_KEYS = ("g2_embd", "repformer_layers", "env_mat", "@variables")
_INIT = {
    "rcut": None, "rcut_smth": None, "nsel": None, "neuron": [25, 50, 100], "axis_neuron": 16, "tebd_dim": 8,
    "tebd_input_mode": "concat", "set_davg_zero": True, "activation_function": "tanh", "resnet_dt": False,
    "type_one_side": False, "use_three_body": False, "three_body_neuron": [2, 4, 8], "three_body_sel": 40,
    "three_body_rcut": 4.0, "three_body_rcut_smth": 0.5,
}  # fmt: skip
_FORMER = {
    "rcut": None, "rcut_smth": None, "nsel": None, "nlayers": 3, "g1_dim": 128, "g2_dim": 16, "axis_neuron": 4,
    "direct_dist": False, "update_g1_has_conv": True, "update_g1_has_drrd": True, "update_g1_has_grrg": True,
    "update_g1_has_attn": True, "update_g2_has_g1g1": True, "update_g2_has_attn": True, "update_h2": False,
    "attn1_hidden": 64, "attn1_nhead": 4, "attn2_hidden": 16, "attn2_nhead": 4, "attn2_has_gate": False,
    "activation_function": "tanh", "update_style": "res_avg", "update_residual": 0.001, "update_residual_init": "norm",
    "set_davg_zero": True, "trainable_ln": True, "use_sqrt_nnei": True, "g1_out_conv": True, "g1_out_mlp": True, "ln_eps": 1e-5,
}  # fmt: skip
#: Options of a layer in files that depend on the effective options of that layer.
_LAYER_OPTIONS = (
    "g1_dim", "g2_dim", "axis_neuron", "update_g1_has_conv", "update_g1_has_drrd", "update_g1_has_grrg", "update_g1_has_attn",
    "attn1_hidden", "attn1_nhead", "attn2_hidden", "attn2_nhead", "attn2_has_gate", "activation_function", "update_style",
    "trainable_ln", "use_sqrt_nnei", "g1_out_conv", "g1_out_mlp", "ln_eps",
)  # fmt: skip
#: Where the linear maps of a layer are: path in files -> name in graphs.
_LINEAR = {
    "linear1": "linear1", "linear2": "linear2", "proj_g1g2": "proj_g1g2", "proj_g1g1g2": "proj_g1g1g2",
    "g1_self_mlp": "g1_self_mlp", "attn2g_map/mapqk": "attn2g_map/mapqk", "attn2_mh_apply/mapv": "attn2_mh_apply/mapv",
    "attn2_mh_apply/head_map": "attn2_mh_apply/head_map", "attn2_ev_apply/head_map": "attn2_ev_apply/head_map",
    "loc_attn/mapq": "loc_attn/mapq", "loc_attn/mapkv": "loc_attn/mapkv", "loc_attn/head_map": "loc_attn/head_map",
}  # fmt: skip


def _options(given, defaults, where):
    """All options of a block; unknown ones are refused."""
    unknown = set(given) - set(defaults)
    if unknown:
        raise UserError(f"unknown key '{min(unknown)}', which may change the model", where, "update dptf")
    out = {}
    for key, default in defaults.items():
        value = given.get(key, default)
        if value is None and default is None:
            raise UserError("is missing", f"{where}/{key}")
        out[key] = default if value is None else value
    return out


def _linear(node, where, name, values, activation="none"):
    """Take a ``Layer`` without residual under a scope."""
    layer = dict(node) | {"resnet": False} if activation == "none" and node.get("resnet") is None else node
    has_bias = node["@variables"].get("b") is not None
    w, b, _ = nodes.layer_arrays(layer, where, activation=activation, residual=False)
    values[f"{name}/matrix"] = w
    if has_bias:
        values[f"{name}/bias"] = b


def read(node, where, ntypes, suffix=""):
    """Translate a descriptor; returns ``section`` and ``values`` as `dptf.exchange.se.read`."""
    nodes.expect(node, where, cls="Descriptor", versions=(1, 4), keys=_KEYS)
    init = _options(node["repinit_args"], _INIT, f"{where}/repinit_args")
    former = dict(node["repformer_args"])
    if node.get("@version", 1) < 3:  # such files know nothing of these
        former |= dict.fromkeys(("use_sqrt_nnei", "g1_out_conv", "g1_out_mlp"), False)
    former = _options(former, _FORMER, f"{where}/repformer_args")
    section = {
        "type": "dpa2",
        "repinit": init,
        "repformer": former,
        "concat_output_tebd": bool(node.get("concat_output_tebd", True)),
        "precision": node.get("precision", "default"),
        "smooth": bool(node.get("smooth", True)),
        "exclude_types": [[int(t) for t in pair] for pair in node.get("exclude_types") or []],
        "env_protection": float(node.get("env_protection") or 0.0),
        "trainable": bool(node.get("trainable", True)),
        "seed": None,
        "add_tebd_to_repinit_out": bool(node.get("add_tebd_to_repinit_out", False)),
    }
    tebd, values = linear_embedding.read(node["type_embedding"], f"{where}/type_embedding", suffix)
    section |= {key: tebd[key] for key in ("use_econf_tebd", "use_tebd_bias")}
    init["tebd_dim"] = tebd["tebd_dim"]
    init["resnet_dt"] = False
    three = ["repinit_three_body"] if init["use_three_body"] else []
    for name in ("repinit", *three):
        init["resnet_dt"] |= _read_block(
            node[f"{name}_variable"], f"{where}/{name}_variable", name, init, values, suffix, ntypes
        )
    if init["resnet_dt"]:
        _complete_time_steps(values, [f"{name}{suffix}" for name in ("repinit", *three)])
    if node["g1_shape_tranform"].get("@class") != "Identity":
        _linear(node["g1_shape_tranform"], f"{where}/g1_shape_tranform", f"g1_shape_tranform{suffix}", values)
    if section["add_tebd_to_repinit_out"]:
        _linear(node["tebd_transform"], f"{where}/tebd_transform", f"tebd_transform{suffix}", values)
    _read_former(node["repformers_variable"], f"{where}/repformers_variable", former, values, suffix, ntypes)
    return section, values


def _read_block(node, where, name, init, values, suffix, ntypes):
    nodes.expect(node, where, keys=_BLOCK_KEYS)
    _statistics(node, f"{name}{suffix}", ntypes, values)
    tails = {"embeddings": ""}
    if init["tebd_input_mode"] == "strip":
        tails["embeddings_strip"] = _strip_tail(name, init)
    has_dt = False
    for key, tail in tails.items():
        more, dt = pair_nets.read(node[key], f"{where}/{key}", f"{name}{suffix}", tail, init["activation_function"])
        values |= more
        has_dt |= dt
    return has_dt


def _complete_time_steps(values, scopes):
    """Time steps of 1 for residual layers that have none, in nets beside ones that have."""
    for name in [n for n in values if "/matrix_" in n and n.split("/")[0] in scopes]:
        n_in, n_out = values[name].shape
        if n_out in (n_in, 2 * n_in):
            values.setdefault(name.replace("/matrix_", "/idt_"), np.ones(n_out))


def _strip_tail(name, init):
    return "_one_side_ebd" if name == "repinit" and init["type_one_side"] else "_two_side_ebd"


def _statistics(node, scope, ntypes, values):
    for name, key in (("t_avg", "davg"), ("t_std", "dstd")):
        values[f"{scope}/{name}"] = np.asarray(node["@variables"][key]).reshape(ntypes, -1)


def _read_former(node, where, former, values, suffix, ntypes):
    nodes.expect(node, where, keys=_FORMER_KEYS)
    _statistics(node, f"repformer{suffix}", ntypes, values)
    _linear(node["g2_embd"], f"{where}/g2_embd", f"repformer{suffix}/g2_embd", values)
    layers = node["repformer_layers"]
    if len(layers) != former["nlayers"]:
        raise UserError(f"has {len(layers)} layers, nlayers is {former['nlayers']}", f"{where}/repformer_layers")
    for k, layer in enumerate(layers):
        scope, place = f"repformer_layer_{k}{suffix}", f"{where}/repformer_layers/{k}"
        nodes.expect(layer, place, cls="RepformerLayer", versions=(1, 2))
        for key in _LAYER_OPTIONS:
            if key in layer and key != "ln_eps":
                nodes.refuse(layer, place, **{key: [former[key]]})
        for path, name in _LINEAR.items():
            inner = layer
            for part in path.split("/"):
                inner = (inner or {}).get(part)
            if inner is not None:
                _linear(inner, f"{place}/{path}", f"{scope}/{name}", values)
        if layer.get("attn2_lm") is not None:
            norm = layer["attn2_lm"]
            former["ln_eps"] = float(norm["eps"])
            values[f"{scope}/attn2_lm/gamma"] = np.asarray(norm["@variables"]["w"]).ravel()
            values[f"{scope}/attn2_lm/beta"] = np.asarray(norm["@variables"]["b"]).ravel()
        source = layer.get("@variables") or layer  # the first version has the lists beside the options
        for feature in ("g1", "g2", "h2"):
            for n, weight in enumerate(source.get(f"{feature}_residual") or []):
                values[f"{scope}/{feature}_residual_{n}"] = np.asarray(weight).ravel()


def write(section, values, ntypes, type_map, suffix=""):
    """Translate back; returns a ``Descriptor`` object."""
    init = {key: section["repinit"].get(key, default) for key, default in _INIT.items()}
    former = {key: section["repformer"].get(key, default) for key, default in _FORMER.items()}
    former["ln_eps"] = 1e-5 if former["ln_eps"] is None else float(former["ln_eps"])
    tebd = linear_embedding.write(section, values, ntypes, type_map, suffix)
    init["tebd_dim"] = int(tebd["neuron"][0])
    precision = nodes.precision_name(None, values[f"repinit{suffix}/matrix_1"])
    trainable = bool(section.get("trainable", True))

    def layer(name):
        return nodes.make_layer(
            values[f"{name}/matrix"], values.get(f"{name}/bias"), None, activation="none", resnet=False,
            precision=precision, trainable=trainable,
        )  # fmt: skip

    shape = f"g1_shape_tranform{suffix}"
    out = {
        "@class": "Descriptor",
        "type": "dpa2",
        "@version": 3,
        "ntypes": ntypes,
        "repinit_args": init,
        "repformer_args": former,
        "concat_output_tebd": bool(section.get("concat_output_tebd", True)),
        "precision": precision,
        "smooth": bool(section.get("smooth", True)),
        "exclude_types": [list(map(int, p)) for p in section.get("exclude_types") or []],
        "env_protection": float(section.get("env_protection") or 0.0),
        "trainable": trainable,
        "add_tebd_to_repinit_out": bool(section.get("add_tebd_to_repinit_out", False)),
        "use_econf_tebd": tebd["use_econf_tebd"],
        "use_tebd_bias": tebd["use_tebd_bias"],
        "type_map": list(type_map),
        "type_embedding": tebd,
        "g1_shape_tranform": layer(shape) if f"{shape}/matrix" in values else {"@class": "Identity", "@version": 1},
        "repinit_variable": _write_block("repinit", init["neuron"], init, values, suffix, ntypes),
        "repformers_variable": _write_former(former, section, values, suffix, ntypes, layer, precision),
    }
    if init["use_three_body"]:
        out["repinit_three_body_variable"] = _write_block(
            "repinit_three_body", init["three_body_neuron"], init, values, suffix, ntypes
        )
    if out["add_tebd_to_repinit_out"]:
        out["tebd_transform"] = layer(f"tebd_transform{suffix}")
    return out


def _write_block(name, neuron, init, values, suffix, ntypes):
    scope, three = f"{name}{suffix}", name == "repinit_three_body"
    rcut, smth = (float(init[f"{'three_body_' if three else ''}{key}"]) for key in ("rcut", "rcut_smth"))
    nets = {
        "count": len(neuron), "ntypes": ntypes, "activation": init["activation_function"],
        "resnet_dt": bool(init["resnet_dt"]),
    }  # fmt: skip
    out = {"embeddings": pair_nets.write(values, scope, "", **nets)}
    if init["tebd_input_mode"] == "strip":
        out["embeddings_strip"] = pair_nets.write(values, scope, _strip_tail(name, init), **nets)
    return out | _env_mat(rcut, smth, scope, values, ntypes)


def _env_mat(rcut, smth, scope, values, ntypes):
    # Readers ignore the entry env_mat; its protection is 0 whatever the model has.
    return {
        "env_mat": {"rcut": rcut, "rcut_smth": smth, "protection": 0.0, "use_exp_switch": False},
        "@variables": {
            "davg": values[f"{scope}/t_avg"].reshape(ntypes, -1, 4), "dstd": values[f"{scope}/t_std"].reshape(ntypes, -1, 4),
        },
    }  # fmt: skip


def _write_former(former, section, values, suffix, ntypes, layer, precision):
    rcut, smth, smooth = float(former["rcut"]), float(former["rcut_smth"]), bool(section.get("smooth", True))
    inner = {
        "attn2g_map": {
            "@class": "Atten2Map", "@version": 1, "input_dim": former["g2_dim"], "hidden_dim": former["attn2_hidden"],
            "head_num": former["attn2_nhead"], "has_gate": former["attn2_has_gate"], "smooth": smooth, "attnw_shift": 20.0,
            "precision": precision,
        },
        "attn2_mh_apply": {
            "@class": "Atten2MultiHeadApply", "@version": 1, "input_dim": former["g2_dim"],
            "head_num": former["attn2_nhead"], "precision": precision,
        },
        "attn2_ev_apply": {
            "@class": "Atten2EquiVarApply", "@version": 1, "input_dim": former["g2_dim"],
            "head_num": former["attn2_nhead"], "precision": precision,
        },
        "loc_attn": {
            "@class": "LocalAtten", "@version": 1, "input_dim": former["g1_dim"], "hidden_dim": former["attn1_hidden"],
            "head_num": former["attn1_nhead"], "smooth": smooth, "attnw_shift": 20.0, "precision": precision,
        },
    }  # fmt: skip
    layers = []
    for k in range(former["nlayers"]):
        scope, last = f"repformer_layer_{k}{suffix}", k + 1 == former["nlayers"]
        node = {
            "@class": "RepformerLayer", "@version": 2, "rcut": rcut, "rcut_smth": smth, "sel": [int(former["nsel"])],
            "ntypes": ntypes, "update_chnnl_2": not last, "smooth": smooth, "precision": precision,
            **{key: former[key] for key in _LAYER_OPTIONS},
            **{
                key: bool(former[key]) and not last
                for key in ("update_g2_has_g1g1", "update_g2_has_attn", "update_h2")
            },
        }  # fmt: skip
        for path, name in _LINEAR.items():
            if f"{scope}/{name}/matrix" not in values:
                continue
            head, _, tail = path.partition("/")
            if tail:
                node.setdefault(head, dict(inner[head]))[tail] = layer(f"{scope}/{name}")
            else:
                node[path] = layer(f"{scope}/{name}")
        if f"{scope}/attn2_lm/gamma" in values:
            node["attn2_lm"] = {
                "@class": "LayerNorm", "@version": 1, "eps": former["ln_eps"], "trainable": bool(former["trainable_ln"]),
                "precision": precision,
                "@variables": {"w": values[f"{scope}/attn2_lm/gamma"], "b": values[f"{scope}/attn2_lm/beta"]},
            }  # fmt: skip
        if former["update_style"] == "res_residual":
            counts = RepformerLayer(former, scope, last=last, eps=0.0).counts()
            node["@variables"] = {
                f"{f}_residual": [values[f"{scope}/{f}_residual_{n}"] for n in range(counts[f])]
                for f in ("g1", "g2", "h2")
            }
        layers.append(node)
    return {"g2_embd": layer(f"repformer{suffix}/g2_embd"), "repformer_layers": layers} | _env_mat(
        rcut, smth, f"repformer{suffix}", values, ntypes
    )
