"""Public methods, shapes and conventions of DeepPot."""

import itertools

import numpy as np
import pytest

from dptf.errors import UserError
from dptf.infer import DeepDipole, DeepEval, DeepPot, DeepPotential
from dptf.infer.deep_eval import ModelTypeError

KEYS = ("energy", "force", "virial", "atom_energy", "atom_virial")


def check(found, frames, prefix="pbc_", pick=slice(None)):
    for key, value in zip(KEYS, found):
        np.testing.assert_allclose(value, frames[prefix + key][pick], atol=1e-12, err_msg=key)


@pytest.mark.parametrize("prefix", ["pbc_", "nopbc_"])
def test_reference(dp, frames, prefix):
    box = frames["box"] if prefix == "pbc_" else None
    found = dp.eval(frames["coord"], box, frames["atype"], atomic=True)
    assert [v.shape for v in found] == [(3, 1), (3, 24, 3), (3, 9), (3, 24, 1), (3, 24, 9)]
    check(found, frames, prefix)
    assert len(dp.eval(frames["coord"], box, frames["atype"])) == 3


def test_lists_and_shapes(dp, frames):
    found = dp.eval(
        frames["coord"].reshape(3, 24, 3).tolist(),
        frames["box"].ravel().tolist(),
        frames["atype"].tolist(),
        atomic=True,
    )
    check(found, frames)
    one = dp.eval(frames["coord"][0].reshape(24, 3), frames["box"][0].reshape(3, 3), frames["atype"], atomic=True)
    check(one, frames, pick=slice(0, 1))


@pytest.mark.parametrize("size", ["1", "24", "240"])
def test_batch_size_does_not_change_numbers(model_dir, frames, monkeypatch, size):
    monkeypatch.setenv("DP_INFER_BATCH_SIZE", size)
    with DeepPot(model_dir / "se_e2_a.pb") as model:
        assert model.deep_eval.batch_size.current == int(size)
        check(model.eval(frames["coord"], frames["box"], frames["atype"], atomic=True), frames)
    with DeepPot(model_dir / "se_e2_a.pb", auto_batch_size=False) as model:
        check(model.eval(frames["coord"], frames["box"], frames["atype"], atomic=True), frames)


def test_atom_order(dp, frames):
    perm = np.random.default_rng(0).permutation(24)
    coord = frames["coord"].reshape(3, 24, 3)[:, perm]
    energy, force, virial, atom_energy, atom_virial = dp.eval(coord, frames["box"], frames["atype"][perm], atomic=True)
    np.testing.assert_allclose(energy, frames["pbc_energy"], atol=1e-12)
    np.testing.assert_allclose(force, frames["pbc_force"][:, perm], atol=1e-12)
    np.testing.assert_allclose(virial, frames["pbc_virial"], atol=1e-12)
    np.testing.assert_allclose(atom_energy, frames["pbc_atom_energy"][:, perm], atol=1e-12)
    np.testing.assert_allclose(atom_virial, frames["pbc_atom_virial"][:, perm], atol=1e-12)


def test_mixed_types_equal_single_frames(dp, frames):
    rng = np.random.default_rng(1)
    types = np.array([rng.permutation(frames["atype"]), frames["atype"], rng.integers(0, 2, 24)])
    mixed = dp.eval(frames["coord"], frames["box"], types, atomic=True, mixed_type=True)
    for k in range(3):
        single = dp.eval(frames["coord"][k], frames["box"][k], types[k], atomic=True)
        for key, a, b in zip(KEYS, mixed, single):
            np.testing.assert_allclose(a[k : k + 1], b, atol=1e-12, err_msg=key)


def test_absent_atoms_change_nothing(dp, frames):
    """Atoms of type -1 have no energy and no force, and the others do not feel them."""
    rng = np.random.default_rng(2)
    coord = frames["coord"].reshape(3, 24, 3)
    padded = np.concatenate([rng.uniform(0, 5, (3, 2, 3)), coord, rng.uniform(0, 5, (3, 3, 3))], axis=1)
    types = np.concatenate([[-1, -1], frames["atype"], [-1, -1, -1]])
    for kwargs in ({"atom_types": types}, {"atom_types": np.tile(types, (3, 1)), "mixed_type": True}):
        energy, force, virial, atom_energy, atom_virial = dp.eval(padded, frames["box"], atomic=True, **kwargs)
        check((energy, force[:, 2:26], virial, atom_energy[:, 2:26], atom_virial[:, 2:26]), frames)
        for value in (force, atom_energy, atom_virial):
            assert not value[:, :2].any() and not value[:, 26:].any()
    nobody = dp.eval(coord[:1], frames["box"][:1], [-1] * 24, atomic=True)
    assert all(not value.any() for value in nobody)


