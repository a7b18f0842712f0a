"""Checked access to the objects of a model tree: classes, versions, keys, nets."""

import numpy as np

from dptf.errors import UserError


def expect(node, where, *, cls=None, versions=None, keys=None):
    """Check class, version and keys of an object; an unknown key may change the mathematics, so it is an error.

    Parameters
    ----------
    node : dict
    where : str
        Path in the tree, for messages.
    cls : str, optional
    versions : (int, int), optional
        Lowest and highest known.
    keys : iterable of str, optional
        All keys that are understood.
    """
    if not isinstance(node, dict):
        raise UserError(f"an object was expected, found {type(node).__name__}", where)
    if cls is not None and node.get("@class", cls) != cls:
        raise UserError(f"@class is '{node.get('@class')}', expected '{cls}'", where)
    version = node.get("@version", 1)
    if versions is not None and not versions[0] <= version <= versions[1]:
        raise UserError(f"@version is {version}, known are {versions[0]} to {versions[1]}", where, "update dptf")
    if keys is not None:
        unknown = set(node) - set(keys) - {"@class", "@version", "type"}
        if unknown:
            raise UserError(f"unknown key '{min(unknown)}', which may change the model", where, "update dptf")


def refuse(node, where, **allowed):
    """Demand that optional keys have one of the values that graphs can express (None stands for absent)."""
    for key, values in allowed.items():
        value = node.get(key)
        if value is not None and not any(_same(value, v) for v in values):
            raise UserError(f"is {value}, which graphs of this package cannot express", f"{where}/{key}")


def _same(a, b):
    return (a == b) if not isinstance(a, np.ndarray) else a.size == np.size(b) and bool(np.all(a == b))


def network(collection, key, where):
    """The net of a collection for a key (t0, t1, ...); the first index runs fastest.

    Returns
    -------
    dict or None
    """
    expect(collection, where, cls="NetworkCollection", versions=(1, 1))
    ntypes, index = collection["ntypes"], 0
    if len(key) != collection["ndim"]:
        raise UserError(f"has ndim {collection['ndim']}, expected {len(key)}", where)
    for position, t in enumerate(key):
        index += t * ntypes**position
    return collection["networks"][index]


def collection(kind, ntypes, ndim, networks):
    """A NetworkCollection; ``networks`` maps keys (t0, t1, ...) to nets."""
    flat = [None] * ntypes**ndim
    for key, net in networks.items():
        flat[sum(t * ntypes**position for position, t in enumerate(key))] = net
    return {
        "@class": "NetworkCollection",
        "@version": 1,
        "ndim": ndim,
        "ntypes": ntypes,
        "network_type": kind,
        "networks": flat,
    }


_LAYER_KEYS = ("bias", "use_timestep", "activation_function", "resnet", "precision", "trainable", "@variables")


def layer_arrays(layer, where, *, activation, residual, free_step=False):
    """Weights of a layer that a graph computes as act(x w + b), then ``idt`` and the residual where widths allow.

    Parameters
    ----------
    layer : dict
        A ``Layer`` object.
    activation : str
        Activation of the graph.
    residual : bool
        Whether the graph adds the input here.
    free_step : bool
        Whether the graph can have a time step without adding the input.

    Returns
    -------
    w : (n_in, n_out) array
    b : (n_out,) array
    idt : (n_out,) array or None
    """
    expect(layer, where, cls="Layer", versions=(1, 2), keys=_LAYER_KEYS)
    values = layer["@variables"]
    w = np.asarray(values["w"])
    n_in, n_out = w.shape
    b = np.zeros(n_out, w.dtype) if values.get("b") is None else np.asarray(values["b"]).reshape(n_out)
    idt = None if values.get("idt") is None else np.asarray(values["idt"]).reshape(n_out)
    own = str(layer.get("activation_function") or "none").lower().replace("linear", "none")
    if own != str(activation or "none").lower().replace("linear", "none"):
        raise UserError(f"activation is '{own}', other layers have '{activation}'", where)
    wants = bool(layer.get("resnet")) and n_out in (n_in, 2 * n_in)
    if wants != residual:
        has, graph = ("a", "none") if wants else ("no", "one")
        raise UserError(
            f"the layer ({n_in} -> {n_out}) has {has} residual connection where graphs have {graph}",
            where,
            "such a net cannot be expressed; train with other widths",
        )
    if idt is not None and not residual and not free_step:
        if not np.all(idt == 1):
            raise UserError("a time step without residual connection cannot be expressed by graphs", where)
        idt = None
    return w, b, idt


