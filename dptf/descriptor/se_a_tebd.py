"""se_e2_a with types as vectors: one net for all pairs of types (``se_e2_a`` with ``model/type_embedding``, and ``se_a_ebd_v2``).

As :mod:`dptf.descriptor.se_e2_a`, with the embedding of a slot of neighbor type j and center type i (i only without type_one_side)::

    G = N([R_0, T_j, T_i])           concat: se_e2_a with a type embedding
    G = N(R_0) (1 + N_t([T_j, T_i]))    strip: se_a_ebd_v2

In the first form an empty slot has the type of its section, in the second the zero row.
"""

import numpy as np

from dptf.descriptor.interface import Descriptor
from dptf.descriptor.pair_embedding import PairEmbedding
from dptf.descriptor.se_e2_a import SeE2A
from dptf.nn.embedding import Seeder
from dptf.nn.tabulated import embed_contract
from dptf.ops import tf


class SeATebd(SeE2A):
    """se_e2_a with a type embedding, by concatenation; parameters as the base has them."""

    mixed_types = True
    strip = False

    @property
    def any_order(self):
        """Slots are divided by type."""
        return False

    def _net_keys(self):
        """(center, neighbor) type of every tabulated function."""
        centers = [None] if self.type_one_side else range(self.ntypes)
        return [(ti, tj) for ti in centers for tj in range(self.ntypes)]

    def _nets(self, params, suffix):
        dim = int(self.type_table.shape[1])
        self.pairs = PairEmbedding(
            self.neuron, dim, strip=self.strip, two_types=not self.type_one_side, activation=self.activation,
            resnet_dt=self.resnet_dt,
        )  # fmt: skip
        scope = f"filter_type_all{suffix}"
        return self.pairs.weights(params, scope, self.precision, Seeder(self.seed), self.trainable)

    def can_tabulate(self):
        """The first layer must not add its input, which has the types in it."""
        return not self.strip and self.neuron[0] not in (1, 2) and super().can_tabulate()

    def _features(self, env, loc_type, natoms, nets, tabulated):
        if self.excluded:
            env = env * self._exclusion_mask(loc_type, env.dtype)
        tebd = tf.cast(self.type_table, self.precision)
        if tabulated is not None and self._additive(tebd):
            a, self.table_error = embed_contract(
                env, tf.reshape(self.nlist, [-1, self.nnei]), loc_type, self._pair_nets(tebd, nets), self.activation,
                sel=self.sel, net_of=self._net_of(self._net_keys()), spacing=tabulated,
            )  # fmt: skip
            return self._products(a / self.nnei, fused=True)
        rows = tf.reshape(env, [-1, self.nnei, 4])
        shape = tf.shape(rows)[:2]
        section = tf.constant(np.repeat(np.arange(self.ntypes), self.sel), tf.int32)
        first = tf.broadcast_to(section[None, :], shape)
        if self.strip:
            empty = tf.reshape(self.nlist, [-1, self.nnei]) < 0
            first = tf.where(empty, self.ntypes * tf.ones_like(first), first)
        second = tf.broadcast_to(tf.maximum(loc_type, 0)[:, None], shape)
        g = self.pairs(rows[..., 0], tebd, first, second, nets)
        return self._products(tf.matmul(rows, g, transpose_a=True) / self.nnei)

    def _additive(self, tebd):
        """Whether the first layer has no residual, so that types only shift its bias."""
        n_in = 1 + self.pairs.types_in
        return self.neuron[0] not in (n_in, 2 * n_in)

    def _pair_nets(self, tebd, nets):
        """Nets of R_0 alone, with the types in the bias of the first layer, in the order of the keys."""
        (w, b, idt), *rest = nets[0]
        out = []
        for ti, tj in self._net_keys():
            types = tebd[tj] if ti is None else tf.concat([tebd[tj], tebd[ti]], axis=0)
            shifted = tf.reshape(b, [-1]) + tf.matmul(types[None, :], w[1:])[0]
            out.append([(w[:1], shifted, idt), *rest])
        return out

    def compress(self, values, settings, suffix=""):
        """See :meth:`Descriptor.compress`."""
        Descriptor.compress(self, values, settings, suffix)


class SeAStrip(SeATebd):
    """se_a_ebd_v2; parameters as the base has them."""

    strip = True
    type_padding = True
    #: A linear embedding of width 8 when the input has no section for it.
    own_type_embedding = {"neuron": [8], "activation_function": "linear"}  # noqa: RUF012
