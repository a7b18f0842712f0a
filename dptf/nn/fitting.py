"""Fitting nets: hidden layers with width-keeping residuals, and a linear last layer."""

import math

from dptf.nn.activation import get_activation
from dptf.nn.parameters import normal
from dptf.ops import tf


class FittingNet:
    """Weights of one fitting net.

    Parameters
    ----------
    params : Parameters
    names : list of str
        Scope of every layer, the last one included.
    n_in, neuron, n_out
        Widths.
    seeder : Seeder
        Shared by consecutive nets.
    trainable : list of bool
        One entry per layer, the last one included.
    residual : list of bool, optional
        Hidden layers that add their input (once, or twice side by side where the width doubles), as imported models state it;
        by default those that keep their width, except the first.
    timestep : list of bool, optional
        Hidden layers that scale their result by a trained step, as imported models state it; by default, with `resnet_dt`, those
        that add their input.
    """

    def __init__(
        self,
        params,
        names,
        n_in,
        neuron,
        n_out,
        dtype,
        activation,
        resnet_dt,
        seeder,
        trainable,
        residual=None,
        timestep=None,
    ):
        self._phi = get_activation(activation)
        self._layers = []
        widths = [*neuron, n_out]
        for k, (name, n) in enumerate(zip(names, widths)):
            adds = 0 < k < len(neuron) and n == n_in
            if residual is not None:
                adds = k < len(neuron) and residual[k] and n in (n_in, 2 * n_in)
            w = params.get(
                f"{name}/matrix",
                [n_in, n],
                normal(1.0 / math.sqrt(n_in + n), seed=seeder.layer(0)),
                dtype,
                trainable[k],
            )
            b = params.get(f"{name}/bias", [n], normal(1.0, seed=seeder.layer(1)), dtype, trainable[k])
            dt = None
            if timestep[k] if timestep is not None and k < len(neuron) else adds and resnet_dt:
                dt = params.get(f"{name}/idt", [n], normal(0.001, 0.1, seeder.layer(2)), dtype, trainable[k])
            self._layers.append((w, b, dt, adds))
            seeder.advance(3)
            n_in = n

    def __call__(self, x):
        """Evaluate rows x, shape (n, n_in); returns (n, n_out)."""
        *hidden, last = self._layers
        for w, b, dt, adds in hidden:
            h = self._phi(tf.nn.bias_add(tf.matmul(x, w), b))
            h = h if dt is None else h * dt
            if adds and int(w.shape[1]) == 2 * int(w.shape[0]):
                x = tf.concat([x, x], 1)
            x = x + h if adds else h
        return tf.nn.bias_add(tf.matmul(x, last[0]), last[1])
