"""What the layers of DPA-2 do with the neighbors of an atom, in two forms that agree to rounding: on slots, with plain ops, and on
the list of the neighbors that there are, with fused ones.

Shapes: n atoms; `rows` of pairs are (n, k) slots or (n_edge,) neighbors, one atom after the other. Tables have a row for every atom
whose features somebody reads. Sums are damped by the switch, or masked.
"""

import math

from dptf.nn import masked_softmax
from dptf.nn.layers import apply_layer_norm, apply_linear
from dptf.ops import op_module, tf

_EPS = 1e-4


def _norms(count, nsel, *, smooth, sqrt_nnei):
    """Factors of means (scalar or (n, 1)) and of moments (scalar or (n, 1, 1)) over `count` (n,) neighbors."""
    if smooth:
        return 1.0 / nsel, nsel**-0.5 if sqrt_nnei else 1.0 / nsel
    mean = (1.0 / (_EPS + count))[:, None]
    return mean, (1.0 / (_EPS + tf.sqrt(count)))[:, None, None] if sqrt_nnei else mean[:, :, None]


class SlotEdges:
    """Plain ops on slots, of which empty ones are masked. Those beyond the fullest list may be missing; their share of a softmax is counted.

    Parameters
    ----------
    filled : bool tensor, shape (n, k)
    switch : tensor, shape (n, k)
        0 in empty slots.
    nsel : int
        Slots that sums are normalised with.
    smooth, sqrt_nnei : bool
    rows : int32 tensor, shape (n, k)
        Rows of the neighbors in the tables.
    """

    def __init__(self, filled, switch, nsel, *, smooth, sqrt_nnei, rows):
        self.filled, self.switch, self.smooth = filled, switch, smooth
        self._rows = rows
        mask = tf.cast(filled, switch.dtype)
        self.mask = mask
        #: Weight of a slot in a sum.
        self.weight = switch if smooth else mask
        self.missing = nsel - tf.shape(filled)[1]
        self.mean_norm, self.sym_norm = _norms(tf.reduce_sum(mask, axis=1), nsel, smooth=smooth, sqrt_nnei=sqrt_nnei)

    def _neighbors(self, table):
        """Features of the neighbors (n, k, d) from a table; those of some atom in empty slots."""
        k, d = tf.shape(self._rows)[1], int(table.shape[1])
        return tf.reshape(tf.gather(table, tf.reshape(self._rows, [-1])), [-1, k, d])

    def mean_product(self, x, table):
        """Normalised sum of x (rows, d) times the neighbors' features (d), shape (n, d)."""
        return tf.matmul(self.weight[:, None, :], x * self._neighbors(table))[:, 0] * self.mean_norm

    def moment(self, x, h2):
        """H: normalised sum of h2 (x) x, shape (n, 3, d), for x (rows, d)."""
        return tf.matmul(h2 * self.weight[:, :, None], x, transpose_a=True) * self.sym_norm

    def neighbor_moment(self, table, h2):
        """The same for the neighbors' features."""
        return self.moment(self._neighbors(table), h2)

    def map_products(self, g1, table, layer):
        """Linear map (without bias) of the features of an atom (n, d) times those of its neighbors, with their weights."""
        return apply_linear(self._neighbors(table) * g1[:, None, :] * self.weight[:, :, None], layer)

    def local_attention(self, q, keys, values, heads):
        """Sum over neighbors of values with the weights of softmax(q . k / sqrt(d)), shape (n, heads * width).

        Parameters
        ----------
        q : tensor, shape (n, heads * d)
        keys, values : tensors, shapes (rows of a table, heads * d) and (..., heads * width)
        heads : int
        """
        n, k = tf.shape(self._rows)[0], tf.shape(self._rows)[1]
        d, width = int(q.shape[1]) // heads, int(values.shape[1]) // heads
        key, value = (
            tf.transpose(tf.reshape(self._neighbors(x), [n, k, heads, m]), [0, 2, 1, 3])
            for x, m in ((keys, d), (values, width))
        )
        logits = tf.matmul(key, tf.reshape(q, [-1, heads, d, 1]))[..., 0] / math.sqrt(d)
        a = self._attention(logits, pairs=False)
        return tf.reshape(tf.matmul(a[:, :, None, :], value), [-1, heads * width])

    def _attention(self, logits, pairs):
        """Weights from logits (n, heads, k) or, between ``pairs`` of slots, (n, heads, k, k)."""
        if pairs:
            damping = (self.switch[:, :, None] * self.switch[:, None, :])[:, None]
            both = (self.mask[:, :, None] * self.mask[:, None, :])[:, None]
            mask = self.filled[:, None, None, :]
        else:
            damping, both, mask = self.switch[:, None], self.mask[:, None], self.filled[:, None]
        if self.smooth:
            return masked_softmax.damped(logits, damping, self.missing) * damping
        return masked_softmax.masked(logits, mask) * both

    def pair_attention(self, g2, h2, weights):
        """Attention of neighbors to neighbors: new terms of g2 and h2, None where :class:`PairAttention` has no weights for them."""
        w, n, k = weights, tf.shape(g2)[0], tf.shape(g2)[1]

        def heads_of(x, layer):
            return tf.transpose(tf.reshape(apply_linear(x, (layer, None)), [n, k, w.heads, -1]), [0, 2, 1, 3])

        logits = tf.matmul(heads_of(g2, w.query), heads_of(g2, w.key), transpose_b=True) / math.sqrt(w.hidden)
        gate = tf.matmul(h2, h2, transpose_b=True)[:, None]
        if w.gated:
            logits = logits * gate
        a = self._attention(logits, pairs=True) * (gate / math.sqrt(3.0))
        features = vectors = None
        if w.value is not None:
            o = tf.transpose(tf.matmul(a, heads_of(g2, w.value)), [0, 2, 1, 3])
            o = tf.reshape(o, [n, k, w.heads * w.width])
            features = apply_layer_norm(apply_linear(o, w.out), w.norm, w.eps)
        if w.of_vectors is not None:
            o = tf.matmul(a, tf.tile(h2[:, None], [1, w.heads, 1, 1]))  # (n, heads, k, 3)
            o = apply_linear(tf.reshape(tf.transpose(o, [0, 2, 3, 1]), [n, k * 3, w.heads]), w.of_vectors)
            vectors = tf.reshape(o, [n, k, 3])
        return features, vectors


