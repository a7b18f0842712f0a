"""Gated self-attention among the neighbors of an atom (DPA-1).

With g the pair embeddings of the k neighbors of one center, s their switches and n their directions, per layer::

    q, k, v = g W + b            (each divided by its norm if ``normalize``)
    A = softmax(kappa q k^T)     (smooth: damped by s_a s_b, and multiplied with it afterwards)
    A *= n_a . n_b               (``dotr``)
    g = LayerNorm(g + (A v) W_out + b_out)
"""

from dptf.nn import masked_softmax
from dptf.nn.layers import apply_layer_norm, apply_linear, layer_norm, linear, unit
from dptf.ops import op_module, tf


class GatedAttention:
    """The layers of one descriptor.

    Parameters
    ----------
    width : int
        Of the pair embedding.
    hidden : int
        Of queries, keys and values.
    layers : int
    kappa : float
        Factor of the logits.
    dotr, normalize, smooth, no_diagonal : bool
        See the module; ``no_diagonal`` takes out the attention of a neighbor to itself.
    eps : float
        Of the layer normalisation.
    norm_floor : float
        Squared norms count as at least this.
    """

    def __init__(self, width, hidden, layers, *, kappa, dotr, normalize, smooth, no_diagonal, eps, norm_floor):
        self.width, self.hidden, self.layers, self.kappa = width, hidden, layers, kappa
        self.dotr, self.normalize, self.smooth, self.no_diagonal = dotr, normalize, smooth, no_diagonal
        self.eps, self.norm_floor = eps, norm_floor

    def weights(self, params, suffix, dtype, seeder, *, trainable, trainable_ln):
        """One dict of weights per layer, with the public names."""
        out = []
        # Seeds as in the public package: one further with every map, and once more after a layer.
        options = {"trainable": trainable, "step": 1}
        for k in range(self.layers):
            scope = f"attention_layer_{k}{suffix}"
            widths = {"c_query": self.hidden, "c_key": self.hidden, "c_value": self.hidden}
            layer = {
                name: linear(params, f"{scope}/{name}", self.width, n, dtype, seeder, **options)
                for name, n in widths.items()
            }
            layer["c_out"] = linear(params, f"{scope}/c_out", self.hidden, self.width, dtype, seeder, **options)
            seeder.advance(1)
            layer["norm"] = layer_norm(
                params, f"{scope}/layer_normalization", self.width, dtype, trainable and trainable_ln
            )
            out.append(layer)
        return out

    def __call__(self, g, mask, switch, vectors, missing, weights, *, fused=False):
        """Apply all layers.

        Parameters
        ----------
        g : tensor, shape (n, k, width)
        mask : bool tensor, shape (n, k)
            Slots that take part.
        switch : tensor, shape (n, k), or None
            0 where ``mask`` is false; only with ``smooth``.
        vectors : tensor, shape (n, k, 3)
            Their directions enter with ``dotr``.
        missing : scalar int tensor
            Empty slots beyond the k ones.
        weights : list of dict
        fused : bool
            One op per layer, which leaves zeros in slots that take no part. It can be differentiated twice.
        """
        if not self.layers:
            return g
        if fused:
            return self._fused(g, mask, switch, vectors, missing, weights)
        gate = self._gate(g, mask, switch, vectors)
        damping = switch[:, :, None] * switch[:, None, :] if self.smooth else None
        for layer in weights:
            q, k, v = (apply_linear(g, layer[name]) for name in ("c_query", "c_key", "c_value"))
            if self.normalize:
                q, k, v = (unit(x, self.norm_floor) for x in (q, k, v))
            logits = tf.matmul(q if self.kappa == 1.0 else q * self.kappa, k, transpose_b=True)
            if self.smooth:
                a = masked_softmax.damped(logits, damping, missing)
            else:
                a = masked_softmax.masked(logits, mask[:, None, :])
            o = apply_linear(tf.matmul(a * gate, v), layer["c_out"])
            g = apply_layer_norm(g + o, layer["norm"], self.eps)
        return g

    def _fused(self, g, mask, switch, vectors, missing, weights):
        f = switch[:, :, None] if self.smooth else tf.ones_like(vectors[:, :, :1])
        f = f * unit(vectors, self.norm_floor) if self.dotr else tf.pad(f, [[0, 0], [0, 0], [0, 2]])
        s = switch if self.smooth else tf.zeros([0], g.dtype)
        numbers = tf.constant([self.kappa, self.eps, self.norm_floor], tf.float64)
        form = {"normalize": self.normalize, "smooth": self.smooth, "no_diagonal": self.no_diagonal}
        for layer in weights:
            arrays = [x for name in ("c_query", "c_key", "c_value", "c_out", "norm") for x in layer[name]]
            g, _ = op_module.dptf_attention(g, f, s, mask, [], missing, numbers, arrays, **form)
        return g

    def _gate(self, g, mask, switch, vectors):
        """Everything that multiplies the attention after the softmax and is the same in all layers, (n, k, k)."""
        rows = switch if self.smooth else tf.cast(mask, g.dtype)
        if self.dotr:
            n = unit(vectors, self.norm_floor)
            left = n * rows[:, :, None]
            gate = tf.matmul(left, left if self.smooth else n, transpose_b=True)
        elif self.smooth:
            gate = rows[:, :, None] * rows[:, None, :]
        else:
            gate = rows[:, :, None]
        if self.no_diagonal:
            gate = gate * (1.0 - tf.eye(tf.shape(g)[1], dtype=g.dtype))
        return gate
