"""Fitting nets: hidden layers with width-keeping residuals, and a linear last layer."""

import math
import os

from dptf.nn.activation import activation_code, get_activation
from dptf.nn.parameters import lowered, normal
from dptf.ops import op_module, tf

#: The largest code of an activation that the fused op knows.
LARGEST_CODE = 7


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
    compute : tf.DType, optional
        The hidden layers work in this type; their sums and the last layer in that of the weights.
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
        compute=None,
    ):
        self._phi, self._activation, self._compute = get_activation(activation), activation, compute
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
        for *layer, adds in hidden:
            low, w, b, dt = lowered(self._compute, x, *layer)
            h = self._phi(tf.nn.bias_add(tf.matmul(low, w), b))
            h = h if dt is None else h * dt
            h = h if self._compute is None else tf.cast(h, x.dtype)
            if adds and int(w.shape[1]) == 2 * int(w.shape[0]):
                x = tf.concat([x, x], 1)
            x = x + h if adds else h
        return tf.nn.bias_add(tf.matmul(x, last[0]), last[1])

    @property
    def weights(self):
        """Arrays of all layers in the order of the fused op."""
        return [x for w, b, dt, _ in self._layers for x in (w, b, dt) if x is not None]

    @property
    def form(self):
        """What decides the formula beside the widths: code of the activation, residuals and time steps of the hidden layers."""
        hidden = self._layers[:-1]
        return {
            "activation": activation_code(self._activation)[0],
            "residual": [adds for *_, adds in hidden],
            "timestep": [dt is not None for _, _, dt, _ in hidden],
        }

    def can_fuse(self):
        """Whether the fused op computes this net: ordinary precision, a plain activation, no doubling residual."""
        doubles = any(adds and w.shape[0] != w.shape[1] for w, _, _, adds in self._layers)
        known = len(self._layers) > 1 and activation_code(self._activation)[0] <= LARGEST_CODE
        known = known and self._compute is None
        return known and not doubles and self._layers[0][0].dtype.base_dtype in (tf.float32, tf.float64)


def plain_wanted():
    """Whether DPTF_PLAIN asks for plain ops."""
    return os.environ.get("DPTF_PLAIN", "0") not in ("", "0")


def fusion_wanted(params):
    """Whether a graph is one for training (a frozen one holds public ops), and nobody asks for plain ops."""
    return not params.portable and not plain_wanted()


def fused_nets(x, counts, nets, net_of, *, gradient):
    """Evaluate the nets of all types by one op that also differentiates them.

    Parameters
    ----------
    x : tensor, shape (nf, n, n_in)
        Sorted by type in every frame.
    counts : int32 tensor, shape (2 + ntypes,)
        Atoms of type t are ``counts[2 + t]``.
    nets : list of FittingNet
        Of equal widths.
    net_of : list of int
        Net of every type, -1 for none; empty where one net serves all atoms, in any order.
    gradient : bool
        Whether the derivative of the outputs in x will be differentiated again (forces); for nets with one output.

    Returns
    -------
    tensor, shape (nf, n, n_out)
        Zero where there is no net.
    """
    weights = [w for net in nets for w in net.weights]
    y, *_ = op_module.dptf_fitting_net(x, counts, weights, net_of=net_of, gradient=gradient, **nets[0].form)
    return y
