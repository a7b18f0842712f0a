"""Computation on ragged edges and angles: which rows belong together, and the few operations that models are made of.

Every operation has two forms that agree to rounding: one of the package's own fused ops, and one of plain TensorFlow ops
(``fused=False``), which shows the mathematics and serves as the reference in tests.
"""

from dptf.nn.activation import activation_code, get_activation, get_fused_activation
from dptf.ops import op_module, tf


class Edges:
    """Edges and angles of a batch; see ``lib/include/dptf/ragged_edges.h`` for the order of the rows.

    With `keep`, messages keep numbers for their gradients to positions, the only ones there are then. `memory` are the bytes that an
    evaluation takes for an atom, a ghost, an edge, an angle edge and an angle: lists that would need more than there is are refused.

    Attributes
    ----------
    vec : tensor, shape (n_edge, 3), Å
        Neighbor minus center: what forces are the derivatives of.
    local : tensor, shape (nf * nloc, 3), Å
    center, neighbor : int32 tensors, shape (n_edge,)
        Rows of the node features.
    a_edge : int32 tensor, shape (n_angle_edge,)
        Edges that form angles, the first ones of every center.
    """

    NAMES = (
        "vec", "local", "start", "center", "neighbor", "atom", "slot", "in_start", "in_edge", "a_start", "a_edge",
        "angle_start", "angle_k",
    )  # fmt: skip

    def __init__(
        self, coord, atype, natoms, box, mesh, *, cutoffs, e_sel, a_sel, ntypes, exclude=(), fused=True, keep=False,
        memory=(),
    ):  # fmt: skip
        self.natoms, self.fused, self.keep = natoms, fused, keep
        flat = [t for pair in sorted(exclude) for t in pair]
        outputs = op_module.dptf_ragged_edges(
            coord, atype, natoms, box, mesh, tf.constant(cutoffs, tf.float64), e_sel=e_sel, a_sel=a_sel, ntypes=ntypes,
            exclude=flat, memory=list(memory), name="DptfRaggedEdges",
        )  # fmt: skip
        for name, tensor in zip(self.NAMES, outputs):
            setattr(self, name, tensor)
        self._empty = tf.zeros([0], tf.int32)

    # -- rows -------------------------------------------------------------------------------------------------------------

    def of_angle_edges(self, x):
        """Rows of x (n_edge, d) of the edges that form angles."""
        return op_module.dptf_take_rows(x, self.a_edge) if self.fused else tf.gather(x, self.a_edge)

    def share_angle_edges(self, x, columns):
        """x (n_edge, d) itself, and the first columns of its rows of the edges that form angles: for who reads both."""
        if self.fused:
            return op_module.dptf_share_rows(x, self.a_edge, columns=columns)
        return x, tf.gather(x[:, :columns], self.a_edge)

    def from_angle_edges(self, y):
        """Rows y (n_angle_edge, d) put at their edges, zeros for the others."""
        n = tf.shape(self.center)[0]
        if self.fused:
            return op_module.dptf_put_rows(y, self.a_edge, n)
        return tf.scatter_nd(self.a_edge[:, None], y, tf.stack([n, tf.shape(y)[1]]))

    def add_angle_edges(self, x, y):
        """x (n_edge, d) with the rows y (n_angle_edge, d) added at their edges."""
        if self.fused:
            return op_module.dptf_add_rows(x, y, self.a_edge)
        return x + self.from_angle_edges(y)

    def centers_to_angle_edges(self, x):
        """Rows of x (n_center, d) for every angle edge."""
        if self.fused:
            return op_module.dptf_spread(x, self.a_start)
        return tf.gather(x, tf.gather(self.center, self.a_edge))

    def _owners(self, start):
        """Owner of every row."""
        return tf.searchsorted(start[1:], tf.range(start[-1]), side="right")

    def activate(self, x, activation):
        """The activation of a name, of all numbers of x."""
        return (get_fused_activation if self.fused else get_activation)(activation)(x)

    # -- sums -------------------------------------------------------------------------------------------------------------

    def moments(self, w, x, *, of_neighbors):
        """sum_j w_ij[c] x: rows of edges, or those of their neighbors.

        Parameters
        ----------
        w : tensor, shape (n_edge, 3)
        x : tensor, shape (n_edge, d), or (n_rows, d) with `of_neighbors`

        Returns
        -------
        tensor, shape (n_center, 3, d)
        """
        if self.fused:
            index = (self.neighbor, self.in_start, self.in_edge) if of_neighbors else (self._empty,) * 3
            return op_module.dptf_moments(w, x, self.start, *index)
        rows = tf.gather(x, self.neighbor) if of_neighbors else x
        n = tf.shape(self.start)[0] - 1
        return tf.math.unsorted_segment_sum(w[:, :, None] * rows[:, None, :], self.center, n)

    def cosines(self, unit):
        """Products of the unit vectors (n_angle_edge, 3) of all ordered pairs; shape (n_angle,)."""
        if self.fused:
            return op_module.dptf_pair_dot(unit, unit, self.a_start)
        j, k = self._owners(self.angle_start), self.angle_k
        return tf.reduce_sum(tf.gather(unit, j) * tf.gather(unit, k), axis=1)

    def sum_of_edges(self, y):
        """Sums (n_center, d) of rows y (n_edge, d) of edges over those of every center."""
        if self.fused:
            return op_module.dptf_segment_sum(y, self.start)
        return tf.math.unsorted_segment_sum(y, self.center, tf.shape(self.start)[0] - 1)

    # -- the message step -------------------------------------------------------------------------------------------------

    def edge_message(self, x, weight, u, v, w, *, activation, kept=None):
        """Rows of edges: z = act(x W + u[center] + v[neighbor]); see :meth:`_message`."""
        where = self.start, self.neighbor, self.in_start, self.in_edge
        return self._message(x, weight, u, v, w, where, False, activation, kept)

    def angle_message(self, x, weight, u, v, w, *, activation, kept=None):
        """Rows of angles (j, k): z = act(x W + u[j] + v[k])."""
        where = self.angle_start, self.angle_k, self.a_start, self._empty
        return self._message(x, weight, u, v, w, where, True, activation, kept)

    def _message(self, x, weight, u, v, w, where, local, activation, kept):
        """Split z into a message and an update.

        Parameters
        ----------
        x : tensor, shape (n, k)
        weight : tensor, shape (k, m + d)
        u, v : tensors, shape (owners or rows, m + d)
        w : tensor, shape (n,)
            Weight of a row in the sum.
        kept : (skip, rho), optional
            Vectors of d numbers; None for d = 0. With k = 1 and d > 1 the one column of x is broadcast.

        Returns
        -------
        out : tensor, shape (owners, m)
            sum w z[:m].
        y : tensor, shape (n, d), or None
            skip * x + rho * z[m:].
        """
        skip, rho = kept if kept is not None else (tf.zeros([0], x.dtype),) * 2
        if self.fused:
            code, threshold = activation_code(activation)
            message = op_module.dptf_message_keep if self.keep else op_module.dptf_message
            out, y, *_ = message(
                x,
                weight,
                u,
                v,
                w,
                skip,
                rho,
                *where,
                local=local,
                activation=code,
                threshold=threshold,
            )
            return out, None if kept is None else y
        start, index = where[:2]
        owner = self._owners(start)
        z = get_activation(activation)(tf.matmul(x, weight) + tf.gather(u, owner) + tf.gather(v, index))
        m = int(weight.shape[1]) - int(skip.shape[0])
        out = tf.math.unsorted_segment_sum(w[:, None] * z[:, :m], owner, tf.shape(start)[0] - 1)
        return out, None if kept is None else skip * x + rho * z[:, m:]
