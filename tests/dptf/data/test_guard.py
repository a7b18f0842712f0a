"""Faulty data: every message names the file, and frame and atom where there are some."""

import numpy as np
import pytest

from dptf.data import DataRequirement, DataSystems
from dptf.errors import UserError

REQUIREMENTS = [DataRequirement("energy", 1, high_prec=True), DataRequirement("force", 3, atomic=True)]


def check(path, type_map=("H", "O")):
    d = DataSystems({"systems": path}, list(type_map) if type_map else None, REQUIREMENTS, seed=1)
    d.check_all()


def edit(path, key, change):
    file = f"{path}/set.000/{key}.npy"
    value = np.load(file)
    np.save(file, change(value))


def put(index, value):
    def change(array):
        array[index] = value
        return array

    return change


@pytest.mark.parametrize(
    "key, change, told",
    [
        ("coord", put((2, 7), np.nan), r"coord\.npy: frame 2, atom 2 holds nan"),
        ("coord", put((4, 0), np.inf), r"coord\.npy: frame 4, atom 0 holds inf"),
        ("force", put((0, 17), np.nan), r"force\.npy: frame 0, atom 5 holds nan"),
        ("energy", put(3, -np.inf), r"energy\.npy: frame 3 holds -inf"),
        ("box", put((1, 4), np.nan), r"box\.npy: frame 1 holds nan"),
        ("box", lambda b: 0 * b, r"box\.npy: the cell of frame 0 has no volume"),
        ("box", put(3, [8, 0, 0, 8, 0, 0, 0, 0, 8]), r"box\.npy: the cell of frame 3 has no volume"),
        ("box", lambda b: b / 20, r"box\.npy: the cell of frame 0 has opposite faces only 0.4"),
        ("box", lambda b: b / 8, r"box\.npy: the cell of frame 0 has 1 Å\^3 for 6 atoms"),
        ("box", lambda b: b[:3], r"box\.npy: shape \(3, 9\), expected \(5, 9\)"),
        ("coord", lambda c: c[:, :-1], r"coord\.npy: a frame has 17 numbers, expected 3 x 6 atoms = 18"),
        ("coord", lambda c: c[:0], r"coord\.npy: holds no frame"),
        ("force", lambda f: f[:, :-3], r"force\.npy: shape \(5, 15\) .* expected 18 \(3 per atom\)"),
        ("energy", lambda e: e[:-1], r"energy\.npy: shape \(4,\) does not fit the 5 frames"),
        ("energy", lambda e: np.repeat(e, 2), r"energy\.npy: shape \(10,\)"),
    ],
)
def test_faulty_arrays(make, key, change, told):
    path = make()
    check(path)
    edit(path, key, change)
    with pytest.raises(UserError, match=told):
        check(path)


def test_left_handed_cells_are_fine(make):
    path = make()
    edit(path, "box", lambda b: b.reshape(-1, 3, 3)[:, [1, 0, 2]].reshape(-1, 9))
    check(path)


def test_large_finite_numbers_are_fine(make):
    path = make()
    edit(path, "energy", lambda e: np.array([1e308, 1e308, 1e308, -1e308, 0.0]))
    check(path)


@pytest.mark.parametrize(
    "types, type_map, told",
    [
        ("0 1 1 0 0 2", ("H", "O"), r"type\.raw: atom 5 has type 2, type_map\.raw names 2 types"),
        ("0 1 -1 0 0 1", ("H", "O"), r"type\.raw: atom 2 has the negative type -1"),
        ("0 1 x 0 0 1", ("H", "O"), r"type\.raw must hold integers"),
        ("", ("H", "O"), r"type\.raw is empty"),
        ("0 1 1 0 0 1", ("H",), r"type_map\.raw: O not in the model's type_map \(H\)"),
    ],
)
def test_faulty_types(make, types, type_map, told):
    path = make()
    with open(f"{path}/type.raw", "w") as file:
        file.write(types)
    with pytest.raises(UserError, match=told):
        check(path, type_map)


def test_type_beyond_the_model_without_data_map(make):
    path = make(type_map=None, types=[0, 1, 2, 0, 0, 0])
    with pytest.raises(UserError, match="atom 2 has type 2, the model's type_map has 2 entries"):
        check(path)


def test_missing_files(make, tmp_path):
    path = make(box=None)
    import os

    os.remove(f"{path}/set.000/box.npy") if os.path.exists(f"{path}/set.000/box.npy") else None
    with pytest.raises(UserError, match=r"box\.npy is missing"):
        check(path)
    (tmp_path / "sys" / "nopbc").write_text("")
    check(path)
    for file in (tmp_path / "sys" / "set.000").iterdir():
        file.unlink()
    with pytest.raises(UserError, match=r"set\.000: coord\.npy is missing"):
        check(path)
    (tmp_path / "sys" / "set.000").rmdir()
    with pytest.raises(UserError, match="no set"):
        check(path)


def test_truncated_file(make):
    path = make()
    file = f"{path}/set.000/force.npy"
    content = open(file, "rb").read()
    open(file, "wb").write(content[:200])
    with pytest.raises(UserError, match=r"force\.npy: cannot be read as an array"):
        check(path)


def test_type_map_with_comment(make, tmp_path):
    path = make()
    (tmp_path / "sys" / "type_map.raw").write_text("# names\nH\nO # oxygen\n")
    check(path)
