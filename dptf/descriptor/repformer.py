"""Message-passing layers of DPA-2 (repformer): node features g1, pair features g2 and pair vectors h2.

Shapes: n atoms, k slots; g1 (n, g1_dim), g2 (n, k, g2_dim), h2 (n, k, 3). Sums over slots are damped by the switch, or
masked. Layers do not touch slots beyond the fullest list; their share of a softmax is counted.
"""

import math

import numpy as np

from dptf.nn import masked_softmax
from dptf.nn.activation import get_activation
from dptf.nn.layers import apply_layer_norm, apply_linear, layer_norm, linear
from dptf.ops import tf

_EPS = 1e-4


class Edges:
    """What the layers share of one frame set.

    Parameters
    ----------
    filled : bool tensor, shape (n, k)
    switch : tensor, shape (n, k)
        0 in empty slots.
    nsel : int
        Slots that sums are normalised with.
    smooth, sqrt_nnei : bool
    rows : int32 tensor, shape (n, k)
        Rows of the neighbors in the tables that ``table`` makes.
    table : callable
        Features of all atoms that are neighbors, ghosts of other processes included, from those of the local atoms (n, d).
    """

    def __init__(self, filled, switch, nsel, *, smooth, sqrt_nnei, rows, table):
        self.filled, self.switch, self.smooth, self.table = filled, switch, smooth, table
        self._rows = rows
        mask = tf.cast(filled, switch.dtype)
        self.mask = mask
        #: Weight of a slot in a sum.
        self.weight = switch if smooth else mask
        self.missing = nsel - tf.shape(filled)[1]
        if smooth:
            self.mean_norm, self.sym_norm = 1.0 / nsel, nsel**-0.5 if sqrt_nnei else 1.0 / nsel
        else:
            count = tf.reduce_sum(mask, axis=1)
            self.mean_norm = (1.0 / (_EPS + count))[:, None]
            self.sym_norm = (1.0 / (_EPS + tf.sqrt(count)))[:, None, None] if sqrt_nnei else self.mean_norm[:, :, None]

    def neighbors(self, table):
        """Features of the neighbors (n, k, d) from a table; those of some atom in empty slots."""
        k, d = tf.shape(self._rows)[1], int(table.shape[1])
        return tf.reshape(tf.gather(table, tf.reshape(self._rows, [-1])), [-1, k, d])

    def mean(self, x):
        """Normalised sum over slots of x (n, k, d)."""
        return tf.matmul(self.weight[:, None, :], x)[:, 0] * self.mean_norm

    def moment(self, x, h2):
        """H: normalised sum over slots of h2 (x) x, shape (n, 3, d)."""
        return tf.matmul(h2 * self.weight[:, :, None], x, transpose_a=True) * self.sym_norm

    def attention(self, logits, pairs):
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


def symmetrised(moment, axis):
    """Products of the first ``axis`` columns of H (n, 3, d) with all, flattened to (n, axis * d)."""
    d = int(moment.shape[2])
    return tf.reshape(tf.matmul(moment[:, :, :axis], moment, transpose_a=True) / 3.0, [-1, axis * d])


