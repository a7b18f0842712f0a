"""Descriptor ``se_e3_tebd``: three-body angles with a type embedding of its own."""

import numpy as np

from dptf.exchange import nodes, type_embedding

_KEYS = (
    "rcut", "rcut_smth", "sel", "ntypes", "neuron", "tebd_dim", "tebd_input_mode", "set_davg_zero", "activation_function",
    "resnet_dt", "concat_output_tebd", "use_econf_tebd", "use_tebd_bias", "type_map", "precision", "embeddings",
    "embeddings_strip", "env_mat", "type_embedding", "exclude_types", "env_protection", "smooth", "@variables", "trainable",
    "compress",
)  # fmt: skip
#: Suffix of the arrays of the net of the types, and its key in files.
_NETS = (("", "embeddings"), ("_two_side_ebd", "embeddings_strip"))


def _nets(mode):
    return _NETS if mode == "strip" else _NETS[:1]


def read(node, where, ntypes, suffix=""):
    """Translate a descriptor; returns ``section`` and ``values`` as the others do."""
    nodes.expect(node, where, cls="Descriptor", versions=(1, 2), keys=_KEYS)
    embedding, values = type_embedding.read(node["type_embedding"], f"{where}/type_embedding", suffix)
    width = int(node["tebd_dim"])
    nodes.refuse(
        node["type_embedding"], f"{where}/type_embedding", neuron=[[width]], resnet_dt=[False],
        activation_function=["linear", "Linear", "none", "None"],
    )  # fmt: skip
    mode = node.get("tebd_input_mode", "concat")
    section = {
        "type": "se_e3_tebd",
        "sel": int(np.sum(node["sel"])),
        "rcut": float(node["rcut"]),
        "rcut_smth": float(node["rcut_smth"]),
        "neuron": [int(n) for n in node["neuron"]],
        "tebd_dim": width,
        "tebd_input_mode": mode,
        "resnet_dt": False,
        "set_davg_zero": bool(node.get("set_davg_zero", True)),
        "activation_function": node.get("activation_function", "tanh"),
        "env_protection": float(node.get("env_protection") or 0.0),
        "smooth": bool(node.get("smooth", True)),
        "exclude_types": [[int(t) for t in pair] for pair in node.get("exclude_types") or []],
        "precision": node.get("precision", "default"),
        "trainable": bool(node.get("trainable", True)),
        "seed": None,
        "concat_output_tebd": bool(node.get("concat_output_tebd", True)),
        "use_econf_tebd": embedding["use_econf_tebd"],
        "use_tebd_bias": embedding["use_tebd_bias"],
    }
    for key, name in (("davg", "t_avg"), ("dstd", "t_std")):
        values[f"descrpt_attr{suffix}/{name}"] = np.asarray(node["@variables"][key]).reshape(ntypes, -1)
    scope, nets = f"filter_type_all{suffix}", {}
    for tail, key in _nets(mode):
        net = nodes.network(node[key], (), f"{where}/{key}")
        nets[scope, tail] = nodes.read_embedding(net, f"{where}/{key}/0", section["activation_function"])
    section["resnet_dt"] = nodes.add_embeddings(values, nets)
    return section, values


def write(section, values, ntypes, type_map, suffix=""):
    """Translate back; returns a ``Descriptor`` object."""
    neuron, mode = [int(n) for n in section["neuron"]], section.get("tebd_input_mode", "concat")
    activation, resnet_dt = section.get("activation_function", "tanh"), bool(section.get("resnet_dt", False))
    width, nsel = int(section.get("tebd_dim", 8)), int(np.sum(section["sel"]))
    scope, nets = f"filter_type_all{suffix}", {}
    for tail, key in _nets(mode):
        layers = []
        for k in range(1, len(neuron) + 1):
            w = values[f"{scope}/matrix_{k}{tail}"]
            idt = values.get(f"{scope}/idt_{k}{tail}") if resnet_dt else None
            idt = idt if w.shape[1] in (w.shape[0], 2 * w.shape[0]) else None
            layers.append((w, values[f"{scope}/bias_{k}{tail}"], idt))
        precision = nodes.precision_name(None, layers[0][0])
        net = nodes.embedding_net(
            layers, neuron=neuron, activation=activation, resnet_dt=resnet_dt, precision=precision
        )
        nets[key] = nodes.collection("embedding_network", ntypes, 0, {(): net})
    linear = {
        "neuron": [width], "activation_function": "Linear", "use_econf_tebd": section.get("use_econf_tebd", False),
        "use_tebd_bias": section.get("use_tebd_bias", True), "trainable": section.get("trainable", True),
    }  # fmt: skip
    rcut, smooth = float(section["rcut"]), float(section.get("rcut_smth", 0.5))
    protection = float(section.get("env_protection") or 0.0)
    shape = (ntypes, nsel, 4)
    return {
        "@class": "Descriptor",
        "type": "se_e3_tebd",
        "@version": 1,
        "rcut": rcut,
        "rcut_smth": smooth,
        "sel": [nsel],
        "ntypes": ntypes,
        "neuron": neuron,
        "tebd_dim": width,
        "tebd_input_mode": mode,
        "set_davg_zero": bool(section.get("set_davg_zero", True)),
        "activation_function": activation,
        "resnet_dt": resnet_dt,
        "concat_output_tebd": bool(section.get("concat_output_tebd", True)),
        "use_econf_tebd": bool(section.get("use_econf_tebd", False)),
        "type_map": list(type_map),
        "precision": precision,
        **nets,
        "env_mat": {"rcut": rcut, "rcut_smth": smooth, "protection": protection, "use_exp_switch": False},
        "type_embedding": type_embedding.write(linear, values, ntypes, type_map, padding=True, suffix=suffix),
        "exclude_types": [list(map(int, p)) for p in section.get("exclude_types") or []],
        "env_protection": protection,
        "smooth": bool(section.get("smooth", True)),
        "@variables": {
            "davg": values[f"descrpt_attr{suffix}/t_avg"].reshape(shape),
            "dstd": values[f"descrpt_attr{suffix}/t_std"].reshape(shape),
        },
        "trainable": bool(section.get("trainable", True)),
    }
