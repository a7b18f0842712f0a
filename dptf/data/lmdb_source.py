"""LMDB data sets: one MessagePack map per frame; frames of equal types and boundary form a system.

``__metadata__`` holds ``nframes``, ``frame_idx_fmt`` (how an index becomes a key) and, optionally, ``type_map``. A frame holds
``atom_types`` (n), ``coords`` (n, 3) Å, ``cells`` (3, 3) Å (all zero: open boundary), ``energies``, ``forces``, ``virials``, and any other
label under its own name; arrays are maps of ``type``, ``shape`` and ``data``. Part k of ``x.lmdb`` is addressed as ``x.lmdb#k``.
"""

import os
from functools import lru_cache
from pathlib import Path

import numpy as np

from dptf.errors import UserError

_NAMES = {"coord": "coords", "box": "cells", "energy": "energies", "force": "forces", "virial": "virials"}
_KEYS = {v: k for k, v in _NAMES.items()}


def is_lmdb(path):
    """Whether a path (without ``#k``) is an LMDB data set."""
    path = Path(path)
    return (path.suffix == ".lmdb" and path.exists()) or (path / "data.mdb").exists()


def _import():
    try:
        import lmdb
        import msgpack
    except ImportError as err:
        raise UserError(f"LMDB data need the package '{err.name}'", None, "pip install lmdb msgpack") from None
    return lmdb, msgpack


def _text(value):
    return value.decode() if isinstance(value, bytes) else value


def _decode(value):
    """A number or array of a frame."""
    if isinstance(value, dict):
        item = {_text(k): v for k, v in value.items()}
        if {"type", "shape", "data"} <= set(item):
            return np.frombuffer(item["data"], np.dtype(_text(item["type"]))).reshape(item["shape"])
    return np.asarray(value)


class _Store:
    """An open LMDB data set and the parts that it consists of."""

    def __init__(self, path):
        lmdb, self._msgpack = _import()
        self.path = path
        try:
            self._env = lmdb.open(path, readonly=True, lock=False, subdir=os.path.isdir(path), readahead=False)
        except lmdb.Error as err:
            raise UserError(f"is not a readable LMDB data set ({err})", path) from None
        with self._env.begin() as read:
            meta = read.get(b"__metadata__")
        if meta is None:
            raise UserError("has no entry __metadata__", path, "write it with nframes and frame_idx_fmt")
        meta = {_text(k): v for k, v in self._msgpack.unpackb(meta, raw=False, strict_map_key=False).items()}
        self._format = meta.get("frame_idx_fmt", "012d")
        self.type_map = [_text(t) for t in meta.get("type_map") or []]
        groups = {}
        for index in range(int(meta["nframes"])):
            frame = self.frame(index)
            if "atom_types" not in frame or "coords" not in frame:
                raise UserError(f"frame {index} has no atom_types or no coords", path)
            periodic = "cells" in frame and bool(np.any(_decode(frame["cells"])))
            groups.setdefault((tuple(_decode(frame["atom_types"]).ravel().tolist()), periodic), []).append(index)
        if not groups:
            raise UserError("holds no frame", path)
        self.parts = list(groups.items())

    def frame(self, index):
        """The map of a frame."""
        with self._env.begin() as read:
            value = read.get(format(index, self._format).encode())
        if value is None:
            raise UserError(f"frame {index} is missing", self.path)
        try:
            frame = self._msgpack.unpackb(value, raw=False, strict_map_key=False)
        except ValueError as err:
            raise UserError(f"frame {index} cannot be read ({err})", self.path) from None
        return {_text(k): v for k, v in frame.items()}


@lru_cache(maxsize=64)
def _open(path, stamp):
    return _Store(path)


def _store(path):
    path = os.path.abspath(path)
    file = os.path.join(path, "data.mdb") if os.path.isdir(path) else path
    return _open(path, os.stat(file).st_mtime_ns)


def expand_lmdb(path):
    """Addresses of the systems in a data set."""
    return [f"{path}#{k}" for k in range(len(_store(path).parts))]


class LMDBSource:
    """One system of a data set; see :class:`dptf.data.sources.DirectorySource` for the interface."""

    def __init__(self, path, part):
        self._store, self.name = _store(path), f"{path}#{part}"
        if not (part.isdigit() and int(part) < len(self._store.parts)):
            raise UserError(f"has no part '{part}'", path, f"parts run from 0 to {len(self._store.parts) - 1}")
        (self._types, self._periodic), self._frames = self._store.parts[int(part)]
        self._keys = {_KEYS.get(k, k) for k in self._store.frame(self._frames[0])} - {"atom_types"}
        if not self._periodic:
            self._keys.discard("box")
        self._arrays = {}

    def sets(self):
        """One set."""
        return ["frames"]

    def locate(self, set_name, key):
        """Address of an array, for messages; frames are counted within the part."""
        return f"{self.name}/{_NAMES.get(key, key)}"

    def has(self, set_name, key):
        """Whether the frames hold a quantity."""
        return key in self._keys

    def array(self, set_name, key):
        """The numbers of all frames, one row each; read once."""
        if key not in self._arrays:
            name, rows = _NAMES.get(key, key), []
            for index in self._frames:
                frame = self._store.frame(index)
                if name not in frame:
                    raise UserError(f"frame {index} has no '{name}', the first frame of its kind has", self._store.path)
                rows.append(np.ravel(_decode(frame[name])))
            if len({len(r) for r in rows}) > 1:
                raise UserError("differs in length between frames", self.locate(set_name, key))
            self._arrays[key] = np.array(rows)
        return self._arrays[key]

    def text(self, name):
        """Words of what would be a text file, or None."""
        if name == "type.raw":
            return [str(t) for t in self._types]
        if name == "type_map.raw" and self._store.type_map:
            return self._store.type_map
        return None

    def exists(self, name):
        return name == "nopbc" and not self._periodic


def write_lmdb(path, frames, type_map=None):
    """Write a data set.

    Parameters
    ----------
    path : str
        Folder to make.
    frames : iterable of dict
        ``atom_types``, ``coord``, and where there are ``box``, ``energy``, ``force``, ``virial`` and other labels.
    type_map : list of str, optional
    """
    lmdb, msgpack = _import()
    os.makedirs(path, exist_ok=True)

    def packed(value):
        value = np.asarray(value)
        if value.ndim == 0:
            return value.item()
        return {"type": value.dtype.str, "shape": list(value.shape), "data": value.tobytes()}

    with lmdb.open(str(path), map_size=1 << 40) as env:
        count, sizes = 0, []
        for frame in frames:
            with env.begin(write=True) as write:
                content = {_NAMES.get(k, k): packed(v) for k, v in frame.items()}
                write.put(format(count, "012d").encode(), msgpack.packb(content, use_bin_type=True))
            sizes.append(len(frame["atom_types"]))
            count += 1
        meta = {"nframes": count, "frame_idx_fmt": "012d", "frame_nlocs": sizes}
        if type_map:
            meta["type_map"] = list(type_map)
        with env.begin(write=True) as write:
            write.put(b"__metadata__", msgpack.packb(meta, use_bin_type=True))
