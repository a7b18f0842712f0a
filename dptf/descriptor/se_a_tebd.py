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
from dptf.nn.table import StoredNet, check_storable, put_table, store_net, take_layers
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

    def lower_precision(self, dtype):
        """Not possible; see :meth:`Descriptor.lower_precision`."""
        Descriptor.lower_precision(self, dtype)

    def _net_keys(self):
        """(center, neighbor) type of every tabulated function."""
        centers = [None] if self.type_one_side else range(self.ntypes)
        return [(ti, tj) for ti in centers for tj in range(self.ntypes)]

    def _nets(self, params, suffix):
        dim = int(self.type_table.shape[1])
        self.pairs = PairEmbedding(
            self.neuron, dim, strip=self.strip, two_types=not self.type_one_side, activation=self.activation,
            resnet_dt=self.resnet_dt, ntypes=self.ntypes,
        )  # fmt: skip
        names = {key: self._net_name(key) for key in self._net_keys()}
        if not self.strip and all(StoredNet.stored(params, scope + suffix, tail) for scope, tail in names.values()):
            return {
                key: StoredNet(params, scope + suffix, tail, self.precision) for key, (scope, tail) in names.items()
            }
        scope = f"filter_type_all{suffix}"
        seeder = Seeder(self.seed)
        return self.pairs.weights(params, scope, self.precision, seeder, self.trainable, types_first=True)

    def can_tabulate(self):
        """The first layer must not add its input, which has the types in it."""
        return not self.strip and self.neuron[0] not in (1, 2) and super().can_tabulate()

    def _features(self, env, loc_type, natoms, nets, tabulated):
        if self.excluded:
            env = env * self._exclusion_mask(loc_type, env.dtype)
        tebd = tf.cast(self.type_table, self.precision)
        if isinstance(nets, dict):
            return self._products(self._contract_stored(env, loc_type, nets) / self.nnei)
        if tabulated is not None and self._additive(tebd):
            a, self.table_error = embed_contract(
                env, tf.reshape(self.nlist, [-1, self.nnei]), loc_type, self._pair_nets(tebd, nets), self.activation,
                sel=self.sel, net_of=self._net_of(self._net_keys()), spacing=tabulated, scale=1.0 / self.nnei,
            )  # fmt: skip
            return self._products(a, fused=True)
        rows = tf.reshape(env, [-1, self.nnei, 4])
        shape = tf.shape(rows)[:2]
        section = tf.constant(np.repeat(np.arange(self.ntypes), self.sel), tf.int32)
        first = tf.broadcast_to(section[None, :], shape)
        if self.strip:
            empty = tf.reshape(self.nlist, [-1, self.nnei]) < 0
            first = tf.where(empty, self.ntypes * tf.ones_like(first), first)
        second = tf.broadcast_to(tf.maximum(loc_type, 0)[:, None], shape)
        if isinstance(nets[0], StoredNet):
            factor = self.pairs.type_factor(tebd, first, second, nets)
            a = nets[0].contract_stripped(rows, tf.reshape(factor, [-1, self.neuron[-1]]), is_sorted=False)
            return self._products(a / self.nnei)
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

    def _contract_stored(self, env, loc_type, nets):
        """Sum of R^T G with a table for every pair of types; atoms may come in any order."""
        if self.type_one_side:
            return self._contract_blocks(env, [nets[None, tj] for tj in range(self.ntypes)])
        places, parts = [], []
        for ti in range(self.ntypes):
            place = tf.where(tf.equal(tf.maximum(loc_type, 0), ti))
            own = [nets[ti, tj] for tj in range(self.ntypes)]
            places.append(place)
            parts.append(self._contract_blocks(tf.gather_nd(env, place), own))
        shape = tf.concat([tf.shape(env)[:1], [4, self.neuron[-1]]], axis=0)
        return tf.scatter_nd(tf.concat(places, axis=0), tf.concat(parts, axis=0), tf.cast(shape, tf.int64))

    # -- stored nets (compression) --------------------------------------------------------------------------------

    def compress(self, values, settings, suffix=""):
        """See :meth:`Descriptor.compress`; the one net makes a table for every pair of types."""
        check_storable(self.activation, self.precision, self.where)
        layers = take_layers(values, f"filter_type_all{suffix}", "", len(self.neuron), self.resnet_dt)
        dtype = self.precision.as_numpy_dtype
        for ti, tj in self._net_keys():
            scope, tail = self._net_name((ti, tj))
            grid = self._table_grid((ti, tj), values, settings, suffix)
            types = self.known_types[[tj] if ti is None else [tj, ti]]
            put_table(values, scope + suffix, tail, layers, self.activation, grid, dtype, np.ravel(types))

    def _net_range(self, key, values, settings, suffix):
        # Rows of excluded neighbors are zeros.
        lower, upper = super()._net_range(key, values, settings, suffix)
        return min(lower, 0.0), max(upper, 0.0)


class SeAStrip(SeATebd):
    """se_a_ebd_v2; parameters as the base has them."""

    strip = True
    type_padding = True
    #: A linear embedding of width 8 when the input has no section for it.
    own_type_embedding = {"neuron": [8], "activation_function": "linear"}  # noqa: RUF012

    def compress(self, values, settings, suffix=""):
        """See :meth:`Descriptor.compress`; the net of the types stays, it is evaluated once per pair of types."""
        check_storable(self.activation, self.precision, self.where)
        ranges = [self._net_range((None, tj), values, settings, suffix) for tj in range(self.ntypes)]
        lower, upper = np.min(ranges, axis=0)[0], np.max(ranges, axis=0)[1]
        dtype = self.precision.as_numpy_dtype
        store_net(
            values, f"filter_type_all{suffix}", "", len(self.neuron), self.activation, self.resnet_dt,
            settings.grid(lower, upper, dtype), dtype,
        )  # fmt: skip

    def stored_names(self, suffix=""):
        """See :meth:`SmoothDescriptor.stored_names`."""
        return [(f"filter_type_all{suffix}", "")]