def test_no_atoms(dp):
    energy, force, virial, atom_energy, atom_virial = dp.eval(np.zeros((2, 0)), None, [], atomic=True)
    assert energy.shape == (2, 1) and force.shape == (2, 0, 3) and virial.shape == (2, 9)
    assert atom_energy.shape == (2, 0, 1) and atom_virial.shape == (2, 0, 9)
    assert not energy.any()


def test_one_atom(dp):
    energy, force, virial = dp.eval([1.0, 2.0, 3.0], None, [0])
    assert np.isfinite(energy).all() and not force.any() and not virial.any()


def test_parameter_forms(dp_params, model_dir):
    data = np.load(model_dir / "se_e2_a_fparam_aparam.npz")
    frame = (np.tile(data["coord"][0], 3), np.tile(data["box"][0], 3), data["atype"])
    full = dp_params.eval(*frame, fparam=np.tile(data["fparam"][0], (3, 1)), aparam=np.tile(data["aparam"][0], (3, 1)))
    short = dp_params.eval(*frame, fparam=data["fparam"][0], aparam=data["aparam"][0])
    for a, b in zip(full, short):
        np.testing.assert_array_equal(a, b)
    one = dp_params.eval(*frame, fparam=data["fparam"][0], aparam=[0.3])
    all_atoms = dp_params.eval(*frame, fparam=data["fparam"][0], aparam=np.full((3, 24, 1), 0.3))
    np.testing.assert_array_equal(one[1], all_atoms[1])
    assert dp_params.get_dim_fparam() == 2 and dp_params.get_dim_aparam() == 1


def test_aparam_follows_its_atom(dp_params, model_dir):
    data = np.load(model_dir / "se_e2_a_fparam_aparam.npz")
    perm = np.random.default_rng(3).permutation(24)
    coord = data["coord"].reshape(3, 24, 3)[:, perm]
    force = dp_params.eval(
        coord, data["box"], data["atype"][perm], fparam=data["fparam"], aparam=data["aparam"][:, perm]
    )[1]
    np.testing.assert_allclose(force, data["pbc_force"][:, perm], atol=1e-12)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({}, "needs 2 fparam"),
        ({"fparam": [0.0, 0.0]}, "needs 1 aparam"),
        ({"fparam": [0.0] * 5, "aparam": [0.0]}, "5 numbers given"),
        ({"fparam": [0.0, np.nan], "aparam": [0.0]}, "not finite"),
    ],
)
def test_parameter_mistakes(dp_params, frames, arguments, words):
    with pytest.raises(UserError, match=words):
        dp_params.eval(frames["coord"], frames["box"], frames["atype"], **arguments)


def test_parameters_for_a_model_without(dp, frames):
    with pytest.raises(UserError, match="takes none"):
        dp.eval(frames["coord"], frames["box"], frames["atype"], fparam=[1.0])


def test_getters(dp, dipole):
    assert dp.get_ntypes() == 2 and dp.get_type_map() == ["O", "H"]
    assert dp.get_rcut() == 4.0 and isinstance(dp.get_rcut(), np.float64)
    assert dp.get_sel_type() == [] and dipole.get_sel_type() == [0]
    assert dp.get_dim_fparam() == 0 and dp.get_dim_aparam() == 0
    assert dp.get_ntypes_spin() == 0 and dp.get_numb_dos() == 0
    assert not (dp.has_efield or dp.has_spin or dp.has_hessian or dp.has_default_fparam())
    assert dp.get_model_def_script()["descriptor"]["type"] == "se_e2_a"
    assert dp.get_model().get_operation_by_name("load/o_energy")
    assert dp.deep_eval.model_version == "1.1"
    size = dp.get_model_size()
    assert size["total"] == size["descriptor"] + size["fitting-net"]
    # per neighbor type 1-5-10-20; per center type (80-16-16-16-1 with two time steps)
    section = dp.get_model_def_script()
    widths = [1, *section["descriptor"]["neuron"]]
    embedding = 2 * sum(a * b + b for a, b in itertools.pairwise(widths))
    assert size["descriptor"] == embedding
    assert dp.get_observed_types() == {"type_num": 2, "observed_type": ["O", "H"]}
    with pytest.raises(KeyError, match="type embedding"):
        dp.eval_typeebd()


