"""Embedding of a scalar together with the types of two atoms, by concatenation (``concat``) or as a product (``strip``).

concat: ``g = N([x, T_first, T_second])``; strip: ``g = N(x) (1 + N_t([T_first, T_second]))``. The types take few values, so
what depends on them alone is computed once per pair of types and looked up.
"""

import numpy as np

from dptf.nn.activation import get_activation
from dptf.nn.embedding import apply_embedding, embedding_layers
from dptf.nn.pair_table import Segment, StoredClasses, store_net_classes
from dptf.nn.table import PRODUCT_SCALE, StoredNet, factor_name, store_net
from dptf.nn.tabulated import embed_contract
from dptf.ops import tf


class PairEmbedding:
    """Nets of one descriptor.

    Parameters
    ----------
    neuron : list of int
    tebd_dim : int
    ntypes : int
    strip : bool
    two_types : bool
        Whether the second type enters too.
    activation : str
    resnet_dt : bool
    """

    def __init__(self, neuron, tebd_dim, *, ntypes, strip, two_types, activation, resnet_dt):
        self.ntypes, self.neuron, self.tebd_dim = ntypes, list(neuron), tebd_dim
        self.strip, self.two_types = strip, two_types
        self.activation, self.resnet_dt = activation, resnet_dt

    @property
    def types_in(self):
        """Width of the type embeddings that enter."""
        return self.tebd_dim * (2 if self.two_types else 1)

    @property
    def strip_name(self):
        """Suffix of the arrays of the net of the types."""
        return "_two_side_ebd" if self.two_types else "_one_side_ebd"

    def weights(self, params, scope, dtype, seeder, trainable=True, *, types_first=False):
        """Layers of the net and, in strip form, of that of the types (otherwise None); or what is stored in their place.

        With `types_first` the net of the types takes the first seeds.
        """
        common = {"resnet_dt": self.resnet_dt, "trainable": trainable}
        n_in = 1 if self.strip else 1 + self.types_in
        of_types = None
        if types_first and self.strip and not params.has(factor_name(scope)):
            of_types = self._type_layers(params, scope, dtype, seeder, common)
        if StoredClasses.stored(params, scope, ""):
            net = StoredClasses(params, scope, "", dtype)
        elif StoredNet.stored(params, scope, ""):
            net = StoredNet(params, scope, "", dtype)
        else:
            net = embedding_layers(params, scope, "", self.neuron, dtype, seeder, n_in=n_in, **common)
        if not self.strip:
            return net, None
        if params.has(name := factor_name(scope)):
            shape = list(params.values[name].shape)
            return net, params.get(name, shape, np.zeros(shape), dtype, trainable=False)
        return net, of_types or self._type_layers(params, scope, dtype, seeder, common)

    def _type_layers(self, params, scope, dtype, seeder, common):
        return embedding_layers(
            params, scope, self.strip_name, self.neuron, dtype, seeder, n_in=self.types_in, **common
        )

    def __call__(self, x, tebd, first, second, weights, damping=None):
        """Embed.

        Parameters
        ----------
        x : tensor, shape (...)
        tebd : tensor, shape (ntypes + 1, tebd_dim)
        first, second : int32 tensors, broadcast to the shape of x
            Rows of ``tebd``.
        weights : pair
        damping : tensor, shape (...), optional
            Multiplies the factor of the types (strip).

        Returns
        -------
        tensor, shape (..., neuron[-1])
        """
        net = weights[0]
        if isinstance(net, StoredClasses):
            number = tf.zeros(tf.shape(x), tf.int32) if self.strip else self._class(x, net, first, second)
            g = tf.reshape(
                net.of_classes(*(tf.reshape(a, [tf.shape(x)[0], -1]) for a in (x, number))), self._out_shape(x)
            )
            if not self.strip:
                return g
        elif not self.strip:
            return self._concat(x, tebd, first, second, net)
        elif isinstance(net, StoredNet):
            g = net.rows(x)
        else:
            g = tf.reshape(apply_embedding(tf.reshape(x, [-1, 1]), net, self.activation), self._out_shape(x))
        return g * self.type_factor(tebd, first, second, weights, damping) + g

    def contract(self, rows, tebd, first, second, weights, damping=None, *, keep=None):
        """Sum over slots of row (x) embedding, shape (n, M, 4), of rows (n, slots, 4); the other arguments as of the embedding.

        With `keep` (n, slots), rows of False are zeros and lie anywhere; otherwise such rows come last.
        """
        net = weights[0]
        if isinstance(net, StoredClasses):
            out = net.contract_classes(rows, self._class(rows[:, :, 0], net, first, second), keep)
        elif isinstance(net, StoredNet):
            factor = self.type_factor(tebd, first, second, weights, damping)
            out = net.contract_stripped(rows, tf.reshape(factor, [-1, self.neuron[-1]]), is_sorted=keep is None)
        else:
            return tf.matmul(self(rows[..., 0], tebd, first, second, weights, damping), rows, transpose_a=True)
        return tf.transpose(out, [0, 2, 1])

    def sum_products(self, c, tebd, first, second, weights, damping=None):
        """Sum over pairs of slots of c (embedding of c), shape (n, M), of products c (n, slots, slots)."""
        if isinstance(weights[0], StoredClasses) and not self.strip:
            return weights[0].sum_products(c, self._class(c, weights[0], first, second))
        return tf.einsum("nab,nabm->nm", c, self(c, tebd, first, second, weights, damping))

    def store(self, values, scope, tebd, firsts, bounds, settings, dtype, *, symmetric=False):
        """Replace the net by tables, in place: one of x (strip; the net of the types stays), or one per pair of types.

        Parameters
        ----------
        values : dict
            Arrays of the model.
        scope : str
        tebd : array, shape (ntypes + 1, tebd_dim)
        firsts : int
            Types that the first one of a pair can have, that of empty slots included where it matters.
        bounds : (float, float)
            Of x in the training data.
        settings : TableSettings
        dtype : type
        symmetric : bool
            x is a product of two neighbors: steps are ten times as long, and coarse intervals lie on both sides.
        """
        layers = len(self.neuron)
        if self.strip and not symmetric:
            grid = settings.grid(*bounds, dtype)
            store_net(values, scope, "", layers, self.activation, self.resnet_dt, grid, dtype)
            return
        net = [
            tuple(values.pop(f"{scope}/{name}_{k}", None) for name in ("matrix", "bias", "idt"))
            for k in range(1, layers + 1)
        ]
        if not self.resnet_dt:
            net = [(w, b, None) for w, b, _ in net]
        types = [()]
        if not self.strip:
            seconds = len(tebd) - 1 if self.two_types else 1
            types = [
                np.concatenate([tebd[first], tebd[second]]) if self.two_types else tebd[first]
                for second in range(seconds)
                for first in range(firsts)
            ]
        top = bounds[1] * settings.extrapolate if bounds[1] > 0 else bounds[1] + 1.0
        step = settings.step * (PRODUCT_SCALE if symmetric else 1.0)
        segment = Segment.covering(*bounds, max(top, bounds[1] + 1.0), step, symmetric=symmetric)
        store_net_classes(values, scope, "", segment, net, self.activation, types, dtype, settings.at_load)

    def _class(self, x, net, first, second):
        """Number of the table of the given types, of the shape of x."""
        firsts = net.count
        if not self.two_types:
            return tf.broadcast_to(tf.minimum(first, firsts - 1), tf.shape(x))
        firsts //= self.ntypes
        return tf.broadcast_to(second * firsts + tf.minimum(first, firsts - 1), tf.shape(x))

    def type_factor(self, tebd, first, second, weights, damping=None):
        """What the types contribute in strip form; arguments and shape as of the embedding."""
        table = weights[1]
        if isinstance(table, list):
            table = apply_embedding(self.type_rows(tebd), table, self.activation)
        factor = tf.gather(table, self._row(tebd, first, second))
        return factor if damping is None else factor * damping[..., None]

    def contract_tabulated(self, rows, tebd, first, second, weights, spacing, damping=None, *, excluded=(), scale=None):
        """Sum over slots of row (x) embedding by tables of the nets (see :func:`embed_contract`).

        Parameters
        ----------
        rows : tensor, shape (n, slots, 4)
            The first components are the arguments of the nets.
        first : int32 tensor, shape (n, slots)
            Rows of ``tebd``; -1 where nothing is.
        second : int32 tensor, shape (n,)
            As `first`, without the row of empty slots.
        tebd, weights, damping
            As of the embedding.
        spacing, scale
            Of :func:`embed_contract`.
        excluded : set of (int, int)
            Pairs (second, first) that are left out.

        Returns
        -------
        tensor, shape (n, 4, neuron[-1])
        scalar tensor
            Interpolation error.
        """
        nets, factor = self._one_number_nets(tebd, weights)
        n, slots = int(tebd.shape[0]), int(rows.shape[1])
        net_of = [
            -1 if b == self.ntypes or (b, a) in excluded else (b * n + a if self.two_types else a)
            for b in range(n)
            for a in range(n)
        ]
        return embed_contract(
            tf.reshape(rows, [-1, 4 * slots]), first, second, nets, self.activation, sel=[slots], net_of=net_of,
            spacing=spacing, factor=factor, damping=damping, scale=scale, first_adds=self.strip,
        )  # fmt: skip

    def _one_number_nets(self, tebd, weights):
        """The embedding as nets of x alone, one per pair of types (second type slowest; the first can be that of empty slots).

        Returns
        -------
        nets : list of list of (matrix, bias, idt)
            A first layer of one or two numbers adds its input in strip form only.
        factor : tensor, shape (pairs, neuron[-1]), or None
            In strip form ``nets`` holds one net, to be multiplied with one plus this.
        """
        net, type_net = weights
        count = int(tebd.shape[0]) * (self.ntypes if self.two_types else 1)
        rows = self.type_rows(tebd)[:count]
        if self.strip:
            return [net], apply_embedding(rows, type_net, self.activation)
        (w, b, _), rest = net[0], net[1:]
        bias = tf.unstack(tf.nn.bias_add(tf.matmul(rows, w[1:]), b), num=count)
        return [[(w[:1], own, None), *rest] for own in bias], None

    @property
    def is_one_number(self):
        """Whether the first layer is the same as one of x alone with another bias (it adds no types)."""
        n_in, n = 1 + self.types_in, self.neuron[0]
        return self.strip or n not in (n_in, 2 * n_in)

    def type_rows(self, tebd):
        """Input of the net of the types for all pairs (or first types), second type slowest."""
        if not self.two_types:
            return tebd
        n = int(tebd.shape[0])
        return tf.concat([tf.tile(tebd, [n, 1]), tf.repeat(tebd, n, axis=0)], axis=1)

    def _row(self, tebd, first, second):
        return second * int(tebd.shape[0]) + first if self.two_types else first

    def _out_shape(self, x):
        return tf.concat([tf.shape(x), [self.neuron[-1]]], 0)

    def _concat(self, x, tebd, first, second, net):
        """The first layer as the sum of its parts for x and for the types; the others as they are."""
        (w, b, idt), rest = net[0], net[1:]
        rows, n = self.type_rows(tebd), int(w.shape[1])
        table = tf.gather(tf.nn.bias_add(tf.matmul(rows, w[1:]), b), self._row(tebd, first, second))
        h = get_activation(self.activation)(x[..., None] * w[0] + table)
        n_in = 1 + self.types_in
        if n in (n_in, 2 * n_in):
            h = h if idt is None else h * tf.reshape(idt, [-1])
            inputs = tf.concat([x[..., None], tf.gather(rows, self._row(tebd, first, second))], -1)
            h = h + (inputs if n == n_in else tf.concat([inputs, inputs], -1))
        g = apply_embedding(tf.reshape(h, [-1, n]), rest, self.activation)
        return tf.reshape(g, self._out_shape(x))
