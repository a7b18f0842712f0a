"""Results that were wrong without a message in some release of this family of packages, each as a test over all graph families.

==========================================================  ==================================================================
what went wrong                                             test here (or elsewhere)
==========================================================  ==================================================================
forces wrong when the cell is below two cutoffs             `test_supercell`
compressed se_e3 and se_atten_v2 not the model they were    `test_compressed_is_the_same_model`
made from
not-a-number forces of compressed models and of DPA-1       `test_far_atoms`, `test_atom_alone_beside_the_others`
where an atom has no neighbors; tables read beyond their
rows there
energy that jumps, results that differ between runs or      `test_same_bits`, `test_frames_are_independent`
with the size of a batch
forces that are not the slopes of the energy                `test_forces_are_slopes`
skewed cells, one atom that sees its own images, a type     `test_skewed_cell`, `test_one_atom_and_its_images`
that is not there
neighbors beyond `sel`, engine lists, exact cutoffs         tests/op/test_prod_env_mat.py
value and slope of a table out of step beyond its ends      tests/op/test_tabulate.py
long-range energy and its forces out of step; labels of     tests/op/test_ewald.py, tests/dptf/test_dplr.py
DPLR training
virials of atoms as LAMMPS means them, ranks, ignored types tests/lmp/test_pair_deepmd.py
graphics cards against the processor                        tests/op/test_gpu_ops.py (where there is a card)
a compressed model trained with another gradient            `test_no_compressed_training_by_an_ignored_key`
==========================================================  ==================================================================
"""

import numpy as np
import pytest

from dptf.infer import DeepPot
from tests.dptf.infer.test_golden_pb import COMPRESSED, PLAIN

TENSORS = ("dipole", "polar", "dos")
NAMES = [name for name in PLAIN + COMPRESSED if name.split(".")[0] not in TENSORS]
NOT_SMOOTH = ("loc_frame",)
"""Its forces are no slopes, in every release (see docs/compatibility.md)."""


