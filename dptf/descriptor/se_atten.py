"""DPA-1 (``se_atten``, also ``dpa1``, and ``se_atten_v2``): two-body environments with types as vectors, and attention.

With R the normalised environment matrix of the N = sel nearest neighbors, g their pair embeddings after the attention layers::

    G = g^T R / N          (M, 4)
    D = G G[:M<]^T         (M, M<)

There are two forms. The graph form is what graphs of this family have always meant: logits are not scaled, the smooth switch is
``1 - (1 - r_s w/r)^3``, the type embedding belongs to the model and the fitting net takes it beside D. The exchange form is that
of model files of other backends: logits are scaled, the switch is w(r), the descriptor has its own type embedding and appends it.
"""

import math

import numpy as np

from dptf.descriptor.attention import GatedAttention
from dptf.descriptor.mixed_base import EnvScale, MixedDescriptor
from dptf.descriptor.mixed_env import EdgeEnv, PublicEnv
from dptf.descriptor.mixed_memory import attention_bytes, pair_bytes
from dptf.descriptor.pair_embedding import PairEmbedding
from dptf.errors import UserError
from dptf.nn.embedding import Seeder
from dptf.nn.fitting import fusion_wanted
from dptf.nn.parameters import global_dtype
from dptf.nn.table import StoredNet, check_storable
from dptf.nn.tabulated import DEFAULT_SPACING, TYPICAL_RANGE, is_tabulable
from dptf.ops import op_module, tf


def is_exchange_form(section):
    """Whether a section means the form of other backends: it says so, or has an option that only they have."""
    return bool(
        section.get("exchange_form")
        or section.get("scaling_factor", 1.0) != 1.0
        or not section.get("normalize", True)
        or section.get("temperature") is not None
        or not section.get("concat_output_tebd", True)
        or section.get("env_protection")
    )


