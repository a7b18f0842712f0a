"""LMDB data sets as training and test data."""

import numpy as np
import pytest

pytest.importorskip("lmdb")

from dptf.data import DataRequirement, DataSystems, expand_systems
from dptf.data.lmdb_source import write_lmdb
from dptf.errors import UserError

ENERGY = DataRequirement("energy", 1, high_prec=True)
FORCE = DataRequirement("force", 3, atomic=True)


@pytest.fixture()
def store(tmp_path):
    """Seven frames of three kinds: 4 of H2O in a box, 2 of another order, 1 open."""
    rng = np.random.default_rng(0)
    frames = []
    for k, types in enumerate([[1, 0, 0]] * 4 + [[0, 1, 0]] * 2 + [[1, 0, 0]]):
        box = np.zeros((3, 3)) if k == 6 else np.eye(3) * 5
        frames.append({"atom_types": np.array(types, np.int32), "coord": rng.uniform(0, 5, (3, 3)), "box": box,
                       "energy": float(k), "force": rng.normal(size=(3, 3)).astype(np.float32)})  # fmt: skip
    write_lmdb(tmp_path / "frames.lmdb", frames, ["H", "O"])
    return str(tmp_path / "frames.lmdb"), frames


def test_frames_of_equal_kind_are_a_system(store):
    path, frames = store
    assert expand_systems(path) == [f"{path}#0", f"{path}#1", f"{path}#2"] == expand_systems([path])
    assert expand_systems([f"{path}#1"]) == [f"{path}#1"]
    data = DataSystems({"systems": path, "batch_size": 1}, ["O", "H"], [ENERGY, FORCE], seed=1)
    assert [s.nframes for s in data.systems] == [4, 2, 1] and data.pbc == [True, True, False]
    batch = data.all_frames(1)
    assert batch["energy"].ravel().tolist() == [4.0, 5.0] and batch["type"][0].tolist() == [0, 1, 1]
    # Atoms are in the order of the model's types: oxygen, the second atom of the file, first.
    np.testing.assert_array_equal(batch["force"][0].reshape(3, 3), frames[4]["force"][[1, 0, 2]])
    assert {float(data.next_batch()["energy"][0, 0]) for _ in range(60)} == set(map(float, range(7)))


def test_a_folder_is_searched(store, tmp_path):
    assert len(expand_systems(str(tmp_path))) == 3


def test_faults_are_named(store, tmp_path):
    path, frames = store
    with pytest.raises(UserError, match="has no part '9'"):
        DataSystems({"systems": [f"{path}#9"]}, ["O", "H"], [ENERGY])
    frames[1].pop("energy")
    write_lmdb(tmp_path / "b.lmdb", frames, ["H", "O"])
    with pytest.raises(UserError, match="frame 1 has no 'energies'"):
        DataSystems({"systems": str(tmp_path / "b.lmdb")}, ["O", "H"], [ENERGY]).all_frames(0)
    (tmp_path / "c.lmdb").mkdir()
    (tmp_path / "c.lmdb" / "data.mdb").write_bytes(b"nonsense" * 100)
    with pytest.raises(UserError, match="not a readable LMDB"):
        expand_systems(str(tmp_path / "c.lmdb"))
