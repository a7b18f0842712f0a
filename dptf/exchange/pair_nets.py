"""The embedding nets of descriptors of mixed types: one for the scalar (and types), one for the types in strip form."""

import numpy as np

from dptf.exchange import nodes


def read(node, where, scope, tail, activation):
    """Translate a collection with a single net.

    Returns
    -------
    values : dict
        ``<scope>/matrix_<l><tail>`` and so on; time steps of 1 are filled in where only some layers have them.
    resnet_dt : bool
    """
    values, time_steps, resnet_dt = {}, {}, False
    net = nodes.network(node, (), where)
    for k, (w, b, idt) in enumerate(nodes.read_embedding(net, f"{where}/networks/0", activation), start=1):
        values[f"{scope}/matrix_{k}{tail}"], values[f"{scope}/bias_{k}{tail}"] = w, b
        if w.shape[1] in (w.shape[0], 2 * w.shape[0]):
            time_steps[f"{scope}/idt_{k}{tail}"] = np.ones(w.shape[1]) if idt is None else idt
        resnet_dt |= idt is not None
    return values | (time_steps if resnet_dt else {}), resnet_dt


def write(values, scope, tail, *, count, ntypes, activation, resnet_dt):
    """A collection with the net of ``count`` layers."""
    layers = [
        (
            values[f"{scope}/matrix_{k}{tail}"],
            values[f"{scope}/bias_{k}{tail}"],
            values.get(f"{scope}/idt_{k}{tail}") if resnet_dt else None,
        )
        for k in range(1, count + 1)
    ]
    net = nodes.embedding_net(
        layers, neuron=[w.shape[1] for w, _, _ in layers], activation=activation, resnet_dt=resnet_dt,
        precision=nodes.precision_name(None, layers[0][0]),
    )  # fmt: skip
    return nodes.collection("embedding_network", ntypes, 0, {(): net})
