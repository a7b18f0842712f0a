"""Neighbors in the local frame that two of them span (``loc_frame``).

The nearest ``sel_a`` neighbors of each type give (1/r, z/r^2, x/r^2, y/r^2), the next ``sel_r`` give 1/r, all normalised per column.
There are no nets, and nothing is smooth at the cutoff: energies jump when neighbors change places, so forces are not conserved.
"""

import hashlib
import json
import logging

import numpy as np

from dptf.data.stat_batches import total
from dptf.descriptor.interface import Descriptor
from dptf.env import GLOBAL_NP_FLOAT
from dptf.errors import UserError
from dptf.nn.parameters import global_dtype
from dptf.ops import op_module, tf
from dptf.session import new_session

log = logging.getLogger(__name__)


class LocFrame(Descriptor):
    """loc_frame.

    Parameters
    ----------
    section : dict
        ``model/descriptor`` of the normalised input.
    ntypes : int
    where : str
        Key path for messages.
    """

    def __init__(self, section, ntypes, where="model/descriptor"):
        super().__init__()
        self.ntypes, self.where = ntypes, where
        self.rcut = float(section["rcut"])
        self.sel_a, self.sel_r = ([int(s) for s in section[key]] for key in ("sel_a", "sel_r"))
        self.axis_rule = [int(n) for n in section.get("axis_rule") or []]
        for key in ("sel_a", "sel_r"):
            if len(section[key]) != ntypes:
                raise UserError(f"has {len(section[key])} entries for {ntypes} types", f"{where}/{key}")
        if len(self.axis_rule) not in (0, 6 * ntypes):
            raise UserError(
                f"has {len(self.axis_rule)} numbers", f"{where}/axis_rule",
                f"give six for each of the {ntypes} types, or none to take the two nearest neighbors",
            )  # fmt: skip
        if sum(self.sel_a) + sum(self.sel_r) < 2:
            raise UserError("a local frame needs slots for at least two neighbors", f"{where}/sel_a")
        self.sel = [a + r for a, r in zip(self.sel_a, self.sel_r)]
        if sum(self.sel_r) and 0 in (self.axis_rule[::3] or [0]):
            log.warning(
                "%s: with radial slots (sel_r) and axes from the angular ones, forces of loc_frame are not exactly the slopes of the "
                "energy, in every release: a radial neighbor may be taken for an axis atom. Set sel_r to zeros, or use se_e2_a.",
                where,
            )  # fmt: skip
        self.davg = self.dstd = None

    @property
    def dim_out(self):
        return 4 * sum(self.sel_a) + sum(self.sel_r)

    def _op(self, coord, atype, natoms, box, mesh, davg, dstd):
        return op_module.descrpt(
            coord, atype, natoms, box, mesh, davg, dstd, rcut_a=-1.0, rcut_r=self.rcut, sel_a=self.sel_a,
            sel_r=self.sel_r, axis_rule=self.axis_rule, name="Descrpt",
        )  # fmt: skip

    # -- statistics -----------------------------------------------------------------------------------------------

    def statistics(self, batches, stat_file=None):
        """Set davg and dstd (ntypes, dim_out), mean and deviation (at least 0.01) of every column per center type."""
        items = {
            "type": "loc_frame", "ntypes": self.ntypes, "rcut": self.rcut, "sel_a": self.sel_a, "sel_r": self.sel_r,
            "axis_rule": self.axis_rule,
        }  # fmt: skip
        name = f"{hashlib.sha1(json.dumps(items).encode()).hexdigest()}/columns"
        sums = stat_file.read(name) if stat_file else None
        if sums is None:
            sums = self._sums(batches)
            if stat_file:
                stat_file.write(name, sums)
        n, s, s2 = sums[..., :1], sums[..., 1 : 1 + self.dim_out], sums[..., 1 + self.dim_out :]
        self.davg = s / np.maximum(n, 1)
        self.dstd = np.maximum(np.sqrt(np.maximum(s2 / np.maximum(n, 1) - self.davg**2, 0.0)), 1e-2)

    def _sums(self, batches):
        """(atoms, sums, sums of squares) of the columns per type, (ntypes, 1 + 2 dim_out)."""
        shape = (self.ntypes, self.dim_out)
        with tf.Graph().as_default(), new_session() as sess:
            feeds = {k: tf.placeholder(t) for k, t in (
                ("coord", tf.float64), ("type", tf.int32), ("natoms_vec", tf.int32), ("box", tf.float64), ("mesh", tf.int32),
            )}  # fmt: skip
            em = self._op(*feeds.values(), tf.zeros(shape, tf.float64), tf.ones(shape, tf.float64))[0]

            def of_batch(batch):
                sums = np.zeros((self.ntypes, 1 + 2 * self.dim_out))
                rows = sess.run(em, {p: batch[k] for k, p in feeds.items()}).reshape(-1, self.dim_out)
                types = batch["type"].reshape(-1)
                for t in range(self.ntypes):
                    r = rows[types == t]
                    sums[t] += np.concatenate([[len(r)], r.sum(0), (r**2).sum(0)])
                return sums

            return np.zeros((self.ntypes, 1 + 2 * self.dim_out)) + total(batches, of_batch)

    # -- the graph ------------------------------------------------------------------------------------------------

    def build(self, coord, atype, natoms, box, mesh, params, suffix="", *, tabulated=None, type_table=None):
        """Assemble the descriptor; see :meth:`Descriptor.build`."""
        if self.pair_excluded:
            raise UserError(
                "pairs cannot be excluded with loc_frame, whose axes may be any neighbors", "model/pair_exclude_types",
                "use se_e2_a",
            )  # fmt: skip
        scope, shape, fp = f"descrpt_attr{suffix}", [self.ntypes, self.dim_out], global_dtype()
        tf.constant(self.rcut, dtype=fp, name=f"{scope}/rcut")
        tf.constant(self.ntypes, dtype=tf.int32, name=f"{scope}/ntypes")
        avg = np.zeros(shape) if self.davg is None else self.davg
        std = np.ones(shape) if self.dstd is None else self.dstd
        davg = params.get(f"{scope}/t_avg", shape, avg.astype(GLOBAL_NP_FLOAT), fp, trainable=False)
        dstd = params.get(f"{scope}/t_std", shape, std.astype(GLOBAL_NP_FLOAT), fp, trainable=False)
        em, deriv, rij, nlist, axis, rot_mat = self._op(coord, atype, natoms, box, mesh, davg, dstd)
        self.rmat = tf.identity(tf.reshape(em, [-1, self.dim_out]), name=f"o_rmat{suffix}")
        self.rmat_deriv = tf.identity(deriv, name=f"o_rmat_deriv{suffix}")
        self.rij = tf.identity(rij, name=f"o_rij{suffix}")
        self.nlist = tf.identity(nlist, name=f"o_nlist{suffix}")
        self.axis, self.natoms = axis, natoms
        tf.identity(rot_mat, name=f"o_rot_mat{suffix}")
        return tf.reshape(self.rmat, [-1, natoms[0], self.dim_out], name=f"o_descriptor{suffix}")

    def force_and_virial(self, scalar, suffix="", *, atomic=None):
        """Forces (nf, nall*3), virial (nf, 9) and atomic virials (nf, nall*9) of a scalar of the descriptor."""
        net_deriv = tf.reshape(tf.gradients(scalar, self.rmat)[0], [-1, self.natoms[0] * self.dim_out])
        tail = self.nlist, self.axis, self.natoms
        attrs = {"n_a_sel": sum(self.sel_a), "n_r_sel": sum(self.sel_r)}
        force = op_module.prod_force(net_deriv, self.rmat_deriv, *tail, name="ProdForce", **attrs)
        virial = op_module.prod_virial(net_deriv, self.rmat_deriv, self.rij, *tail, name="ProdVirial", **attrs)
        return force, *virial
