import h5py
import numpy as np
import pytest


class Maker:
    """Write small systems into a folder."""

    def __init__(self, root):
        self.root = root

    def __call__(self, name="sys", natoms=6, sets=(5,), types=None, type_map=("H", "O"), nopbc=False, seed=0, **extra):
        """Arrays in `extra` hold all frames (or a dict per set name) and are split over the sets."""
        rng = np.random.RandomState(seed)
        folder = self.root / name
        folder.mkdir(parents=True)
        types = rng.randint(0, 2, natoms) if types is None else np.asarray(types)
        np.savetxt(folder / "type.raw", types, fmt="%d")
        if type_map is not None:
            (folder / "type_map.raw").write_text("\n".join(type_map) + "\n")
        if nopbc:
            (folder / "nopbc").write_text("")
        total = sum(sets)
        arrays = {
            "coord": rng.rand(total, natoms * 3) * 8,
            "energy": np.arange(total, dtype=float),
            "force": rng.normal(size=(total, natoms * 3)),
        }
        if not nopbc:
            arrays["box"] = np.tile(8 * np.eye(3).ravel(), (total, 1))
        arrays.update(extra)
        begin = 0
        for k, nf in enumerate(sets):
            (folder / f"set.{k:03d}").mkdir()
            for key, value in arrays.items():
                if value is not None:
                    np.save(folder / f"set.{k:03d}" / f"{key}.npy", np.asarray(value)[begin : begin + nf])
            begin += nf
        return str(folder)


@pytest.fixture
def make(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Maker(tmp_path)


@pytest.fixture
def to_hdf5():
    def convert(folder, file, group, **options):
        """Copy a system folder into a group of an HDF5 file."""
        import pathlib

        with h5py.File(file, "a") as f:
            g = f.require_group(group)
            for path in sorted(pathlib.Path(folder).rglob("*")):
                name = str(path.relative_to(folder))
                if path.suffix == ".npy":
                    g.create_dataset(name, data=np.load(path), **options)
                elif path.name == "type.raw":
                    g.create_dataset(name, data=np.loadtxt(path, dtype=int, ndmin=1))
                elif path.name == "type_map.raw":
                    g.create_dataset(name, data=np.array(path.read_text().split(), dtype="S"))
                elif path.is_file():
                    g.create_dataset(name, data=1)

    return convert
