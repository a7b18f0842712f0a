"""Environments of mixed lists: the nearest neighbors of any type, ordered by distance, in ``nsel`` slots.

Two leaves for the chain rule to positions:

- ``PublicEnv``: the normalised environment matrix, as in public graphs (``o_rmat``); every runtime can run it.
- ``EdgeEnv``: the vectors from center to neighbor. What is made of them (several environment matrices with their own cutoffs,
  switches, protected distances) is differentiated by TensorFlow.
"""

import numpy as np

from dptf.ops import op_module, tf
from dptf.ops_ragged import geometry_only


class MixedEnv:
    """What both leaves have.

    Attributes
    ----------
    rij : tensor, shape (n, nsel, 3), Å
        From center to neighbor; n counts the atoms of all frames.
    nlist : int32 tensor, shape (n, nsel)
        Neighbor indices (local ones where the op made the list itself), -1 in empty slots.
    ntype : int32 tensor, shape (n, nsel)
        Types of the neighbors, ntypes in empty slots.
    filled : bool tensor, shape (n, nsel)
    center : int32 tensor, shape (n,)
        Types of the centers, 0 for virtual ones.
    real : bool tensor, shape (n,)
        Whether a center is an atom.
    """

    def __init__(
        self, coord, atype, natoms, box, mesh, *, rcut, rcut_smth, nsel, ntypes, davg=None, dstd=None, hosts=None
    ):
        shape, self.dtype = [ntypes, 4 * nsel], coord.dtype
        self.ntypes, self.nsel, self.natoms = ntypes, nsel, natoms
        davg = tf.zeros(shape, coord.dtype) if davg is None else davg
        dstd = tf.ones(shape, coord.dtype) if dstd is None else dstd
        em, deriv, rij, nlist, ntype, nmask = op_module.prod_env_mat_a_mix(
            coord, atype, natoms, box, mesh, davg, dstd, rcut_a=-1.0, rcut_r=rcut, rcut_r_smth=rcut_smth, sel_a=[nsel],
            sel_r=[0], name="ProdEnvMatAMix",
        )  # fmt: skip
        self.op_em, self.op_deriv, self.op_rij, self.op_nlist = em, deriv, rij, nlist
        # Where virials are taken: virtual atoms stand at their real ones.
        self.virial_rij = rij if hosts is None else tf.reshape(hosts.of_slots(rij, nlist), tf.shape(rij))
        self.rij = tf.reshape(rij, [-1, nsel, 3])
        self.nlist = tf.reshape(nlist, [-1, nsel])
        self.ntype = tf.reshape(ntype, [-1, nsel])
        self.filled = tf.reshape(nmask, [-1, nsel])
        local = tf.reshape(atype[:, : natoms[0]], [-1])
        self.real, self.center = local >= 0, tf.maximum(local, 0)

    def types_or_first(self, atype):
        """Types of the neighbors, with the lowest type that its frame has in empty slots; int32 (n, nsel).

        Other backends give empty slots the type of the first atom; atoms are sorted by type when it matters.
        """
        present = tf.where(atype >= 0, atype, self.ntypes * tf.ones_like(atype))
        first = tf.minimum(tf.reduce_min(present, axis=1), self.ntypes - 1)
        per_atom = tf.reshape(tf.tile(first[:, None], [1, self.natoms[0]]), [-1, 1])
        return tf.where(tf.equal(self.ntype, self.ntypes), tf.broadcast_to(per_atom, tf.shape(self.ntype)), self.ntype)

    def filled_types(self):
        """Types of the neighbors, -1 in empty slots; int32 (n, nsel)."""
        return tf.where(self.filled, self.ntype, -tf.ones_like(self.ntype))

    def real_centers(self):
        """Types of the centers, -1 for virtual ones; int32 (n,)."""
        return tf.where(self.real, self.center, -tf.ones_like(self.center))

    def by_center(self, table, width):
        """Rows of a table (ntypes, nsel * width) by center type, shape (n, nsel, width)."""
        return tf.reshape(tf.gather(table, self.center), [-1, self.nsel, width])

    def interacting(self, excluded, *, empty=True):
        """Which slots do not belong to an excluded pair of types, bool (n, nsel).

        Parameters
        ----------
        excluded : set of (int, int)
        empty : bool
            The value for empty slots.
        """
        table = np.ones((self.ntypes, self.ntypes + 1), bool)
        table[:, self.ntypes] = empty
        for ti, tj in excluded:
            table[ti, tj] = False
        return tf.gather_nd(
            tf.constant(table), tf.stack([tf.broadcast_to(self.center[:, None], tf.shape(self.ntype)), self.ntype], -1)
        )


class PublicEnv(MixedEnv):
    """Leaf: the normalised environment matrix of the op.

    Attributes
    ----------
    rows : tensor, shape (n, nsel, 4)
    """

    def __init__(self, *args, suffix="", **kwargs):
        super().__init__(*args, **kwargs)
        self.leaf = tf.identity(tf.reshape(self.op_em, [-1, 4 * self.nsel]), name=f"o_rmat{suffix}")
        self.deriv = tf.identity(self.op_deriv, name=f"o_rmat_deriv{suffix}")
        self.rij_node = tf.identity(self.virial_rij, name=f"o_rij{suffix}")
        self.nlist_node = tf.identity(self.op_nlist, name=f"o_nlist{suffix}")
        self.rows = tf.reshape(self.leaf, [-1, self.nsel, 4])

    def force_and_virial(self, scalar):
        """Forces (nf, nall*3), virial (nf, 9) and atomic virials (nf, nall*9) of a scalar of the leaf."""
        with geometry_only():
            net_deriv = tf.reshape(tf.gradients(scalar, self.leaf)[0], [-1, self.natoms[0] * 4 * self.nsel])
        attrs = {"n_a_sel": self.nsel, "n_r_sel": 0}
        tail = self.nlist_node, self.natoms
        force = op_module.prod_force_se_a(net_deriv, self.deriv, *tail, name="ProdForceSeA", **attrs)
        virial = op_module.prod_virial_se_a(net_deriv, self.deriv, self.rij_node, *tail, name="ProdVirialSeA", **attrs)
        return force, *virial


