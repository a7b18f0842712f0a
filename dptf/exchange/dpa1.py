"""Descriptors ``dpa1`` (``se_atten``) and ``se_atten_v2``."""

import logging

import numpy as np

from dptf.descriptor.se_atten import is_exchange_form
from dptf.errors import UserError
from dptf.exchange import linear_embedding, nodes, pair_nets

log = logging.getLogger(__name__)

_COMMON = (
    "rcut", "rcut_smth", "sel", "ntypes", "neuron", "axis_neuron", "tebd_dim", "set_davg_zero", "attn", "attn_layer",
    "attn_dotr", "attn_mask", "activation_function", "resnet_dt", "scaling_factor", "normalize", "temperature", "trainable_ln",
    "ln_eps", "type_one_side", "concat_output_tebd", "use_econf_tebd", "use_tebd_bias", "type_map", "precision", "embeddings",
    "embeddings_strip", "attention_layers", "env_mat", "type_embedding", "exclude_types", "env_protection", "@variables",
    "trainable", "spin", "compress", "lmax",
)  # fmt: skip
_DPA1 = ("se_atten", "dpa1", "se_atten_v2")
_LAYERS = ("c_query", "c_key", "c_value")
_TOP_KEYS = (
    "layer_num", "nnei", "embed_dim", "hidden_dim", "dotr", "do_mask", "scaling_factor", "normalize", "temperature",
    "trainable_ln", "ln_eps", "precision", "attention_layers",
)  # fmt: skip


def read(node, where, ntypes, suffix=""):
    """Translate a descriptor; returns ``section`` and ``values`` as `dptf.exchange.se.read`."""
    v2 = node["type"] == "se_atten_v2"
    keys = _COMMON + (() if v2 else ("tebd_input_mode", "smooth_type_embedding"))
    nodes.expect(node, where, cls="Descriptor", versions=(1, 4), keys=keys)
    nodes.refuse(node, where, spin=[None], attn_mask=[False], lmax=[1])
    section = {
        "type": "se_atten_v2" if v2 else "se_atten",
        "exchange_form": True,
        "sel": int(np.sum(node["sel"])),
        "rcut": float(node["rcut"]),
        "rcut_smth": float(node["rcut_smth"]),
        "neuron": [int(n) for n in node["neuron"]],
        "axis_neuron": int(node["axis_neuron"]),
        "activation_function": node.get("activation_function", "tanh"),
        "resnet_dt": False,
        "type_one_side": bool(node.get("type_one_side", False)),
        "precision": node.get("precision", "default"),
        "trainable": bool(node.get("trainable", True)),
        "seed": None,
        "exclude_types": [[int(t) for t in pair] for pair in node.get("exclude_types") or []],
        "env_protection": float(node.get("env_protection") or 0.0),
        "set_davg_zero": bool(node.get("set_davg_zero", False)),
        "attn": int(node.get("attn", 128)),
        "attn_layer": int(node.get("attn_layer", 2)),
        "attn_dotr": bool(node.get("attn_dotr", True)),
        "attn_mask": False,
        "trainable_ln": bool(node.get("trainable_ln", True)),
        "ln_eps": float(node.get("ln_eps") or 1e-5),
        "scaling_factor": float(node.get("scaling_factor", 1.0)),
        "normalize": bool(node.get("normalize", True)),
        "temperature": node.get("temperature"),
        "concat_output_tebd": bool(node.get("concat_output_tebd", True)),
    }
    if not v2:
        section["tebd_input_mode"] = node.get("tebd_input_mode", "concat")
        section["smooth_type_embedding"] = bool(node.get("smooth_type_embedding", True))
    if any(float(np.float32(section[key])) != section[key] for key in ("rcut", "rcut_smth")):
        section["exact_cutoff"] = True
    tebd, values = linear_embedding.read(node["type_embedding"], f"{where}/type_embedding", suffix)
    section |= tebd
    scope, width = f"filter_type_all{suffix}", 4 * section["sel"]
    for name, key in (("t_avg", "davg"), ("t_std", "dstd")):
        values[f"descrpt_attr{suffix}/{name}"] = np.asarray(node["@variables"][key]).reshape(ntypes, width)
    strip = v2 or section["tebd_input_mode"] == "strip"
    for key, tail in [("embeddings", "")] + [("embeddings_strip", strip_tail(section))] * strip:
        more, has_dt = pair_nets.read(node[key], f"{where}/{key}", scope, tail, section["activation_function"])
        values |= more
        section["resnet_dt"] |= has_dt
    if section["attn_layer"]:
        values |= _read_attention(node["attention_layers"], f"{where}/attention_layers", section, suffix)
    return section, values


def strip_tail(section):
    """Suffix of the arrays of the net of the types."""
    return "_one_side_ebd" if section["type_one_side"] else "_two_side_ebd"


