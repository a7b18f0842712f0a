"""The type embedding (``TypeEmbedNet``) that descriptors of mixed types hold in files, and models in graphs."""

import numpy as np

from dptf.exchange import nodes

_KEYS = (
    "ntypes", "neuron", "resnet_dt", "precision", "activation_function", "trainable", "padding", "use_econf_tebd",
    "use_tebd_bias", "type_map", "embedding",
)  # fmt: skip


def read(node, where, suffix="", name="type_embed_net"):
    """Translate an embedding.

    Returns
    -------
    section : dict
        ``model/type_embedding`` of the input.
    values : dict
        Variable name -> array.
    """
    nodes.expect(node, where, cls="TypeEmbedNet", versions=(1, 2), keys=_KEYS)
    activation = node.get("activation_function", "tanh")
    section = {
        "neuron": [int(n) for n in node["neuron"]],
        "activation_function": activation,
        "resnet_dt": False,
        "precision": node.get("precision", "default"),
        "trainable": bool(node.get("trainable", True)),
        "seed": None,
        "use_econf_tebd": bool(node.get("use_econf_tebd", False)),
        "use_tebd_bias": bool(node.get("use_tebd_bias", True)),
    }
    scope = f"{name}{suffix}"
    values, time_steps = {}, {}
    net = node["embedding"]
    for k, (w, b, idt) in enumerate(nodes.read_embedding(net, f"{where}/embedding", activation), start=1):
        values[f"{scope}/matrix_{k}"] = w
        if section["use_tebd_bias"]:
            values[f"{scope}/bias_{k}"] = b
        if w.shape[1] in (w.shape[0], 2 * w.shape[0]):
            time_steps[f"{scope}/idt_{k}"] = np.ones(w.shape[1]) if idt is None else idt
        section["resnet_dt"] |= idt is not None
    if section["resnet_dt"]:
        values |= {name: idt.reshape(1, -1) for name, idt in time_steps.items()}
    return section, values


def write(section, values, ntypes, type_map, *, padding, suffix="", name="type_embed_net"):
    """Translate back; returns a ``TypeEmbedNet`` object."""
    scope = f"{name}{suffix}"
    neuron = [int(n) for n in section["neuron"]]
    use_bias, resnet_dt = bool(section.get("use_tebd_bias", False)), bool(section.get("resnet_dt", False))
    activation = section.get("activation_function", "tanh") or "Linear"
    layers = []
    for k, n_out in enumerate(neuron, start=1):
        w = values[f"{scope}/matrix_{k}"]
        idt = values.get(f"{scope}/idt_{k}") if resnet_dt and n_out in (w.shape[0], 2 * w.shape[0]) else None
        layers.append((w, values[f"{scope}/bias_{k}"] if use_bias else None, idt))
    precision = nodes.precision_name(None, layers[0][0])
    return {
        "@class": "TypeEmbedNet",
        "@version": 2,
        "ntypes": ntypes,
        "neuron": neuron,
        "resnet_dt": resnet_dt,
        "precision": precision,
        "activation_function": activation,
        "embedding": nodes.embedding_net(
            layers, neuron=neuron, activation=activation, resnet_dt=resnet_dt, precision=precision, bias=use_bias
        ),
        "use_econf_tebd": bool(section.get("use_econf_tebd", False)),
        "use_tebd_bias": use_bias,
        "type_map": None if type_map is None else list(type_map),
        "trainable": bool(section.get("trainable", True)),
        "padding": bool(padding),
    }
