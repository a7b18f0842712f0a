"""Smooth-edition descriptor of three-body angles (``se_e3``).

With R_j the angular part (3 numbers) of a normalised row of the environment matrix, one net N per pair a <= b of neighbor
types and e_jk = R_j . R_k::

    D = sum_{a <= b} sum_{j in a, k in b} e_jk N_ab(e_jk) / (sel_a sel_b)      (M,)

The center type plays no role, and j = k is included.
"""

import numpy as np

from dptf.descriptor.base import SmoothDescriptor
from dptf.descriptor.env_adjust import largest_product, largest_row
from dptf.errors import UserError
from dptf.nn.embedding import apply_embedding
from dptf.nn.table import StoredNet
from dptf.nn.tabulated import DEFAULT_SPACING, embed_contract
from dptf.ops import tf

#: Products reach further than s(r).
_TYPICAL_RANGE = 400


class SeE3(SmoothDescriptor):
    """se_e3; parameters as the base has them."""

    def __init__(self, section, ntypes, where="model/descriptor"):
        super().__init__(section, ntypes, where)
        if self.excluded:
            raise UserError(
                "is not defined for se_e3",
                f"{where}/exclude_types",
                "use model/pair_exclude_types, or another descriptor",
            )

    @property
    def dim_out(self):
        return self.neuron[-1]

    def _net_keys(self):
        return [(a, b) for a in range(self.ntypes) for b in range(a, self.ntypes)]

    def _net_name(self, key):
        return "filter_type_all", f"_{key[0]}_{key[1]}"

    def _slot_types(self, key):
        return key

    def _table_grid(self, key, values, settings, suffix):
        """Products of two rows lie within the square of the longest; every center type uses every net."""
        avg, std = (np.asarray(values[f"descrpt_attr{suffix}/t_{k}"]).reshape(self.ntypes, -1) for k in ("avg", "std"))
        closest = largest_row(settings.min_distance, self.rcut, self.rcut_smth, self.env_protection)
        largest = largest_product(avg, std, closest)
        return settings.grid(-largest, largest, self.precision.as_numpy_dtype, symmetric=True)

    def tabulation_pays(self, atoms_per_batch):
        """Whether a grid costs less than the pairs of slots of a batch."""
        pairs = sum(self.sel[a] * self.sel[b] for a, b in self._net_keys())
        return (
            self.can_tabulate() and len(self._net_keys()) * _TYPICAL_RANGE / DEFAULT_SPACING < atoms_per_batch * pairs
        )

    def _features(self, env, loc_type, natoms, nets, tabulated):
        keys = [(a, b) for a, b in nets if self.sel[a] and self.sel[b]]
        products = [self._products(env, *key) for key in keys]
        if tabulated is not None:
            return self._sum_tabulated(keys, products, loc_type, nets, tabulated)
        total = None
        for key, e in zip(keys, products):
            if isinstance(nets[key], StoredNet):
                term = nets[key].contract_angles(tf.reshape(e, [-1, self.sel[key[0]], self.sel[key[1]]]))
            else:
                g = apply_embedding(tf.reshape(e, [-1, 1]), nets[key], self.activation, self.compute)
                term = tf.matmul(e[:, None, :], tf.reshape(g, [-1, int(e.shape[1]), self.neuron[-1]]))[:, 0]
            term /= int(e.shape[1])
            total = term if total is None else total + term
        return total

    def _products(self, env, a, b):
        """e_jk of neighbors of types a and b, shape (n, sel_a * sel_b)."""
        rows = tf.reshape(env, [-1, self.nnei, 4])[:, :, 1:]
        left, right = (rows[:, sum(self.sel[:t]) : sum(self.sel[: t + 1])] for t in (a, b))
        return tf.reshape(tf.matmul(left, right, transpose_b=True), [-1, self.sel[a] * self.sel[b]])

    def _sum_tabulated(self, keys, products, loc_type, nets, spacing):
        """Pairs of slots as neighbors, pairs of types as types; the row (e, e / count, 0, 0) gives the mean as second row."""
        rows, sel = [], [int(e.shape[1]) for e in products]
        for n, e in zip(sel, products):
            zero = tf.zeros_like(e)
            rows.append(tf.reshape(tf.stack([e, e / n, zero, zero], axis=2), [-1, 4 * n]))
        # Every pair counts as filled: those with an empty slot have e = 0 unless the mean of angular parts is not 0.
        filled = tf.zeros([tf.shape(loc_type)[0], sum(sel)], tf.int32)
        center = tf.where(loc_type < 0, loc_type, tf.zeros_like(loc_type))
        a, self.table_error = embed_contract(
            tf.concat(rows, axis=1), filled, center, [nets[k] for k in keys], self.activation, sel=sel,
            net_of=list(range(len(keys))) * len(keys), spacing=spacing,
        )  # fmt: skip
        return a[:, 1]
