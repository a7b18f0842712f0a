"""Smooth-edition descriptor of two-body environments with angular information (``se_e2_a``).

With R the normalised environment matrix (N = sum(sel) rows), G the embedding of its first column, one net per neighbor type
(type_one_side) or per pair of types::

    A = R^T G / N          (4, M)
    D = A^T A[:, :M<]      (M, M<)
"""

import numpy as np

from dptf.descriptor.env_adjust import adjusted_env_mat_a
from dptf.descriptor.statistics import EnvStatistics
from dptf.env import GLOBAL_NP_FLOAT
from dptf.errors import UserError
from dptf.nn.embedding import Seeder, apply_embedding, embedding_layers
from dptf.nn.parameters import get_precision, global_dtype
from dptf.nn.tabulated import DEFAULT_SPACING, embed_contract, is_tabulable
from dptf.ops import op_module, tf


class SeE2A:
    """se_e2_a.

    Parameters
    ----------
    section : dict
        ``model/descriptor`` of the normalised input; ``sel`` already holds numbers.
    ntypes : int
    where : str
        Key path for messages.
    """

    def __init__(self, section, ntypes, where="model/descriptor"):
        self.ntypes, self.where = ntypes, where
        self.rcut, self.rcut_smth = float(section["rcut"]), float(section["rcut_smth"])
        self.sel = [int(s) for s in section["sel"]]
        self.neuron = list(section["neuron"])
        self.axis_neuron = int(section["axis_neuron"])
        self.resnet_dt = bool(section["resnet_dt"])
        self.type_one_side = bool(section["type_one_side"])
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
        self.excluded = {p for a, b in pairs for p in ((a, b), (b, a))}
        # In files of other backends exclude_types zeroes the rows of neighbors only; empty slots keep -davg/dstd.
        self.zeroed = set()
        if section.get("exclude_real_only"):
            self.zeroed, self.excluded = self.excluded, set()
        self.env_protection = float(section.get("env_protection") or 0.0)
        # Pairs without interaction in the whole model (model/pair_exclude_types): their slots stay empty.
        self.pair_excluded = set()
        self.davg = self.dstd = None

    @property
    def nnei(self):
        return sum(self.sel)

    @property
    def ndescrpt(self):
        return 4 * self.nnei

    @property
    def dim_out(self):
        return self.neuron[-1] * self.axis_neuron

    def statistics(self, batches, stat_file=None):
        """Set davg and dstd, shape (ntypes, nnei * 4), from batches of the training data."""
        if self.env_protection:
            raise UserError("is available in models that were imported, not in training", f"{self.where}/env_protection",
                            "set it to 0")  # fmt: skip
        excluded = self.excluded | self.pair_excluded | self.zeroed
        stat = EnvStatistics(self.ntypes, self.rcut, self.rcut_smth, self.sel, excluded)
        avg, std = stat.compute(batches, stat_file)
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

    def build(self, coord, atype, natoms, box, mesh, params, suffix="", *, tabulated=None):
        """Assemble the descriptor.

        Parameters
        ----------
        coord : tensor, shape (nf, nall * 3), Å
        atype : int32 tensor, shape (nf, nall)
        natoms : int32 tensor, shape (2 + ntypes,)
        box : tensor, shape (nf, 9), Å
        mesh : int32 tensor
        params : Parameters
        tabulated : float or scalar tensor, optional
            Grid spacing of tabulated nets; None evaluates the nets in every slot with ops that every runtime has.

        Returns
        -------
        tensor, shape (nf, nloc, dim_out)
        """
        scope = f"descrpt_attr{suffix}"
        tf.constant(self.rcut, dtype=global_dtype(), name=f"{scope}/rcut")
        tf.constant(self.ntypes, dtype=tf.int32, name=f"{scope}/ntypes")
        tf.constant(self.ndescrpt, dtype=tf.int32, name=f"{scope}/ndescrpt")
        tf.constant(self.sel, dtype=tf.int32, name=f"{scope}/sel")
        tf.constant(self.sel, dtype=tf.int32, name=f"{scope}/original_sel")
        davg, dstd = self._stat_tensors(params, suffix)
        if self.env_protection or self.pair_excluded or self.zeroed:
            em, deriv, rij, nlist = adjusted_env_mat_a(
                coord, atype, natoms, box, mesh, davg, dstd, rcut=self.rcut, rcut_smth=self.rcut_smth, sel=self.sel,
                protection=self.env_protection, excluded=self.pair_excluded, zeroed=self.zeroed,
            )  # fmt: skip
        else:
            em, deriv, rij, nlist = op_module.prod_env_mat_a(
                coord, atype, natoms, box, mesh, davg, dstd, rcut_a=-1.0, rcut_r=self.rcut, rcut_r_smth=self.rcut_smth,
                sel_a=self.sel, sel_r=[0] * self.ntypes, name="ProdEnvMatA",
            )  # fmt: skip
        self.rmat = tf.identity(tf.reshape(em, [-1, self.ndescrpt]), name=f"o_rmat{suffix}")
        self.rmat_deriv = tf.identity(deriv, name=f"o_rmat_deriv{suffix}")
        self.rij = tf.identity(rij, name=f"o_rij{suffix}")
        self.nlist = tf.identity(nlist, name=f"o_nlist{suffix}")
        self.natoms, self._coord = natoms, coord
        nets = self._nets(params, suffix)
        loc_type = tf.reshape(atype[:, : natoms[0]], [-1])
        env = tf.cast(self.rmat, self.precision)
        if tabulated is None:
            a = self._contract_plain(env, loc_type, natoms, nets)
        else:
            a = self._contract_tabulated(env, loc_type, nets, tabulated)
        a = a / self.nnei
        m = self.neuron[-1]
        d = tf.matmul(a, a[:, :, : self.axis_neuron], transpose_a=True)
        self.rot_mat = tf.cast(tf.transpose(a[:, 1:4], [0, 2, 1]), global_dtype())
        d = tf.reshape(tf.cast(d, global_dtype()), [-1, natoms[0], m * self.axis_neuron])
        return tf.identity(d, name=f"o_descriptor{suffix}")

    def can_tabulate(self):
        """Whether the nets may be tabulated in training (smooth activation, ordinary precision)."""
        return is_tabulable(self.activation) and self.precision in (tf.float32, tf.float64)

    def tabulation_pays(self, atoms_per_batch):
        """Whether a grid costs less than the slots of a batch."""
        nodes = 3 * len(self._net_keys()) * 10 / DEFAULT_SPACING
        return self.can_tabulate() and nodes < atoms_per_batch * self.nnei

    def _net_keys(self):
        """(center, neighbor) type of every net; center None when nets depend on the neighbor alone."""
        if self.type_one_side:
            return [(None, tj) for tj in range(self.ntypes)]
        return [(ti, tj) for ti in range(self.ntypes) for tj in range(self.ntypes) if (ti, tj) not in self.excluded]

    def _nets(self, params, suffix):
        seeder, nets = Seeder(self.seed), {}
        for ti, tj in self._net_keys():
            scope = f"filter_type_{'all' if ti is None else ti}{suffix}"
            nets[ti, tj] = embedding_layers(
                params, scope, f"_{tj}", self.neuron, self.precision, seeder, resnet_dt=self.resnet_dt,
                trainable=self.trainable,
            )  # fmt: skip
        return nets

    def _contract_tabulated(self, env, loc_type, nets, spacing):
        keys = list(nets)
        index = {k: n for n, k in enumerate(keys)}
        net_of = [
            -1 if (ti, tj) in self.excluded else index[(None if self.type_one_side else ti), tj]
            for ti in range(self.ntypes)
            for tj in range(self.ntypes)
        ]
        a, self.table_error = embed_contract(
            env, tf.reshape(self.nlist, [-1, self.nnei]), loc_type, [nets[k] for k in keys], self.activation,
            sel=self.sel, net_of=net_of, spacing=spacing,
        )  # fmt: skip
        return a

    def _contract_plain(self, env, loc_type, natoms, nets):
        if self.type_one_side:
            if self.excluded:
                env = env * self._exclusion_mask(loc_type, env.dtype)
            return self._contract_blocks(env, [nets[None, tj] for tj in range(self.ntypes)])
        # One group of nets per center type: atoms are sorted by type, so the groups are slices.
        env = tf.reshape(env, [-1, natoms[0], self.ndescrpt])
        parts, start = [], 0
        for ti in range(self.ntypes):
            rows = tf.reshape(env[:, start : start + natoms[2 + ti]], [-1, self.ndescrpt])
            part = self._contract_blocks(rows, [nets.get((ti, tj)) for tj in range(self.ntypes)])
            parts.append(tf.reshape(part, [tf.shape(env)[0], natoms[2 + ti], 4, self.neuron[-1]]))
            start += natoms[2 + ti]
        return tf.reshape(tf.concat(parts, axis=1), [-1, 4, self.neuron[-1]])

    def _contract_blocks(self, env, nets):
        """Sum of R^T G over the blocks of neighbor types, for rows that share their nets; shape (n, 4, M)."""
        total, start = None, 0
        for sel, net in zip(self.sel, nets):
            block = env[:, 4 * start : 4 * (start + sel)]
            start += sel
            if net is None or sel == 0:
                continue
            rows = tf.reshape(block, [-1, 4])
            g = apply_embedding(rows[:, :1], net, self.activation)
            term = tf.matmul(
                tf.reshape(rows, [-1, sel, 4]), tf.reshape(g, [-1, sel, self.neuron[-1]]), transpose_a=True
            )
            total = term if total is None else total + term
        if total is None:
            return tf.zeros([tf.shape(env)[0], 4, self.neuron[-1]], env.dtype)
        return total

    def _exclusion_mask(self, loc_type, dtype):
        """1 or 0 for every column of the environment rows, by center type; shape (n, ndescrpt)."""
        table = np.ones([self.ntypes, self.ndescrpt])
        for ti, tj in self.excluded:
            start = 4 * sum(self.sel[:tj])
            table[ti, start : start + 4 * self.sel[tj]] = 0.0
        return tf.gather(tf.constant(table, dtype=dtype), tf.maximum(loc_type, 0))

    def force_and_virial(self, energy, suffix=""):
        """Forces (nf, nall*3), virial (nf, 9) and atomic virials (nf, nall*9) of a scalar of the descriptor."""
        net_deriv = tf.gradients(energy, self.rmat)[0]
        net_deriv = tf.reshape(net_deriv, [-1, self.natoms[0] * self.ndescrpt])
        attrs = {"n_a_sel": self.nnei, "n_r_sel": 0}
        force = op_module.prod_force_se_a(
            net_deriv, self.rmat_deriv, self.nlist, self.natoms, name="ProdForceSeA", **attrs
        )
        virial, atom_virial = op_module.prod_virial_se_a(
            net_deriv, self.rmat_deriv, self.rij, self.nlist, self.natoms, name="ProdVirialSeA", **attrs
        )
        return force, virial, atom_virial
