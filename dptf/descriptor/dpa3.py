"""DPA-3: message passing over atoms, edges and angles, on ragged lists without padding."""

import logging
import math

import numpy as np

from dptf.data.guard import CHARGE_SPIN_LIMITS
from dptf.descriptor.charge_spin import ChargeSpinEmbedding, default_of
from dptf.descriptor.interface import Descriptor, FrameInput, splits_virial
from dptf.descriptor.mixed_statistics import MixedStatistics
from dptf.descriptor.pairs import symmetric
from dptf.descriptor.repflow import Geometry, RepFlowLayer, RepFlowOptions, State, edge_moments
from dptf.descriptor.repflow_memory import bytes_per_atom, coefficients
from dptf.descriptor.repflow_table import FirstMessages, store_first_messages
from dptf.descriptor.switches import switch
from dptf.env import GLOBAL_NP_FLOAT
from dptf.errors import UserError
from dptf.nn.activation import get_activation
from dptf.nn.embedding import Seeder
from dptf.nn.parameters import Parameters, get_precision, global_dtype, normal
from dptf.nn.ragged import Edges
from dptf.nn.type_embedding import TypeEmbedding, type_rows
from dptf.ops import halo, op_module, tf
from dptf.ops_ragged import geometry_only
from dptf.session import new_session

log = logging.getLogger(__name__)


