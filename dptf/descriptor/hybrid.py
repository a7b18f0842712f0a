"""Several descriptors side by side (``hybrid``): features and rotation matrices are joined, forces add.

The parts are numbered: part k has the name suffix ``_<k>`` in front of the suffix of the model.
"""

from dptf.descriptor.interface import Descriptor
from dptf.descriptor.several import Several
from dptf.errors import UserError
from dptf.nn.parameters import global_dtype
from dptf.ops import tf


class Hybrid(Several, Descriptor):
    """Hybrid descriptor.

    Parameters
    ----------
    section : dict
        ``model/descriptor`` with its ``list``.
    ntypes : int
    where : str
        Key path for messages.
    """

    def __init__(self, section, ntypes, where="model/descriptor", *, typed=False):
        from dptf.descriptor import EMBEDDED, make_descriptor

        if not section["list"]:
            raise UserError("is empty", f"{where}/list", "name at least one descriptor")
        self.parts = [
            make_descriptor(s, ntypes, f"{where}/list/{k}", typed=typed and s.get("type") not in EMBEDDED)
            for k, s in enumerate(section["list"])
        ]
        self.ntypes, self.where = ntypes, where

    @property
    def rcut(self):
        return max(p.rcut for p in self.parts)

    @property
    def dim_out(self):
        return sum(p.dim_out for p in self.parts)

    @property
    def dim_rot(self):
        return sum(p.dim_rot for p in self.parts)

    @property
    def mixed_types(self):
        """Whether a part wants one fitting net for all types."""
        return any(p.mixed_types for p in self.parts)

    @property
    def own_type_embedding(self):
        """The options of the part that wants a type embedding."""
        wishes = [p.own_type_embedding for p in self.parts if p.own_type_embedding is not None]
        if any(w != wishes[0] for w in wishes):
            raise UserError(
                "the parts want different type embeddings", self.where, "add the section model/type_embedding"
            )
        return wishes[0] if wishes else None

    @property
    def type_padding(self):
        """Whether a part needs the row of empty slots."""
        return any(p.type_padding for p in self.parts)

    @property
    def fitting_sees_types(self):
        """Whether no part holds the type of the center already."""
        return all(p.fitting_sees_types for p in self.parts)

    @property
    def widest(self):
        """The part with the largest cutoff, whose neighbor list pair tables use."""
        return max(self.parts, key=lambda p: p.rcut)

    @property
    def nlist(self):
        return self.widest.nlist

    @property
    def rij(self):
        return self.widest.rij

    @property
    def sel(self):
        return self.widest.sel

    @property
    def nnei(self):
        return self.widest.nnei

    @property
    def pair_excluded(self):
        return self.parts[0].pair_excluded

    @pair_excluded.setter
    def pair_excluded(self, pairs):
        for p in self.parts:
            p.pair_excluded = pairs

    @property
    def type_map(self):
        return self.parts[0].type_map

    @type_map.setter
    def type_map(self, names):
        for p in self.parts:
            p.type_map = names

    @property
    def known_types(self):
        return self.parts[0].known_types

    @known_types.setter
    def known_types(self, table):
        for p in self.parts:
            p.known_types = table

    @property
    def rotation_needed(self):
        return self.parts[0].rotation_needed

    @rotation_needed.setter
    def rotation_needed(self, wanted):
        for p in self.parts:
            p.rotation_needed = wanted

    @property
    def hosts(self):
        return self.parts[0].hosts

    @hosts.setter
    def hosts(self, hosts):
        for p in self.parts:
            p.hosts = hosts

    @property
    def message_width(self):
        return max(p.message_width for p in self.parts)

    def lower_precision(self, dtype):
        """As the parts do."""
        for p in self.parts:
            p.lower_precision(dtype)

    def statistics(self, batches, stat_file=None):
        """Normalisation of every part."""
        for p in self.parts:
            p.statistics(batches, stat_file)

    def build(self, coord, atype, natoms, box, mesh, params, suffix="", *, tabulated=None, type_table=None, **frame):
        """As the parts do; returns a tensor (nf, nloc, dim_out)."""
        tf.constant(self.rcut, dtype=global_dtype(), name=f"descrpt_attr{suffix}/rcut")
        tf.constant(self.ntypes, dtype=tf.int32, name=f"descrpt_attr{suffix}/ntypes")
        if self.message_width:
            tf.constant(self.message_width, dtype=tf.int32, name=f"descrpt_attr{suffix}/message_width")
        features = [
            p.build(
                coord,
                atype,
                natoms,
                box,
                mesh,
                params,
                f"{suffix}_{k}",
                tabulated=tabulated,
                type_table=type_table,
                **{key: frame[key] for key in p.frame_inputs},
            )
            for k, p in enumerate(self.parts)
        ]
        rotations = [p.rot_mat for p in self.parts if p.rot_mat is not None]
        self.rot_mat = tf.concat(rotations, axis=1) if rotations else None
        d = tf.reshape(tf.concat(features, axis=2), [-1, natoms[0], self.dim_out])
        return tf.identity(d, name=f"o_descriptor{suffix}")

    def force_and_virial(self, scalar, suffix="", *, atomic=None):
        """Sums over the parts."""
        parts = [p.force_and_virial(scalar, f"{suffix}_{k}", atomic=atomic) for k, p in enumerate(self.parts)]
        return tuple(tf.add_n(terms) if len(terms) > 1 else terms[0] for terms in zip(*parts))

    def compress(self, values, settings, suffix=""):
        """As the parts do, all of them."""
        for k, p in enumerate(self.parts):
            p.compress(values, settings, f"{suffix}_{k}")

    def stored_names(self, suffix=""):
        """Of all parts."""
        return [name for k, p in enumerate(self.parts) for name in p.stored_names(f"{suffix}_{k}")]
