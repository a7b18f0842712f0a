"""The type embedding of DPA descriptors: one linear layer, part of the descriptor."""

import numpy as np

from dptf.errors import UserError
from dptf.exchange import type_embedding


def read(node, where, suffix=""):
    """Translate an embedding of one linear layer.

    Returns
    -------
    section : dict
        ``tebd_dim``, ``use_econf_tebd``, ``use_tebd_bias`` of the descriptor.
    values : dict
        Variable name -> array.
    """
    options, values = type_embedding.read(node, where, suffix)
    linear = str(options["activation_function"]).lower() in ("linear", "none")
    if len(options["neuron"]) != 1 or not linear or options["resnet_dt"]:
        raise UserError("is not one linear layer, which is all that graphs have here", where)
    section = {"tebd_dim": options["neuron"][0]}
    return section | {key: options[key] for key in ("use_econf_tebd", "use_tebd_bias")}, values


def write(section, values, ntypes, type_map, suffix=""):
    """A ``TypeEmbedNet`` from the variables of a graph; ``section`` is that of the descriptor."""
    w = values[f"type_embed_net{suffix}/matrix_1"]
    options = {
        "neuron": [w.shape[1]], "activation_function": "Linear", "trainable": section.get("trainable", True),
        "use_econf_tebd": bool(section.get("use_econf_tebd")), "use_tebd_bias": bool(section.get("use_tebd_bias")),
    }  # fmt: skip
    return type_embedding.write(options, values, ntypes, type_map, padding=True, suffix=suffix)


def write_table(table, ntypes, type_map):
    """A ``TypeEmbedNet`` whose single layer holds given vectors (ntypes, dim) and adds nothing to them."""
    node = write({}, {"type_embed_net/matrix_1": np.asarray(table)}, ntypes, type_map)
    node["embedding"]["layers"][0]["resnet"] = False
    return node


def type_table(values, suffix, table_in, activation):
    """Vectors of the types (ntypes, dim) from the net of a model.

    Parameters
    ----------
    values : dict
        Constants of the graph.
    suffix : str
        Of the variables.
    table_in : array
        Input of the net, one row per type.
    activation : str
    """
    from dptf.nn.embedding import apply_embedding
    from dptf.ops import tf
    from dptf.session import new_session

    layers, k = [], 1
    while f"type_embed_net{suffix}/matrix_{k}" in values:
        layers.append(tuple(values.get(f"type_embed_net{suffix}/{name}_{k}") for name in ("matrix", "bias", "idt")))
        k += 1
    dtype = layers[0][0].dtype
    with tf.Graph().as_default(), new_session() as session:
        constants = [tuple(None if a is None else tf.constant(a) for a in layer) for layer in layers]
        return session.run(apply_embedding(tf.constant(table_in.astype(dtype)), constants, activation))