class DPA3(Descriptor):
    """Descriptor ``dpa3``; parameters as in :class:`dptf.descriptor.base.SmoothDescriptor`."""

    mixed_types = True
    fitting_sees_types = False
    rewriting_gains = False
    counts_memory = True
    #: Fused ops; False builds the same graph of plain TensorFlow ops, for tests.
    fused = True

    def __init__(self, section, ntypes, where="model/descriptor"):
        super().__init__()
        self.ntypes, self.where = ntypes, where
        self.o = RepFlowOptions.read(section["repflow"], f"{where}/repflow")
        self.rcut, self.rcut_smth, self.sel = self.o.e_rcut, self.o.e_rcut_smth, [self.o.e_sel]
        self.concat_output_tebd = bool(section.get("concat_output_tebd", False))
        self.activation = section.get("activation_function", "silu")
        get_activation(self.activation, f"{where}/activation_function")
        self.precision = get_precision(section.get("precision", "default"), f"{where}/precision")
        if self.precision not in (tf.float32, tf.float64):
            raise UserError("is not float32 or float64", f"{where}/precision", "use float32")
        self.trainable, self.seed = bool(section.get("trainable", True)), section.get("seed")
        self.env_protection = float(section.get("env_protection") or 0.0)
        self.excluded = symmetric([tuple(p) for p in section.get("exclude_types") or []])
        if any(not 0 <= t < ntypes for p in self.excluded for t in p):
            raise UserError(f"names a type outside 0..{ntypes - 1}", f"{where}/exclude_types")
        self.linear_embedding = {
            "neuron": [self.o.n_dim], "activation_function": "Linear", "resnet_dt": False,
            "precision": section.get("precision", "default"), "trainable": self.trainable, "seed": self.seed,
            "use_econf_tebd": bool(section.get("use_econf_tebd", False)),
            "use_tebd_bias": bool(section.get("use_tebd_bias", False)),
        }  # fmt: skip
        if section.get("add_chg_spin_ebd"):
            self.frame_inputs = {"charge_spin": FrameInput(2, default_of(section, where), CHARGE_SPIN_LIMITS)}
        self.davg = np.zeros((ntypes, 4 * self.o.e_sel))
        self.dstd = np.full((ntypes, 4 * self.o.e_sel), self.o.fix_stat_std or 1.0)

    @property
    def dim_out(self):
        """Nodes, and the type embedding with `concat_output_tebd`."""
        return self.o.n_dim * (2 if self.concat_output_tebd else 1)

    @property
    def message_width(self):
        """Width of the nodes, which are what ghosts need."""
        return self.o.n_dim

    @property
    def relayed(self):
        """See :attr:`Descriptor.relayed`; the first nodes do not depend on positions."""
        return (2 * self.o.nlayers - 1) * self.message_width

    @property
    def dim_rot(self):
        """Rows of the rotation matrices: one per edge feature."""
        return self.o.e_dim

    def memory(self, compressed=False):
        """See :meth:`Descriptor.memory`."""
        o, lists = self.o, f"{self.o.edge_norm:g} neighbors within {self.o.e_rcut:g} Å"
        if o.update_angle:
            lists += f" and {o.angle_norm:g} within {o.a_rcut:g} Å"
        return bytes_per_atom(o, self.precision.size), lists

    def statistics(self, batches, stat_file=None):
        """Scale of the environment matrix: from the data if ``fix_stat_std`` is 0."""
        if not self.o.smooth_edge_update and self.o.update_angle:
            log.warning(
                "%s/repflow/smooth_edge_update is false: the energy jumps when an atom crosses a_rcut; set it to true for dynamics",
                self.where,
            )
        if self.o.fix_stat_std:
            return
        stat = MixedStatistics(
            self.ntypes, self.rcut, self.rcut_smth, self.o.e_sel, self.excluded | self.pair_excluded,
            protection=self.env_protection,
        )  # fmt: skip
        self.dstd = np.tile(stat.compute(batches, stat_file)[1], (1, self.o.e_sel))

    # -- the graph --------------------------------------------------------------------------------------------------------

    def _constants(self, suffix):
        scope = f"descrpt_attr{suffix}"
        tf.constant(self.rcut, dtype=global_dtype(), name=f"{scope}/rcut")
        tf.constant(self.ntypes, dtype=tf.int32, name=f"{scope}/ntypes")
        # Engines read this: ghosts have features, so a mapping or an exchange between processes is needed.
        tf.constant(self.message_width, dtype=tf.int32, name=f"{scope}/message_width")

    def _stat_rows(self, params, suffix, center_type):
        """Average and deviation (n_edge, 4) for the type of the center and the slot of every edge."""
        out, row = [], center_type * self.o.e_sel + self.edges.slot
        for name, value in (("t_avg", self.davg), ("t_std", self.dstd)):
            table = params.get(
                f"descrpt_attr{suffix}/{name}", list(value.shape), value.astype(GLOBAL_NP_FLOAT), global_dtype(), False
            )
            out.append(tf.gather(tf.reshape(table, [-1, 4]), row))
        return out

    def _geometry(self, params, suffix, atype):
        """Edge inputs (n_edge, 1), cosines (n_angle, 1) and what all layers read, in the working precision."""
        e, o = self.edges, self.o
        r = self.distance = tf.sqrt(tf.reduce_sum(e.vec * e.vec, axis=1))
        center_type = tf.gather(tf.maximum(atype, 0), e.center)
        avg, std = self._stat_rows(params, suffix, center_type)
        sw = switch(r, o.e_rcut_smth, o.e_rcut, exponential=o.use_exp_switch)
        inverse = 1.0 / (r + self.env_protection)
        # The vector of an edge carries one power of the switch itself, the sum another.
        h2 = ((sw * inverse * inverse)[:, None] * e.vec - avg[:, 1:]) / std[:, 1:]
        moment = h2 * (sw / math.sqrt(o.edge_norm))[:, None]
        edge_in = r if o.edge_init_use_dist else (sw * inverse - avg[:, 0]) / std[:, 0]
        cosine = angle_weight = None
        if o.update_angle:
            short, distance = e.of_angle_edges(e.vec), e.of_angle_edges(r[:, None])
            cosine = (1 - 1e-6) / math.sqrt(math.pi) * e.cosines(short / (distance + 1e-6))
            asw = switch(distance, o.a_rcut_smth, o.a_rcut, exponential=o.use_exp_switch)
            # The product of two switches is that of two vectors of one component.
            column = tf.pad(asw / max(o.angle_norm, 1e-30) ** 0.25, [[0, 0], [0, 2]])
            cosine, angle_weight = (tf.cast(x, self.precision) for x in (cosine[:, None], e.cosines(column)))
        moment, edge_weight, edge_in = (
            tf.cast(x, self.precision) for x in (moment, sw / o.edge_norm, edge_in[:, None])
        )
        total = e.moments(moment, tf.ones_like(moment[:, :1]), of_neighbors=False)
        return edge_in, cosine, Geometry(moment, edge_weight, angle_weight, total)

    def _embeddings(self, params, suffix, seeder):
        """Weights of the first edges (matrix, bias) and of the first angles (matrix)."""
        out = []
        for name, width, kind in (
            ("edge_embd", self.o.e_dim, "matrix"), ("edge_embd", self.o.e_dim, "bias"), ("angle_embd", self.o.a_dim, "matrix"),
        ):  # fmt: skip
            std, shape = (1.0 / math.sqrt(1 + width), [1, width]) if kind == "matrix" else (1.0, [width])
            out.append(
                params.get(
                    f"repflow{suffix}/{name}/{kind}",
                    shape,
                    normal(std, seed=seeder.layer(0)),
                    self.precision,
                    self.trainable,
                )
            )
            seeder.advance(1)
        return out

    def build(
        self, coord, atype, natoms, box, mesh, params, suffix="", *, tabulated=None, type_table=None, charge_spin=None
    ):  # fmt: skip
        """Assemble the descriptor; see :meth:`Descriptor.build`. With `charge_spin` (nf, 2), those of the frames."""
        o, phi = self.o, get_activation(self.activation)
        self._constants(suffix)
        self.natoms, self._nf = natoms, tf.shape(coord)[0]
        memory = coefficients(o, self.precision.size) if params.constant else ()
        self.edges = Edges(
            coord, atype, natoms, box, mesh, cutoffs=[o.e_rcut, o.a_rcut], e_sel=o.e_sel,
            a_sel=o.a_sel if o.update_angle else 0, ntypes=self.ntypes, exclude=self.excluded | self.pair_excluded,
            fused=self.fused, keep=params.constant, memory=memory,
        )  # fmt: skip
        local_type = tf.reshape(atype[:, : natoms[0]], [-1])
        edge_in, cosine, geometry = self._geometry(params, suffix, local_type)
        seeder = Seeder(self.seed)
        w_edge, b_edge, w_angle = self._embeddings(params, suffix, seeder)
        types = TypeEmbedding(self.linear_embedding, self.ntypes, self.type_map, padding=True, where=self.where)
        embedding = tf.cast(type_rows(types.build(params, suffix), local_type), self.precision)
        if self.frame_inputs:
            net = ChargeSpinEmbedding(self.linear_embedding, self.activation, self.precision)
            embedding += tf.repeat(net.build(charge_spin, params, suffix, Seeder(self.seed)), natoms[0], axis=0)
        edge = tf.nn.bias_add(tf.matmul(edge_in, w_edge), b_edge)
        state = State(phi(embedding), edge if o.edge_init_use_dist else phi(edge), cosine)
        cosine_map, stored = w_angle, None
        if FirstMessages.stored(params, suffix):
            stored = FirstMessages(params, suffix, self.precision, self.distance, self._edge_classes(atype, local_type))
        for k in range(o.nlayers):
            layer = RepFlowLayer(
                o, self.activation, params, f"repflow{suffix}/layer_{k}", self.precision, seeder, self.trainable
            )
            # The new edges of the last layer are read by rotation matrices alone, and angles only by later edges.
            left = o.nlayers - 1 - k + int(self.rotation_needed)
            state = layer(
                self.edges, state, halo(state.node, natoms, mesh), geometry, cosine_map, edges_needed=left > 0,
                angles_needed=left > (0 if o.sequential_update else 1), stored=stored,
            )  # fmt: skip
            stored = None
            if o.update_angle:
                cosine_map = None
        if self.rotation_needed:
            h = edge_moments(self.edges, geometry, state)
            self.rot_mat = tf.cast(tf.transpose(h, [0, 2, 1]), global_dtype())
        d = tf.concat([state.node, embedding], axis=1) if self.concat_output_tebd else state.node
        d = tf.reshape(tf.cast(d, global_dtype()), [-1, natoms[0], self.dim_out])
        return tf.identity(d, name=f"o_descriptor{suffix}")

    # -- stored tables (compression) --------------------------------------------------------------------------------------

    def _edge_classes(self, atype, local_type):
        """Number of the pair of types of every edge."""
        center, neighbor = tf.gather(local_type, self.edges.center), tf.gather(tf.reshape(atype, [-1]), self.edges.atom)
        return tf.maximum(center, 0) * self.ntypes + tf.maximum(neighbor, 0)

    def compress(self, values, settings, suffix=""):
        """See :meth:`Descriptor.compress`: the messages of the first layer become tables, one per pair of types."""
        if self.o.sequential_update or self.frame_inputs:
            what = "sequential_update" if self.o.sequential_update else "add_chg_spin_ebd"
            raise UserError(
                f"with {what} the first messages depend on more than two types and a distance", self.where,
                "--precision alone, with --step 0",
            )  # fmt: skip
        with tf.Graph().as_default(), new_session() as session:
            net = TypeEmbedding(self.linear_embedding, self.ntypes, self.type_map, padding=True, where=self.where)
            table = net.build(Parameters(values, constant=True), suffix)[: self.ntypes]
            types = session.run(get_activation(self.activation)(tf.cast(table, tf.float64)))
        store_first_messages(self, values, types, settings, suffix)

    # -- forces -----------------------------------------------------------------------------------------------------------

    def _edge_gradient(self, scalar):
        with geometry_only():
            g = tf.gradients(scalar, self.edges.vec)[0]
        return tf.zeros_like(self.edges.vec) if g is None else g

    def force_and_virial(self, scalar, suffix="", *, atomic=None):
        """Forces, virial and atomic virials; see :meth:`Descriptor.force_and_virial`.

        With `atomic` (nf, nloc), whose sum is the scalar, the atomic virial of k is sum_l de_l/dr_k (r_l - r_k); otherwise every edge
        counts for its neighbor, which has the same sum.
        """
        e = self.edges
        vec, local = e.vec, tf.stop_gradient(e.local)
        if self.hosts is not None:
            vec, local = self.hosts.of_edges(vec, e.center, e.atom), self.hosts.of_atoms(local)
        tail = vec, e.start, e.atom, self.natoms
        g = self._edge_gradient(scalar)
        force, virial = op_module.dptf_edge_force(g, *tail)
        if atomic is None or not splits_virial():
            moment = g[:, None, :] * tf.gather(local, e.center)[:, :, None]
        else:
            atomic = tf.reshape(atomic, [-1])
            moment = tf.stack([self._edge_gradient(tf.reduce_sum(atomic * local[:, b])) for b in range(3)], axis=1)
        atom_virial = op_module.dptf_edge_atom_virial(g, tf.reshape(moment, [-1, 9]), local, *tail)
        return force, virial, atom_virial
