"""Spins as virtual atoms: where they stand, which real atom they belong to, and how data and graphs are told about them.

A spin type t has a virtual type; its atoms stand at R + S ratio[t], after all real atoms and in their order. Among ghosts the
same holds: real ones sorted by type, then virtual ones.
"""

import numpy as np

from dptf.errors import UserError
from dptf.ops import tf


class VirtualAtoms:
    """The spin section of a model.

    Parameters
    ----------
    section : dict
        ``model/spin``: ``use_spin`` with ``virtual_len`` and ``spin_norm`` (one per spin type), or with ``virtual_scale``.
    type_map : list of str
        Real types.

    Attributes
    ----------
    use : list of bool
        Which real types have a spin.
    ratio : list of float
        Distance of the virtual atom per unit of spin, per real type (0 without spin), Å.
    separate : bool
        Every real type has a virtual type, t + len(type_map); otherwise only spin types have, which are the first ones.
    """

    def __init__(self, section, type_map):
        where, self.names = "model/spin", list(type_map)
        count = len(self.names)
        if not count:
            raise UserError("is missing; a model with spins needs the names of its types", "model/type_map")
        use = section["use_spin"]
        if len(use) != count or any(not isinstance(u, bool) for u in use):
            use = [k in use or name in use for k, name in enumerate(self.names)]
            if not any(use):
                raise UserError(
                    f"is {section['use_spin']}", f"{where}/use_spin", f"give true or false for {count} types"
                )
        self.use = [bool(u) for u in use]
        spins = [t for t in range(count) if self.use[t]]
        if not spins:
            raise UserError("no type has a spin", f"{where}/use_spin", "remove model/spin")
        if section.get("scheme", "deepspin") != "deepspin":
            raise UserError(f"is '{section['scheme']}'", f"{where}/scheme", "only deepspin runs in graph mode")
        self.separate = "virtual_scale" in section
        if self.separate:
            scale = section["virtual_scale"]
            scale = [scale] * len(spins) if isinstance(scale, (int, float)) else list(scale)
            if len(scale) not in (len(spins), count):
                raise UserError(f"has {len(scale)} entries for {len(spins)} spin types", f"{where}/virtual_scale")
            values = (
                scale if len(scale) == count else [scale[spins.index(t)] if t in spins else 0.0 for t in range(count)]
            )
            self.length, self.norm = [float(v) for v in values], [1.0] * count
        else:
            for key in ("virtual_len", "spin_norm"):
                if len(section.get(key) or []) != len(spins):
                    raise UserError(f"needs {len(spins)} entries, one per spin type", f"{where}/{key}")
            if spins != list(range(len(spins))):
                raise UserError("the types with spin must come first", f"{where}/use_spin", "reorder model/type_map")
            self.length = [float(v) for v in section["virtual_len"]]
            self.norm = [float(v) for v in section["spin_norm"]]
        self.ratio = [n / d for n, d in zip(self.length, self.norm)] + [0.0] * (count - len(self.length))
        if any(not r > 0 for t, r in enumerate(self.ratio) if self.use[t]):
            raise UserError("lengths and norms of spin types must be positive", where)

    @property
    def real_types(self):
        return len(self.names)

    @property
    def virtual_types(self):
        return self.real_types if self.separate else sum(self.use)

    @property
    def ntypes(self):
        """Real and virtual types."""
        return self.real_types + self.virtual_types

    @property
    def all_names(self):
        """Names of real and virtual types."""
        return self.names + [f"{name}_spin" for name in self.names[: self.virtual_types]]

    def extend(self, batch):
        """A batch of training data with its virtual atoms.

        Data with ``spin.npy`` (and ``force_mag.npy``) hold real atoms; older ones hold virtual atoms beside the real ones.
        """
        types = batch["type"]
        if np.any(types != types[0]):
            raise UserError("frames of mixed types cannot have spins", batch["system"], "split the data by composition")
        count = self.real_types
        if not batch.get("find_spin"):
            virtual = np.bincount(types[0], minlength=self.ntypes)[count:]
            hosts = [n if self.use[t] else 0 for t, n in enumerate(np.bincount(types[0], minlength=count)[:count])]
            if list(virtual) != list(hosts[: self.virtual_types]):
                raise UserError(
                    f"has {hosts} atoms with a spin and {list(virtual)} virtual atoms, but no spin.npy", batch["system"],
                    "add spin.npy, or one virtual atom per atom with a spin",
                )  # fmt: skip
            return batch | {"find_force_mag": batch.get("find_force", np.float32(0))}
        if types[0].max() >= count:
            raise UserError("holds spin.npy and virtual atoms as well", batch["system"], "keep one of them")
        spins = np.flatnonzero(np.array(self.use)[types[0]])
        nframes, n = types.shape
        atoms = lambda key, width=3: batch[key].reshape(nframes, n, width)  # noqa: E731
        ratio = np.array(self.ratio)[types[0][spins]][None, :, None]
        coord = np.concatenate([atoms("coord"), atoms("coord")[:, spins] + atoms("spin")[:, spins] * ratio], axis=1)
        out = batch | {
            "coord": coord.reshape(nframes, -1), "type": np.concatenate([types, types[:, spins] + count], axis=1)
        }  # fmt: skip
        if "force" in batch:
            force = [atoms("force"), atoms("force_mag")[:, spins]] if "force_mag" in batch else [atoms("force")]
            if len(force) == 1:
                force.append(np.zeros((nframes, len(spins), 3)))
            out["force"] = np.concatenate(force, axis=1).reshape(nframes, -1)
        if "atom_ener" in batch:
            out["atom_ener"] = np.pad(batch["atom_ener"], [(0, 0), (0, len(spins))])
        return out


