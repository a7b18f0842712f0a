"""Embedding nets of one number, evaluated on a grid and contracted with the environment matrix by one op.

For a fixed net, G is a smooth map from the scalar s(r) to R^M. In every training step the net is evaluated, with its first
two derivatives in s, on the nodes of a uniform grid that covers the batch; the op interpolates with quintic Hermite pieces
and forms ``sum_j R_ij (x) G(s_ij)``. Interpolation is linear in the node values, so the gradient to the weights flows
through the nodes; forces use the derivative of the very piece, so energy and force stay consistent.
"""

from dptf.ops import op_module, tf

#: Codes of the activations that are smooth enough to be interpolated.
SMOOTH_ACTIVATIONS = {
    "none": 0, "linear": 0, "tanh": 1, "gelu": 2, "gelu_tf": 2, "softplus": 5, "sigmoid": 6, "silu": 7,
}  # fmt: skip

#: Grid spacing in units of the normalised s(r). With default initialisation the error of G relative to the exact net is
#: near 1e-14, that of dG/ds near 1e-12 (measured by tests/op/test_embed_contract.py).
DEFAULT_SPACING = 1.0 / 64


def is_tabulable(activation):
    """Whether nets with this activation may be replaced by their table (it must be smooth)."""
    return str(activation).lower() in SMOOTH_ACTIVATIONS


def jet_nodes(x, nets, activation):
    """Values and two derivatives of embedding nets on the grid.

    Parameters
    ----------
    x : tensor, shape (K,)
        Grid nodes.
    nets : list of list of (matrix, bias, idt)
        For every net its layers; shapes (n_in, n_out), (n_out,), (1, n_out) or None. All nets have the same widths.
    activation : str
        Name of a smooth activation.

    Returns
    -------
    tensor, shape (len(nets), K, 3, M)
        ``[:, :, d]`` is the d-th derivative in x.
    """
    code = SMOOTH_ACTIVATIONS[str(activation).lower()]
    n_nets = len(nets)
    column = tf.stack([x, tf.ones_like(x), tf.zeros_like(x)], axis=1)  # (K, 3)
    y = tf.tile(column[None, :, :, None], [n_nets, 1, 1, 1])
    n_prev = 1
    for layers in zip(*nets):
        n = int(layers[0][0].shape[1])
        weights = tf.stack([w for w, _, _ in layers])
        bias = tf.stack([tf.reshape(b, [-1]) for _, b, _ in layers])
        residual = 1 if n == n_prev else 2 if n == 2 * n_prev else 0
        if residual and layers[0][2] is not None:
            idt = tf.stack([tf.reshape(dt, [-1]) for _, _, dt in layers])
        else:
            idt = tf.zeros([0], dtype=bias.dtype)
        z = tf.matmul(tf.reshape(y, [n_nets, -1, n_prev]), weights)
        z = tf.reshape(z, [n_nets, -1, 3, n])
        y = op_module.dptf_jet_layer(z, y, bias, idt, activation=code, residual=residual)
        n_prev = n
    return y


def embed_contract(env, nlist, atype, nets, activation, *, sel, net_of, spacing=DEFAULT_SPACING, factor=None):
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
    nets, activation
        See :func:`jet_nodes`.
    sel : list of int
        Slots per neighbor type.
    net_of : list of int, length ntypes**2
        Index into ``nets`` for (center type, neighbor type), row-major; -1 where the pair is excluded.
    spacing : float or scalar tensor
        Grid spacing in units of ``env[..., 0]``.
    factor : tensor, shape (n_nets, M), optional
        ``nets`` holds one net; net k is that one times ``factor[k]``.

    Returns
    -------
    tensor, shape (n, 4, M)
        The sum over all slots, empty ones included (they hold the constant row -davg/dstd).
    scalar tensor
        Interpolation error of the current nets on the grid, relative; costs nothing unless it is evaluated.
    """
    h = tf.cast(spacing, env.dtype)
    attrs = {"sel": list(sel), "net_of": list(net_of)}
    x0, x = op_module.dptf_embed_grid(tf.stop_gradient(env), nlist, atype, h, **attrs)
    nodes = jet_nodes(x, nets, activation)
    error = _table_error(x, h, nodes, nets, activation)
    if factor is not None:
        nodes = nodes * factor[:, None, None, :]
    return op_module.dptf_embed_contract(env, nlist, atype, nodes, x0, h, **attrs), error


def _table_error(x, h, nodes, nets, activation):
    """Largest difference of piece and net in the middle of the intervals, relative to the largest node value."""
    middle = jet_nodes(x[:-1] + 0.5 * h, nets, activation)[:, :, 0]
    left, right = nodes[:, :-1], nodes[:, 1:]
    piece = (
        0.5 * (left[:, :, 0] + right[:, :, 0])
        + h * (5.0 / 32.0) * (left[:, :, 1] - right[:, :, 1])
        + h * h / 64.0 * (left[:, :, 2] + right[:, :, 2])
    )
    return tf.reduce_max(tf.abs(piece - middle)) / tf.reduce_max(tf.abs(middle))