class RepformerLayer:
    """One layer.

    Parameters
    ----------
    options : dict
        ``model/descriptor/repformer``.
    scope : str
        Of the variables, suffix of the model included.
    last : bool
        The last layer keeps pair features and vectors as they are.
    eps : float
        Of the layer normalisation.
    """

    def __init__(self, options, scope, *, last, eps):
        self.o, self.scope, self.last, self.eps = options, scope, last, eps
        self.n1, self.n2, self.axis = options["g1_dim"], options["g2_dim"], options["axis_neuron"]
        self.phi = get_activation(options["activation_function"])
        self.pair_attention = not last and (options["update_g2_has_attn"] or options["update_h2"])

    @property
    def linear1_in(self):
        """Width of the input of ``linear1``."""
        o = self.o
        width = 0 if o["g1_out_mlp"] else self.n1
        width += self.n2 if o["update_g1_has_conv"] and not o["g1_out_conv"] else 0
        width += self.axis * self.n2 if o["update_g1_has_grrg"] else 0
        return width + (self.axis * self.n1 if o["update_g1_has_drrd"] else 0)

    def weights(self, params, dtype, seeder, *, trainable):
        """Take all variables."""
        o, n1, n2 = self.o, self.n1, self.n2

        def layer(name, n_in, n_out, bias=True):
            return linear(params, f"{self.scope}/{name}", n_in, n_out, dtype, seeder, bias=bias, trainable=trainable)

        w = {}
        if self.linear1_in:
            w["linear1"] = layer("linear1", self.linear1_in, n1)
        if o["g1_out_mlp"]:
            w["g1_self_mlp"] = layer("g1_self_mlp", n1, n1)
        if o["update_g1_has_conv"]:
            w["proj_g1g2"] = layer("proj_g1g2", *((n2, n1) if o["g1_out_conv"] else (n1, n2)), bias=False)
        if o["update_g1_has_attn"]:
            nd, nh = o["attn1_hidden"], o["attn1_nhead"]
            w["mapq"] = layer("loc_attn/mapq", n1, nd * nh, bias=False)
            w["mapkv"] = layer("loc_attn/mapkv", n1, (nd + n1) * nh, bias=False)
            w["loc_head_map"] = layer("loc_attn/head_map", n1 * nh, n1)
        if not self.last:
            w["linear2"] = layer("linear2", n2, n2)
            if o["update_g2_has_g1g1"]:
                w["proj_g1g1g2"] = layer("proj_g1g1g2", n1, n2, bias=False)
        if self.pair_attention:
            nd, nh = o["attn2_hidden"], o["attn2_nhead"]
            w["mapqk"] = layer("attn2g_map/mapqk", n2, nd * 2 * nh, bias=False)
            if o["update_g2_has_attn"]:
                w["mapv"] = layer("attn2_mh_apply/mapv", n2, n2 * nh, bias=False)
                w["mh_head_map"] = layer("attn2_mh_apply/head_map", n2 * nh, n2)
                w["attn2_lm"] = layer_norm(params, f"{self.scope}/attn2_lm", n2, dtype, trainable and o["trainable_ln"])
            if o["update_h2"]:
                w["ev_head_map"] = layer("attn2_ev_apply/head_map", nh, 1, bias=False)
        self.w = w
        self.residual = self._residuals(params, dtype, seeder, trainable) if o["update_style"] == "res_residual" else {}

    def counts(self):
        """Terms beside the first in the updates of g1, g2 and h2."""
        o = self.o
        g1 = (
            bool(o["g1_out_mlp"])
            + bool(o["update_g1_has_conv"] and o["g1_out_conv"])
            + 1
            + bool(o["update_g1_has_attn"])
        )
        if self.last:
            return {"g1": g1, "g2": 0, "h2": 0}
        return {"g1": g1, "g2": 1 + o["update_g2_has_g1g1"] + o["update_g2_has_attn"], "h2": int(o["update_h2"])}

    def _residuals(self, params, dtype, seeder, trainable):
        """Weights of the terms, by feature and position."""
        o, kind, out = self.o, dtype.as_numpy_dtype, {}
        for feature, width in (("g1", self.n1), ("g2", self.n2), ("h2", 1)):
            out[feature] = []
            for k in range(self.counts()[feature]):
                if not trainable:
                    start = np.zeros(width, kind)
                elif o["update_residual_init"] == "const":
                    start = np.full(width, o["update_residual"], kind)
                else:
                    start = tf.random_normal_initializer(stddev=o["update_residual"], seed=seeder.layer(0))
                    seeder.advance(1)
                out[feature].append(
                    params.get(f"{self.scope}/{feature}_residual_{k}", [width], start, dtype, trainable)
                )
        return out

    def _combine(self, feature, terms):
        first, rest = terms[0], terms[1:]
        style = self.o["update_style"]
        if not rest:
            return first
        if style == "res_avg":
            return tf.add_n(terms) / math.sqrt(len(terms))
        if style == "res_incr":
            return first + (tf.add_n(rest) if len(rest) > 1 else rest[0]) / math.sqrt(len(rest))
        for u, weight in zip(rest, self.residual[feature]):
            first = first + u * weight
        return first

    def __call__(self, g1, g2, h2, edges):
        """Updated g1, g2, h2."""
        o, w = self.o, self.w
        needs_neighbors = o["update_g1_has_drrd"] or (o["update_g1_has_conv"] and o["g1_out_conv"])
        needs_neighbors = needs_neighbors or (not self.last and o["update_g2_has_g1g1"])
        table = edges.table(g1)
        gg = edges.neighbors(table) if needs_neighbors else None
        new_g1 = self._combine("g1", [g1, *self._node_terms(g1, g2, h2, gg, table, edges)])
        if self.last:
            return new_g1, g2, h2
        terms2, terms3 = [g2, self.phi(apply_linear(g2, w["linear2"]))], [h2]
        if o["update_g2_has_g1g1"]:
            product = gg * g1[:, None, :] * edges.weight[:, :, None]
            terms2.append(apply_linear(product, w["proj_g1g1g2"]))
        if self.pair_attention:
            a = self._pair_attention(g2, h2, edges)
            if o["update_g2_has_attn"]:
                terms2.append(self._apply_to_features(a, g2))
            if o["update_h2"]:
                terms3.append(self._apply_to_vectors(a, h2))
        return new_g1, self._combine("g2", terms2), self._combine("h2", terms3)

    def _node_terms(self, g1, g2, h2, gg, table, edges):
        o, w, terms, inputs = self.o, self.w, [], []
        if o["g1_out_mlp"]:
            terms.append(self.phi(apply_linear(g1, w["g1_self_mlp"])))
        else:
            inputs.append(g1)
        if o["update_g1_has_conv"] and o["g1_out_conv"]:
            terms.append(edges.mean(apply_linear(g2, w["proj_g1g2"]) * gg))
        elif o["update_g1_has_conv"]:
            # A linear map of the neighbors' features is made before they are collected.
            inputs.append(edges.mean(g2 * edges.neighbors(apply_linear(table, w["proj_g1g2"]))))
        if o["update_g1_has_grrg"]:
            inputs.append(symmetrised(edges.moment(g2, h2), self.axis))
        if o["update_g1_has_drrd"]:
            inputs.append(symmetrised(edges.moment(gg, h2), self.axis))
        if inputs:
            joined = tf.concat(inputs, axis=1) if len(inputs) > 1 else inputs[0]
            terms.append(self.phi(apply_linear(joined, w["linear1"])))
        if o["update_g1_has_attn"]:
            terms.append(self._local_attention(g1, table, edges))
        return terms

    def _pair_attention(self, g2, h2, edges):
        """Attention of slots to slots, (n, heads, k, k)."""
        nd, nh = self.o["attn2_hidden"], self.o["attn2_nhead"]
        n, k = tf.shape(g2)[0], tf.shape(g2)[1]
        z = tf.transpose(tf.reshape(apply_linear(g2, self.w["mapqk"]), [n, k, nd, 2 * nh]), [0, 3, 1, 2])
        logits = tf.matmul(z[:, :nh], z[:, nh:], transpose_b=True) / math.sqrt(nd)
        gate = tf.matmul(h2, h2, transpose_b=True)[:, None]
        if self.o["attn2_has_gate"]:
            logits = logits * gate
        return edges.attention(logits, pairs=True) * (gate / math.sqrt(3.0))

    def _apply_to_features(self, a, g2):
        nh, n, k = self.o["attn2_nhead"], tf.shape(g2)[0], tf.shape(g2)[1]
        v = tf.transpose(tf.reshape(apply_linear(g2, self.w["mapv"]), [n, k, self.n2, nh]), [0, 3, 1, 2])
        o = tf.reshape(tf.transpose(tf.matmul(a, v), [0, 2, 3, 1]), [n, k, self.n2 * nh])
        return apply_layer_norm(apply_linear(o, self.w["mh_head_map"]), self.w["attn2_lm"], self.eps)

    def _apply_to_vectors(self, a, h2):
        nh, n, k = self.o["attn2_nhead"], tf.shape(h2)[0], tf.shape(h2)[1]
        o = tf.matmul(a, tf.tile(h2[:, None], [1, nh, 1, 1]))  # (n, heads, k, 3)
        o = apply_linear(tf.reshape(tf.transpose(o, [0, 2, 3, 1]), [n, k * 3, nh]), self.w["ev_head_map"])
        return tf.reshape(o, [n, k, 3])

    def _local_attention(self, g1, table, edges):
        nd, nh, n1 = self.o["attn1_hidden"], self.o["attn1_nhead"], self.n1
        q = tf.reshape(apply_linear(g1, self.w["mapq"]), [-1, nd, nh])
        kv = edges.neighbors(apply_linear(table, self.w["mapkv"]))
        n, k = tf.shape(kv)[0], tf.shape(kv)[1]
        kv = tf.transpose(tf.reshape(kv, [n, k, nd + n1, nh]), [0, 3, 1, 2])  # (n, heads, k, nd + n1)
        logits = tf.matmul(kv[..., :nd], tf.transpose(q, [0, 2, 1])[..., None])[..., 0] / math.sqrt(nd)
        a = edges.attention(logits, pairs=False)
        o = tf.matmul(a[:, :, None, :], kv[..., nd:])  # (n, heads, 1, n1)
        return apply_linear(tf.reshape(o, [-1, nh * n1]), self.w["loc_head_map"])
