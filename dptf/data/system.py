"""One system: types, cells, frames and labels, checked when they are first read."""

import numpy as np

from dptf.data.guard import check_cells, check_finite, check_limits
from dptf.env import GLOBAL_NP_FLOAT
from dptf.errors import UserError


class Recent:
    """The last few thousand arrays that were looked at, ready to take frames from.

    Every memory map costs the process one mapping, and their number is limited, so not all can stay open.
    """

    def __init__(self, capacity=4096):
        self._entries, self._capacity = {}, capacity

    def get(self, key, make):
        entry = self._entries.get(key)
        if entry is None:
            if len(self._entries) >= self._capacity:
                for old in list(self._entries)[: self._capacity // 2]:
                    del self._entries[old]
            entry = self._entries[key] = make()
        return entry


class System:
    """Frames of one composition (or of mixed compositions) with a fixed number of atoms.

    Parameters
    ----------
    source : DirectorySource or HDF5Source
    type_map : list of str or None
        Names of the model's types. Data with a ``type_map.raw`` are re-mapped by name.
    recent : Recent, optional
        Store of open arrays that systems share.

    Attributes
    ----------
    natoms : int
    types : int array, shape (natoms,)
        Model types in file order (placeholders when `mixed`).
    order : int array
        File index of each atom in the order the model sees (stable sort by type; identity when `mixed`).
    """

    def __init__(self, source, type_map=None, recent=None):
        self.source, self.name = source, source.name
        words = source.text("type.raw")
        if words is None:
            raise UserError("type.raw is missing", self.name)
        try:
            self.types = np.array([int(w) for w in words], np.int32)
        except ValueError:
            raise UserError("type.raw must hold integers", self.name) from None
        self.natoms = len(self.types)
        if not self.natoms:
            raise UserError("type.raw is empty", self.name)
        self.set_names = source.sets()
        if not self.set_names:
            raise UserError("no set.* directory (and no coord.raw)", self.name, "a system needs at least one set")
        self.mixed = source.has(self.set_names[0], "real_atom_types")
        for s in self.set_names:
            if source.has(s, "real_atom_types") != self.mixed:
                raise UserError("some sets have real_atom_types.npy and some do not", self.name)
        self.periodic = not source.exists("nopbc")
        self.data_map = source.text("type_map.raw")
        self._map_types(type_map)
        self.order = np.arange(self.natoms) if self.mixed else np.argsort(self.types, kind="stable")
        self._sorted = bool(np.all(self.order == np.arange(self.natoms)))
        self._frames = [self._count_frames(s) for s in self.set_names]
        self._checked = set()
        self._recent = recent or Recent()

    def _map_types(self, type_map):
        if self.types.min() < 0:
            atom = int(np.argmin(self.types))
            raise UserError(f"atom {atom} has the negative type {self.types[atom]}", f"{self.name}/type.raw")
        self._remap = None
        if self.data_map is None:
            if self.mixed:
                raise UserError("mixed-type data need a type_map.raw", self.name)
            if type_map is not None and self.types.max() >= len(type_map):
                atom = int(np.argmax(self.types))
                raise UserError(
                    f"atom {atom} has type {self.types[atom]}, the model's type_map has {len(type_map)} entries",
                    f"{self.name}/type.raw",
                )
            return
        if self.types.max() >= len(self.data_map):
            atom = int(np.argmax(self.types))
            raise UserError(
                f"atom {atom} has type {self.types[atom]}, type_map.raw names {len(self.data_map)} types",
                f"{self.name}/type.raw",
            )
        if type_map is None:
            return
        missing = [n for n in self.data_map if n not in type_map]
        used = set() if self.mixed else set(self.types.tolist())  # of mixed data every frame is looked at
        bad = [n for n in missing if self.data_map.index(n) in used]
        if bad:
            raise UserError(
                f"{', '.join(bad)} not in the model's type_map ({', '.join(type_map)})",
                f"{self.name}/type_map.raw",
                "add them to model/type_map, or leave the system out",
            )
        self._remap = np.array([type_map.index(n) if n in type_map else -1 for n in self.data_map], np.int32)
        if not self.mixed:
            self.types = self._remap[self.types]

    def _count_frames(self, set_name):
        coord = self.raw(set_name, "coord")
        where = self.source.locate(set_name, "coord")
        if coord.size == 0:
            raise UserError("holds no frame", where)
        if coord.ndim == 1:
            coord = coord[None]
        width = int(np.prod(coord.shape[1:]))
        if width != 3 * self.natoms:
            raise UserError(
                f"a frame has {width} numbers, expected 3 x {self.natoms} atoms = {3 * self.natoms}", where,
                "make coord.npy and type.raw agree",
            )  # fmt: skip
        return coord.shape[0]

    @property
    def nframes(self):
        return sum(self._frames)

    def set_frames(self, iset):
        return self._frames[iset]

    def raw(self, set_name, key):
        """The stored array of a key (memory-mapped where possible)."""
        if not self.source.has(set_name, key):
            raise UserError(f"{key}.npy is missing", f"{self.name}/{set_name}")
        return self.source.array(set_name, key)

    def _check_finite(self, flat, set_name, key, per_atom):
        """Look once at every number of a file."""
        if (set_name, key) not in self._checked:
            check_finite(flat, self.source.locate(set_name, key), per_atom)
            self._checked.add((set_name, key))

    def find_key(self, set_name, key):
        """The stored name of a key (atom_X and atomic_X are synonyms), or None."""
        names = [key]
        if key.startswith("atomic_"):
            names = ["atom_" + key[7:], key]
        elif key.startswith("atom_"):
            names = [key, "atomic_" + key[5:]]
        return next((n for n in names if self.source.has(set_name, n)), None)

    def load(self, iset, frames, req):
        """A requirement's array for some frames of a set, in the model's atom order, and its find flag.

        Returns
        -------
        array, shape (len(frames), ndof) or (len(frames), natoms * ndof)
        float
            1.0 if the file exists, else 0.0.
        """
        flat, found_rows = self._recent.get((self, iset, req), lambda: self._stored(iset, req))
        dtype = np.float64 if req.high_prec else GLOBAL_NP_FLOAT
        if flat is None:
            rows, per_row = self._rows(req)
            row = np.resize(np.repeat(req.default, req.repeat), rows * per_row * req.repeat)
            return np.tile(row.astype(dtype), (len(frames), 1)), 0.0
        out = np.asarray(flat[frames], dtype)
        if req.atomic and not (self._sorted and req.type_sel is None):
            out = self._order_atoms(out.reshape(len(frames), found_rows, req.ndof), req)
        if req.repeat > 1:
            out = np.repeat(out.reshape(len(frames), -1), req.repeat, axis=1)
        return out.reshape(len(frames), -1), 1.0

    def _stored(self, iset, req):
        """The checked array of a requirement with one row per frame, and its rows per frame; None if there is no file."""
        set_name = self.set_names[iset]
        stored = self.find_key(set_name, req.key)
        if stored is None:
            if req.must:
                raise UserError(f"{req.key}.npy is required but missing", f"{self.name}/{set_name}")
            return None, 0
        flat, found_rows = self._shape(self.source.array(set_name, stored), set_name, stored, req)
        self._check_finite(flat, set_name, stored, req.ndof if req.atomic else 0)
        if req.limits:
            check_limits(flat, self.source.locate(set_name, stored), req.limits)
        return np.asarray(flat), found_rows

    def _selected(self, req):
        """File indices of the atoms that carry a quantity, None for all."""
        if self.mixed and req.type_sel is not None:
            raise UserError(
                f"'{req.key}' is wanted for selected types only, which mixed-type data do not allow", self.name,
                "select all types, or split the data by composition",
            )  # fmt: skip
        return None if req.type_sel is None else np.flatnonzero(np.isin(self.types, req.type_sel))

    def _rows(self, req):
        if not req.atomic:
            return 1, req.ndof
        selected = self._selected(req)
        return (self.natoms if selected is None else len(selected)), req.ndof

    def _shape(self, value, set_name, key, req):
        nf = self._frames[self.set_names.index(set_name)]
        where = self.source.locate(set_name, key)
        if value.size % nf or (value.ndim > 1 and len(value) != nf and value.size):
            raise UserError(
                f"shape {value.shape} does not fit the {nf} frames of coord.npy", where, "store one row per frame"
            )
        width = value.size // nf
        allowed = [req.ndof]
        if req.atomic:
            selected = self._selected(req)
            allowed = [self.natoms * req.ndof] + ([] if selected is None else [len(selected) * req.ndof])
        if width not in allowed:
            raise UserError(
                f"shape {value.shape} makes {width} numbers for each of the {nf} frames of coord.npy, expected "
                + " or ".join(map(str, sorted(set(allowed))))
                + (f" ({req.ndof} per atom)" if req.atomic else ""),
                where,
            )
        return value.reshape(nf, width), width // req.ndof

    def _order_atoms(self, out, req):
        """Atoms (axis 1) in the order the model sees them; of a selected type only those atoms."""
        selected = self._selected(req)
        if selected is None:
            return out if self._sorted else out[:, self.order]
        if out.shape[1] == self.natoms:
            out = out[:, selected]
        # File order of the selected atoms, sorted like all atoms.
        return out[:, np.argsort(self.types[selected], kind="stable")]

    def coordinates(self, iset, frames):
        """Positions (nf, natoms*3), cells (nf, 9) and types (nf, natoms) in the model's atom order."""
        coord, box = self._recent.get((self, iset), lambda: self._geometry(iset))
        out = np.asarray(coord[frames], GLOBAL_NP_FLOAT)
        if not self._sorted:
            out = out.reshape(len(frames), self.natoms, 3)[:, self.order]
        if self.mixed:
            types = self._real_types(self.set_names[iset], self._frames[iset], frames)
        else:
            types = np.tile(self.types[self.order], (len(frames), 1))
        return out.reshape(len(frames), -1), np.asarray(box[frames], GLOBAL_NP_FLOAT), types

    def _geometry(self, iset):
        """Checked coordinates and cells of a set, one row per frame."""
        coord = self.raw(self.set_names[iset], "coord").reshape(self._frames[iset], -1)
        self._check_finite(coord, self.set_names[iset], "coord", 3)
        return np.asarray(coord), np.asarray(self._boxes(iset))

    def _real_types(self, set_name, nf, frames):
        """Model types of some frames of a mixed set; -1 is padding."""
        where = self.source.locate(set_name, "real_atom_types")
        stored = self.source.array(set_name, "real_atom_types")
        if stored.size != nf * self.natoms:
            raise UserError(f"shape {stored.shape}, expected ({nf}, {self.natoms})", where)
        stored = stored.reshape(nf, self.natoms)
        if (set_name, "real_atom_types") not in self._checked:
            self._check_real_types(np.asarray(stored), where)
            self._checked.add((set_name, "real_atom_types"))
        types = np.asarray(stored[frames]).astype(np.int32)
        if self._remap is None:
            return types
        return np.where(types < 0, -1, self._remap[np.maximum(types, 0)]).astype(np.int32)

    def _check_real_types(self, types, where):
        outside = (types < -1) | (types >= len(self.data_map))
        if outside.any():
            frame, atom = np.argwhere(outside)[0]
            raise UserError(
                f"frame {frame}, atom {atom} has type {types[frame, atom]}, type_map.raw names {len(self.data_map)} types",
                where,
            )
        if self._remap is not None:
            unknown = (types >= 0) & (self._remap[np.maximum(types, 0)] < 0)
            if unknown.any():
                frame, atom = np.argwhere(unknown)[0]
                name = self.data_map[types[frame, atom]]
                raise UserError(
                    f"frame {frame}, atom {atom} is '{name}', which is not in the model's type_map", where,
                    "add it to model/type_map, or leave the system out",
                )  # fmt: skip

    def _boxes(self, iset):
        set_name, nf = self.set_names[iset], self._frames[iset]
        if not self.periodic:
            return np.zeros((nf, 9), GLOBAL_NP_FLOAT)
        if not self.source.has(set_name, "box"):
            raise UserError(
                "box.npy is missing", f"{self.name}/{set_name}",
                "add it, or put an empty file 'nopbc' beside type.raw for an open boundary",
            )  # fmt: skip
        box = self.source.array(set_name, "box")
        where = self.source.locate(set_name, "box")
        if box.size != nf * 9:
            raise UserError(f"shape {box.shape}, expected ({nf}, 9)", where)
        box = box.reshape(nf, 9)
        if (set_name, "box") not in self._checked:
            self._check_finite(box, set_name, "box", 0)
            check_cells(box, self.natoms, where)
        return box

    def frame_copies(self, iset):
        """How often each frame of a set is repeated (numb_copy.npy, default 1)."""
        set_name = self.set_names[iset]
        if not self.source.has(set_name, "numb_copy"):
            return None
        copies = np.asarray(self.source.array(set_name, "numb_copy")).astype(int).ravel()
        if len(copies) != self._frames[iset] or copies.min() < 0 or copies.sum() == 0:
            raise UserError(
                "one non-negative integer per frame is expected, not all 0", self.source.locate(set_name, "numb_copy")
            )
        return copies

    def check_set(self, iset, requirements):
        """Look at all that the requirements take from a set; raises on the first fault."""
        first = np.arange(1)
        self.coordinates(iset, first)
        for req in requirements:
            self.load(iset, first, req)