class Hosts:
    """In a graph: the real atom of every virtual one.

    Parameters
    ----------
    atoms : VirtualAtoms
    coord : tensor, shape (nf, nall * 3), Å
    atype : int32 tensor, shape (nf, nall)
    natoms : int32 tensor
    """

    def __init__(self, atoms, coord, atype, natoms):
        self._natoms, self._nall = natoms, natoms[1]
        local = [natoms[2 + t] for t in range(atoms.ntypes)]
        ghost_types = atype[0, natoms[0] :]
        ghosts = [tf.reduce_sum(tf.cast(tf.equal(ghost_types, t), tf.int32)) for t in range(atoms.ntypes)]
        self.index = tf.concat([_block(local, 0, atoms), _block(ghosts, natoms[0], atoms)], axis=0)
        self.n_real = tf.add_n(local[: atoms.real_types])
        virtual = atype >= atoms.real_types
        ratio = tf.constant(atoms.ratio * 2, coord.dtype)
        self._ratio = tf.where(virtual, tf.gather(ratio, tf.maximum(atype, 0)), tf.zeros_like(atype, coord.dtype))
        self._virtual = tf.cast(virtual, coord.dtype)
        position = tf.reshape(coord, [-1, self._nall, 3])
        self._offset = position - tf.gather(position, self.index, axis=1)

    def of_slots(self, rij, nlist):
        """Relative positions (nf, nloc * nnei, 3) with every virtual atom at the place of its real one."""
        nframes, nloc = tf.shape(self._offset)[0], self._natoms[0]
        nlist = tf.reshape(nlist, [nframes, -1])
        offset = tf.gather(self._offset, tf.maximum(nlist, 0), axis=1, batch_dims=1)
        offset -= tf.repeat(self._offset[:, :nloc], tf.shape(nlist)[1] // tf.maximum(nloc, 1), axis=1)
        filled = tf.cast(nlist >= 0, offset.dtype)
        return tf.reshape(rij, [nframes, -1, 3]) - offset * filled[..., None]

    def of_edges(self, vec, center, atom):
        """The same for edges (n, 3) with the rows of their centers (nf * nloc) and neighbors (nf * nall)."""
        return vec - tf.gather(tf.reshape(self._offset, [-1, 3]), atom) + tf.gather(self._local_offset, center)

    def of_atoms(self, position):
        """Positions of local atoms (nf * nloc, 3, or of that size), virtual ones at the image of their real atom that they belong to."""
        return position - tf.reshape(self._local_offset, tf.shape(position))

    @property
    def _local_offset(self):
        return tf.reshape(self._offset[:, : self._natoms[0]], [-1, 3])

    def combine(self, derivatives):
        """Forces and atomic virials of real atoms with those of their virtual ones, and magnetic forces in the rows of these."""
        force, virial, atom_virial = derivatives
        force = tf.reshape(force, [-1, self._nall, 3])
        magnetic = force * self._ratio[..., None]
        force = self._summed(force) + magnetic
        return force, virial, self._summed(tf.reshape(atom_virial, [-1, self._nall, 9]))

    def _summed(self, value):
        """Rows of virtual atoms added to those of their hosts, and then empty."""
        rows = tf.math.unsorted_segment_sum(tf.transpose(value, [1, 0, 2]), self.index, self._nall)
        return tf.transpose(rows, [1, 0, 2]) * (1.0 - self._virtual[..., None])


def _block(counts, start, atoms):
    """Host of every atom of a block that is sorted by type and begins at `start`."""
    first, place = [], start
    for n in counts:
        first.append(place)
        place += n
    host = [t if t < atoms.real_types else t - atoms.real_types for t in range(atoms.ntypes)]
    return tf.concat([first[h] + tf.range(n) for h, n in zip(host, counts)], axis=0)
