"""Message-passing layers of DPA-2 (repformer): node features g1, pair features g2 and pair vectors h2.

Shapes: n atoms, k slots; g1 (n, g1_dim), g2 (n, k, g2_dim), h2 (n, k, 3). Sums over slots are damped by the switch, or
masked.
"""

import math
from dataclasses import dataclass

import numpy as np

from dptf.nn.activation import get_activation
from dptf.nn.layers import apply_linear, layer_norm, linear
from dptf.ops import tf


@dataclass(frozen=True)
class PairAttention:
    """Weights of the attention of neighbors to neighbors; columns (of the way back rows) head after head.

    Attributes
    ----------
    query, key : tensors, shape (g2_dim, heads * hidden)
    value : tensor, shape (g2_dim, heads * width), or None
        With `out`, a linear layer from (heads * width), and `norm` of pair features; None: there are no such features.
    of_vectors : linear layer from the heads to one number, or None
    """

    heads: int
    hidden: int
    width: int
    gated: bool
    eps: float
    query: object
    key: object
    value: object = None
    out: tuple = None
    norm: tuple = None
    of_vectors: tuple = None


def by_heads(matrix, heads):
    """Columns head after head, of a matrix whose columns have the head as the faster index."""
    n = int(matrix.shape[0])
    x = tf.transpose(tf.reshape(matrix, [n, -1, heads]), [0, 2, 1])
    return tf.reshape(x, [n, int(matrix.shape[1])])


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

    def __call__(self, g1, table, g2, h2, edges):
        """Updated g1, g2, h2; `table` has the g1 of all atoms that are neighbors."""
        o, w = self.o, self.w
        new_g1 = self._combine("g1", [g1, *self._node_terms(g1, g2, h2, table, edges)])
        if self.last:
            return new_g1, g2, h2
        terms2, terms3 = [g2, self.phi(apply_linear(g2, w["linear2"]))], [h2]
        if o["update_g2_has_g1g1"]:
            terms2.append(edges.map_products(g1, table, w["proj_g1g1g2"]))
        if self.pair_attention:
            features, vectors = edges.pair_attention(g2, h2, self._pair_weights())
            terms2 += [] if features is None else [features]
            terms3 += [] if vectors is None else [vectors]
        return new_g1, self._combine("g2", terms2), self._combine("h2", terms3)

    def _node_terms(self, g1, g2, h2, table, edges):
        o, w, terms, inputs = self.o, self.w, [], []
        if o["g1_out_mlp"]:
            terms.append(self.phi(apply_linear(g1, w["g1_self_mlp"])))
        else:
            inputs.append(g1)
        if o["update_g1_has_conv"] and o["g1_out_conv"]:
            terms.append(edges.mean_product(apply_linear(g2, w["proj_g1g2"]), table))
        elif o["update_g1_has_conv"]:
            # A linear map of the neighbors' features is made before they are collected.
            inputs.append(edges.mean_product(g2, apply_linear(table, w["proj_g1g2"])))
        if o["update_g1_has_grrg"]:
            inputs.append(symmetrised(edges.moment(g2, h2), self.axis))
        if o["update_g1_has_drrd"]:
            inputs.append(symmetrised(edges.neighbor_moment(table, h2), self.axis))
        if inputs:
            joined = tf.concat(inputs, axis=1) if len(inputs) > 1 else inputs[0]
            terms.append(self.phi(apply_linear(joined, w["linear1"])))
        if o["update_g1_has_attn"]:
            terms.append(self._local_attention(g1, table, edges))
        return terms

    def _pair_weights(self):
        nd, nh, w, n2 = self.o["attn2_hidden"], self.o["attn2_nhead"], self.w, self.n2
        both = tf.reshape(w["mapqk"][0], [n2, nd, 2 * nh])
        q, k = (by_heads(tf.reshape(x, [n2, nd * nh]), nh) for x in (both[:, :, :nh], both[:, :, nh:]))
        more = {}
        if self.o["update_g2_has_attn"]:
            matrix, bias = w["mh_head_map"]
            matrix = tf.reshape(tf.transpose(tf.reshape(matrix, [n2, nh, n2]), [1, 0, 2]), [nh * n2, n2])
            more = {"value": by_heads(w["mapv"][0], nh), "out": (matrix, bias), "norm": w["attn2_lm"]}
        if self.o["update_h2"]:
            more["of_vectors"] = w["ev_head_map"]
        return PairAttention(nh, nd, n2, bool(self.o["attn2_has_gate"]), self.eps, q, k, **more)

    def _local_attention(self, g1, table, edges):
        nd, nh = self.o["attn1_hidden"], self.o["attn1_nhead"]
        kv = self.w["mapkv"][0]
        q = tf.matmul(g1, by_heads(self.w["mapq"][0], nh))
        keys, values = (tf.matmul(table, by_heads(x, nh)) for x in (kv[:, : nd * nh], kv[:, nd * nh :]))
        return apply_linear(edges.local_attention(q, keys, values, nh), self.w["loc_head_map"])