class SeAtten(MixedDescriptor):
    """DPA-1; parameters as the base has them."""

    type_padding = True

    def __init__(self, section, ntypes, where="model/descriptor"):
        super().__init__(section, ntypes, where, section.get("tebd_dim", 8))
        v2 = section["type"] == "se_atten_v2"
        sel = section["sel"]
        self.sel = [int(sum(sel)) if isinstance(sel, (list, tuple)) else int(sel)]
        if not self.nnei > 0:
            raise UserError("there is no neighbor slot", f"{where}/sel", "give a positive number")
        self.rcut, self.rcut_smth = float(section["rcut"]), float(section["rcut_smth"])
        self.neuron, self.axis_neuron = list(section["neuron"]), int(section["axis_neuron"])
        self.activation, self.resnet_dt = section["activation_function"], bool(section["resnet_dt"])
        self.exchange_form = is_exchange_form(section)
        strip = v2 or section.get("tebd_input_mode", "concat") == "strip"
        if not v2 and section.get("stripped_type_embedding") is not None:
            strip = bool(section["stripped_type_embedding"])
        if section.get("tebd_input_mode", "concat") not in ("concat", "strip"):
            raise UserError(f"is '{section['tebd_input_mode']}'", f"{where}/tebd_input_mode", "use concat or strip")
        if section.get("lmax") not in (None, 1):
            raise UserError("is not supported by this version", f"{where}/lmax", "remove it")
        self.strip = strip
        # Without attention and product form nothing is switched.
        self.smooth = (v2 or bool(section.get("smooth_type_embedding", False))) and bool(strip or section["attn_layer"])
        # Graphs of the strip form have always had nets of both types, whatever type_one_side says.
        self.two_types = two_types = not section.get("type_one_side", False) or (strip and not self.exchange_form)
        self.exact_cutoff = bool(section.get("exact_cutoff", False))
        self.trainable_ln = bool(section.get("trainable_ln", True))
        if section.get("attn_mask") and self.exchange_form:
            raise UserError("is not part of the form of other backends", f"{where}/attn_mask", "set it to false")
        self.scale = EnvScale(
            "descrpt_attr{}", ntypes, self.rcut, self.rcut_smth, self.nnei, set_davg_zero=bool(section["set_davg_zero"]),
            excluded=self.excluded, protection=self.env_protection,
        )  # fmt: skip
        self.pairs = lambda dim: PairEmbedding(
            self.neuron, dim, strip=strip, two_types=two_types, activation=self.activation,
            resnet_dt=self.resnet_dt, ntypes=ntypes,
        )  # fmt: skip
        hidden = int(section["attn"])
        self.attention = GatedAttention(
            self.neuron[-1], hidden, int(section["attn_layer"]), kappa=self._kappa(section, hidden),
            dotr=bool(section["attn_dotr"]), normalize=bool(section.get("normalize", True)), smooth=self.smooth,
            no_diagonal=bool(section.get("attn_mask", False)), eps=self._ln_eps(section),
            norm_floor=1e-24 if self.exchange_form else 1e-12,
        )  # fmt: skip

    def _kappa(self, section, hidden):
        if not self.exchange_form:
            return 1.0
        if section.get("temperature") is not None:
            return float(section["temperature"])
        return 1.0 / math.sqrt(hidden * section.get("scaling_factor", 1.0))

    def _ln_eps(self, section):
        eps = section.get("ln_eps")
        if self.exchange_form:
            return 1e-5 if eps is None else float(eps)
        return 1e-3 if eps is None else float(eps)

    @property
    def nnei(self):
        return self.sel[0]

    @property
    def scales(self):
        return [self.scale]

    @property
    def appends_tebd(self):
        """Whether the type embedding is part of the output."""
        return self.exchange_form and self.concat_output_tebd

    @property
    def fitting_sees_types(self):
        """Whether the fitting net gets the type embedding of the center."""
        return not self.exchange_form

    @property
    def own_type_embedding(self):
        """Options of the type embedding of the model, for inputs that have no section for it."""
        return None if self.exchange_form else self.linear_embedding

    @property
    def dim_out(self):
        return self.neuron[-1] * self.axis_neuron + (self.tebd_dim if self.appends_tebd else 0)

    @property
    def dim_rot(self):
        return self.neuron[-1]

    def build(self, coord, atype, natoms, box, mesh, params, suffix="", *, tabulated=None, type_table=None):
        """Assemble the descriptor; arguments as :meth:`dptf.descriptor.base.SmoothDescriptor.build` has them.

        Parameters
        ----------
        type_table : tensor, shape (ntypes + 1, dim), optional
            Type embedding of the model, with a row for empty slots; not used by the exchange form.
        """
        if self.exchange_form and type_table is not None:
            raise UserError(
                "the form of other backends, which an option of the descriptor selects, has its own type embedding",
                "model/type_embedding", "remove it and give tebd_dim in the descriptor",
            )  # fmt: skip
        self.constants(suffix)
        tebd = self._own_type_table(params, suffix) if self.exchange_form else type_table
        davg, dstd = self.scale.tensors(params, suffix)
        self._environment(coord, atype, natoms, box, mesh, davg, dstd, suffix)
        tebd = tf.cast(tebd, self.precision)
        pairs = self.pairs(int(tebd.shape[1]))
        seeder = Seeder(self.seed)
        nets = pairs.weights(params, f"filter_type_all{suffix}", self.precision, seeder, self.trainable)
        layers = self.attention.weights(
            params, suffix, self.precision, seeder, trainable=self.trainable, trainable_ln=self.trainable_ln
        )
        rows, switch, mask = self._slots(davg, dstd)
        rows = tf.cast(rows, self.precision)
        switch = None if switch is None else tf.cast(switch, self.precision)
        neighbor = self._neighbor_types(atype)
        stored = isinstance(nets[0], StoredNet) and not self.attention.layers
        fused = not stored and (tabulated is not None or self._can_fuse(params, suffix))
        if stored:
            # Rows of excluded neighbors lie among the others.
            keep = self.block.interacting(self.excluded) if self.excluded else None
            a = pairs.contract(rows, tebd, neighbor, self.env.center[:, None], nets, switch, keep=keep) / self.nnei
        elif tabulated is not None:
            # Without a mean the rows of slots that take no part are zeros.
            used = tf.logical_or(mask, tf.reduce_any(tf.not_equal(davg, 0.0)))
            neighbor = tf.where(used, neighbor, -tf.ones_like(neighbor))
            a, self.table_error = pairs.contract_tabulated(
                rows, tebd, neighbor, self.block.real_centers(), nets, tabulated, switch, scale=1.0 / self.nnei
            )
        else:
            used = self._used_slots(davg)
            rows, mask, neighbor = rows[:, :used], mask[:, :used], neighbor[:, :used]
            switch = None if switch is None else switch[:, :used]
            g = pairs(rows[..., 0], tebd, neighbor, self.env.center[:, None], nets, switch)
            g = self.attention(g, mask, switch, rows[..., 1:], self.nnei - used, layers, fused=fused)
            a = tf.matmul(*((rows, g) if fused else (g, rows)), transpose_a=True) / self.nnei
        if fused:  # a is (n, 4, M), otherwise (n, M, 4)
            d, a = op_module.dptf_axis_product(a, axis=self.axis_neuron), tf.transpose(a, [0, 2, 1])
        else:
            d = tf.matmul(a, a[:, : self.axis_neuron], transpose_b=True)
        self.rot_mat = tf.cast(a[:, :, 1:4], global_dtype())
        d = tf.reshape(d, [-1, self.neuron[-1] * self.axis_neuron])
        if self.appends_tebd:
            d = tf.concat([d, tf.gather(tebd, self.env.center)], axis=1)
        d = tf.reshape(tf.cast(d, global_dtype()), [-1, natoms[0], self.dim_out])
        return tf.identity(d, name=f"o_descriptor{suffix}")

    def memory(self, compressed=False):
        """See :meth:`Descriptor.memory`."""
        size, n = self.precision.size, self.nnei
        need = pair_bytes(n, self.neuron, size, strip=self.strip, stored=compressed)
        need += attention_bytes(n, self.neuron[-1], self.attention.hidden, self.attention.layers, size)
        return float(need), f"{n} neighbors within {self.rcut:g} Å"

    def compress(self, values, settings, suffix=""):
        """See :meth:`Descriptor.compress`; in strip form the net of the types stays, it is evaluated once per pair of types."""
        check_storable(self.activation, self.precision, self.where)
        table = self._own_type_rows(values, suffix) if self.exchange_form else self.known_types
        mean = np.any(values[f"descrpt_attr{suffix}/t_avg"])
        firsts = len(table) if mean and not self.exchange_form else self.ntypes
        self.pairs(table.shape[1]).store(
            values, f"filter_type_all{suffix}", table, firsts, self.scale.bounds(values, suffix, settings), settings,
            self.precision.as_numpy_dtype,
        )  # fmt: skip

    def stored_names(self, suffix=""):
        """See :meth:`SmoothDescriptor.stored_names`."""
        return [(f"filter_type_all{suffix}", "")]

    def _environment(self, coord, atype, natoms, box, mesh, davg, dstd, suffix):
        inputs = coord, atype, natoms, box, mesh
        geometry = {
            "rcut": self.rcut, "rcut_smth": self.rcut_smth, "nsel": self.nnei, "ntypes": self.ntypes, "suffix": suffix,
            "hosts": self.hosts,
        }  # fmt: skip
        own_switch = self.exchange_form and self.smooth
        if own_switch or self.env_protection or self.exact_cutoff or self.pair_excluded:
            self.env = EdgeEnv(*inputs, **geometry, excluded=self.pair_excluded)
            self.block = self.env.prefix(self.rcut, self.nnei)
            self.weight = self.block.switch(self.rcut_smth)
            self.rows = self.block.rows(self.weight, self.env_protection, davg, dstd)
        else:
            self.env = self.block = PublicEnv(*inputs, **geometry, davg=davg, dstd=dstd)
            self.rows = self.env.rows
        self.nlist, self.rij = self.env.nlist_node, self.env.op_rij

    def _slots(self, davg, dstd):
        """Rows (n, nnei, 4), switch (n, nnei) or None, and the slots that take part."""
        rows, mask, switch = self.rows, self.block.filled, None
        if self.smooth:
            switch = self.weight if self.exchange_form else self._graph_switch(rows, davg, dstd)
        if not self.excluded:
            return rows, switch, mask
        keep = self.block.interacting(self.excluded)
        factor = tf.cast(keep, rows.dtype)
        if self.smooth:
            switch = switch * factor
        if self.smooth and not self.exchange_form:
            avg = tf.gather(davg[:, 0], self.block.center)[:, None, None]
            rows = tf.where(tf.broadcast_to(keep[:, :, None], tf.shape(rows)), rows, avg * tf.ones_like(rows))
        else:
            rows = rows * factor[:, :, None]
        return rows, switch, tf.logical_and(mask, keep)

    # -- tabulated nets -------------------------------------------------------------------------------------------

    def can_tabulate(self):
        """Whether the embedding is a sum over neighbors of nets of one number: without attention."""
        known = is_tabulable(self.activation) and self.precision in (tf.float32, tf.float64)
        return not self.attention.layers and known and self.pairs(self.tebd_dim).is_one_number

    def tabulation_pays(self, atoms_per_batch):
        """Whether grids for all pairs of types cost less than the slots of a batch."""
        nets = 1 if self.strip else self.ntypes ** (1 + self.two_types)
        return self.can_tabulate() and nets * TYPICAL_RANGE / DEFAULT_SPACING < atoms_per_batch * self.nnei

    def _can_fuse(self, params, suffix):
        """Whether empty slots count nothing beyond the softmax, and the precision is an ordinary one."""
        known = fusion_wanted(params) and self.precision in (tf.float32, tf.float64)
        return known and self._mean_is_zero() and not np.any(params.values.get(f"descrpt_attr{suffix}/t_avg", 0.0))

    def _mean_is_zero(self):
        return self.scale.set_davg_zero and (self.scale.davg is None or not self.scale.davg.any())

    def _used_slots(self, davg):
        """Number of slots to compute: those beyond the fullest list count nothing where the mean is zero."""
        place = tf.range(1, self.nnei + 1)[None, :] * tf.cast(self.block.filled, tf.int32)
        fullest = tf.maximum(tf.reduce_max(place), 1)
        return tf.where(tf.reduce_any(tf.not_equal(davg, 0.0)), self.nnei * tf.ones_like(fullest), fullest)

    def _graph_switch(self, rows, davg, dstd):
        """Switch of the graph form, from w/r of the rows."""
        avg, std = (self.block.by_center(a[:, ::4], 1)[..., 0] for a in (davg, dstd))
        radial = rows[..., 0] * std + avg
        u = 1.0 - self.rcut_smth * radial
        return tf.clip_by_value(1.0 - u * u * u, 0.0, 1.0) * tf.cast(self.block.filled, rows.dtype)

    def _neighbor_types(self, atype):
        """Rows of the type embedding for the neighbors; an empty slot has the padding row, or that of the first type."""
        return self.block.types_or_first(atype) if self.exchange_form else self.block.ntype
