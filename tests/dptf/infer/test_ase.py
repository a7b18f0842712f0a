"""The ASE calculator: numbers, slabs, messages."""

import numpy as np
import pytest

from dptf.errors import UserError

ase = pytest.importorskip("ase")


@pytest.fixture(scope="module")
def calculator(model_dir):
    from dptf.calculator import DP

    return DP(model_dir / "se_e2_a.pb")


def make(frames, calculator, pbc=True, **kwargs):
    symbols = np.array(["O", "H"])[frames["atype"]]
    atoms = ase.Atoms(
        symbols, frames["coord"][0].reshape(24, 3), cell=frames["box"][0].reshape(3, 3), pbc=pbc, **kwargs
    )
    atoms.calc = calculator
    return atoms


def test_periodic(frames, calculator):
    atoms = make(frames, calculator)
    assert np.isclose(atoms.get_potential_energy(), frames["pbc_energy"][0, 0], atol=1e-12)
    assert np.isclose(atoms.get_potential_energy(force_consistent=True), frames["pbc_energy"][0, 0], atol=1e-12)
    np.testing.assert_allclose(atoms.get_forces(), frames["pbc_force"][0], atol=1e-12)
    virial = frames["pbc_virial"][0].reshape(3, 3)
    np.testing.assert_allclose(calculator.results["virial"], virial, atol=1e-12)
    stress = -0.5 * (virial + virial.T) / atoms.get_volume()
    np.testing.assert_allclose(atoms.get_stress(voigt=False), stress, atol=1e-13)
    np.testing.assert_allclose(atoms.get_stress(), stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]], atol=1e-13)


def test_open(frames, calculator):
    atoms = make(frames, calculator, pbc=False)
    assert np.isclose(atoms.get_potential_energy(), frames["nopbc_energy"][0, 0], atol=1e-12)
    np.testing.assert_allclose(atoms.get_forces(), frames["nopbc_force"][0], atol=1e-12)
    with pytest.raises(ase.calculators.calculator.PropertyNotImplementedError):
        atoms.get_stress()


@pytest.mark.parametrize("pbc", [(1, 1, 0), (0, 1, 1), (1, 0, 0), (0, 0, 1)])
def test_slabs_and_wires_equal_wide_vacuum(frames, calculator, pbc):
    """A partly periodic system equals a cluster that repeats the periodic directions far enough."""
    atoms = make(frames, calculator, pbc=pbc)
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    # Reference: explicit images in the periodic directions, all boundaries open; compare the middle copy.
    reach = [range(-2, 3) if p else (0,) for p in pbc]
    cell, coord = frames["box"][0].reshape(3, 3), frames["coord"][0].reshape(24, 3)
    shifts = sorted(((i, j, k) for i in reach[0] for j in reach[1] for k in reach[2]), key=np.linalg.norm)
    images = np.concatenate([coord + np.array(s) @ cell for s in shifts])
    result = calculator.dp.eval(images, None, np.tile(frames["atype"], len(shifts)), atomic=True)
    assert np.isclose(result[3][0, :24].sum(), energy, atol=1e-10)
    np.testing.assert_allclose(result[1][0, :24], forces, atol=1e-10)
    with pytest.raises(ase.calculators.calculator.PropertyNotImplementedError):
        atoms.get_stress()


def test_slab_with_zero_open_vector(frames, calculator):
    atoms = make(frames, calculator, pbc=(True, True, False))
    expected = atoms.get_potential_energy()
    cell = np.array(atoms.cell)
    cell[2] = 0.0
    atoms.set_cell(cell)
    assert np.isclose(atoms.get_potential_energy(), expected, atol=1e-12)


def test_unknown_element(calculator):
    atoms = ase.Atoms("CO", [[0, 0, 0], [0, 0, 1.1]])
    atoms.calc = calculator
    with pytest.raises(UserError, match="element C is not known to the model, which has O, H"):
        atoms.get_potential_energy()


def test_type_dict(frames, model_dir, calculator):
    from dptf.infer.ase import DP

    with pytest.raises(UserError, match="element O is not known"):
        make(frames, DP(model_dir / "se_e2_a.pb", type_dict={"Si": 0, "H": 1})).get_potential_energy()
    swapped = DP(model_dir / "se_e2_a.pb", type_dict={"O": 1, "H": 0})
    expected = swapped.dp.eval(frames["coord"][0], frames["box"][0], 1 - frames["atype"])[0][0, 0]
    assert np.isclose(make(frames, swapped).get_potential_energy(), expected, atol=1e-12)


def test_parameters_from_info(model_dir):
    from dptf.infer.ase import DP

    data = np.load(model_dir / "se_e2_a_fparam_aparam.npz")
    atoms = make(data, DP(model_dir / "se_e2_a_fparam_aparam.pb"))
    atoms.info |= {"fparam": data["fparam"][0], "aparam": data["aparam"][0]}
    assert np.isclose(atoms.get_potential_energy(), data["pbc_energy"][0, 0], atol=1e-12)


def test_nan_is_refused(frames, calculator):
    atoms = make(frames, calculator)
    atoms.positions[3, 1] = np.nan
    with pytest.raises(UserError, match="frame 0, atom 3, component y"):
        atoms.get_forces()
