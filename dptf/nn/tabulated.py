"""Embedding nets of one number, evaluated at the nodes of a grid and contracted with the environment matrix by one op.

For a fixed net, G is a smooth map from the scalar s(r) to R^M. In every training step the net is evaluated at the Chebyshev
nodes of the pieces of a grid that covers the batch; the op interpolates by polynomials and forms ``sum_j R_ij (x) G(s_ij)``.
Interpolation is linear in the node values, so the gradient to the weights flows through the nodes; forces use the derivative of
the very polynomial, so energy and force stay consistent.
"""

import numpy as np

from dptf.nn.activation import activation_code, get_activation
from dptf.nn.fitting import LARGEST_CODE, plain_wanted
from dptf.ops import op_module, tf

#: Names of the activations that are smooth enough to be interpolated.
SMOOTH_ACTIVATIONS = frozenset(("none", "linear", "tanh", "gelu", "gelu_tf", "softplus", "sigmoid", "silu"))

#: Nodes of a piece (kTerms in lib/include/dptf/chebyshev.h).
NODES = 16

#: Mean distance of the nodes in units of the normalised s(r): pieces of width 1. With default initialisation the error of G is
#: near 1e-14, that of dG/ds near 1e-12 (measured by tests/op/test_embed_contract.py).
DEFAULT_SPACING = 1.0 / NODES

#: Typical range of the normalised s(r).
TYPICAL_RANGE = 10


def is_tabulable(activation):
    """Whether nets with this activation may be replaced by their table (it must be smooth)."""
    return str(activation).lower() in SMOOTH_ACTIVATIONS


def stacked_nets(x, nets, activation, *, first_adds=True):
    """Evaluate nets of equal widths.

    Parameters
    ----------
    x : tensor, shape (K,)
    nets : list of list of (matrix, bias, idt)
        For every net its layers; shapes (n_in, n_out), (n_out,), (1, n_out) or None.
    activation : str
    first_adds : bool
        Whether a first layer of one or two numbers adds its input; not where it stands for one with more inputs.

    Returns
    -------
    tensor, shape (len(nets), K, M)
    """
    phi, n_prev = get_activation(activation), 1
    y = tf.tile(x[None, :, None], [len(nets), 1, 1])
    for k, layers in enumerate(zip(*nets)):
        n = int(layers[0][0].shape[1])
        bias = tf.stack([tf.reshape(b, [1, -1]) for _, b, _ in layers])
        h = phi(tf.matmul(y, tf.stack([w for w, _, _ in layers])) + bias)
        if n in (n_prev, 2 * n_prev) and (k or first_adds):
            if layers[0][2] is not None:
                h *= tf.stack([tf.reshape(dt, [1, -1]) for _, _, dt in layers])
            h += y if n == n_prev else tf.concat([y, y], 2)
        y, n_prev = h, n
    return y


def fused_stacked_nets(x, nets, activation, *, first_adds=True):
    """The same as :func:`stacked_nets`, by the op of the fitting nets where it has the activation."""
    code = activation_code(activation)[0]
    if code > LARGEST_CODE or x.dtype not in (tf.float32, tf.float64) or plain_wanted():
        return stacked_nets(x, nets, activation, first_adds=first_adds)
    n, width = tf.size(x), int(nets[0][-1][0].shape[1])
    adds = [int(w.shape[1]) in (int(w.shape[0]), 2 * int(w.shape[0])) for w, *_ in nets[0]]
    adds[0] = adds[0] and first_adds
    timestep = [add and idt is not None for add, (*_, idt) in zip(adds, nets[0])]
    y, *_ = op_module.dptf_fitting_net(
        tf.tile(x[None, :, None], [1, len(nets), 1]),
        tf.concat([tf.zeros([2], tf.int32), tf.fill([len(nets)], n)], 0),
        [a for net in nets for layer, scaled in zip(net, timestep) for a in (layer if scaled else layer[:2])],
        net_of=list(range(len(nets))), activation=code, gradient=False, linear_top=False, residual=adds, timestep=timestep,
    )  # fmt: skip
    return tf.reshape(y, [len(nets), n, width])


