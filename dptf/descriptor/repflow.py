"""One layer of DPA-3: messages between nodes (atoms), edges (pairs) and angles (pairs of edges).

Weights that act on a concatenation [n_i, n_j, e_ij] or [a_ijk, n_i, e_ik, e_ij] are split by rows, so that the parts of nodes and edges
are multiplied once per node and edge and only added where they meet.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from dptf.errors import UserError
from dptf.nn.parameters import normal
from dptf.ops import tf


@dataclass(frozen=True)
class RepFlowOptions:
    """Options of ``descriptor/repflow`` with the names of the input, checked."""

    n_dim: int
    e_dim: int
    a_dim: int
    nlayers: int
    e_rcut: float
    e_rcut_smth: float
    e_sel: int
    a_rcut: float
    a_rcut_smth: float
    a_sel: int
    a_compress_rate: int = 0
    a_compress_e_rate: int = 1
    a_compress_use_split: bool = False
    n_multi_edge_message: int = 1
    axis_neuron: int = 4
    update_angle: bool = True
    update_style: str = "res_residual"
    update_residual: float = 0.1
    update_residual_init: str = "const"
    fix_stat_std: float = 0.3
    optim_update: bool = True
    smooth_edge_update: bool = False
    edge_init_use_dist: bool = False
    use_exp_switch: bool = False
    use_dynamic_sel: bool = False
    sel_reduce_factor: float = 10.0
    sequential_update: bool = False

    @classmethod
    def read(cls, section, where):
        """From a section of the input."""
        section = dict(section)
        if section.pop("skip_stat", False):
            section["fix_stat_std"] = 0.3
        o = cls(**{k: v for k, v in section.items() if v is not None})
        o.check(where)
        return o

    def check(self, where):
        """Refuse what has no meaning."""

        def need(good, key, text):
            if not good:
                raise UserError(text, f"{where}/{key}")

        for key in ("n_dim", "e_dim", "a_dim", "nlayers", "e_sel", "n_multi_edge_message", "axis_neuron"):
            need(getattr(self, key) >= 1, key, f"is {getattr(self, key)}, needs at least 1")
        need(self.e_rcut_smth < self.e_rcut, "e_rcut_smth", f"has to be below e_rcut ({self.e_rcut})")
        need(self.a_rcut_smth < self.a_rcut, "a_rcut_smth", f"has to be below a_rcut ({self.a_rcut})")
        need(self.a_rcut <= self.e_rcut, "a_rcut", f"is above e_rcut ({self.e_rcut}); angles are made of edges")
        need(0 <= self.a_sel <= self.e_sel, "a_sel", f"is above e_sel ({self.e_sel}); angles are made of edges")
        need(min(self.e_dim, self.n_dim) >= self.axis_neuron, "axis_neuron", "is above n_dim or e_dim")
        styles = "res_avg", "res_incr", "res_residual"
        need(self.update_style in styles, "update_style", f"'{self.update_style}' is none of {', '.join(styles)}")
        inits = "norm", "const"
        need(
            self.update_residual_init in inits, "update_residual_init",
            f"'{self.update_residual_init}' is none of {', '.join(inits)}",
        )  # fmt: skip
        need(self.sel_reduce_factor > 0, "sel_reduce_factor", "has to be above 0")
        need(self.fix_stat_std >= 0, "fix_stat_std", "is negative")
        if self.use_dynamic_sel:
            need(self.smooth_edge_update, "use_dynamic_sel", "needs smooth_edge_update: true")
        if self.sequential_update:
            good = self.update_style == "res_residual" and self.update_angle
            need(good, "sequential_update", "needs update_style res_residual and update_angle true")
        c, c_e = self.a_compress_rate, self.a_compress_e_rate
        need(c >= 0 and c_e >= 1, "a_compress_rate", "rates are 0 or more, a_compress_e_rate at least 1")
        if c and self.update_angle:
            need(
                self.a_dim * c_e % (2 * c) == 0,
                "a_compress_rate",
                "a_dim * a_compress_e_rate is no multiple of twice it",
            )
            if self.a_compress_use_split:
                need(
                    self.n_compressed <= self.n_dim,
                    "a_compress_rate",
                    f"takes {self.n_compressed} of n_dim = {self.n_dim}",
                )
                need(
                    self.e_compressed <= self.e_dim,
                    "a_compress_e_rate",
                    f"takes {self.e_compressed} of e_dim = {self.e_dim}",
                )

    @property
    def n_compressed(self):
        """Width of nodes in angle messages."""
        return self.a_dim // self.a_compress_rate if self.a_compress_rate else self.n_dim

    @property
    def e_compressed(self):
        """Width of edges in angle messages."""
        c = self.a_compress_rate
        return self.a_dim // (2 * c) * self.a_compress_e_rate if c else self.e_dim

    @property
    def compresses_by_layer(self):
        """Whether linear maps make the narrow nodes and edges."""
        return bool(self.a_compress_rate) and not self.a_compress_use_split

    @property
    def edge_norm(self):
        """What sums over edges are divided by (a constant, never the number of neighbors)."""
        return self.e_sel / self.sel_reduce_factor if self.use_dynamic_sel else float(self.e_sel)

    @property
    def angle_norm(self):
        """The same for angles of an edge."""
        return self.a_sel / self.sel_reduce_factor if self.use_dynamic_sel else float(self.a_sel)

    def linear_maps(self):
        """(name, inputs, outputs, bias) of the linear maps of a layer, in the order of files."""
        n, e, a, h = self.n_dim, self.e_dim, self.a_dim, self.n_multi_edge_message
        yield "node_self_mlp", n, n, True
        yield "node_sym_linear", self.axis_neuron * (n + e), n, True
        yield "node_edge_linear", 2 * n + e, h * n, True
        yield "edge_self_linear", 2 * n + e, e, True
        if self.update_angle:
            width = a + self.n_compressed + 2 * self.e_compressed
            yield "edge_angle_linear1", width, e, True
            yield "edge_angle_linear2", e, e, True
            yield "angle_self_linear", width, a, True
            if self.compresses_by_layer:
                yield "a_compress_n_linear", n, self.n_compressed, False
                yield "a_compress_e_linear", e, self.e_compressed, False

    def residuals(self):
        """(name, width, count) of the residual weights of a layer."""
        if self.update_style != "res_residual":
            return
        yield "n_residual", self.n_dim, 2 + self.n_multi_edge_message
        yield "e_residual", self.e_dim, 2 if self.update_angle else 1
        if self.update_angle:
            yield "a_residual", self.a_dim, 1


@dataclass
class State:
    """What a layer changes: nodes (nloc, n_dim), edges (n_edge, e_dim), angles (n_angle, a_dim, or 1 before the first update).

    The edges are `edge` and, where given, the vector `shift` (e_dim,): what layers add to all edges alike is kept as one vector. `short` are
    the columns of the edges that form angles that angle messages read, where they were taken.
    """

    node: object
    edge: object
    angle: object
    shift: object = None
    short: object = None


@dataclass(frozen=True)
class Geometry:
    """What layers read: moment weights (n_edge, 3), switch over N_e (n_edge,), angle weights (n_angle,), sums of the moment weights (n, 3, 1)."""

    moment: object
    edge_weight: object
    angle_weight: object
    total: object


def edge_moments(edges, geometry, state):
    """Moments of the edges of a state, shape (n, 3, e_dim)."""
    h = edges.moments(geometry.moment, state.edge, of_neighbors=False)
    return h if state.shift is None else h + geometry.total * state.shift


class RepFlowLayer:
    """A layer.

    Parameters
    ----------
    options : RepFlowOptions
    activation : str
    params : Parameters
    scope : str
        Of the names of its arrays.
    dtype : tf.DType
    seeder : Seeder
    trainable : bool
    """

    def __init__(self, options, activation, params, scope, dtype, seeder, trainable):
        self.o, self.activation, self.dtype = options, activation, dtype
        self._maps, self._rho = {}, {}
        for name, n_in, n_out, bias in options.linear_maps():
            std = 1.0 / math.sqrt(n_in + n_out)
            w = params.get(f"{scope}/{name}/matrix", [n_in, n_out], normal(std, seed=seeder.layer(0)), dtype, trainable)
            b = None
            if bias:
                b = params.get(f"{scope}/{name}/bias", [n_out], normal(1.0, seed=seeder.layer(1)), dtype, trainable)
            self._maps[name] = w, b
            seeder.advance(2)
        size = options.update_residual if trainable else 0.0
        for name, width, count in options.residuals():
            init = np.full(width, size)
            if options.update_residual_init == "norm":
                init = normal(size, seed=seeder.layer(0))
            self._rho[name] = [params.get(f"{scope}/{name}_{k}", [width], init, dtype, trainable) for k in range(count)]
            seeder.advance(1)

    # -- small pieces -----------------------------------------------------------------------------------------------------

    def _linear(self, name, x):
        w, b = self._maps[name]
        return tf.matmul(x, w) if b is None else tf.nn.bias_add(tf.matmul(x, w), b)

    def _combination(self, name, width, count):
        """(skip, factors): an update is skip * old + sum factors_k * new_k, vectors of the width."""
        if self.o.update_style == "res_residual":
            return tf.ones([width], self.dtype), self._rho[name]
        new = 1.0 / math.sqrt(count + 1.0 if self.o.update_style == "res_avg" else max(count, 1))
        old = new if self.o.update_style == "res_avg" else 1.0
        return tf.fill([width], tf.constant(old, self.dtype)), [tf.fill([width], tf.constant(new, self.dtype))] * count

    def _symmetrised(self, h):
        """Products of the first axes of the moments (n, 3, d) with all; shape (n, axis_neuron * d)."""
        d = int(h.shape[2])
        head = h[:, :, : self.o.axis_neuron]
        return tf.reshape(tf.matmul(head, h, transpose_a=True) / 3.0, [-1, self.o.axis_neuron * d])

    def _split_edge(self, names):
        """Weights of maps of [n_i, n_j, e_ij], side by side: (center, neighbor, edge, bias)."""
        n = self.o.n_dim
        w = tf.concat([self._maps[m][0] for m in names], axis=1) if len(names) > 1 else self._maps[names[0]][0]
        b = tf.concat([self._maps[m][1] for m in names], axis=0) if len(names) > 1 else self._maps[names[0]][1]
        return w[:n], w[n : 2 * n], w[2 * n :], b

    # -- messages ---------------------------------------------------------------------------------------------------------

    def _stored_edge_step(self, edges, edge, weight, stored, update):
        """The message and the edges of :meth:`_edge_step` in the first layer of a compressed model, from its tables."""
        z, width = stored.rows(), self.o.n_multi_edge_message * self.o.n_dim
        message = edges.sum_of_edges(z[:, :width] * weight[:, None])
        if not update:
            return message, None
        skip, rho = self._combination("e_residual", self.o.e_dim, 2 if self.o.update_angle else 1)
        return message, skip * edge + rho[0] * z[:, width : width + self.o.e_dim]

    def _edge_step(self, edges, node, node_all, state, weight, *, message, update):
        """Edge message to nodes and first update of edges: (message or None, edges or None, their shift)."""
        names = [name for name, wanted in (("node_edge_linear", message), ("edge_self_linear", update)) if wanted]
        center, neighbor, own, bias = self._split_edge(names)
        shift = state.shift
        if shift is not None:
            bias += tf.matmul(shift[None], own)[0]
        kept = None
        if update:
            skip, rho = self._combination("e_residual", self.o.e_dim, 2 if self.o.update_angle else 1)
            kept = skip, rho[0]
            shift = shift if shift is None else skip * shift
        u = tf.nn.bias_add(tf.matmul(node, center), bias)
        out, new = edges.edge_message(
            state.edge, own, u, tf.matmul(node_all, neighbor), weight, activation=self.activation, kept=kept
        )
        return out, new, shift

    def _angle_step(self, edges, node, state, angle, cosine_map, weight, *, message, update):
        """Angle message to edges (of the angle edges) and update of angles."""
        o = self.o
        e_small = edges.of_angle_edges(state.edge) if state.short is None else state.short
        if state.shift is not None:
            e_small += state.shift[: int(e_small.shape[1])]
        if o.compresses_by_layer:
            n_small = self._linear("a_compress_n_linear", node)
            e_small = self._linear("a_compress_e_linear", e_small)
        else:
            n_small = node[:, : o.n_compressed]
            e_small = e_small if state.short is not None else e_small[:, : o.e_compressed]
        names = [name for name, wanted in (("edge_angle_linear1", message), ("angle_self_linear", update)) if wanted]
        w = tf.concat([self._maps[m][0] for m in names], axis=1)
        b = tf.concat([self._maps[m][1] for m in names], axis=0)
        cut = np.cumsum([o.a_dim, o.n_compressed, o.e_compressed])
        own, of_node, of_k, of_j = w[: cut[0]], w[cut[0] : cut[1]], w[cut[1] : cut[2]], w[cut[2] :]
        u = edges.centers_to_angle_edges(tf.nn.bias_add(tf.matmul(n_small, of_node), b)) + tf.matmul(e_small, of_j)
        kept = None
        if update:
            skip, rho = self._combination("a_residual", o.a_dim, 1)
            kept = skip, rho[0]
        if cosine_map is not None:
            # Angles are still multiples of one vector: only the factor is kept, and the vector goes into the weights.
            own = tf.matmul(cosine_map, own)
            kept = kept and (kept[0] * cosine_map[0], kept[1])
        return edges.angle_message(
            angle, own, u, tf.matmul(e_small, of_k), weight, activation=self.activation, kept=kept
        )

    def _second_edge_update(self, edges, updated, shift, message, before):
        """Add the update from angle messages (n_angle_edge, e_dim) to the edges; returns edges and their shift."""
        rho = self._combination("e_residual", self.o.e_dim, 2)[1][1]  # what is skipped went into `updated`
        if self.o.smooth_edge_update:
            # Without angles the message is zero, and the update the same for all such edges.
            constant = edges.activate(self._maps["edge_angle_linear2"][1], self.activation)
            new = edges.activate(self._linear("edge_angle_linear2", message), self.activation) - constant
            shift = rho * constant if shift is None else shift + rho * constant
            return edges.add_angle_edges(updated, rho * new), shift
        message = edges.add_angle_edges(before, message - edges.of_angle_edges(before))
        return updated + rho * edges.activate(self._linear("edge_angle_linear2", message), self.activation), shift

    def _node_update(self, edges, node, node_all, state, message, geometry):
        o = self.o
        new = [edges.activate(self._linear("node_self_mlp", node), self.activation)]
        moments = [
            edge_moments(edges, geometry, state),
            edges.moments(geometry.moment, node_all, of_neighbors=True),
        ]
        symmetric = tf.concat([self._symmetrised(h) for h in moments], axis=1)
        new.append(edges.activate(self._linear("node_sym_linear", symmetric), self.activation))
        new += tf.split(message, o.n_multi_edge_message, axis=1) if o.n_multi_edge_message > 1 else [message]
        skip, rho = self._combination("n_residual", o.n_dim, len(new))
        return skip * node + tf.add_n([r * x for r, x in zip(rho, new)])

    # -- the layer --------------------------------------------------------------------------------------------------------

    def __call__(
        self, edges, state, node_all, geometry, cosine_map=None, *, edges_needed=True, angles_needed=True, stored=None
    ):
        """Apply the layer.

        Parameters
        ----------
        edges : Edges
        state : State
        node_all : tensor
            Node features in the rows that ``edges.neighbor`` counts.
        geometry : Geometry
        cosine_map : tensor, shape (1, a_dim), optional
            Given in the first layer, where angles are cosines times this vector.
        edges_needed, angles_needed : bool
            Whether anything reads the new edges and angles.
        stored : FirstMessages, optional
            Tables of the edge maps.

        Returns
        -------
        State
            With None for what is not needed.
        """
        if self.o.sequential_update:
            return self._sequential(edges, state, node_all, geometry, cosine_map, angles_needed)
        shift = None
        if self.o.update_angle and edges_needed:
            columns = self.o.e_dim if self.o.compresses_by_layer else self.o.e_compressed
            edge, short = edges.share_angle_edges(state.edge, columns)
            state = replace(state, edge=edge, short=short)
        if stored is not None:
            message, edge = self._stored_edge_step(edges, state.edge, geometry.edge_weight, stored, edges_needed)
        else:
            message, edge, shift = self._edge_step(
                edges, state.node, node_all, state, geometry.edge_weight, message=True, update=edges_needed
            )
        angle = state.angle
        if self.o.update_angle and edges_needed:
            to_edges, angle = self._angle_step(
                edges,
                state.node,
                state,
                state.angle,
                cosine_map,
                geometry.angle_weight,
                message=True,
                update=angles_needed,
            )
            edge, shift = self._second_edge_update(edges, edge, shift, to_edges, state.edge)
        node = self._node_update(edges, state.node, node_all, state, message, geometry)
        return State(node, edge, angle, shift)

    def _sequential(self, edges, state, node_all, geometry, cosine_map, angles_needed):
        """Edges, angles, edges again, then nodes, each from the newest of the others."""
        node, weight = state.node, geometry.angle_weight
        _, edge, shift = self._edge_step(edges, node, node_all, state, geometry.edge_weight, message=False, update=True)
        first = State(node, edge, None, shift)
        _, angle = self._angle_step(edges, node, first, state.angle, cosine_map, weight, message=False, update=True)
        to_edges, _ = self._angle_step(edges, node, first, angle, None, weight, message=True, update=False)
        edge, shift = self._second_edge_update(edges, edge, shift, to_edges, edge)
        newest = State(node, edge, None, shift)
        message, _, _ = self._edge_step(edges, node, node_all, newest, geometry.edge_weight, message=True, update=False)
        node = self._node_update(edges, node, node_all, newest, message, geometry)
        return State(node, edge, angle if angles_needed else None, shift)