class Model:
    def __init__(self, folder, name):
        self.name, self.data = name, dict(np.load(folder / "pb" / f"{name}.npz"))
        self.dp = DeepPot(folder / "pb" / f"{name}.pb")
        self.types = self.data["atype"].reshape(-1)[: self.data["coord"][0].size // 3]
        self.coord, self.box = self.data["coord"].reshape(-1, len(self.types), 3), self.data["box"].reshape(-1, 3, 3)
        self.tolerance = 1e-4 if "fp32" in name else 1e-9

    def eval(self, coord, box, types=None, copies=1):
        coord = np.reshape(coord, (-1, np.shape(coord)[-2], 3))
        params = {}
        if self.dp.get_dim_fparam():
            params = {"fparam": self.data["fparam"][:1].repeat(len(coord), 0)}
            params["aparam"] = np.tile(self.data["aparam"][:1].reshape(1, -1), (len(coord), copies))
        return self.dp.eval(coord, box, self.types if types is None else types, **params)[:3]


@pytest.fixture(scope="module", params=NAMES)
def model(request, golden):
    made = Model(golden, request.param)
    with made.dp:
        yield made


def test_supercell(model):
    """Twice the cell in every direction: eight times the energy, the same forces; 6.4 Å against a cutoff of 4 Å."""
    assert np.linalg.norm(model.box[0], axis=1).min() <= 2 * model.dp.get_rcut()
    energy, force, virial = model.eval(model.coord[0], model.box[:1])
    shifts = [np.array(k) @ model.box[0] for k in np.ndindex(2, 2, 2)]
    # Atom by atom its eight copies, so that types stay sorted.
    coord = np.stack([model.coord[0] + s for s in shifts], axis=1).reshape(-1, 3)
    big = model.eval(coord, 2 * model.box[:1], np.repeat(model.types, 8), copies=8)
    if model.dp.get_dim_fparam():  # the parameters of the atoms are in the order of the atoms
        aparam = np.repeat(model.data["aparam"][0].reshape(-1), 8)[None]
        big = model.dp.eval(coord[None], 2 * model.box[:1], np.repeat(model.types, 8), fparam=model.data["fparam"][:1], aparam=aparam)[:3]  # fmt: skip
    scale = 100 * model.tolerance
    np.testing.assert_allclose(big[0], 8 * energy, rtol=0, atol=scale)
    np.testing.assert_allclose(big[1][0].reshape(-1, 8, 3), np.repeat(force[0][:, None], 8, axis=1), rtol=0, atol=scale)
    np.testing.assert_allclose(big[2], 8 * virial, rtol=0, atol=10 * scale)


def test_skewed_cell(model):
    """Other vectors of the same lattice, far from right angles and of either hand: the same results."""
    expected = model.eval(model.coord[0], model.box[:1])
    for turn in ([[1, 0, 0], [2, 1, 0], [-1, 3, 1]], [[0, 1, 0], [1, 0, 0], [1, -2, 1]]):
        found = model.eval(model.coord[0], (np.array(turn, float) @ model.box[0])[None])
        for a, b, key in zip(found, expected, ("energy", "force", "virial")):
            np.testing.assert_allclose(a, b, rtol=0, atol=100 * model.tolerance, err_msg=f"{key} {turn}")


def test_one_atom_and_its_images(model):
    """One atom of one type in a cell below the cutoff: no force, and eight of them have eight times the energy."""
    if model.name in NOT_SMOOTH:
        pytest.skip("axes of a lattice are not unique")
    cell = np.array([[3.2, 0, 0], [0.3, 3.4, 0], [-0.2, 0.1, 3.3]])
    shifts = np.array([np.array(k) @ cell for k in np.ndindex(2, 2, 2)])
    params = [{}, {}]
    if model.dp.get_dim_fparam():
        params = [{"fparam": model.data["fparam"][:1], "aparam": np.full((1, n * model.dp.get_dim_aparam()), 0.3)} for n in (1, 8)]  # fmt: skip
    one = model.dp.eval(np.full((1, 1, 3), 0.7), cell[None], [0], **params[0])
    eight = model.dp.eval((0.7 + shifts)[None], 2 * cell[None], [0] * 8, **params[1])
    scale = 100 * model.tolerance
    np.testing.assert_allclose(eight[0], 8 * one[0], rtol=0, atol=scale)
    np.testing.assert_allclose(one[1], 0, rtol=0, atol=scale)
    np.testing.assert_allclose(eight[1], 0, rtol=0, atol=scale)
    np.testing.assert_allclose(eight[2], 8 * one[2], rtol=0, atol=10 * scale)


def test_forces_are_slopes(model):
    if model.name in NOT_SMOOTH or "fp32" in model.name:
        pytest.skip("no slopes, or none that differences of single precision show")
    h = 1e-4
    picks = [(0, 0), (len(model.types) // 2, 1), (len(model.types) - 1, 2)]
    frames = []
    for atom, x in picks:
        for s in (h, -h):
            moved = model.coord[0].copy()
            moved[atom, x] += s
            frames.append(moved)
    energy = model.eval(np.array(frames), np.repeat(model.box[:1], len(frames), 0))[0].ravel()
    force = model.eval(model.coord[0], model.box[:1])[1][0]
    for k, (atom, x) in enumerate(picks):
        slope = (energy[2 * k] - energy[2 * k + 1]) / (2 * h)
        # Neighbors that cross the float32 cutoff between the two points change nothing: the switch is zero there.
        assert force[atom, x] == pytest.approx(-slope, abs=5e-5, rel=5e-5)


def test_far_atoms(model):
    """Atoms that see nobody: the energies of free atoms, no forces, nothing that is not a number."""
    if model.name in NOT_SMOOTH:
        pytest.skip("needs two neighbors and says so")
    coord = np.arange(len(model.types))[:, None] * np.array([50.0, 20.0, 0.0])
    energy, force, virial = model.eval(coord, None)
    assert np.isfinite(energy).all() and (force == 0).all() and (virial == 0).all()


def test_atom_alone_beside_the_others(model):
    """One atom leaves: the others feel what they feel without it, and it feels nothing."""
    if model.name in NOT_SMOOTH:
        pytest.skip("needs two neighbors and says so")
    coord = model.coord[0].copy()
    coord[-1] += 500.0
    further = coord.copy()
    further[-1] += 77.0
    (energy, force, _), other = model.eval(coord, None), model.eval(further, None)
    assert np.isfinite(energy).all() and np.isfinite(force).all() and (force[0, -1] == 0).all()
    np.testing.assert_allclose(energy, other[0], rtol=0, atol=model.tolerance)
    np.testing.assert_allclose(force, other[1], rtol=0, atol=model.tolerance)


def test_same_bits(model):
    first, second = (model.eval(model.coord, model.box) for _ in range(2))
    for a, b in zip(first, second):
        np.testing.assert_array_equal(a, b)


def test_frames_are_independent(model):
    """A frame has the same result alone and in a batch."""
    together = model.eval(model.coord[:2], model.box[:2])
    alone = [model.eval(model.coord[k], model.box[k : k + 1]) for k in range(2)]
    for key in range(3):
        np.testing.assert_allclose(
            together[key], np.concatenate([a[key] for a in alone]), rtol=0, atol=model.tolerance * 10
        )


@pytest.mark.parametrize("name", COMPRESSED)
def test_compressed_is_the_same_model(golden, name):
    """The tables of the public package (step 0.02) against the nets they were made from, in this runtime."""
    if name.startswith(TENSORS):
        pytest.skip("compared output by output in test_golden_pb")
    plain, compressed = Model(golden, name.split(".")[0]), Model(golden, name)
    with plain.dp, compressed.dp:
        for a, b in zip(plain.eval(plain.coord, plain.box), compressed.eval(plain.coord, plain.box)):
            np.testing.assert_allclose(a, b, rtol=0, atol=2e-4 * max(1, np.abs(a).max()))


def test_no_compressed_training_by_an_ignored_key(tmp_path, monkeypatch, capsys):
    """A ``compress`` section in the model is refused or trains; it is never dropped."""
    import json

    from dptf.cli.main import main
    from tests.dptf.toy import write_input, write_system

    monkeypatch.chdir(tmp_path)
    write_input(tmp_path, [write_system(tmp_path / "data")])
    config = json.loads((tmp_path / "input.json").read_text())
    config["model"]["compress"] = {"type": "se_e2_a", "model_file": "nowhere.pb", "table_config": [5, 0.01, 0.1, -1]}
    (tmp_path / "input.json").write_text(json.dumps(config))
    assert main(["train", "input.json"]) == 1
    assert "compress" in capsys.readouterr().err
    assert not (tmp_path / "lcurve.out").exists()
