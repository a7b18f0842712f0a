"""Where a system lives: an npy directory, a raw-text directory, or a group of an HDF5 file.

A source answers four questions (which sets, which files in a set, read a text file, read an array) so that the rest of the
package does not care about the format.
"""

import os
from functools import lru_cache
from pathlib import Path

import numpy as np

from dptf.data.lmdb_source import LMDBSource, expand_lmdb, is_lmdb
from dptf.errors import UserError


# Opening costs more than reading a frame, so maps are kept (they hold no file descriptor). A changed file is read anew.
@lru_cache(maxsize=4096)
def _memory_map(path, stamp):
    return np.load(path, mmap_mode="r", allow_pickle=False)


@lru_cache(maxsize=64)
def _raw_text(path, stamp):
    return np.loadtxt(path, ndmin=2)


def _stamp(path):
    status = os.stat(path)
    return status.st_mtime_ns, status.st_size, status.st_ino


def _words(text):
    """Words of a text file; ``#`` starts a comment."""
    return [word for line in text.splitlines() for word in line.partition("#")[0].split()]


class DirectorySource:
    """``type.raw`` with ``set.*/<key>.npy``; without any set, ``<key>.raw`` text files form one set."""

    def __init__(self, path):
        self.path = Path(path)
        self.name = str(path)
        self._sets = sorted(p.name for p in self.path.glob("set.*") if p.is_dir())
        self._raw = not self._sets
        if self._raw and (self.path / "coord.raw").exists():
            self._sets = [""]
        self._files = {}

    def sets(self):
        """Names of the sets, sorted."""
        return self._sets

    def locate(self, set_name, key):
        """File of an array, for messages."""
        return os.path.join(self.name, f"{key}.raw" if self._raw else f"{set_name}/{key}.npy")

    def has(self, set_name, key):
        """Whether a set holds an array; the listing is taken once."""
        if set_name not in self._files:
            self._files[set_name] = set(os.listdir(self.path / set_name))
        return (f"{key}.raw" if self._raw else f"{key}.npy") in self._files[set_name]

    def array(self, set_name, key):
        """The stored array, memory-mapped where the format allows."""
        path = self.locate(set_name, key)
        try:
            return (_raw_text if self._raw else _memory_map)(path, _stamp(path))
        except (ValueError, OSError, EOFError) as err:
            raise UserError(f"cannot be read as an array ({err})", path, "write the file again") from None

    def text(self, name):
        """Words of a text file, or None."""
        path = self.path / name
        return _words(path.read_text()) if path.exists() else None

    def exists(self, name):
        return (self.path / name).exists()


@lru_cache(maxsize=256)
def _hdf5(path, stamp):
    import h5py

    return h5py.File(path, "r")


class HDF5Source:
    """The same layout inside an HDF5 file: groups are directories, datasets are files."""

    def __init__(self, file, group):
        path = os.path.abspath(file)
        try:
            self._file = _hdf5(path, _stamp(path))
        except OSError as err:
            raise UserError(f"is not a readable HDF5 file ({err})", str(file)) from None
        if group not in self._file:
            raise UserError(f"the file has no group '{group}'", str(file), f"groups at the top: {sorted(self._file)}")
        self.name = f"{file}#{group}"
        self._group = self._file[group]
        self._arrays = {}

    def sets(self):
        """Names of the sets, sorted."""
        return sorted(k for k in self._group if k.startswith("set."))

    def locate(self, set_name, key):
        """Address of an array, for messages."""
        return f"{self.name}/{set_name}/{key}.npy"

    def has(self, set_name, key):
        """Whether a set holds an array."""
        return f"{set_name}/{key}.npy" in self._group

    def array(self, set_name, key):
        """The stored array: memory-mapped when it lies in one piece, read and kept otherwise (chunks, compression)."""
        where = f"{set_name}/{key}.npy"
        if where not in self._arrays:
            data = self._group[where]
            offset = data.id.get_offset() if data.chunks is None and data.size else None
            if offset is not None and data.dtype.kind in "fiu":
                self._arrays[where] = np.memmap(
                    self._file.filename, mode="r", dtype=data.dtype, shape=data.shape or (1,), offset=offset
                )
            else:
                self._arrays[where] = np.asarray(data[()])
        return self._arrays[where]

    def text(self, name):
        """Words of a text dataset, or None."""
        if name not in self._group:
            return None
        values = np.atleast_1d(self._group[name][()]).ravel()
        return [w for v in values for w in (v.decode() if isinstance(v, bytes) else str(v)).split()]

    def exists(self, name):
        return name in self._group