def _read_attention(node, where, section, suffix):
    nodes.expect(node, where, cls="NeighborGatedAttention", versions=(1, 1), keys=_TOP_KEYS)
    values = {}
    for k, layer in enumerate(node["attention_layers"]):
        scope, place = f"attention_layer_{k}{suffix}", f"{where}/attention_layers/{k}"
        inner = layer["attention_layer"]
        nodes.refuse(inner, f"{place}/attention_layer", num_heads=[1], do_mask=[False], bias=[True])
        for key, own in (("normalize", "normalize"), ("scaling_factor", "scaling_factor"), ("dotr", "attn_dotr")):
            nodes.refuse(inner, f"{place}/attention_layer", **{key: [section[own]]})
        if k == 0:
            section["temperature"] = inner.get("temperature")  # readers use the innermost
        elif inner.get("temperature") != section["temperature"]:
            raise UserError("differs between layers", f"{place}/attention_layer/temperature")
        w, b, _ = _linear(inner["in_proj"], f"{place}/in_proj")
        for name, wk, bk in zip(_LAYERS, np.split(w, 3, axis=1), np.split(b, 3)):
            values[f"{scope}/{name}/matrix"], values[f"{scope}/{name}/bias"] = wk, bk
        w, b, _ = _linear(inner["out_proj"], f"{place}/out_proj")
        values[f"{scope}/c_out/matrix"], values[f"{scope}/c_out/bias"] = w, b
        norm = layer["attn_layer_norm"]
        nodes.expect(norm, f"{place}/attn_layer_norm", cls="LayerNorm", versions=(1, 1))
        section["ln_eps"] = float(norm["eps"])
        values[f"{scope}/layer_normalization/gamma"] = np.asarray(norm["@variables"]["w"]).ravel()
        values[f"{scope}/layer_normalization/beta"] = np.asarray(norm["@variables"]["b"]).ravel()
    return values


def _linear(layer, where):
    return nodes.layer_arrays(layer, where, activation="none", residual=False)


def write(section, values, ntypes, type_map, suffix=""):
    """Translate back; arguments as `read` returns them.

    Returns
    -------
    dict
        A ``Descriptor`` object.
    """
    section, own_side = _as_dpa1(section), section.get("type") not in _DPA1
    v2, exchange = section["type"] == "se_atten_v2", is_exchange_form(section)
    strip = v2 or section.get("tebd_input_mode", "concat") == "strip"
    if not v2 and section.get("stripped_type_embedding") is not None:
        strip = bool(section["stripped_type_embedding"])
    smooth = v2 or bool(section.get("smooth_type_embedding", False))
    davg = values[f"descrpt_attr{suffix}/t_avg"]
    section = dict(section)
    if not exchange:
        _check_graph_form(section, davg, smooth and (strip or section["attn_layer"]))
        section |= {"temperature": 1.0, "ln_eps": section.get("ln_eps") or 1e-3}
        if strip and not own_side:  # such graphs have nets of both types always
            section["type_one_side"] = False
        if not v2:
            section["smooth_type_embedding"] = smooth
    nsel, scope = davg.shape[1] // 4, f"filter_type_all{suffix}"
    tebd_suffix = section.get("tebd_suffix", suffix)
    if exchange:
        tebd = linear_embedding.write(section, values, ntypes, type_map, suffix)
    else:
        tebd = linear_embedding.write_table(
            model_table(values, section, ntypes, type_map, tebd_suffix), ntypes, type_map
        )
    exact = section.get("exact_cutoff") or (exchange and float(section.get("env_protection") or 0.0))
    number = float if exact else lambda x: float(np.float32(x))
    rcut, smth = number(section["rcut"]), number(section.get("rcut_smth", 0.5))
    protection = float(section.get("env_protection") or 0.0)
    nets = {
        "count": len(section["neuron"]), "ntypes": ntypes, "activation": section.get("activation_function", "tanh"),
        "resnet_dt": bool(section.get("resnet_dt", False)),
    }  # fmt: skip
    precision = nodes.precision_name(None, values[f"{scope}/matrix_1"])
    out = {
        "@class": "Descriptor",
        "type": "se_atten_v2" if v2 else "dpa1",
        "@version": 2,
        "rcut": rcut,
        "rcut_smth": smth,
        "sel": [nsel],
        "ntypes": ntypes,
        "neuron": [int(n) for n in section["neuron"]],
        "axis_neuron": int(section.get("axis_neuron", 4)),
        "tebd_dim": int(tebd["neuron"][0]),
        "set_davg_zero": bool(section.get("set_davg_zero", False)),
        "attn": int(section["attn"]),
        "attn_layer": int(section["attn_layer"]),
        "attn_dotr": bool(section["attn_dotr"]),
        "attn_mask": False,
        "activation_function": nets["activation"],
        "resnet_dt": nets["resnet_dt"],
        "scaling_factor": float(section.get("scaling_factor", 1.0)),
        "normalize": bool(section.get("normalize", True)),
        "temperature": section.get("temperature"),
        "trainable_ln": bool(section.get("trainable_ln", True)),
        "ln_eps": float(section.get("ln_eps") or 1e-5),
        "type_one_side": bool(section.get("type_one_side", False)),
        "concat_output_tebd": bool(section.get("concat_output_tebd", True)) and section.get("holds_types", True),
        "use_econf_tebd": tebd["use_econf_tebd"],
        "use_tebd_bias": tebd["use_tebd_bias"],
        "type_map": list(type_map),
        "precision": precision,
        "embeddings": pair_nets.write(values, scope, "", **nets),
        "env_mat": {"rcut": rcut, "rcut_smth": smth, "protection": protection, "use_exp_switch": False},
        "type_embedding": tebd,
        "exclude_types": [list(map(int, p)) for p in section.get("exclude_types") or []],
        "env_protection": protection,
        "@variables": {
            "davg": davg.reshape(ntypes, nsel, 4),
            "dstd": values[f"descrpt_attr{suffix}/t_std"].reshape(ntypes, nsel, 4),
        },
        "trainable": bool(section.get("trainable", True)),
        "spin": None,
    }
    out["attention_layers"] = _write_attention(out, values, suffix, smooth, precision)
    if not v2:
        out |= {"tebd_input_mode": "strip" if strip else "concat", "smooth_type_embedding": smooth}
    if strip:
        out["embeddings_strip"] = pair_nets.write(values, scope, strip_tail(out), **nets)
    return out


