"""Three-body angles with types as vectors (``se_e3_tebd``).

With e_a the angular part (3 numbers) of the normalised row of slot a among the N = sel nearest neighbors of any type, and g the
embedding of a product together with the types of both neighbors::

    c_ab = e_a . e_b,    D = sum_ab c_ab g(c_ab, T_a, T_b) / N^2      (M,)

a = b is included. The type embedding of the center is appended (concat_output_tebd).
"""

from dptf.descriptor.mixed_base import EnvScale, MixedDescriptor
from dptf.descriptor.mixed_env import EdgeEnv
from dptf.descriptor.pair_embedding import PairEmbedding
from dptf.errors import UserError
from dptf.nn.embedding import Seeder
from dptf.nn.parameters import global_dtype
from dptf.nn.table import check_storable
from dptf.ops import tf


class SeE3Tebd(MixedDescriptor):
    """se_e3_tebd; parameters as the base has them."""

    fitting_sees_types = False

    def __init__(self, section, ntypes, where="model/descriptor"):
        super().__init__(section, ntypes, where, section.get("tebd_dim", 8))
        sel = section["sel"]
        self.sel = [int(sum(sel)) if isinstance(sel, (list, tuple)) else int(sel)]
        if not self.nnei > 0:
            raise UserError("there is no neighbor slot", f"{where}/sel", "give a positive number")
        self.rcut, self.rcut_smth = float(section["rcut"]), float(section["rcut_smth"])
        mode = section.get("tebd_input_mode", "concat")
        if mode not in ("concat", "strip"):
            raise UserError(f"is '{mode}'", f"{where}/tebd_input_mode", "use concat or strip")
        self.neuron, self.activation = list(section["neuron"]), section["activation_function"]
        self.smooth = bool(section.get("smooth", True)) and mode == "strip"
        self.pairs = PairEmbedding(
            self.neuron, self.tebd_dim, strip=mode == "strip", two_types=True, activation=self.activation,
            resnet_dt=bool(section["resnet_dt"]), ntypes=ntypes,
        )  # fmt: skip
        self.scale = EnvScale(
            "descrpt_attr{}", ntypes, self.rcut, self.rcut_smth, self.nnei, set_davg_zero=bool(section["set_davg_zero"]),
            excluded=self.excluded, protection=self.env_protection,
        )  # fmt: skip

    @property
    def nnei(self):
        return self.sel[0]

    @property
    def scales(self):
        return [self.scale]

    @property
    def dim_out(self):
        return self.neuron[-1] + (self.tebd_dim if self.concat_output_tebd else 0)

    def build(self, coord, atype, natoms, box, mesh, params, suffix="", *, tabulated=None, type_table=None):
        """Assemble the descriptor; see :meth:`Descriptor.build`. It has its own type embedding."""
        self.constants(suffix)
        tebd = tf.cast(self._own_type_table(params, suffix), self.precision)
        davg, dstd = self.scale.tensors(params, suffix)
        self.env = EdgeEnv(
            coord, atype, natoms, box, mesh, rcut=self.rcut, rcut_smth=self.rcut_smth, nsel=self.nnei,
            ntypes=self.ntypes, suffix=suffix, excluded=self.pair_excluded, hosts=self.hosts,
        )  # fmt: skip
        self.nlist, self.rij = self.env.nlist_node, self.env.op_rij
        block = self.env.prefix(self.rcut, self.nnei)
        switch = block.switch(self.rcut_smth)
        rows = block.rows(switch, self.env_protection, davg, dstd)
        if self.excluded:
            keep = tf.cast(block.interacting(self.excluded), rows.dtype)
            rows, switch = rows * keep[:, :, None], switch * keep
        e = tf.cast(rows[..., 1:], self.precision)
        c = tf.matmul(e, e, transpose_b=True)
        # An empty slot has e = 0 unless the mean of the angular part is not 0; its type then is that of the first.
        types = tf.minimum(block.ntype, self.ntypes - 1)
        damping = None
        if self.smooth:
            switch = tf.cast(switch, self.precision)
            damping = switch[:, :, None] * switch[:, None, :]
        # The first type of a net is that of a, which is the slower index here.
        first, second = types[:, :, None], types[:, None, :]
        nets = self.pairs.weights(params, f"filter_type_all{suffix}", self.precision, Seeder(self.seed), self.trainable)
        d = self.pairs.sum_products(c, tebd, first, second, nets, damping) / self.nnei**2
        if self.concat_output_tebd:
            d = tf.concat([d, tf.gather(tebd, self.env.center)], axis=1)
        d = tf.reshape(tf.cast(d, global_dtype()), [-1, natoms[0], self.dim_out])
        return tf.identity(d, name=f"o_descriptor{suffix}")

    def compress(self, values, settings, suffix=""):
        """See :meth:`Descriptor.compress`: one table per pair of types, or in strip form one, beside the net of the types."""
        check_storable(self.activation, self.precision, self.where)
        self.pairs.store(
            values, f"filter_type_all{suffix}", self._own_type_rows(values, suffix), self.ntypes,
            self.scale.bounds(values, suffix, settings, products=True), settings, self.precision.as_numpy_dtype, symmetric=True,
        )  # fmt: skip

    def stored_names(self, suffix=""):
        """See :meth:`Descriptor.stored_names`."""
        return [(f"filter_type_all{suffix}", "")]