class ListEdges:
    """Fused ops on the neighbors that there are; methods as of :class:`SlotEdges`. There is no attention for vectors.

    Parameters
    ----------
    switch : tensor, shape (n_edge,)
    nsel : int
        Slots that sums are normalised with.
    smooth, sqrt_nnei : bool
    start : int32 tensor, shape (n + 1,)
    center : int32 tensor, shape (n_edge,)
    index : tuple of int32 tensors
        Rows of the neighbors in the tables, and the neighbors by their rows, as ``DptfFilledSlots`` gives them.
    """

    def __init__(self, switch, nsel, *, smooth, sqrt_nnei, start, center, index):
        self.start, self.center, self.index, self.smooth = start, center, index, smooth
        self.switch = switch[:, None]
        self.weight = self.switch if smooth else tf.ones_like(self.switch)
        self._counts = start[1:] - start[:-1]
        count = tf.cast(self._counts, switch.dtype)
        self._missing = (nsel - count)[:, None]
        self._nsel, self._none = nsel, (tf.zeros([0], tf.int32),) * 3
        self.mean_norm, self.sym_norm = _norms(count, nsel, smooth=smooth, sqrt_nnei=sqrt_nnei)

    def mean_product(self, x, table):
        """Normalised sum of products with the neighbors' features."""
        heads = int(table.shape[1])
        return op_module.dptf_head_sums(x * self.weight, table, self.start, *self.index, heads=heads) * self.mean_norm

    def moment(self, x, h2):
        """Moments of rows."""
        return op_module.dptf_moments(h2 * self.weight, x, self.start, *self._none) * self.sym_norm

    def neighbor_moment(self, table, h2):
        """Moments of the neighbors' features."""
        return op_module.dptf_moments(h2 * self.weight, table, self.start, *self.index) * self.sym_norm

    def map_products(self, g1, table, layer):
        """Linear map of products; the weights come after it."""
        products = op_module.dptf_head_sums_to_w(g1, table, self.start, *self.index, heads=int(g1.shape[1]))
        return apply_linear(products, layer) * self.weight

    def local_attention(self, q, keys, values, heads):
        """Attention of an atom to its neighbors."""
        d = int(q.shape[1]) // heads
        logits = op_module.dptf_head_sums_to_w(q, keys, self.start, *self.index, heads=heads) / math.sqrt(d)
        return op_module.dptf_head_sums(self._softmax(logits), values, self.start, *self.index, heads=heads)

    def _softmax(self, logits):
        """Weights from logits (n_edge, heads)."""
        shift = masked_softmax.SHIFT
        x = (logits + shift) * self.switch - shift if self.smooth else logits
        top = tf.math.unsorted_segment_max(tf.stop_gradient(x), self.center, tf.shape(self.start)[0] - 1)
        top = tf.maximum(top, tf.constant(-shift, x.dtype)) if self.smooth else top
        e = tf.exp(x - op_module.dptf_spread(top, self.start))
        total = op_module.dptf_segment_sum(e, self.start)
        if not self.smooth:
            return e / op_module.dptf_spread(total, self.start)
        return e / op_module.dptf_spread(total + self._missing * tf.exp(-shift - top), self.start) * self.switch

    def pair_attention(self, g2, h2, weights):
        """Attention of neighbors to neighbors, one op."""
        w = weights
        if w.of_vectors is not None:
            raise ValueError("attention for vectors has no fused form")
        hidden = max(w.hidden, w.width)
        quarter = 3.0**-0.25  # every gate has one of the two vectors' factors
        # Gated logits have the products of vectors without the factor that the weights have.
        kappa = (math.sqrt(3.0) if w.gated else 1.0) / math.sqrt(w.hidden)
        f = h2 * quarter if w.gated or not self.smooth else h2 * self.switch * quarter

        def widened(x):
            """Columns of heads, each filled with zeros up to the common width."""
            x = tf.reshape(x, [int(x.shape[0]), w.heads, -1])
            return tf.reshape(tf.pad(x, [[0, 0], [0, 0], [0, hidden - int(x.shape[2])]]), [-1, w.heads * hidden])

        none = tf.zeros([w.heads * hidden], g2.dtype)
        arrays = [a for x in (w.query, w.key, w.value) for a in (widened(x), none)]
        arrays += [tf.transpose(widened(tf.transpose(w.out[0]))), w.out[1], *w.norm]
        y, _ = op_module.dptf_attention(
            g2, f, self.switch[:, 0] if self.smooth else tf.zeros([0], g2.dtype), tf.zeros([0], tf.bool), self.start,
            self._nsel - tf.reduce_max(tf.concat([self._counts, [0]], 0)), tf.constant([kappa, w.eps, 1.0], tf.float64),
            arrays, normalize=False, smooth=self.smooth, no_diagonal=False, gated=w.gated, residual=False, heads=w.heads,
        )  # fmt: skip
        return y, None
