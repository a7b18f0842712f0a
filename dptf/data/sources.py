"""Where a system lives: an npy directory, a raw-text directory, or a group of an HDF5 file.

A source answers four questions (which sets, which files in a set, read a text file, read an array) so that the rest of the
package does not care about the format.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np

from dptf.errors import UserError


@lru_cache(maxsize=4096)
def _memory_map(path):
    """Opening costs more than reading a frame, so maps are kept (they hold no file descriptor)."""
    return np.load(path, mmap_mode="r", allow_pickle=False)


class DirectorySource:
    """``type.raw`` with ``set.*/<key>.npy``; without any set, ``<key>.raw`` text files form one set."""

    def __init__(self, path):
        self.path = Path(path)
        self.name = str(path)
        self._raw = not self.sets_npy()

    def sets_npy(self):
        return sorted(p.name for p in self.path.glob("set.*") if p.is_dir())

    def sets(self):
        if not self._raw:
            return self.sets_npy()
        return [""] if (self.path / "coord.raw").exists() else []

    def locate(self, set_name, key):
        """File of an array, for messages."""
        return str(self.path / f"{key}.raw" if self._raw else self.path / set_name / f"{key}.npy")

    def has(self, set_name, key):
        return Path(self.locate(set_name, key)).exists()

    def array(self, set_name, key):
        path = self.locate(set_name, key)
        try:
            if self._raw:
                return np.loadtxt(path, ndmin=2)
            return _memory_map(path)
        except (ValueError, OSError, EOFError) as err:
            raise UserError(f"cannot be read as an array ({err})", path, "write the file again") from None

    def text(self, name):
        """Words of a text file, or None."""
        path = self.path / name
        return path.read_text().split() if path.exists() else None

    def exists(self, name):
        return (self.path / name).exists()


class HDF5Source:
    """The same layout inside an HDF5 file: groups are directories, datasets are files."""

    _open = {}

    def __init__(self, file, group):
        import h5py

        key = str(Path(file).resolve())
        if key not in self._open:
            try:
                self._open[key] = h5py.File(key, "r")
            except OSError as err:
                raise UserError(f"is not a readable HDF5 file ({err})", file) from None
        self.name = f"{file}#{group}"
        self._group = self._open[key][group]

    def sets(self):
        return sorted(k for k in self._group if k.startswith("set."))

    def locate(self, set_name, key):
        return f"{self.name}/{set_name}/{key}.npy"

    def has(self, set_name, key):
        return f"{set_name}/{key}.npy" in self._group

    def array(self, set_name, key):
        return self._group[f"{set_name}/{key}.npy"][()]

    def text(self, name):
        if name not in self._group:
            return None
        return [v.decode() if isinstance(v, bytes) else str(v) for v in np.atleast_1d(self._group[name][()]).ravel()]

    def exists(self, name):
        return name in self._group


def open_source(path):
    """The source of one system path (``dir`` or ``file.hdf5#/group``)."""
    file, _, group = str(path).partition("#")
    if Path(file).is_file():
        return HDF5Source(file, group or "/")
    if not Path(file).is_dir():
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
    else:
        found = {p.parent for p in root.rglob("type.raw")}
    return [str(p) for p in sorted(found)]


def expand_systems(systems, rglob_patterns=None, where="systems"):
    """Every system below the given paths, sorted within each entry.

    Parameters
    ----------
    systems : str or list of str
        Directories (searched recursively for ``type.raw``), HDF5 files, or ``file.hdf5#/group``; shell globs are expanded.
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
        if Path(file).is_file():
            found = _expand_hdf5(entry)
        elif Path(entry).is_dir():
            found = _expand_directory(entry, rglob_patterns)
        elif glob.has_magic(entry) and (matches := sorted(glob.glob(entry))):
            found = expand_systems(matches, rglob_patterns, where)
        else:
            raise UserError(f"no such system: '{entry}'", where, "check the path; it is relative to the working directory")
        if not found:
            raise UserError(f"no system (a folder or group with type.raw) in '{entry}'", where)
        out += [f for f in found if f not in out]
    if not out:
        raise UserError("the list of systems is empty", where)
    return out