def embed_contract(
    env,
    nlist,
    atype,
    nets,
    activation,
    *,
    sel,
    net_of,
    spacing=DEFAULT_SPACING,
    factor=None,
    damping=None,
    scale=None,
    first_adds=True,
):
    """Contract the environment matrix with tabulated nets: ``A[i] = sum_j R[i, j] (x) G(R[i, j, 0])``.

    Parameters
    ----------
    env : tensor, shape (n, nnei * 4)
        Normalised environment matrix of n atoms (frames flattened), as ``ProdEnvMatA`` gives it.
    nlist : int32 tensor, shape (n, nnei)
        Neighbor indices, -1 in empty slots. With one entry of ``sel`` and several types: types of the neighbors, and the
        sum leaves empty slots out.
    atype : int32 tensor, shape (n,)
        Types of the centers; negative for virtual atoms.
    nets, activation, first_adds
        See :func:`stacked_nets`.
    sel : list of int
        Slots per neighbor type.
    net_of : list of int, length ntypes**2
        Index into ``nets`` for (center type, neighbor type), row-major; -1 where the pair is excluded.
    spacing : float or scalar tensor
        Mean distance of the nodes in units of ``env[..., 0]``.
    factor : tensor, shape (n_nets, M), optional
        ``nets`` holds one net; net k is that one times ``1 + factor[k]``.
    damping : tensor, shape (n, nnei), optional
        Multiplies the factor in every slot, with one entry of ``sel``; the factor then is not optional.
    scale : float, optional
        Factor of the result.

    Returns
    -------
    tensor, shape (n, 4, M)
        The sum over all slots, empty ones included (they hold the constant row -davg/dstd).
    scalar tensor
        Interpolation error of the current nets on the grid, relative; costs nothing unless it is evaluated.
    """
    h = tf.cast(NODES * spacing, env.dtype)
    x0, x = op_module.dptf_embed_grid(tf.stop_gradient(env), nlist, atype, h, sel=list(sel), net_of=list(net_of))
    values = fused_stacked_nets(x, nets, activation, first_adds=first_adds)
    nodes = tf.reshape(values, [len(nets), -1, NODES, int(nets[0][-1][0].shape[1])])
    error = _table_error(x0, h, nodes, nets, activation, first_adds)
    if scale is not None:
        nodes *= scale  # fewer numbers than the result

    def contract(nodes, net_of, weight):
        return op_module.dptf_embed_contract(env, nlist, atype, nodes, x0, h, weight, sel=list(sel), net_of=net_of)

    none = tf.zeros([0], env.dtype)
    if factor is None:
        return contract(nodes, list(net_of), none), error
    if damping is None:
        return contract(nodes * (1.0 + factor)[:, None, None, :], list(net_of), none), error
    # The first part knows no types, so that its pieces are those of all neighbors.
    common = contract(nodes, [min(k, 0) for k in net_of], none)
    return common + contract(nodes * factor[:, None, None, :], list(net_of), damping), error


def _table_error(x0, h, nodes, nets, activation, first_adds):
    """Largest difference of polynomial and net between the nodes and at the ends of pieces, relative to the largest value."""
    t = np.cos(np.pi * np.arange(NODES + 1) / NODES)
    at = np.cos(np.pi * (np.arange(NODES) + 0.5) / NODES)
    # Interpolation from the nodes to t.
    weights = np.polynomial.chebyshev.chebvander(t, NODES - 1) @ np.linalg.inv(
        np.polynomial.chebyshev.chebvander(at, NODES - 1)
    )
    pieces = tf.cast(tf.range(tf.shape(nodes)[1]), h.dtype)
    x = x0 + h * (pieces[:, None] + tf.constant(0.5 * (1 + t), h.dtype))
    exact = tf.reshape(
        stacked_nets(tf.reshape(x, [-1]), nets, activation, first_adds=first_adds),
        [len(nets), -1, NODES + 1, int(nodes.shape[3])],
    )
    between = tf.einsum("tq,npqm->nptm", tf.constant(weights, nodes.dtype), nodes)
    return tf.reduce_max(tf.abs(between - exact)) / tf.reduce_max(tf.abs(exact))