def _as_dpa1(section):
    """se_e2_a with a type embedding and se_a_ebd_v2 as what they are without mean in the statistics: DPA-1 without attention."""
    if section["type"] in _DPA1:
        return section
    options = {"attn": 128, "attn_layer": 0, "attn_dotr": False, "smooth_type_embedding": False}
    strip = section["type"] in ("se_a_ebd_v2", "se_a_tpe_v2")
    return {**section, **options, "type": "se_atten", "tebd_input_mode": "strip" if strip else "concat"}


def _check_graph_form(section, davg, own_switch):
    """Refuse what model files, whose form differs, cannot say."""
    where = "model/descriptor"
    if own_switch:
        raise UserError(
            "the smooth switch of graphs is a different function from that of model files, so the model cannot be exported",
            f"{where}/smooth_type_embedding", "train with an option of the exchange form, for instance env_protection 1e-6",
        )  # fmt: skip
    if section["attn_layer"] and section.get("attn_dotr"):
        log.warning(
            "neighbors within about 0.02 Å of the cutoff have no full direction in the attention of graphs, in model files they "
            "have; frames with such neighbors differ (seen in a small model: 4e-4 eV, and 0.1 eV/Å in the forces of those atoms); "
            "compare with `dp test` before you use the file"
        )
    if section.get("attn_mask"):
        raise UserError("model files have no such mask, so the model cannot be exported", f"{where}/attn_mask")
    if np.any(davg):
        raise UserError(
            "graphs give empty slots no type, model files do; with a mean in the statistics the two differ, so the model "
            "cannot be exported", f"{where}/set_davg_zero", "train with set_davg_zero true",
        )  # fmt: skip


def model_table(values, section, ntypes, type_map, suffix):
    """Vectors of the types (ntypes, dim) of a graph whose type embedding belongs to the model."""
    from dptf.nn.electrons import configuration_table

    own = section.get("type_embedding") or {"activation_function": "linear"} | {
        "use_econf_tebd": section.get("use_econf_tebd", False)
    }
    table = configuration_table(type_map, "type_map") if own.get("use_econf_tebd") else np.eye(ntypes)
    return linear_embedding.type_table(values, suffix, table, own.get("activation_function", "tanh"))


def _write_attention(section, values, suffix, smooth, precision):
    common = {
        "nnei": section["sel"][0], "embed_dim": section["neuron"][-1], "hidden_dim": section["attn"],
        "dotr": section["attn_dotr"], "do_mask": False, "scaling_factor": section["scaling_factor"],
        "normalize": section["normalize"], "temperature": section["temperature"],
    }  # fmt: skip
    norm = {"trainable_ln": section["trainable_ln"], "ln_eps": section["ln_eps"]}
    plain = {"activation": "none", "resnet": False, "precision": precision, "trainable": section["trainable"]}
    layers = []
    for k in range(section["attn_layer"]):
        scope = f"attention_layer_{k}{suffix}"
        w, b = (np.concatenate([values[f"{scope}/{n}/{key}"] for n in _LAYERS], -1) for key in ("matrix", "bias"))
        layers.append(common | norm | {
            "precision": precision,
            "attention_layer": common | {
                "num_heads": 1, "bias": True, "smooth": smooth, "precision": precision,
                "in_proj": nodes.make_layer(w, b, None, **plain),
                "out_proj": nodes.make_layer(
                    values[f"{scope}/c_out/matrix"], values[f"{scope}/c_out/bias"], None, **plain
                ),
            },
            "attn_layer_norm": {
                "@class": "LayerNorm", "@version": 1, "eps": section["ln_eps"], "trainable": section["trainable_ln"],
                "precision": precision,
                "@variables": {
                    "w": values[f"{scope}/layer_normalization/gamma"], "b": values[f"{scope}/layer_normalization/beta"],
                },
            },
        })  # fmt: skip
    top = {"@class": "NeighborGatedAttention", "@version": 1, "layer_num": section["attn_layer"]}
    return top | common | norm | {"precision": precision, "attention_layers": layers}
