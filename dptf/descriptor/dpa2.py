"""DPA-2: initial blocks on the environment matrix, then message passing with node and pair features.

Features of neighbors are those of the atoms they are images of. Every environment matrix is made of the vectors from center to
neighbor, which are the leaves of the chain rule.
"""

import itertools

import numpy as np

from dptf.descriptor.interface import splits_virial
from dptf.descriptor.mixed_base import EnvScale, MixedDescriptor
from dptf.descriptor.mixed_env import EdgeEnv
from dptf.descriptor.mixed_memory import pair_bytes, repformer_bytes
from dptf.descriptor.repformer import RepformerLayer
from dptf.descriptor.repformer_edges import ListEdges, SlotEdges
from dptf.descriptor.repinit import ThreeBody, TwoBody
from dptf.errors import UserError
from dptf.nn.activation import get_activation
from dptf.nn.embedding import Seeder
from dptf.nn.fitting import plain_wanted
from dptf.nn.layers import apply_linear, linear
from dptf.nn.parameters import global_dtype
from dptf.nn.table import check_storable
from dptf.ops import halo, op_module, tf


class DPA2(MixedDescriptor):
    """DPA-2; parameters as the base has them."""

    fitting_sees_types = False

    def __init__(self, section, ntypes, where="model/descriptor"):
        init, former = section["repinit"], section["repformer"]
        super().__init__(section, ntypes, where, init["tebd_dim"])
        self.former, self.smooth = former, bool(section.get("smooth", True))
        self.add_tebd = bool(section.get("add_tebd_to_repinit_out", False))
        if init["tebd_input_mode"] not in ("concat", "strip"):
            raise UserError(
                f"is '{init['tebd_input_mode']}'", f"{where}/repinit/tebd_input_mode", "use concat or strip"
            )
        styles = ("res_avg", "res_incr", "res_residual")
        if former["update_style"] not in styles:
            raise UserError(
                f"is '{former['update_style']}'", f"{where}/repformer/update_style", f"use {', '.join(styles)}"
            )
        if former["update_residual_init"] not in ("norm", "const"):
            raise UserError(
                f"is '{former['update_residual_init']}'", f"{where}/repformer/update_residual_init", "use norm or const"
            )
        common = {
            "tebd_dim": self.tebd_dim, "strip": init["tebd_input_mode"] == "strip", "smooth": self.smooth,
            "resnet_dt": bool(init["resnet_dt"]), "activation": init["activation_function"], "excluded": self.excluded,
            "protection": self.env_protection, "set_davg_zero": bool(init["set_davg_zero"]),
        }  # fmt: skip
        self.initial = [
            TwoBody(
                "repinit", ntypes, rcut=init["rcut"], rcut_smth=init["rcut_smth"], nsel=init["nsel"], neuron=init["neuron"],
                axis_neuron=init["axis_neuron"], two_types=not init["type_one_side"], **common,
            )
        ]  # fmt: skip
        if init["use_three_body"]:
            self.initial.append(
                ThreeBody(
                    "repinit_three_body", ntypes, rcut=init["three_body_rcut"], rcut_smth=init["three_body_rcut_smth"],
                    nsel=init["three_body_sel"], neuron=init["three_body_neuron"], two_types=True, **common,
                )
            )  # fmt: skip
        self.scale = EnvScale(
            "repformer{}", ntypes, float(former["rcut"]), float(former["rcut_smth"]), int(former["nsel"]),
            set_davg_zero=bool(former["set_davg_zero"]), excluded=self.excluded, protection=self.env_protection,
        )  # fmt: skip
        blocks = sorted((float(b.rcut), int(b.nsel)) for b in (*self.initial, self.scale))
        if any(a[1] > b[1] for a, b in itertools.pairwise(blocks)):
            raise UserError(
                "a block with a smaller cutoff has more neighbors than one with a larger cutoff", where,
                "order nsel (and three_body_sel) as the cutoffs",
            )  # fmt: skip
        self.rcut, self.rcut_smth = blocks[-1][0], float(init["rcut_smth"])
        self.sel = [blocks[-1][1]]
        self.activation = init["activation_function"]  # of the nets that may be tabulated

    @property
    def scales(self):
        return [b.scale for b in self.initial] + [self.scale]

    @property
    def dim_out(self):
        return self.former["g1_dim"] + (self.tebd_dim if self.concat_output_tebd else 0)

    @property
    def message_width(self):
        """Width of the nodes, which are what ghosts need."""
        return self.former["g1_dim"]

    @property
    def relayed(self):
        """See :attr:`Descriptor.relayed`."""
        return 2 * self.former["nlayers"] * self.message_width

    @property
    def dim_rot(self):
        return self.former["g2_dim"]

    def build(self, coord, atype, natoms, box, mesh, params, suffix="", *, tabulated=None, type_table=None):
        """Assemble the descriptor; see :meth:`Descriptor.build`."""
        self.constants(suffix)
        # Engines read this: ghosts have features, so a mapping or an exchange between processes is needed.
        tf.constant(self.message_width, dtype=tf.int32, name=f"descrpt_attr{suffix}/message_width")
        dtype, seeder = self.precision, Seeder(self.seed)
        tebd = tf.cast(self._own_type_table(params, suffix), dtype)
        self.env = EdgeEnv(
            coord, atype, natoms, box, mesh, rcut=self.rcut, rcut_smth=self.rcut_smth, nsel=self.nnei, ntypes=self.ntypes,
            suffix=suffix, excluded=self.pair_excluded, hosts=self.hosts,
        )  # fmt: skip
        self.nlist, self.rij = self.env.nlist_node, self.env.op_rij
        self._positions = wrapped(coord, box, mesh, natoms)
        if self.hosts is not None:
            self._positions = self.hosts.of_atoms(self._positions)
        # Training reads no atomic virials; without messages in them (the sum is the same) its graph is half as large.
        self._split_virial = params.portable
        if not self._zero_means(params, suffix):
            tabulated = None  # of an imported model: its empty slots count
        g1 = self._initial_features(tebd, atype, params, suffix, dtype, seeder, tabulated)
        g1 = self._message_passing(g1, mesh, params, suffix, dtype, seeder)
        if self.concat_output_tebd:
            g1 = tf.concat([g1, tf.gather(tebd, self.env.center)], axis=1)
        d = tf.reshape(tf.cast(g1, global_dtype()), [-1, natoms[0], self.dim_out])
        return tf.identity(d, name=f"o_descriptor{suffix}")

    def memory(self, compressed=False):
        """See :meth:`Descriptor.memory`."""
        size, block = self.precision.size, self.initial[0]
        need = pair_bytes(block.nsel, block.neuron, size, strip=block.strip, stored=compressed)
        for three in self.initial[1:]:
            need += three.nsel**2 * size * (3 * sum(three.neuron) + 4)
        need += repformer_bytes(self.former, size)
        lists = ", ".join(f"{b.nsel} neighbors within {b.rcut:g} Å" for b in (*self.initial, self.scale))
        return float(need), lists

    def compress(self, values, settings, suffix=""):
        """See :meth:`Descriptor.compress`: the nets of the initial blocks become tables, messages stay."""
        check_storable(self.initial[0].pairs.activation, self.precision, f"{self.where}/repinit")
        table = self._own_type_rows(values, suffix)
        for block in self.initial:
            products = isinstance(block, ThreeBody)
            block.pairs.store(
                values, f"{block.name}{suffix}", table, self.ntypes, block.scale.bounds(values, suffix, settings, products=products),
                settings, self.precision.as_numpy_dtype, symmetric=products,
            )  # fmt: skip

    def stored_names(self, suffix=""):
        """See :meth:`Descriptor.stored_names`."""
        return [(f"{block.name}{suffix}", "") for block in self.initial]

    def can_tabulate(self):
        """See :meth:`Descriptor.can_tabulate`: the nets of the initial blocks."""
        return self.precision in (tf.float32, tf.float64) and all(b.can_tabulate() for b in self.initial)

    def tabulation_pays(self, atoms_per_batch):
        """See :meth:`Descriptor.tabulation_pays`."""
        return self.can_tabulate() and all(b.tabulation_pays(atoms_per_batch) for b in self.initial)

    @property
    def table_error(self):
        """The largest interpolation error of the initial blocks."""
        errors = [b.table_error for b in self.initial if b.table_error is not None]
        return tf.reduce_max(tf.stack(errors)) if errors else None

    def _zero_means(self, params, suffix):
        """Whether the statistics of the initial blocks among given arrays have no mean."""
        names = [f"{b.scale.scope.format(suffix)}/t_avg" for b in self.initial]
        return not any(np.any(params.values.get(name, 0.0)) for name in names)

    def _initial_features(self, tebd, atype, params, suffix, dtype, seeder, tabulated):
        given = tebd, atype, params, suffix, dtype, seeder, self.trainable, tabulated
        parts = [b.build(self.env, *given) for b in self.initial]
        g1 = tf.concat(parts, axis=1) if len(parts) > 1 else parts[0]
        width, n1 = sum(b.dim_out for b in self.initial), self.former["g1_dim"]
        options = {"bias": False, "trainable": self.trainable}
        if width != n1:
            g1 = apply_linear(g1, linear(params, f"g1_shape_tranform{suffix}", width, n1, dtype, seeder, **options))
        if self.add_tebd:
            layer = linear(params, f"tebd_transform{suffix}", self.tebd_dim, n1, dtype, seeder, **options)
            g1 = g1 + tf.gather(apply_linear(tebd, layer), self.env.center)
        return g1

    def _message_passing(self, g1, mesh, params, suffix, dtype, seeder):
        o, scale = self.former, self.scale
        block = self.env.prefix(scale.rcut, scale.nsel)
        block.exclude(self.excluded)
        switch = block.switch(scale.rcut_smth)
        davg, dstd = scale.tensors(params, suffix)
        if o["direct_dist"]:
            vectors = block.rij / scale.rcut
            radial = block.distance * tf.cast(block.filled, block.distance.dtype) / scale.rcut
        else:
            rows = block.rows(switch, self.env_protection, davg, dstd)
            radial, vectors = rows[..., 0], rows[..., 1:]
        edges, radial, h2 = self._edges(block, mesh, switch, radial, vectors)
        phi = get_activation(o["activation_function"])
        embed = linear(params, f"repformer{suffix}/g2_embd", 1, o["g2_dim"], dtype, seeder, trainable=self.trainable)
        g1, g2 = phi(g1), phi(apply_linear(radial[..., None], embed))
        eps = 1e-5 if o.get("ln_eps") is None else float(o["ln_eps"])
        for k in range(o["nlayers"]):
            layer = RepformerLayer(o, f"repformer_layer_{k}{suffix}", last=k + 1 == o["nlayers"], eps=eps)
            layer.weights(params, dtype, seeder, trainable=self.trainable)
            g1, g2, h2 = layer(g1, halo(g1, self.env.natoms, mesh), g2, h2, edges)
        self.rot_mat = tf.cast(tf.transpose(edges.moment(g2, h2), [0, 2, 1]), global_dtype())
        return g1

    def _edges(self, block, mesh, switch, radial, vectors):
        """What the layers do with neighbors, and the radial components (rows,) and vectors (rows, 3) of its rows."""
        o, nsel, natoms = self.former, self.scale.nsel, self.env.natoms
        form = {"smooth": self.smooth, "sqrt_nnei": bool(o["use_sqrt_nnei"])}
        if self.precision in (tf.float32, tf.float64) and not o["update_h2"] and not plain_wanted():
            at, start, center, *index = op_module.dptf_filled_slots(block.nlist, natoms, mesh, stride=nsel)
            rows = tf.concat([switch[:, :, None], radial[:, :, None], vectors], axis=2)
            rows = op_module.dptf_take_rows(tf.cast(tf.reshape(rows, [-1, 5]), self.precision), at)
            edges = ListEdges(rows[:, 0], nsel, **form, start=start, center=center, index=tuple(index))
            return edges, rows[:, 1], rows[:, 2:]
        # Slots beyond the fullest list are empty for every atom; nothing is computed there.
        used = tf.maximum(tf.reduce_max(tf.reduce_sum(tf.cast(block.filled, tf.int32), axis=1)), 1)
        used = nsel if self.excluded or self.pair_excluded else used  # their slots are empty in between
        switch, radial, vectors = (tf.cast(x[:, :used], self.precision) for x in (switch, radial, vectors))
        rows = op_module.dptf_neighbor_rows(block.nlist[:, :used], natoms, mesh)
        return SlotEdges(block.filled[:, :used], switch, nsel, **form, rows=rows), radial, vectors

    def force_and_virial(self, scalar, suffix="", *, atomic=None):
        """See :meth:`Descriptor.force_and_virial`.

        The atomic virial of atom k is ``sum_l dE_l/dr_k (x) (r_l - r_k)`` over all atoms l that see it, through messages too.
        """
        env = self.env
        g = env.edge_gradient(scalar)
        force = env.edge_force(g)
        rij = tf.reshape(env.virial_rij, tf.shape(g))
        virial, atom_virial = op_module.dptf_vector_virial(g, rij, env.nlist_node, env.natoms)
        if atomic is None or not (self._split_virial and splits_virial()):
            return force, virial, atom_virial
        centers = tf.reshape(self._positions, [-1, env.natoms[0], 1, 3])
        columns = []
        for b in range(3):
            q = tf.gradients(atomic, env.leaf, grad_ys=tf.cast(self._positions[:, :, b], atomic.dtype))[0]
            shape = [-1, env.natoms[0], env.nsel, 3]
            p = tf.reshape(q, shape) - tf.reshape(g, shape) * centers[..., b : b + 1]
            columns.append(-env.edge_force(tf.reshape(p, tf.shape(g))))
        shape = [-1, env.natoms[1], 3]
        split = tf.stack([tf.reshape(c, shape) for c in columns], axis=-1)
        return force, virial, atom_virial + tf.reshape(split, tf.shape(atom_virial))


def wrapped(coord, box, mesh, natoms):
    """Local positions, those of periodic frames moved into the cell; shape (nf, nloc, 3), Å."""
    r = tf.reshape(coord[:, : 3 * natoms[0]], [-1, natoms[0], 3])
    size = tf.size(mesh)
    periodic = tf.logical_or(tf.equal(size, 6), tf.equal(size, 7))
    cell = tf.reshape(box, [-1, 3, 3])
    cell = tf.where(tf.broadcast_to(periodic, tf.shape(cell)), cell, tf.eye(3, dtype=cell.dtype) + tf.zeros_like(cell))
    shift = tf.matmul(tf.floor(tf.matmul(r, tf.linalg.inv(cell))), cell)
    return r - shift * tf.cast(periodic, r.dtype)
