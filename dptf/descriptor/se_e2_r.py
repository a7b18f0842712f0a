"""Smooth-edition descriptor of two-body distances (``se_e2_r``).

With s the normalised radial environment (N = sum(sel) numbers), G its embedding, one net per neighbor type (type_one_side) or
per pair of types::

    D = (1/5) sum_j G(s_j) / N      (M,)

Empty slots count with G(-davg/dstd). Slots of excluded pairs count nothing, except with type_one_side: there they are zeroed
before the net, so G(0) counts; that is the released behaviour.
"""

from dptf.descriptor.base import SmoothDescriptor
from dptf.nn.embedding import apply_embedding
from dptf.nn.table import StoredNet
from dptf.nn.tabulated import embed_contract
from dptf.ops import tf


class SeE2R(SmoothDescriptor):
    """se_e2_r; parameters as the base has them."""

    ncomp = 1
    stat_kind = "se_r"

    @property
    def dim_out(self):
        return self.neuron[-1]

    def _features(self, env, loc_type, natoms, nets, tabulated):
        if self.type_one_side and self.excluded:
            env = env * self._exclusion_mask(loc_type, env.dtype)
        if tabulated is not None:
            total = self._sum_tabulated(env, loc_type, nets, tabulated)
        elif self.type_one_side:
            total = self._sum_blocks(env, [nets[None, tj] for tj in range(self.ntypes)])
        else:
            total = self._by_center(env, natoms, nets, self._sum_blocks, [self.neuron[-1]])
        return total / (5.0 * self.nnei)

    def _sum_tabulated(self, env, loc_type, nets, spacing):
        """The op contracts rows with G of their first column; the row (s, 1, 0, 0) makes its second row the plain sum."""
        one, zero = tf.ones_like(env), tf.zeros_like(env)
        rows = tf.reshape(tf.stack([env, one, zero, zero], axis=2), [-1, 4 * self.nnei])
        keys = list(nets)
        a, self.table_error = embed_contract(
            rows, tf.reshape(self.nlist, [-1, self.nnei]), loc_type, [nets[k] for k in keys], self.activation,
            sel=self.sel, net_of=self._net_of(keys), spacing=spacing,
        )  # fmt: skip
        return a[:, 1]

    def _net_of(self, keys):
        if self.type_one_side:  # excluded pairs have a net here
            return [keys.index((None, tj)) for _ in range(self.ntypes) for tj in range(self.ntypes)]
        return super()._net_of(keys)

    def _sum_blocks(self, env, nets):
        """Sum of G over the slots of rows that share their nets; shape (n, M)."""
        total = None
        for sel, net, block in self._blocks(env, nets):
            if isinstance(net, StoredNet):
                term = net.sum(block)
            else:
                g = apply_embedding(tf.reshape(block, [-1, 1]), net, self.activation, self.compute)
                term = tf.reduce_sum(tf.reshape(g, [-1, sel, self.neuron[-1]]), axis=1)
            total = term if total is None else total + term
        return tf.zeros([tf.shape(env)[0], self.neuron[-1]], env.dtype) if total is None else total
