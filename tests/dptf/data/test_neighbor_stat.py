"""Neighbor statistics against brute force, and the slots derived from them."""

import numpy as np
import pytest

from dptf.cli.main import main
from dptf.data.neighbor_stat import neighbor_stat
from dptf.data.sel import auto_ratio, auto_sel, needs_statistics, resolve_sel, update_sel
from dptf.errors import UserError

CELLS = {
    "orthogonal": 9.0 * np.eye(3),
    "triclinic": np.array([[8.0, 0, 0], [3.0, 7.5, 0], [-2.5, 3.0, 7.0]]),
    "left-handed": np.array([[0, 8.5, 0], [9.0, 0, 0], [0, 0, 7.0]]),
    "smaller than the cutoff": np.array([[2.5, 0.3, 0], [0, 3.0, 0.2], [0.1, 0, 3.5]]),
    "thin": np.array([[1.5, 0, 0], [0, 20.0, 0], [0, 0, 20.0]]),
}


def brute_force(coord, types, cell, rcut, ntypes):
    """Smallest distance and largest counts by summing over all images."""
    if cell is None:
        shifts = np.zeros((1, 3))
    else:
        height = np.abs(np.linalg.det(cell)) / np.linalg.norm(
            np.cross(np.roll(cell, -1, 0), np.roll(cell, -2, 0)), axis=1
        )
        m = np.ceil(rcut / height).astype(int) + 1
        shifts = np.stack(np.meshgrid(*[np.arange(-k, k + 1) for k in m], indexing="ij"), -1).reshape(-1, 3) @ cell
        coord = (coord @ np.linalg.inv(cell)) % 1 @ cell
    count, best = np.zeros((len(coord), ntypes), int), 10.0
    for shift in shifts:
        r = np.linalg.norm(coord[None] + shift - coord[:, None], axis=2)
        if not shift.any():
            np.fill_diagonal(r, np.inf)
        best = min(best, r[:, types >= 0].min(initial=np.inf))
        for t in range(ntypes):
            count[:, t] += ((r < rcut) & (types == t)[None]).sum(1)
    return best, count[types >= 0].max(0).tolist()


@pytest.mark.parametrize("kind", [*CELLS, "open"])
@pytest.mark.parametrize("rcut", [3.0, 6.0])
def test_against_brute_force(make, kind, rcut):
    rng = np.random.RandomState(3)
    cell = CELLS.get(kind)
    natoms, nf = (4 if kind.startswith("smaller") else 24), 5
    types = rng.randint(0, 3, natoms)
    # Unwrapped coordinates, several cells away.
    coord = (
        rng.rand(nf, natoms, 3) @ (cell if cell is not None else 9 * np.eye(3)) + rng.randint(-3, 4, (nf, 1, 3)) * 8.0
    )
    extra = {} if cell is None else {"box": np.tile(cell.ravel(), (nf, 1))}
    path = make(natoms=natoms, types=types, type_map=("A", "B", "C"), sets=(3, 2), nopbc=cell is None,
                coord=coord.reshape(nf, -1), **extra)  # fmt: skip
    expected = [brute_force(x, types, cell, rcut, 3) for x in coord]
    distance, counts = neighbor_stat([path], rcut, ["A", "B", "C"])
    assert distance == pytest.approx(min(d for d, _ in expected), rel=1e-12)
    assert counts == np.max([c for _, c in expected], axis=0).tolist()
    _, (total,) = neighbor_stat([path], rcut, one_type=True)
    assert total == max(brute_force(x, 0 * types, cell, rcut, 1)[1][0] for x in coord)
    swapped = neighbor_stat([path], rcut, ["C", "B", "A", "D"])[1]
    assert swapped == [*counts[::-1], 0]


def test_padding_atoms_are_nobody(make):
    types = np.array([[0, 1, -1, 0], [1, 1, 0, -1]])
    coord = np.zeros((2, 4, 3))
    coord[:, :, 0] = [0.0, 1.0, 1.0, 2.5]
    path = make(natoms=4, types=[0] * 4, sets=(2,), nopbc=True, coord=coord.reshape(2, -1), real_atom_types=types)
    coord[1, 2, 0], coord[1, 3, 0] = 3.0, 3.0
    np.save(f"{path}/set.000/coord.npy", coord.reshape(2, -1))
    assert neighbor_stat([path], 2.2, ["H", "O"]) == (1.0, [2, 1])