def make_layer(w, b, idt, *, activation, resnet, precision, trainable=True):
    """A ``Layer`` object; ``idt`` is an array or None."""
    return {
        "@class": "Layer",
        "@version": 2,
        "bias": b is not None,
        "use_timestep": idt is not None,
        "activation_function": activation,
        "resnet": bool(resnet),
        "precision": precision,
        "trainable": bool(trainable),
        "@variables": {
            "w": np.asarray(w),
            "b": None if b is None else np.asarray(b).ravel(),
            "idt": None if idt is None else np.asarray(idt).ravel(),
        },
    }


def embedding_net(layers, *, neuron, activation, resnet_dt, precision, bias=True):
    """An ``EmbeddingNetwork`` object from (w, b, idt) of its layers; b is None without biases."""
    return {
        "@class": "EmbeddingNetwork",
        "@version": 2,
        "in_dim": int(np.asarray(layers[0][0]).shape[0]),
        "neuron": [int(n) for n in neuron],
        "activation_function": activation,
        "resnet_dt": bool(resnet_dt),
        "bias": bool(bias),
        "precision": precision,
        "layers": [
            make_layer(w, b, idt, activation=activation, resnet=True, precision=precision) for w, b, idt in layers
        ],
    }


_EMBEDDING_KEYS = ("in_dim", "neuron", "activation_function", "resnet_dt", "bias", "precision", "layers")


def read_embedding(net, where, activation):
    """Yield (w, b, idt) of the layers of an ``EmbeddingNetwork``; idt is None where no residual uses it."""
    expect(net, where, cls="EmbeddingNetwork", versions=(1, 2), keys=_EMBEDDING_KEYS)
    for k, layer in enumerate(net["layers"]):
        n_in, n_out = np.asarray(layer["@variables"]["w"]).shape
        yield layer_arrays(layer, f"{where}/layers/{k}", activation=activation, residual=n_out in (n_in, 2 * n_in))


def add_embeddings(values, nets):
    """Add the variables of embedding nets, {(scope, tail): layers as `read_embedding` yields them}; tell whether they have time steps."""
    resnet_dt, time_steps = False, {}
    for (scope, tail), layers in nets.items():
        for k, (w, b, idt) in enumerate(layers, start=1):
            values[f"{scope}/matrix_{k}{tail}"], values[f"{scope}/bias_{k}{tail}"] = w, b
            if w.shape[1] in (w.shape[0], 2 * w.shape[0]):
                time_steps[f"{scope}/idt_{k}{tail}"] = np.ones(w.shape[1]) if idt is None else idt
            resnet_dt |= idt is not None
    if resnet_dt:  # a residual without time step is one with the step 1
        values |= {name: idt.reshape(1, -1) for name, idt in time_steps.items()}
    return resnet_dt


def zeros_like(net):
    """A net of the same shape with zeros, where a reader wants a net whose output it discards."""
    layers = [
        layer | {"@variables": {k: None if v is None else np.zeros_like(v) for k, v in layer["@variables"].items()}}
        for layer in net["layers"]
    ]
    return net | {"layers": layers}


def precision_name(name, array=None):
    """Precision as files spell it: a NumPy dtype name."""
    if array is not None:
        return np.asarray(array).dtype.name
    return {"default": "float64", "double": "float64", "single": "float32", "half": "float16"}.get(name, name)
