"""Message passing in LAMMPS: one process maps ghosts to atoms, several exchange features in every layer."""

import numpy as np
import pytest

from dptf.infer import DeepPot
from tests.dptf.dpa3_cases import write_model
from tests.lmp.lammps_run import LIB, dump, run, thermo, write_data
from tests.lmp.test_pair_deepmd import numbers
from tests.lmp.test_pair_deepmd import script as any_script

pytestmark = pytest.mark.skipif(not (LIB / "libdeepmd_lmpplugin.so").exists(), reason="the LAMMPS plugin was not built")


def script(**given):
    """Without an atom map: the pair style finds the owners of ghosts itself."""
    return any_script(**given).replace("atom_modify map yes\n", "")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A small model with every kind of message, random weights."""
    return write_model(tmp_path_factory.mktemp("dpa3") / "model.pb")


@pytest.fixture(scope="module")
def atoms():
    """48 atoms, some close to each other, in a triclinic cell."""
    rng = np.random.default_rng(5)
    box = np.array([[9.0, 0, 0], [1.7, 8.4, 0], [-1.2, 0.9, 8.8]])
    grid = np.stack(np.meshgrid(*[np.arange(4)] * 3), -1).reshape(-1, 3)[:48] / 4.0
    return grid @ box + rng.normal(scale=0.25, size=(48, 3)), rng.integers(0, 2, 48), box


@pytest.fixture
def folder(tmp_path, model, atoms):
    (tmp_path / "model.pb").symlink_to(model)
    write_data(tmp_path / "data.lmp", *atoms, 2)
    return tmp_path


def reference(model, coord, types, box):
    with DeepPot(model) as dp:
        e, f, v = dp.eval(coord.reshape(1, -1), None if box is None else box.reshape(1, 9), types)
    v = v[0].reshape(3, 3)
    return e[0, 0], f[0], ((v + v.T) / 2).reshape(9)


def agree(found, want, virial=True):
    np.testing.assert_allclose(found[0], want[0], rtol=0, atol=1e-9)
    np.testing.assert_allclose(found[1], want[1], rtol=0, atol=1e-10)
    if virial:
        np.testing.assert_allclose(found[2], want[2], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_ranks_agree_with_python(folder, model, atoms, ranks):
    agree(numbers(folder, run(folder, script(), ranks)), reference(model, *atoms))


@pytest.mark.parametrize("ranks", [1, 2])
def test_blocks_of_atoms(folder, model, atoms, ranks):
    """What does not fit is evaluated in blocks, over several steps with one neighbor list; with several ranks they exchange between the sweeps."""
    text = script(run="fix move all nve\nrun 3")
    whole = run(folder, text, ranks)
    blocks = run(folder, text, ranks, {"DPTF_MEMORY": "700K"})
    assert blocks.stderr.count("in blocks of at most") == ranks and "in blocks" not in whole.stderr
    agree(numbers(folder, blocks), numbers(folder, whole))


@pytest.mark.parametrize("ranks, memory", [(1, ""), (4, ""), (4, "700K")])
def test_open_boundary_and_ranks_that_own_nothing(folder, model, atoms, ranks, memory):
    coord, types, _ = atoms
    coord = coord - coord.min(0) + 1
    write_data(folder / "data.lmp", coord, types, np.diag([90.0, 40.0, 40.0]), 2)
    text = script(boundary="f f f", processors="processors 4 1 1" if ranks == 4 else "", columns="proc")
    text = text.replace("read_data data.lmp\nprocessors 4 1 1", "processors 4 1 1\nread_data data.lmp")
    process = run(folder, text, ranks, {"DPTF_MEMORY": memory})
    assert ("in blocks" in process.stderr) == bool(memory)
    agree(numbers(folder, process), reference(model, coord, types, None), virial=False)
    assert len(set(dump(folder / "out.dump")["proc"])) < max(ranks, 2)


@pytest.mark.parametrize("ranks, memory", [(1, ""), (2, ""), (2, "700K")])
def test_ignored_types_and_atomic_quantities(folder, model, atoms, ranks, memory):
    """Atoms of type NULL are nobody's neighbors; energies and 9-component virials per atom add up to the totals, in blocks too."""
    coord, types, box = atoms
    rng = np.random.default_rng(1)
    extra = rng.uniform(0, 1, (6, 3)) @ box
    mixed = np.insert(coord, [3, 9, 20, 20, 31, 48], extra, axis=0)
    kinds = np.insert(types, [3, 9, 20, 20, 31, 48], 2)
    write_data(folder / "data.lmp", mixed, kinds, box, 3)
    text = script(
        coeff="* * O H NULL",
        extra="compute e all pe/atom pair\ncompute s all centroid/stress/atom NULL pair",
        columns="c_e c_s[*]",
    )
    process = run(folder, text, ranks, {"DPTF_MEMORY": memory})
    assert ("in blocks" in process.stderr) == bool(memory)
    energy, force, _ = numbers(folder, process)
    want = reference(model, coord, types, box)
    table = dump(folder / "out.dump")
    assert not force[kinds == 2].any()
    np.testing.assert_allclose(force[kinds < 2], want[1], rtol=0, atol=1e-10)
    np.testing.assert_allclose([energy, table["c_e"].sum()], want[0], rtol=0, atol=1e-9)
    stress = -np.array([table[f"c_s[{k}]"].sum() for k in (1, 2, 3)])
    np.testing.assert_allclose(stress / stress[0], want[2][[0, 4, 8]] / want[2][0], rtol=1e-6)


def test_charge_and_multiplicity(tmp_path, atoms):
    model = write_model(tmp_path / "model.pb", add_chg_spin_ebd=True, repflow={"nlayers": 1})
    write_data(tmp_path / "data.lmp", *atoms, 2)
    coord, types, box = atoms
    with DeepPot(model) as dp:
        energy = dp.eval(coord, box, types, charge_spin=[-1, 2])[0]
    found = numbers(tmp_path, run(tmp_path, script(style="model.pb charge_spin -1 2"), 2))
    np.testing.assert_allclose(found[0], energy[0, 0], rtol=0, atol=1e-9)
    process = run(tmp_path, script())
    assert "charge_spin: 0 number(s) given" in process.stdout + process.stderr


def test_atoms_that_cross_boundaries(folder, atoms):
    """One and two ranks stay together while atoms move and the list is rebuilt; the energy is conserved."""
    results = []
    for ranks in (1, 2):
        extra = "velocity all create 300 4321 loop geom\nfix 1 all nve\ntimestep 0.0002"
        process = run(folder, script(extra=extra, run="run 60", skin="0.2"), ranks)
        assert process.returncode == 0, process.stdout[-2000:]
        results.append((thermo(process), dump(folder / "out.dump")))
    (one, first), (two, second) = results
    np.testing.assert_allclose(two["PotEng"], one["PotEng"], rtol=0, atol=1e-8)
    np.testing.assert_allclose(second["fx"], first["fx"], rtol=0, atol=1e-7)
    total = one["TotEng"]
    assert abs(total - total[0]).max() < 0.02 * abs(one["PotEng"] - one["PotEng"][0]).max() + 1e-6
