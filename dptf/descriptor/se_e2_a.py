"""Smooth-edition descriptor of two-body environments with angular information (``se_e2_a``).

With R the normalised environment matrix (N = sum(sel) rows), G the embedding of its first column, one net per neighbor type
(type_one_side) or per pair of types::

    A = R^T G / N          (4, M)
    D = A^T A[:, :M<]      (M, M<)
"""

from dptf.descriptor.base import SmoothDescriptor
from dptf.nn.embedding import apply_embedding
from dptf.nn.parameters import global_dtype
from dptf.nn.table import StoredNet
from dptf.nn.tabulated import embed_contract
from dptf.ops import op_module, tf


class SeE2A(SmoothDescriptor):
    """se_e2_a; parameters as the base has them."""

    def __init__(self, section, ntypes, where="model/descriptor"):
        super().__init__(section, ntypes, where)
        self.axis_neuron = int(section["axis_neuron"])

    @property
    def dim_out(self):
        return self.neuron[-1] * self.axis_neuron

    @property
    def dim_rot(self):
        return self.neuron[-1]

    def constants(self, suffix=""):
        """Attribute nodes."""
        super().constants(suffix)
        tf.constant(self.sel, dtype=tf.int32, name=f"descrpt_attr{suffix}/sel")
        tf.constant(self.sel, dtype=tf.int32, name=f"descrpt_attr{suffix}/original_sel")

    def _features(self, env, loc_type, natoms, nets, tabulated):
        if tabulated is None:
            a = self._contract_plain(env, loc_type, natoms, nets) / self.nnei
        else:
            keys = list(nets)
            a, self.table_error = embed_contract(
                env, tf.reshape(self.nlist, [-1, self.nnei]), loc_type, [nets[k] for k in keys], self.activation,
                sel=self.sel, net_of=self._net_of(keys), spacing=tabulated, scale=1.0 / self.nnei,
            )  # fmt: skip
        return self._products(a, fused=tabulated is not None)

    def _products(self, a, fused=False):
        """D of A (n, 4, M), and the rotation matrices; `fused` (in training) by an op of its own."""
        if fused:
            d = op_module.dptf_axis_product(a, axis=self.axis_neuron)
        else:
            d = tf.matmul(a, a[:, :, : self.axis_neuron], transpose_a=True)
        self.rot_mat = tf.cast(tf.transpose(a[:, 1:4], [0, 2, 1]), global_dtype())
        return d

    def _contract_plain(self, env, loc_type, natoms, nets):
        if self.type_one_side:
            if self.excluded:
                env = env * self._exclusion_mask(loc_type, env.dtype)
            return self._contract_blocks(env, [nets[None, tj] for tj in range(self.ntypes)])
        return self._by_center(env, natoms, nets, self._contract_blocks, [4, self.neuron[-1]])

    def _contract_blocks(self, env, nets):
        """Sum of R^T G over the blocks of neighbor types, for rows that share their nets; shape (n, 4, M)."""
        total = None
        for sel, net, block in self._blocks(env, nets):
            rows = tf.reshape(block, [-1, sel, 4])
            if isinstance(net, StoredNet):
                term = net.contract(rows)
            else:
                g = apply_embedding(tf.reshape(rows, [-1, 4])[:, :1], net, self.activation, self.compute)
                term = tf.matmul(rows, tf.reshape(g, [-1, sel, self.neuron[-1]]), transpose_a=True)
            total = term if total is None else total + term
        return tf.zeros([tf.shape(env)[0], 4, self.neuron[-1]], env.dtype) if total is None else total