def open_source(path):
    """The source of one system path (``dir``, ``file.hdf5#/group`` or ``set.lmdb#k``)."""
    file, _, group = str(path).partition("#")
    if is_lmdb(file):
        return LMDBSource(file, group or "0")
    if Path(file).is_file():
        return HDF5Source(file, group or "/")
    if not Path(path).is_dir():
        raise UserError("no such system directory or HDF5 file", str(path))
    return DirectorySource(path)


def _expand_hdf5(entry):
    import h5py

    file, _, group = entry.partition("#")
    try:
        with h5py.File(file, "r") as f:
            if group and group not in f:
                raise UserError(f"the file has no group '{group}'", file, f"groups at the top: {sorted(f)}")
            root, found = f[group or "/"], []
            base = (group or "/").rstrip("/")
            if "type.raw" in root:
                found.append(base or "/")
            root.visit(lambda n: found.append(f"{base}/{n[: -len('/type.raw')]}") if n.endswith("/type.raw") else None)
    except OSError as err:
        raise UserError(f"is not a readable HDF5 file ({err})", file) from None
    return [f"{file}#{g}" for g in sorted(found)]


def _expand_directory(entry, rglob_patterns):
    root = Path(entry)
    if rglob_patterns:
        found = {p for pattern in rglob_patterns for p in root.rglob(pattern) if (p / "type.raw").exists()}
        return [str(p) for p in sorted(found)]
    # os.walk is much faster than rglob on trees with many set folders, which are not entered.
    found, seen = [], set()
    for folder, below, files in os.walk(root, followlinks=True):
        if "type.raw" in files:
            found.append(folder)
        if "data.mdb" in files:
            found += expand_lmdb(folder)
        # Links are followed, but never in a circle.
        real = os.path.realpath(folder)
        below[:] = [] if real in seen else [d for d in below if not d.startswith("set.")]
        seen.add(real)
    return sorted(found)


def expand_systems(systems, rglob_patterns=None, where="systems"):
    """Every system below the given paths, sorted within each entry.

    Parameters
    ----------
    systems : str or list of str
        Directories (searched recursively for ``type.raw``), HDF5 files, ``file.hdf5#/group``, or LMDB data sets; shell globs are expanded.
    rglob_patterns : list of str, optional
        Keep only descendants matching one of these patterns.
    where : str
        Key path for messages.

    Returns
    -------
    list of str

    Raises
    ------
    UserError
        When a path does not exist or holds no system.
    """
    import glob

    out = []
    for entry in [systems] if isinstance(systems, (str, Path)) else list(systems):
        entry = str(entry)
        file = entry.partition("#")[0]
        if is_lmdb(file):
            found = [entry] if "#" in entry else expand_lmdb(file)
        elif Path(file).is_file():
            found = _expand_hdf5(entry)
        elif Path(entry).is_dir():
            found = _expand_directory(entry, rglob_patterns)
        elif glob.has_magic(entry) and (matches := sorted(glob.glob(entry))):
            # A pattern may hit stray files; folders and HDF5 files count.
            found = [s for m in matches if Path(m).is_dir() or _is_hdf5(m) for s in _expand_quietly(m, rglob_patterns)]
        else:
            raise UserError(
                f"no such system: '{entry}'", where, "check the path; it is relative to the working directory"
            )
        if not found:
            raise UserError(f"no system (a folder or group with type.raw) in '{entry}'", where)
        out += found
    if not out:
        raise UserError("the list of systems is empty", where)
    return out


def _is_hdf5(path):
    return path.endswith((".hdf5", ".h5"))


def _expand_quietly(entry, rglob_patterns):
    if is_lmdb(entry):
        return expand_lmdb(entry)
    return _expand_hdf5(entry) if Path(entry).is_file() else _expand_directory(entry, rglob_patterns)
