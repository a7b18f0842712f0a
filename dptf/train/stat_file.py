"""Cache of data statistics: an HDF5 file or a directory of arrays, below a group named after the type map."""

import os
from pathlib import Path

import numpy as np

from dptf.parallel.world import Solo


class StatFile:
    """Read and write arrays by path.

    Parameters
    ----------
    path : str
        ``*.h5`` and ``*.hdf5`` make an HDF5 file, anything else a directory.
    type_map : list of str
    world : object, optional
        The ranks of the run: rank 0 reads and writes, all get what it read.
    """

    def __init__(self, path, type_map, world=None):
        self.path, self.group, self._world = Path(path), " ".join(type_map), world or Solo()
        self.hdf5 = self.path.suffix in (".h5", ".hdf5")

    def below(self, name):
        """The same cache for a member of a composed model."""
        part = StatFile(self.path, [], self._world)
        part.group = f"{self.group}/{name}"
        return part

    def read(self, name):
        """The array, or None."""
        return self._world.broadcast(self._read(name) if self._world.chief else None)

    def _read(self, name):
        key = f"{self.group}/{name}"
        if self.hdf5:
            if not self.path.exists():
                return None
            import h5py

            with h5py.File(self.path, "r") as f:
                return f[key][()] if key in f else None
        file = self.path / key
        return np.load(file) if file.exists() else None

    def write(self, name, value):
        """Keep an array."""
        if not self._world.chief:
            return
        key = f"{self.group}/{name}"
        if self.hdf5:
            import h5py

            self.path.parent.mkdir(parents=True, exist_ok=True)
            with h5py.File(self.path, "a") as f:
                if key in f:
                    del f[key]
                f[key] = value
            return
        file = self.path / key
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(file.name + ".tmp")
        with open(temporary, "wb") as f:
            np.save(f, value)
        os.replace(temporary, file)
