"""Initial blocks of DPA-2: the two-body block (DPA-1 without attention) and the three-body block, in the form of model files.

Both see the first slots of a common list, within cutoffs of their own.
"""

from dptf.descriptor.mixed_base import EnvScale
from dptf.descriptor.pair_embedding import PairEmbedding
from dptf.nn.tabulated import DEFAULT_SPACING, TYPICAL_RANGE, is_tabulable
from dptf.ops import tf


class InitialBlock:
    """What both blocks have.

    Parameters
    ----------
    name : str
        Scope of the variables.
    ntypes, nsel : int
    rcut, rcut_smth : float
        Å.
    neuron : list of int
    tebd_dim : int
    strip, two_types, smooth, resnet_dt : bool
    activation : str
    excluded : set of (int, int)
    protection : float
        Å.
    set_davg_zero : bool
    """

    def __init__(
        self, name, ntypes, *, rcut, rcut_smth, nsel, neuron, tebd_dim, strip, two_types, smooth, resnet_dt, activation,
        excluded, protection, set_davg_zero,
    ):  # fmt: skip
        self.name, self.rcut, self.rcut_smth, self.nsel = name, float(rcut), float(rcut_smth), int(nsel)
        self.strip, self.smooth, self.excluded, self.protection = strip, smooth, excluded, protection
        self.neuron = [int(n) for n in neuron]
        self.pairs = PairEmbedding(
            self.neuron, tebd_dim, ntypes=ntypes, strip=strip, two_types=two_types, activation=activation,
            resnet_dt=resnet_dt,
        )  # fmt: skip
        self.scale = EnvScale(
            f"{name}{{}}", ntypes, self.rcut, self.rcut_smth, self.nsel, set_davg_zero=set_davg_zero, excluded=excluded,
            protection=protection,
        )  # fmt: skip

    def slots(self, env, params, suffix, dtype):
        """Block, rows (n, nsel, 4) and switch (n, nsel); excluded neighbors have zeros in both."""
        block = env.prefix(self.rcut, self.nsel)
        switch = block.switch(self.rcut_smth)
        rows = block.rows(switch, self.protection, *self.scale.tensors(params, suffix))
        if self.excluded:
            keep = tf.cast(block.interacting(self.excluded), rows.dtype)
            rows, switch = rows * keep[:, :, None], switch * keep
        return block, tf.cast(rows, dtype), tf.cast(switch, dtype)

    #: Interpolation error of tabulated nets, once built.
    table_error = None

    def can_tabulate(self):
        """Whether the embedding is a sum over slots of nets of one number, to which empty slots add nothing."""
        zero_mean = self.scale.set_davg_zero and (self.scale.davg is None or not self.scale.davg.any())
        return zero_mean and is_tabulable(self.pairs.activation) and self.pairs.is_one_number

    def tabulation_pays(self, atoms_per_batch):
        """Whether grids for all pairs of types cost less than the slots of a batch."""
        pairs, types = self.pairs, self.pairs.ntypes
        nets = 1 if pairs.strip else types ** (1 + pairs.two_types)
        return nets * self.argument_range / DEFAULT_SPACING < atoms_per_batch * self.arguments


class TwoBody(InitialBlock):
    """``D = G G[:M<]^T`` with ``G = g^T R / N``.

    Parameters
    ----------
    axis_neuron : int
    """

    def __init__(self, *args, axis_neuron, **kwargs):
        super().__init__(*args, **kwargs)
        self.axis_neuron = int(axis_neuron)

    @property
    def dim_out(self):
        return self.neuron[-1] * self.axis_neuron

    @property
    def argument_range(self):
        """Typical range of the argument of the nets."""
        return TYPICAL_RANGE

    @property
    def arguments(self):
        """Arguments of the nets per atom."""
        return self.nsel

    def build(self, env, tebd, atype, params, suffix, dtype, seeder, trainable, spacing=None):
        """Features (n, dim_out); with `spacing`, nets are tabulated."""
        block, rows, switch = self.slots(env, params, suffix, dtype)
        nets = self.pairs.weights(params, f"{self.name}{suffix}", dtype, seeder, trainable)
        neighbor, center = block.types_or_first(atype), block.center[:, None]
        keep = block.interacting(self.excluded) if self.excluded else None
        damping = switch if self.smooth else None
        if spacing is not None:
            types = block.filled_types(), block.real_centers()
            a, self.table_error = self.pairs.contract_tabulated(
                rows, tebd, *types, nets, spacing, damping, excluded=self.excluded
            )
            a = tf.transpose(a, [0, 2, 1]) / self.nsel
        else:
            a = self.pairs.contract(rows, tebd, neighbor, center, nets, damping, keep=keep) / self.nsel
        return tf.reshape(tf.matmul(a, a[:, : self.axis_neuron], transpose_b=True), [-1, self.dim_out])


class ThreeBody(InitialBlock):
    """``D = sum_ab c_ab g(c_ab, T_a, T_b) / N^2`` with c the products of the angular parts of two rows."""

    @property
    def dim_out(self):
        return self.neuron[-1]

    @property
    def argument_range(self):
        """Typical range of the argument of the nets: products of two rows."""
        return TYPICAL_RANGE**2

    @property
    def arguments(self):
        """Arguments of the nets per atom."""
        return self.nsel**2

    def build(self, env, tebd, atype, params, suffix, dtype, seeder, trainable, spacing=None):
        """Features (n, dim_out); with `spacing`, nets are tabulated."""
        block, rows, switch = self.slots(env, params, suffix, dtype)
        nets = self.pairs.weights(params, f"{self.name}{suffix}", dtype, seeder, trainable)
        angular, types = rows[..., 1:], block.types_or_first(atype)
        c = tf.matmul(angular, angular, transpose_b=True)
        damping = switch[:, :, None] * switch[:, None, :] if self.smooth else None
        if spacing is not None:
            # Slots a are centers, and rows (c, 0, 0, 0) belong to the slots b; those of excluded neighbors have c = 0.
            types = block.filled_types()
            pairs = tf.reshape(tf.pad(c[..., None], [[0, 0], [0, 0], [0, 0], [0, 3]]), [-1, self.nsel, 4])
            neighbor = tf.reshape(tf.tile(types[:, None], [1, self.nsel, 1]), [-1, self.nsel])
            damping = tf.reshape(damping, [-1, self.nsel]) if self.smooth else None
            a, self.table_error = self.pairs.contract_tabulated(
                pairs, tebd, neighbor, tf.reshape(types, [-1]), nets, spacing, damping
            )
            return tf.reduce_sum(tf.reshape(a[:, 0], [-1, self.nsel, self.dim_out]), axis=1) / self.nsel**2
        # The first type of a net is that of a, which is the slower index here.
        return self.pairs.sum_products(c, tebd, types[:, :, None], types[:, None, :], nets, damping) / self.nsel**2