def test_descriptor_is_in_atom_order(dp, frames):
    full = dp.eval_descriptor(frames["coord"], frames["box"], frames["atype"])
    assert full.shape[:2] == (3, 24) and full.dtype == np.float64
    perm = np.random.default_rng(4).permutation(24)
    coord = frames["coord"].reshape(3, 24, 3)[:, perm]
    np.testing.assert_allclose(
        dp.eval_descriptor(coord, frames["box"], frames["atype"][perm]), full[:, perm], atol=1e-13
    )
    assert dp.eval_descriptor(frames["coord"], frames["box"], frames["atype"], dtype="fp32").dtype == np.float32


def test_class_is_chosen_and_checked(model_dir):
    for factory in (DeepPotential, DeepEval):
        with factory(model_dir / "dipole.pb") as model:
            assert type(model) is DeepDipole
    with pytest.raises(ModelTypeError, match="DeepDipole"):
        DeepPot(model_dir / "dipole.pb")
    assert issubclass(ModelTypeError, TypeError)


def test_dipole_derivatives(dipole, model_dir):
    data = np.load(model_dir / "dipole.npz")
    args = (data["coord"][:1], data["box"][:1], data["atype"])
    tensor, force, virial, atom, atom_virial = dipole.eval_full(*args, atomic=True)
    assert tensor.shape == (1, 3) and force.shape == (1, 3, 24, 3) and virial.shape == (1, 3, 9)
    assert atom.shape == (1, 24, 3) and atom_virial.shape == (1, 3, 24, 9)
    np.testing.assert_allclose(atom.sum(axis=1), tensor, atol=1e-12)
    np.testing.assert_allclose(atom_virial.sum(axis=2), virial, atol=1e-12)
    np.testing.assert_allclose(dipole.eval(*args, atomic=False), tensor, atol=1e-14)
    assert not atom[0, data["atype"] != 0].any()
    step = 1e-4
    for index in (0, 17, 50):
        moved = [data["coord"][0] + sign * step * np.eye(72)[index] for sign in (1, -1)]
        plus, minus = (dipole.eval(c, data["box"][0], data["atype"], atomic=False)[0] for c in moved)
        np.testing.assert_allclose(-(plus - minus) / (2 * step), force[0, :, index // 3, index % 3], atol=1e-8)


def test_external_neighbor_list(model_dir, frames):
    ase_nl = pytest.importorskip("ase.neighborlist")
    with DeepPot(model_dir / "se_e2_a.pb") as plain:
        rcut = float(plain.get_rcut())
    nlist = ase_nl.NewPrimitiveNeighborList(np.full(24, rcut / 2), skin=0.3)
    with DeepPot(model_dir / "se_e2_a.pb", neighbor_list=nlist) as model:
        for prefix, box in (("pbc_", frames["box"][:1]), ("nopbc_", None)):
            found = model.eval(frames["coord"][:1], box, frames["atype"], atomic=True)
            # The atomic virial of a pair sits on the neighbor; images are folded onto their atom as in the native list.
            check(found, frames, prefix, slice(0, 1))
        with pytest.raises(UserError, match="one frame"):
            model.eval(frames["coord"], frames["box"], frames["atype"])


def test_left_handed_cell(dp, frames):
    swapped = frames["box"].reshape(3, 3, 3)[:, [1, 0, 2]]
    check(dp.eval(frames["coord"], swapped, frames["atype"]), frames)


def test_derivatives_match_finite_differences(dp, frames):
    coord, box = frames["coord"][0], frames["box"][0].reshape(3, 3)
    force, virial = (frames[f"pbc_{key}"][0] for key in ("force", "virial"))
    step = 2e-4
    # fourth-order central differences of all coordinates at once
    shifts = np.array([-2, -1, 1, 2]) * step
    weights = np.array([1, -8, 8, -1]) / (12 * step)
    moved = np.concatenate([coord + h * np.eye(72) for h in shifts])
    energy = dp.eval(moved, np.tile(box.ravel(), (len(moved), 1)), frames["atype"])[0].reshape(4, 72)
    np.testing.assert_allclose(-weights @ energy, force.ravel(), atol=1e-8 * np.abs(force).max())
    strained = [(np.eye(3) + h * e) for h in shifts for e in np.eye(9).reshape(9, 3, 3)]
    coords = [coord.reshape(24, 3) @ s.T for s in strained]
    boxes = [box @ s.T for s in strained]
    energy = dp.eval(np.array(coords), np.array(boxes), frames["atype"])[0].reshape(4, 9)
    np.testing.assert_allclose(-weights @ energy, virial, atol=1e-8 * np.abs(virial).max())