def test_overlapping_atoms_are_named(make):
    path = make(sets=(3,), types=[1, 0, 1, 0, 1, 1])
    coord = np.load(f"{path}/set.000/coord.npy")
    coord[1, 3:6] = coord[1, 12:15] + [8.0, 0, 0]
    np.save(f"{path}/set.000/coord.npy", coord)
    with pytest.raises(UserError, match=r"set\.000/coord\.npy: atoms (1 and 4|4 and 1) of frame 1 overlap"):
        neighbor_stat([path], 3.0, ["H", "O"])


def test_distant_atoms(make):
    coord = np.array([[0, 0, 0, 30.0, 0, 0]])
    path = make(natoms=2, types=[0, 1], sets=(1,), nopbc=True, coord=coord)
    assert neighbor_stat([path], 6.0, ["H", "O"]) == (10.0, [0, 0])


def test_command(make, capsys):
    path = make(sets=(3,))
    assert main(["neighbor-stat", "-s", path, "-r", "4", "-t", "H", "O"]) == 0
    distance, counts = neighbor_stat([path], 4.0, ["H", "O"])
    err = capsys.readouterr().err
    assert f"min_nbor_dist: {distance:f}" in err and f"max_nbor_size: [{counts[0]} {counts[1]}]" in err
    assert main(["neighbor-stat", "-s", path, "-r", "-1"]) == 1
    assert main(["neighbor-stat", "-s", "nowhere", "-r", "4"]) == 1
    assert "nowhere" in capsys.readouterr().err


def test_slots():
    assert [auto_sel(c, 1.1) for c in (0, 1, 36, 72, 100)] == [0, 4, 40, 80, 112]
    assert auto_ratio("auto") == 1.1 and auto_ratio("auto:1.5") == 1.5 and auto_ratio([3]) is None
    for bad in ("Auto", "auto:0.9", "auto:", "autoo", "46"):
        with pytest.raises(UserError, match="model/descriptor/sel"):
            auto_ratio(bad, "model/descriptor/sel")
    assert resolve_sel("auto:1.2", [36, 72]) == ([44, 88], [])
    sel, warnings = resolve_sel([30, 0, 80], [36, 5, 72], ["O", "H", "C"])
    assert sel == [30, 0, 80] and len(warnings) == 1 and "type O" in warnings[0] and "36" in warnings[0]
    assert resolve_sel([30, 30], [70])[1] and not resolve_sel([40, 30], [70])[1] and not resolve_sel(80, [70])[1]


def fake_stat(calls):
    def stat(rcut, one_type):
        calls.append((rcut, one_type))
        return 1.0 / rcut, [int(10 * rcut)] if one_type else [int(4 * rcut), int(8 * rcut)]

    return stat


def test_update_of_a_model():
    calls = []
    model = {"type": "standard", "type_map": ["O", "H"], "descriptor": {"type": "se_e2_a", "rcut": 6.0, "sel": "auto"}}
    assert needs_statistics(model) == ["model/descriptor/sel"]
    assert update_sel(model, fake_stat(calls)) == 1 / 6.0
    assert model["descriptor"]["sel"] == [28, 52] and calls == [(6.0, False)] and needs_statistics(model) == []


def test_update_of_composed_models():
    calls = []
    a = {"type": "se_e2_a", "rcut": 6.0, "sel": "auto"}
    r = {"type": "se_e2_r", "rcut": 6.0, "sel": [1, 1]}
    dpa2 = {
        "type": "dpa2", "repformer": {"rcut": 3.0, "nsel": "auto:2"},
        "repinit": {"rcut": 5.0, "nsel": "auto", "use_three_body": False, "three_body_rcut": 4.0, "three_body_sel": 40},
    }  # fmt: skip
    atten = {"type": "se_atten", "rcut": 5.0, "sel": "auto"}
    model = {
        "type": "linear_ener",
        "models": [
            {"type": "standard", "descriptor": {"type": "hybrid", "list": [a, r, dpa2]}},
            {"type": "standard", "descriptor": atten},
            {"type": "frozen", "model_file": "x.pb"},
            {"type": "pairtab", "rcut": 4.0, "sel": "auto"},
        ],
    }
    assert update_sel(model, fake_stat(calls)) == 1 / 6.0
    assert a["sel"] == [28, 52] and r["sel"] == [1, 1] and atten["sel"] == 56
    assert dpa2["repinit"]["nsel"] == 56 and dpa2["repformer"]["nsel"] == 60 and dpa2["repinit"]["three_body_sel"] == 40
    assert model["models"][3]["sel"] == 44
    assert calls == [(6.0, False), (5.0, True), (3.0, True), (4.0, True)]


def test_models_without_cutoff():
    assert update_sel({"type": "standard", "descriptor": {"type": "se_a_mask", "sel": [4, 4]}}, fake_stat([])) is None