class EdgeEnv(MixedEnv):
    """Leaf: the vectors from center to neighbor."""

    def __init__(self, *args, suffix="", excluded=(), **kwargs):
        super().__init__(*args, **kwargs)
        if excluded:  # pairs without interaction in the whole model: their slots become empty, in place
            self.filled = tf.logical_and(self.filled, self.interacting(excluded))
            self.nlist = tf.where(self.filled, self.nlist, -tf.ones_like(self.nlist))
            self.ntype = tf.where(self.filled, self.ntype, self.ntypes * tf.ones_like(self.ntype))
        self.leaf = tf.identity(self.rij, name=f"o_rij{suffix}")
        self.nlist_node = tf.reshape(self.nlist, tf.shape(self.op_nlist), name=f"o_nlist{suffix}")

    def prefix(self, rcut, nsel):
        """The first slots within a cutoff, as a :class:`Block`."""
        return Block(self, rcut, nsel)

    def edge_gradient(self, scalar):
        """Derivative of a scalar in the vectors, (nf, nloc * nsel * 3)."""
        with geometry_only():
            return tf.reshape(tf.gradients(scalar, self.leaf)[0], [-1, self.natoms[0] * 3 * self.nsel])

    def edge_force(self, gradient):
        """Forces (nf, nall*3) of a derivative in the vectors."""
        return op_module.dptf_vector_force(gradient, self.nlist_node, self.natoms)

    def force_and_virial(self, scalar):
        """As :meth:`PublicEnv.force_and_virial`."""
        g = self.edge_gradient(scalar)
        rij = tf.reshape(self.virial_rij, [-1, self.natoms[0] * 3 * self.nsel])
        return self.edge_force(g), *op_module.dptf_vector_virial(g, rij, self.nlist_node, self.natoms)


class Block:
    """The first ``nsel`` slots of an :class:`EdgeEnv` within ``rcut``; attributes as there.

    Attributes
    ----------
    distance : tensor, shape (n, nsel)
        Å, 1 in empty slots.
    """

    def __init__(self, env, rcut, nsel):
        self.env, self.rcut, self.nsel, self.ntypes = env, rcut, nsel, env.ntypes
        self.center, self.real, self.natoms = env.center, env.real, env.natoms
        rij, filled = env.leaf[:, :nsel], env.filled[:, :nsel]
        square = tf.reduce_sum(rij * rij, axis=2)
        filled = tf.logical_and(filled, tf.stop_gradient(square) <= tf.constant(rcut, square.dtype) ** 2)
        self.filled = filled
        # The root of an empty slot would have no derivative.
        self.distance = tf.sqrt(tf.where(filled, square, tf.ones_like(square)))
        self.rij = rij * tf.cast(filled, rij.dtype)[:, :, None]
        self.nlist = tf.where(filled, env.nlist[:, :nsel], -tf.ones_like(filled, tf.int32))
        self.ntype = tf.where(filled, env.ntype[:, :nsel], self.ntypes * tf.ones_like(filled, tf.int32))

    types_or_first = MixedEnv.types_or_first
    filled_types = MixedEnv.filled_types
    real_centers = MixedEnv.real_centers
    by_center = MixedEnv.by_center
    interacting = MixedEnv.interacting

    def exclude(self, pairs):
        """Empty the slots of excluded pairs of types, in place."""
        if not pairs:
            return
        self.filled = tf.logical_and(self.filled, self.interacting(pairs))
        mask = tf.cast(self.filled, self.rij.dtype)
        self.rij = self.rij * mask[:, :, None]
        self.distance = tf.where(self.filled, self.distance, tf.ones_like(self.distance))
        self.nlist = tf.where(self.filled, self.nlist, -tf.ones_like(self.nlist))
        self.ntype = tf.where(self.filled, self.ntype, self.ntypes * tf.ones_like(self.ntype))

    def switch(self, rcut_smth):
        """w(r), 0 in empty slots, shape (n, nsel)."""
        u = tf.clip_by_value((self.distance - rcut_smth) / (self.rcut - rcut_smth), 0.0, 1.0)
        return (u * u * u * (u * (15.0 - 6.0 * u) - 10.0) + 1.0) * tf.cast(self.filled, u.dtype)

    def rows(self, switch, protection=0.0, davg=None, dstd=None):
        """Environment matrix w (1/d, x/d², y/d², z/d²) with d = r + protection, normalised; shape (n, nsel, 4).

        Virtual centers have rows of zeros.
        """
        inverse = 1.0 / (self.distance + protection)
        radial = switch * inverse
        rows = tf.concat([radial[:, :, None], (radial * inverse)[:, :, None] * self.rij], axis=2)
        if davg is not None:
            rows = (rows - self.by_center(davg, 4)) / self.by_center(dstd, 4)
        return rows * tf.cast(self.real, rows.dtype)[:, None, None]
