"""Models with spins: reference numbers, derivatives, both schemes and both forms of data."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from model_cases import BOX, COORD, TYPES
from toy import write_input, write_system

from dptf.cli.main import main
from dptf.errors import UserError
from dptf.fitting.base import solve_bias
from dptf.infer import DeepPot
from dptf.model.virtual_atoms import VirtualAtoms
from tests.dptf.exchange.trees import same_tree

SCHEMES = {
    "length": {"use_spin": [True, False], "virtual_len": [0.4], "spin_norm": [1.3]},
    "scale": {"use_spin": [False, True], "virtual_scale": [0.3]},
}
#: Descriptors with mixed lists: name of the case, section.
MIXED = {
    "dpa1": {
        "type": "se_atten", "sel": 40, "rcut": 3.5, "rcut_smth": 1.0, "neuron": [4, 8], "axis_neuron": 3, "attn_layer": 1,
        "attn": 4, "smooth_type_embedding": True, "seed": 1,
    },
    "dpa3": {
        "type": "dpa3", "seed": 1, "activation_function": "silut:3.0",
        "repflow": {
            "n_dim": 6, "e_dim": 5, "a_dim": 4, "nlayers": 2, "e_rcut": 3.5, "e_rcut_smth": 1.0, "e_sel": 60, "a_rcut": 3.0,
            "a_rcut_smth": 1.0, "a_sel": 40, "axis_neuron": 2, "smooth_edge_update": True,
        },
    },
}  # fmt: skip
RNG = np.random.default_rng(8)
SPIN = RNG.normal(size=(5, 3))


def write_spin_system(path, spin_type):
    """The toy system with spins and an energy of theirs, -s_x² / 10 per atom."""
    write_system(path, nframes=4)
    folder = path / "set.000"
    types = np.loadtxt(path / "type.raw", dtype=int)
    spin = np.random.default_rng(1).normal(size=(4, len(types), 3)) * (types == spin_type)[None, :, None]
    np.save(folder / "spin.npy", spin.reshape(4, -1))
    np.save(folder / "energy.npy", np.load(folder / "energy.npy") - 0.1 * (spin[..., 0] ** 2).sum(1))
    np.save(folder / "force_mag.npy", (0.2 * spin * [1, 0, 0]).reshape(4, -1))
    return path


@pytest.fixture(scope="module", params=[*SCHEMES, *(pytest.param(n, marks=pytest.mark.slow) for n in MIXED)])
def trained(request, tmp_path_factory):
    """A trained and frozen model: folder, scheme or descriptor."""
    root, scheme = tmp_path_factory.mktemp(request.param), SCHEMES.get(request.param, SCHEMES["scale"])
    descriptor = {"model__descriptor__sel": [20, 20]}
    if request.param in MIXED:
        descriptor = {"model__descriptor": MIXED[request.param]}
    system = write_spin_system(root / "a", scheme["use_spin"].index(True))
    with pytest.MonkeyPatch.context() as m:
        m.chdir(root)
        write_input(
            root, [system], model__spin=scheme, **descriptor, training__numb_steps=6,
            loss={"type": "ener_spin", "start_pref_v": 0.1, "limit_pref_v": 0.1},
        )  # fmt: skip
        assert main(["train", "input.json"]) == 0
        assert main(["freeze"]) == 0
    return root, request.param


def test_learning_curve(trained):
    root, _ = trained
    data = np.genfromtxt(root / "lcurve.out", names=True)
    columns = [name.replace("_trn", "") for name in data.dtype.names[1:]]
    assert columns == ["rmse", "rmse_e", "rmse_fr", "rmse_fm", "rmse_v", "lr"]
    magnetic = data[data.dtype.names[4]]
    assert np.isfinite(magnetic).all() and magnetic[0] > 0


def test_derivatives(trained):
    root, name = trained
    types = TYPES
    with DeepPot(root / "frozen_model.pb") as dp:
        assert dp.has_spin and dp.get_type_map() == ["A", "B"]
        energy = lambda x=COORD, s=SPIN, box=BOX: dp.eval(x, box, types, spin=s)[0][0, 0]  # noqa: E731
        _, force, virial, ae, av, fm, mask = dp.eval(COORD, BOX, types, atomic=True, spin=SPIN)
        assert mask[0, :, 0].tolist() == [(t == 0) == (name == "length") for t in types]
        np.testing.assert_allclose(ae.sum(), energy(), rtol=1e-12)
        np.testing.assert_allclose(av[0].sum(0), virial[0], atol=1e-12)
        h = 1e-4
        for atom, axis in ((0, 0), (1, 2), (3, 1), (4, 0)):
            step = np.zeros((5, 3))
            step[atom, axis] = h
            slope = (energy(COORD + step) - energy(COORD - step)) / (2 * h)
            np.testing.assert_allclose(force[0, atom, axis], -slope, atol=2e-7)
            slope = (energy(s=SPIN + step) - energy(s=SPIN - step)) / (2 * h)
            np.testing.assert_allclose(fm[0, atom, axis], -slope, atol=2e-7)
        assert abs(fm).max() > 1e-4 and np.all(fm[~mask[..., 0]] == 0)
        for a, b in ((0, 0), (1, 2)):
            strain = np.zeros((3, 3))
            strain[b, a] = h
            up, down = np.eye(3) + strain, np.eye(3) - strain
            slope = (energy(COORD @ up, box=BOX @ up) - energy(COORD @ down, box=BOX @ down)) / (2 * h)
            np.testing.assert_allclose(virial[0, 3 * a + b], -slope, atol=2e-7)


def test_exchange(trained, tmp_path, capsys):
    root, name = trained
    code = main(["convert-backend", str(root / "frozen_model.pb"), str(tmp_path / "m.dp")])
    assert code == 0
    assert ("for dptf alone" in capsys.readouterr().err) == (name == "length")
    assert main(["convert-backend", str(tmp_path / "m.dp"), str(tmp_path / "m.pb")]) == 0
    with DeepPot(root / "frozen_model.pb") as a, DeepPot(tmp_path / "m.pb") as b:
        for x, y in zip(a.eval(COORD, BOX, TYPES, spin=SPIN), b.eval(COORD, BOX, TYPES, spin=SPIN)):
            np.testing.assert_allclose(x, y, atol=1e-7)


def test_command_test(trained, tmp_path, capfd):
    """dp test tells forces on atoms and on spins apart, for both forms of data."""
    root, name = trained
    types = np.loadtxt(root / "a/type.raw", dtype=int)
    folder = root / "a/set.000"
    coord, spin, force, mag = (
        np.load(folder / f"{k}.npy").reshape(4, 12, 3) for k in ("coord", "spin", "force", "force_mag")
    )
    chosen = types == SCHEMES.get(name, SCHEMES["scale"])["use_spin"].index(True)
    ratio = 0.4 / 1.3 if name == "length" else 0.3
    old = tmp_path / "old"
    (old / "set.000").mkdir(parents=True)
    np.savetxt(old / "type.raw", [*types, *types[chosen] + 2], fmt="%d")
    joined = {
        "coord": np.concatenate([coord, coord[:, chosen] + ratio * spin[:, chosen]], axis=1),
        "force": np.concatenate([force, mag[:, chosen]], axis=1), "box": np.load(folder / "box.npy"),
        "energy": np.load(folder / "energy.npy"), "virial": np.load(folder / "virial.npy"),
    }  # fmt: skip
    for key, value in joined.items():
        np.save(old / f"set.000/{key}.npy", value.reshape(4, -1))
    lines = []
    for system, prefix in ((root / "a", tmp_path / "new"), (old, tmp_path / "virtual")):
        argv = ["test", "-m", str(root / "frozen_model.pb"), "-s", str(system), "-n", "4", "-d", str(prefix)]
        assert main(argv) == 0
        text = capfd.readouterr().err
        lines.append([line.split("INFO")[1] for line in text.splitlines() if "Force " in line])
        fr, fm = np.loadtxt(f"{prefix}.fr.out"), np.loadtxt(f"{prefix}.fm.out")
        assert fr.shape == (48, 6) and fm.shape == (4 * chosen.sum(), 6)
        assert "data_fmx" in Path(f"{prefix}.fm.out").read_text() and not Path(f"{prefix}.f.out").exists()
        np.testing.assert_allclose(fm[:, :3], mag[:, chosen].reshape(-1, 3))
        rmse = np.sqrt(np.mean((fm[:, :3] - fm[:, 3:]) ** 2))
        assert any(f"Force spin RMSE     : {rmse:e} eV/uB" in line for line in lines[-1])
    assert lines[0] == lines[1] and any("Force atom MAE" in line for line in lines[0])
    # Atomic energies: the labels of virtual atoms, which come last, are compared only where the model has such energies.
    with DeepPot(root / "frozen_model.pb") as dp:
        values = dp.eval(coord, np.load(folder / "box.npy"), types, atomic=True, spin=spin)[3][..., 0]
    np.save(old / "set.000/atom_ener.npy", np.pad(values + 0.5, ((0, 0), (0, chosen.sum()))))
    assert main(["test", "-m", str(root / "frozen_model.pb"), "-s", str(old), "-a"]) == 0
    told = re.search(r"Atomic ener RMSE +: (\S+) eV", capfd.readouterr().err)
    assert float(told[1]) == pytest.approx(0.5, rel=1e-6)


def test_bias_of_old_spins_is_shared_with_virtual_atoms():
    """The energy of the least norm over real and virtual types, whose sum a type with spin has."""
    counts, energy = np.array([[3.0, 5.0]] * 4), np.full(4, -7.0)
    bias = solve_bias(counts, energy, width=np.sqrt([2.0, 1.0]))
    apart = solve_bias(np.array([[3.0, 5.0, 3.0]] * 4), energy)
    np.testing.assert_allclose(bias, [apart[0] + apart[2], apart[1]], atol=1e-12)
    assert abs(bias - solve_bias(counts, energy)).max() > 0.05


def test_command_model_devi(trained, tmp_path):
    """Spins in the data count: errors against the labels are those of frames with spins."""
    root, _ = trained
    model, folder = str(root / "frozen_model.pb"), root / "a/set.000"
    out = str(tmp_path / "devi.out")
    assert main(["model-devi", "-m", model, model, "-s", str(root / "a"), "-o", out, "--real_error"]) == 0
    with DeepPot(model) as dp:
        coord, box, spin = (np.load(folder / f"{k}.npy") for k in ("coord", "box", "spin"))
        force = dp.eval(coord, box, np.loadtxt(root / "a/type.raw", dtype=int), spin=spin)[1]
        with pytest.raises(UserError, match="virtual atoms"):
            dp.eval_descriptor(coord, box, np.loadtxt(root / "a/type.raw", dtype=int), spin=spin)
    error = np.linalg.norm(force - np.load(folder / "force.npy").reshape(force.shape), axis=-1)
    np.testing.assert_allclose(np.loadtxt(out)[:, 4], error.max(1), rtol=1e-5)


def test_both_forms_of_data():
    """spin.npy, and virtual atoms written into the data, give the same batch."""
    atoms = VirtualAtoms(SCHEMES["length"], ["A", "B"])
    types = np.array([[0, 0, 1]] * 2)
    coord, spin, force, mag = (RNG.normal(size=(2, 9)) for _ in range(4))
    found = {"find_spin": 1.0, "find_force": 1.0, "find_force_mag": 1.0, "system": "s"}
    new = atoms.extend({"coord": coord, "type": types, "spin": spin, "force": force, "force_mag": mag, **found})
    old_coord = np.concatenate([coord, coord[:, :6] + spin[:, :6] * 0.4 / 1.3], axis=1)
    old = {
        "coord": old_coord,
        "type": np.array([[0, 0, 1, 2, 2]] * 2),
        "find_spin": 0.0,
        "find_force": 1.0,
        "system": "s",
    }
    old = atoms.extend(old | {"force": np.concatenate([force, mag[:, :6]], axis=1)})
    for key in ("coord", "type", "force", "find_force_mag"):
        np.testing.assert_allclose(new[key], old[key], err_msg=key)
    with pytest.raises(UserError, match=r"no spin\.npy"):
        atoms.extend({"coord": coord, "type": types, "find_spin": 0.0, "system": "s"})


@pytest.mark.parametrize(
    ("spin", "words"),
    [
        ({"use_spin": [False, True], "virtual_len": [0.4], "spin_norm": [1.0]}, "come first"),
        ({"use_spin": [True, False], "virtual_len": [0.4, 0.3], "spin_norm": [1.0]}, "needs 1 entries"),
        ({"use_spin": [False, False], "virtual_scale": 0.3}, "no type has a spin"),
        ({"use_spin": [True, False], "virtual_scale": 0.3, "scheme": "native"}, "only deepspin"),
        ({"use_spin": [True, False], "virtual_scale": -0.3}, "must be positive"),
    ],
)
def test_mistakes(spin, words):
    with pytest.raises(UserError, match=words):
        VirtualAtoms(spin, ["A", "B"])


def test_golden(golden, tmp_path):
    """Numbers of another backend: forces, magnetic forces, virials of atoms; and every number on the way back."""
    from dptf.exchange.tree import read_tree

    source, out = golden / "dp/spin.dp", tmp_path / "m.pb"
    assert main(["convert-backend", str(source), str(out)]) == 0
    data = np.load(golden / "dp/spin.npz")
    keys = ("energy", "force", "virial", "atom_energy", "atom_virial", "force_mag", "mask_mag")
    with DeepPot(out) as dp:
        for prefix, box in (("pbc_", data["box"]), ("nopbc_", None)):
            found = dp.eval(data["coord"], box, data["atype"], atomic=True, mixed_type=True, spin=data["spin"])
            for key, value in zip(keys, found):
                np.testing.assert_allclose(value, data[prefix + key], rtol=0, atol=1e-10, err_msg=prefix + key)
    assert main(["convert-backend", str(out), str(tmp_path / "back.dp")]) == 0
    same_tree(read_tree(tmp_path / "back.dp")["model"], read_tree(source)["model"])
