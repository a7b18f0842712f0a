"""Embedding nets: maps of few numbers to a feature vector, with width-keeping or width-doubling residuals."""

import math

from dptf.nn.activation import get_activation
from dptf.nn.parameters import lowered, normal
from dptf.ops import tf


class Seeder:
    """Op seeds of consecutive nets; None stays None."""

    def __init__(self, seed):
        self.seed = seed

    def layer(self, offset):
        return None if self.seed is None else self.seed + offset

    def advance(self, steps):
        if self.seed is not None:
            self.seed += steps


def embedding_layers(
    params, scope, suffix, widths, dtype, seeder, *, n_in=1, resnet_dt=False, trainable=True, bias=True
):
    """Weights of one net.

    Returns
    -------
    list of (matrix, bias, idt)
        Shapes (n_in, n_out), (n_out,) and (1, n_out); bias is None if there are none, idt without time steps or where no
        residual uses it.
    """
    layers = []
    for k, n_out in enumerate(widths, start=1):
        std = 1.0 / math.sqrt(n_in + n_out)
        w = params.get(
            f"{scope}/matrix_{k}{suffix}", [n_in, n_out], normal(std, seed=seeder.layer(3 * k)), dtype, trainable
        )
        b = idt = None
        if bias:
            b = params.get(
                f"{scope}/bias_{k}{suffix}", [n_out], normal(1.0, seed=seeder.layer(3 * k + 1)), dtype, trainable
            )
        if resnet_dt:
            step = f"{scope}/idt_{k}{suffix}", [1, n_out], normal(0.001, 1.0, seeder.layer(3 * k + 2)), dtype
            if n_out in (n_in, 2 * n_in):
                idt = params.get(*step, trainable)
            else:
                params.keep(*step)
        layers.append((w, b, idt))
        n_in = n_out
    seeder.advance(3 * (len(widths) + 1))
    return layers


def apply_embedding(x, layers, activation, compute=None):
    """Evaluate a net on x, shape (n, n_in); returns (n, n_out of the last layer).

    With `compute` (a floating type) every layer works in it, and sums of layers are formed in the type of x.
    """
    phi = get_activation(activation)
    for layer in layers:
        low, w, b, idt = lowered(compute, x, *layer)
        n_in, n_out = int(w.shape[0]), int(w.shape[1])
        z = tf.matmul(low, w)
        h = phi(z if b is None else tf.nn.bias_add(z, b))
        residual = n_out in (n_in, 2 * n_in)
        h = h * idt if residual and idt is not None else h
        h = h if compute is None else tf.cast(h, x.dtype)
        if residual:
            h = h + (x if n_in == n_out else tf.concat([x, x], 1))
        x = h
    return x
