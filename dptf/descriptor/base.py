"""What the descriptors of the smooth-edition family share: options, statistics, environment matrix, forces."""

import numpy as np

from dptf.descriptor.env_adjust import adjusted_env_mat, env_mat, largest_row
from dptf.descriptor.interface import Descriptor
from dptf.descriptor.pairs import symmetric
from dptf.descriptor.statistics import EnvStatistics
from dptf.env import GLOBAL_NP_FLOAT
from dptf.errors import UserError
from dptf.nn.embedding import Seeder, embedding_layers
from dptf.nn.parameters import get_precision, global_dtype
from dptf.nn.table import StoredNet, check_storable, store_net
from dptf.nn.tabulated import DEFAULT_SPACING, TYPICAL_RANGE, is_tabulable
from dptf.ops import op_module, tf


class SmoothDescriptor(Descriptor):
    """Base of descriptors with one row of the environment matrix per neighbor slot, in blocks of neighbor types.

    A member sets ``ncomp`` and ``dim_out`` and implements ``_net_keys`` and ``_features``.

    Parameters
    ----------
    section : dict
        ``model/descriptor`` of the normalised input; ``sel`` already holds numbers.
    ntypes : int
    where : str
        Key path for messages.
    """

    #: Components of a row: 4 with angular information, 1 without.
    ncomp = 4
    #: Floating type that the layers of the nets work in (mixed precision); None for that of the weights.
    compute = None
    #: What statistics are cached as.
    stat_kind = "se_a"

    def __init__(self, section, ntypes, where="model/descriptor"):
        super().__init__()
        self.ntypes, self.where = ntypes, where
        self.rcut, self.rcut_smth = float(section["rcut"]), float(section["rcut_smth"])
        self.sel = [int(s) for s in section["sel"]]
        self.neuron = list(section["neuron"])
        self.resnet_dt = bool(section["resnet_dt"])
        self.type_one_side = bool(section.get("type_one_side", False))
        self.activation = section["activation_function"]
        self.precision = get_precision(section["precision"], f"{where}/precision")
        self.trainable = bool(section["trainable"])
        self.seed = section.get("seed")
        self.set_davg_zero = bool(section["set_davg_zero"])
        if len(self.sel) != ntypes:
            raise UserError(f"sel has {len(self.sel)} entries for {ntypes} types", f"{where}/sel")
        if not sum(self.sel):
            raise UserError("sel has no slot at all", f"{where}/sel")
        pairs = [tuple(p) for p in section.get("exclude_types", [])]
        if any(not 0 <= t < ntypes for p in pairs for t in p):
            raise UserError(f"{pairs} names a type outside 0..{ntypes - 1}", f"{where}/exclude_types")
        self.excluded = symmetric(pairs)
        # In files of other backends exclude_types zeroes the rows of neighbors only; empty slots keep -davg/dstd.
        self.zeroed = set()
        if section.get("exclude_real_only"):
            self.zeroed, self.excluded = self.excluded, set()
        self.env_protection = float(section.get("env_protection") or 0.0)
        # Cutoffs of imported models count in double precision, those of graphs in single precision.
        self.exact_cutoff = bool(section.get("exact_cutoff", False))
        self.davg = self.dstd = None

    @property
    def ndescrpt(self):
        return self.ncomp * self.nnei

    def lower_precision(self, dtype):
        """See :meth:`Descriptor.lower_precision`."""
        self.precision, self.compute = tf.float32, dtype

    # -- statistics -----------------------------------------------------------------------------------------------

    def statistics(self, batches, stat_file=None):
        """Set davg and dstd, shape (ntypes, nnei * ncomp), from batches of the training data."""
        stat = EnvStatistics(
            self.ntypes, self.rcut, self.rcut_smth, self.sel, self.excluded | self.pair_excluded | self.zeroed,
            kind=self.stat_kind, protection=self.env_protection,
        )  # fmt: skip
        avg, std = (x[:, : self.ncomp] for x in stat.compute(batches, stat_file))
        if self.set_davg_zero:
            avg = np.zeros_like(avg)
        self.davg, self.dstd = np.tile(avg, (1, self.nnei)), np.tile(std, (1, self.nnei))

    def _stat_tensors(self, params, suffix):
        shape = [self.ntypes, self.ndescrpt]
        avg = np.zeros(shape, GLOBAL_NP_FLOAT) if self.davg is None else self.davg.astype(GLOBAL_NP_FLOAT)
        std = np.ones(shape, GLOBAL_NP_FLOAT) if self.dstd is None else self.dstd.astype(GLOBAL_NP_FLOAT)
        scope = f"descrpt_attr{suffix}"
        return (
            params.get(f"{scope}/t_avg", shape, avg, global_dtype(), trainable=False),
            params.get(f"{scope}/t_std", shape, std, global_dtype(), trainable=False),
        )

    # -- the graph ------------------------------------------------------------------------------------------------

    def constants(self, suffix=""):
        """Attribute nodes."""
        scope = f"descrpt_attr{suffix}"
        tf.constant(self.rcut, dtype=global_dtype(), name=f"{scope}/rcut")
        tf.constant(self.ntypes, dtype=tf.int32, name=f"{scope}/ntypes")
        tf.constant(self.ndescrpt, dtype=tf.int32, name=f"{scope}/ndescrpt")

    def build(self, coord, atype, natoms, box, mesh, params, suffix="", *, tabulated=None, type_table=None):
        """Assemble the descriptor; see :meth:`Descriptor.build`."""
        self.constants(suffix)
        davg, dstd = self._stat_tensors(params, suffix)
        inputs = self.ncomp, coord, atype, natoms, box, mesh, davg, dstd
        geometry = {"rcut": self.rcut, "rcut_smth": self.rcut_smth, "sel": self.sel}
        if self.env_protection or self.pair_excluded or self.zeroed or self.exact_cutoff:
            em, deriv, rij, nlist = adjusted_env_mat(
                *inputs, **geometry, protection=self.env_protection, excluded=self.pair_excluded, zeroed=self.zeroed,
                exact=self.exact_cutoff,
            )  # fmt: skip
        else:
            em, deriv, rij, nlist = env_mat(*inputs, **geometry)
        if self.hosts is not None:
            rij = tf.reshape(self.hosts.of_slots(rij, nlist), tf.shape(rij))
        self.rmat = tf.identity(tf.reshape(em, [-1, self.ndescrpt]), name=f"o_rmat{suffix}")
        self.rmat_deriv = tf.identity(deriv, name=f"o_rmat_deriv{suffix}")
        self.rij = tf.identity(rij, name=f"o_rij{suffix}")
        self.nlist = tf.identity(nlist, name=f"o_nlist{suffix}")
        self.natoms = natoms
        self.type_table = type_table
        nets = self._nets(params, suffix)
        loc_type = tf.reshape(atype[:, : natoms[0]], [-1])
        d = self._features(tf.cast(self.rmat, self.precision), loc_type, natoms, nets, tabulated)
        d = tf.reshape(tf.cast(d, global_dtype()), [-1, natoms[0], self.dim_out])
        return tf.identity(d, name=f"o_descriptor{suffix}")

    def _features(self, env, loc_type, natoms, nets, tabulated):
        """Features (n, dim_out, or that many numbers) of the normalised rows (n, ndescrpt) of all local atoms."""
        raise NotImplementedError

    def force_and_virial(self, scalar, suffix="", *, atomic=None):
        """Forces (nf, nall*3), virial (nf, 9) and atomic virials (nf, nall*9) of a scalar of the descriptor."""
        net_deriv = tf.gradients(scalar, self.rmat)[0]
        net_deriv = tf.reshape(net_deriv, [-1, self.natoms[0] * self.ndescrpt])
        tail = self.nlist, self.natoms
        if self.ncomp == 1:
            force = op_module.prod_force_se_r(net_deriv, self.rmat_deriv, *tail, name="ProdForceSeR")
            virial = op_module.prod_virial_se_r(net_deriv, self.rmat_deriv, self.rij, *tail, name="ProdVirialSeR")
            return force, *virial
        attrs = {"n_a_sel": self.nnei, "n_r_sel": 0}
        force = op_module.prod_force_se_a(net_deriv, self.rmat_deriv, *tail, name="ProdForceSeA", **attrs)
        virial = op_module.prod_virial_se_a(net_deriv, self.rmat_deriv, self.rij, *tail, name="ProdVirialSeA", **attrs)
        return force, *virial

    # -- nets -----------------------------------------------------------------------------------------------------

    def _net_keys(self):
        """(center, neighbor) type of every net; center None when nets depend on the neighbor alone."""
        if self.type_one_side:
            return [(None, tj) for tj in range(self.ntypes)]
        return [(ti, tj) for ti in range(self.ntypes) for tj in range(self.ntypes) if (ti, tj) not in self.excluded]

    def _net_name(self, key):
        """Scope (without model suffix) and suffix of the arrays of a net."""
        return f"filter_type_{'all' if key[0] is None else key[0]}", f"_{key[1]}"

    def _nets(self, params, suffix):
        seeder, nets = Seeder(self.seed), {}
        for key in self._net_keys():
            scope, tail = self._net_name(key)
            scope += suffix
            if StoredNet.stored(params, scope, tail):
                nets[key] = StoredNet(params, scope, tail, self.precision)
                continue
            nets[key] = embedding_layers(
                params, scope, tail, self.neuron, self.precision, seeder, resnet_dt=self.resnet_dt,
                trainable=self.trainable,
            )  # fmt: skip
        return nets

    def _net_of(self, keys):
        """Index of the net of every (center type, neighbor type), row by row; -1 for pairs without net."""
        index = {k: n for n, k in enumerate(keys)}
        return [
            -1 if (ti, tj) in self.excluded else index[(None if self.type_one_side else ti), tj]
            for ti in range(self.ntypes)
            for tj in range(self.ntypes)
        ]

    # -- tabulated nets -------------------------------------------------------------------------------------------

    def can_tabulate(self):
        """Whether the nets may be tabulated in training (smooth activation, ordinary precision)."""
        return is_tabulable(self.activation) and self.precision in (tf.float32, tf.float64) and self.compute is None

    def tabulation_pays(self, atoms_per_batch):
        """Whether a grid costs less than the slots of a batch."""
        nodes = len(self._net_keys()) * TYPICAL_RANGE / DEFAULT_SPACING
        return self.can_tabulate() and nodes < atoms_per_batch * self.nnei

    # -- stored nets (compression) --------------------------------------------------------------------------------

    def compress(self, values, settings, suffix=""):
        """Replace the nets among the arrays of a model by tables, in place; see :meth:`Descriptor.compress`."""
        check_storable(self.activation, self.precision, self.where)
        for key in self._net_keys():
            scope, tail = self._net_name(key)
            store_net(
                values, f"{scope}{suffix}", tail, len(self.neuron), self.activation, self.resnet_dt,
                self._table_grid(key, values, settings, suffix), self.precision.as_numpy_dtype,
            )  # fmt: skip

    def stored_names(self, suffix=""):
        """(scope, tail) of the nets that a compressed graph holds, in the order in which they are built."""
        return [
            (f"{scope}{suffix}", tail)
            for key in self._net_keys()
            if all(self.sel[t] for t in self._slot_types(key))
            for scope, tail in [self._net_name(key)]
        ]

    def _slot_types(self, key):
        """Types of the slots that a net acts on."""
        return key[1:]

    def _net_range(self, key, values, settings, suffix):
        """Smallest and largest argument of a net: an empty slot (or the cutoff), and the closest pair of the data."""
        avg, std = (
            np.asarray(values[f"descrpt_attr{suffix}/t_{k}"]).reshape(self.ntypes, -1)[:, 0] for k in ("avg", "std")
        )
        closest = largest_row(settings.min_distance, self.rcut, self.rcut_smth, self.env_protection)
        centers = [key[0]]
        if key[0] is None:
            centers = [t for t in range(self.ntypes) if self.sel[t] and (t, key[1]) not in self.excluded]
            centers = centers or list(range(self.ntypes))
        return (-avg / std)[centers].min(), ((closest - avg) / std)[centers].max()

    def _table_grid(self, key, values, settings, suffix):
        return settings.grid(*self._net_range(key, values, settings, suffix), self.precision.as_numpy_dtype)

    # -- blocks of neighbor types ---------------------------------------------------------------------------------

    def _by_center(self, env, natoms, nets, contract, shape):
        """Apply ``contract(rows, nets by neighbor type)`` to the atoms of each center type; result (n, *shape).

        Atoms are sorted by type, so the groups are slices.
        """
        env = tf.reshape(env, [-1, natoms[0], self.ndescrpt])
        parts, start = [], 0
        for ti in range(self.ntypes):
            rows = tf.reshape(env[:, start : start + natoms[2 + ti]], [-1, self.ndescrpt])
            part = contract(rows, [nets.get((ti, tj)) for tj in range(self.ntypes)])
            parts.append(tf.reshape(part, [tf.shape(env)[0], natoms[2 + ti], *shape]))
            start += natoms[2 + ti]
        return tf.reshape(tf.concat(parts, axis=1), [-1, *shape])

    def _blocks(self, env, nets):
        """Yield (slots, net, block of rows (n, sel * ncomp)) of the neighbor types that have slots and a net."""
        start = 0
        for sel, net in zip(self.sel, nets):
            block = env[:, self.ncomp * start : self.ncomp * (start + sel)]
            start += sel
            if net is not None and sel:
                yield sel, net, block

    def _exclusion_mask(self, loc_type, dtype):
        """1 or 0 for every column of the environment rows, by center type; shape (n, ndescrpt)."""
        table = np.ones([self.ntypes, self.ndescrpt])
        for ti, tj in self.excluded:
            start = self.ncomp * sum(self.sel[:tj])
            table[ti, start : start + self.ncomp * self.sel[tj]] = 0.0
        return tf.gather(tf.constant(table, dtype=dtype), tf.maximum(loc_type, 0))
