"""se_e2_a of atoms in an electric field (``se_a_ef``), of every atom a direction.

Two halves like se_e2_a side by side, with the same nets and statistics. With e the direction of the field at the center, p the part
of a neighbor's relative position along it and v the rest, the angular part of a row is v / r² in the first half and p / r² in the
second. An atom without field counts as one with a field along x.
"""

import numpy as np

from dptf.descriptor.se_e2_a import SeE2A
from dptf.descriptor.statistics import EnvStatistics
from dptf.errors import UserError
from dptf.nn.parameters import global_dtype
from dptf.ops import op_module, tf

_HALVES = ("vert", "para")


class SeAEf(SeE2A):
    """se_a_ef; parameters as the base has them."""

    needs_field = True
    stat_kind = "se_a_ef"

    def __init__(self, section, ntypes, where="model/descriptor"):
        super().__init__(section, ntypes, where)
        if self.env_protection or self.zeroed or self.exact_cutoff:
            raise UserError("is not known to se_a_ef", f"{where}/env_protection", "remove it")

    @property
    def dim_out(self):
        return 2 * self.neuron[-1] * self.axis_neuron

    @property
    def dim_rot(self):
        return 2 * self.neuron[-1]

    def statistics(self, batches, stat_file=None):
        """Set davg and dstd from the rows of both halves; see :meth:`SmoothDescriptor.statistics`."""
        stat = _FieldStatistics(self.ntypes, self.rcut, self.rcut_smth, self.sel, self.excluded, kind=self.stat_kind)
        avg, std = stat.compute(batches, stat_file)
        if self.set_davg_zero:
            avg = np.zeros_like(avg)
        self.davg, self.dstd = np.tile(avg, (1, self.nnei)), np.tile(std, (1, self.nnei))

    def build(self, coord, atype, natoms, box, mesh, params, suffix="", *, tabulated=None, type_table=None, field=None):
        """Assemble the descriptor; ``field`` has shape (nf, nloc * 3). See :meth:`Descriptor.build`."""
        if self.pair_excluded:
            raise UserError(
                "does not go with se_a_ef", "model/pair_exclude_types", "use exclude_types of the descriptor"
            )
        if field is None:
            raise UserError("se_a_ef cannot be part of a hybrid descriptor", self.where, "use it alone")
        self.constants(suffix)
        davg, dstd = self._stat_tensors(params, suffix)
        nets, loc_type = self._nets(params, suffix), tf.reshape(atype[:, : natoms[0]], [-1])
        inputs = coord, atype, natoms, box, mesh, directions(field, natoms), davg, dstd
        self.natoms, self._halves, features, rotations, errors = natoms, [], [], [], []
        for half in _HALVES:
            em, deriv, rij, nlist = field_rows(half, *inputs, rcut=self.rcut, rcut_smth=self.rcut_smth, sel=self.sel)
            rmat = tf.identity(tf.reshape(em, [-1, self.ndescrpt]), name=f"o_rmat{suffix}")
            deriv = tf.identity(deriv, name=f"o_rmat_deriv{suffix}")
            self.rij, self.nlist = tf.identity(rij, name=f"o_rij{suffix}"), tf.identity(nlist, name=f"o_nlist{suffix}")
            self._halves.append((rmat, deriv, self.rij, self.nlist))
            d = self._features(tf.cast(rmat, self.precision), loc_type, natoms, nets, tabulated)
            features.append(tf.reshape(tf.cast(d, global_dtype()), [-1, natoms[0], self.dim_out // 2]))
            rotations.append(self.rot_mat)
            errors.append(self.table_error)
        self.rot_mat = tf.concat(rotations, axis=1)
        self.table_error = None if None in errors else tf.maximum(*errors)
        return tf.concat(features, axis=2, name=f"o_descriptor{suffix}")

    def force_and_virial(self, scalar, suffix="", *, atomic=None):
        """See :meth:`Descriptor.force_and_virial`; the sums over both halves, at a constant field."""
        parts, slopes = [], tf.gradients(scalar, [rmat for rmat, *_ in self._halves])
        for slope, (_, deriv, rij, nlist) in zip(slopes, self._halves):
            slope = tf.reshape(slope, [-1, self.natoms[0] * self.ndescrpt])
            tail, attrs = (nlist, self.natoms), {"n_a_sel": self.nnei, "n_r_sel": 0}
            force = op_module.prod_force_se_a(slope, deriv, *tail, name="ProdForceSeA", **attrs)
            virial = op_module.prod_virial_se_a(slope, deriv, rij, *tail, name="ProdVirialSeA", **attrs)
            parts.append((force, *virial))
        return tuple(tf.add_n(terms) for terms in zip(*parts))


def directions(field, natoms):
    """Unit vectors (nf, nloc * 3) of the fields; along x where there is none."""
    rows = tf.reshape(field, [-1, 3])
    norm = tf.norm(rows, axis=1, keepdims=True)
    there = norm > 0
    along_x = tf.constant([[1.0, 0.0, 0.0]], rows.dtype) * tf.ones_like(rows)
    unit = tf.where(tf.tile(there, [1, 3]), rows / tf.where(there, norm, tf.ones_like(norm)), along_x)
    return tf.reshape(unit, [-1, natoms[0] * 3])


def field_rows(half, coord, atype, natoms, box, mesh, field, davg, dstd, *, rcut, rcut_smth, sel):
    """Normalised rows of a half (``vert`` or ``para``), their derivatives, relative positions [Å] and neighbor indices."""
    op = getattr(op_module, f"descrpt_se_a_ef_{half}")
    return op(
        coord, atype, natoms, box, mesh, field, davg, dstd, rcut_a=-1.0, rcut_r=rcut, rcut_r_smth=rcut_smth, sel_a=sel,
        sel_r=[0] * len(sel), name=f"DescrptSeAEf{half.title()}",
    )  # fmt: skip


class _FieldStatistics(EnvStatistics):
    """Sums over the rows of both halves."""

    more_feeds = ("efield",)

    def _rows(self, feeds, zeros, ones):
        fields = directions(feeds["efield"], feeds["natoms_vec"])
        inputs = [feeds[k] for k in ("coord", "type", "natoms_vec", "box", "mesh")]
        geometry = {"rcut": self.rcut, "rcut_smth": self.rcut_smth, "sel": self.sel}
        halves = [field_rows(h, *inputs, fields, zeros, ones, **geometry)[0] for h in _HALVES]
        return tf.concat([tf.reshape(h, [-1, self.nnei * 4]) for h in halves], axis=0)
