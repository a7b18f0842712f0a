"""``dp test``: numbers, lines, files, and what it refuses."""

import json
import logging
import re

import numpy as np
import pytest

from dptf.cli.main import main


@pytest.fixture
def run(capfd, tmp_path, monkeypatch):
    """Run the command in an empty folder; gives status, and what it wrote to standard error."""
    monkeypatch.chdir(tmp_path)

    def call(*argv):
        status = main([str(a) for a in argv])
        return status, capfd.readouterr().err

    yield call
    logging.getLogger("dptf").handlers.clear()


@pytest.fixture
def make_system(tmp_path, frames):
    """Write a system of the reference frames with labels that are off by known noise."""

    def make(name, nframes=3, seed=0, sets=1, leave_out=(), types=None, **extra):
        rng = np.random.default_rng(seed)
        folder = tmp_path / name
        folder.mkdir(parents=True)
        types = frames["atype"] if types is None else types
        (folder / "type.raw").write_text(" ".join(map(str, types)))
        (folder / "type_map.raw").write_text("O H")
        data = {
            "coord": frames["coord"],
            "box": frames["box"],
            "energy": frames["pbc_energy"][:, 0] + rng.normal(size=3),
            "force": frames["pbc_force"].reshape(3, -1) + rng.normal(size=(3, 72)),
            "virial": frames["pbc_virial"] + rng.normal(size=(3, 9)),
            "atom_ener": frames["pbc_atom_energy"][..., 0] + rng.normal(size=(3, 24)),
            "atom_pref": rng.uniform(size=(3, 24)),
        } | extra
        for k, part in enumerate(np.array_split(np.arange(nframes), sets)):
            (folder / f"set.{k:03d}").mkdir()
            for key, value in data.items():
                if key not in leave_out:
                    np.save(folder / f"set.{k:03d}" / f"{key}.npy", value[part])
        return folder, data

    return make


def numbers(text):
    """Metric lines of every block of the log: list of dicts."""
    blocks, current = [], None
    for line in text.splitlines():
        if "testing system" in line or "weighted average" in line:
            current = {}
            blocks.append(current)
        match = re.search(r"INFO    (\S.*?) *: (\d\.\d{6}e[+-]\d\d)( .*)?$", line)
        if match:
            current[match[1]] = float(match[2])
    return blocks


def test_metrics_and_files(run, make_system, model_dir, frames, tmp_path):
    _, one = make_system("s/a", sets=2)
    _, two = make_system("s/b", nframes=2, seed=1)
    status, text = run("test", "-m", model_dir / "se_e2_a", "-s", "s", "-d", "out/res.v1", "-a", "--json", "res.json")
    assert status == 0
    blocks = numbers(text)
    assert len(blocks) == 3
    for block, data, n in ((blocks[0], one, 3), (blocks[1], two, 2)):
        de = (data["energy"] - frames["pbc_energy"][:, 0])[:n]
        df = (data["force"] - frames["pbc_force"].reshape(3, -1))[:n]
        dv = (data["virial"] - frames["pbc_virial"])[:n]
        weight = np.repeat(data["atom_pref"][:n], 3, axis=1)
        volume = np.abs(np.linalg.det(frames["box"][:n].reshape(-1, 3, 3)))[:, None]
        expected = {
            "Energy MAE": np.abs(de).mean(),
            "Energy RMSE": np.sqrt((de**2).mean()),
            "Energy MAE/Natoms": np.abs(de).mean() / 24,
            "Energy RMSE/Natoms": np.sqrt((de**2).mean()) / 24,
            "Force  MAE": np.abs(df).mean(),
            "Force  RMSE": np.sqrt((df**2).mean()),
            "Force weighted MAE": (weight * np.abs(df)).sum() / weight.sum(),
            "Force weighted RMSE": np.sqrt((weight * df**2).sum() / weight.sum()),
            "Virial MAE": np.abs(dv).mean(),
            "Virial RMSE": np.sqrt((dv**2).mean()),
            "Virial MAE/Natoms": np.abs(dv).mean() / 24,
            "Virial RMSE/Natoms": np.sqrt((dv**2).mean()) / 24,
            "Stress MAE": np.abs(dv / volume).mean(),
            "Stress RMSE": np.sqrt(((dv / volume) ** 2).mean()),
            "Atomic ener MAE": np.abs(data["atom_ener"] - frames["pbc_atom_energy"][..., 0])[:n].mean(),
            "Atomic ener RMSE": np.sqrt(((data["atom_ener"] - frames["pbc_atom_energy"][..., 0])[:n] ** 2).mean()),
        }
        assert block.keys() == expected.keys()
        for key, value in expected.items():
            assert np.isclose(block[key], value, rtol=1e-5), key
    both = np.concatenate(
        [one["energy"] - frames["pbc_energy"][:, 0], (two["energy"] - frames["pbc_energy"][:, 0])[:2]]
    )
    assert np.isclose(blocks[2]["Energy RMSE"], np.sqrt((both**2).mean()), rtol=1e-5)
    assert "Atomic ener MAE" not in blocks[2]
    assert re.search(r"Force  RMSE        : \S+ eV/Å$", text, re.M)
    assert "# number of test data : 3 \n" in text and "# number of systems : 2\n" in text

    rows = (tmp_path / "out/res.v1.e.out").read_text().splitlines()
    assert rows[0] == "# s/a: data_e pred_e" and rows[4] == "# s/b: data_e pred_e" and len(rows) == 7
    assert re.fullmatch(r"-?\d\.\d{18}e[+-]\d\d -?\d\.\d{18}e[+-]\d\d", rows[1])
    force = np.loadtxt(tmp_path / "out/res.v1.f.out")
    np.testing.assert_allclose(force[: 3 * 24, :3], one["force"].reshape(-1, 3), atol=1e-14)
    np.testing.assert_allclose(force[: 3 * 24, 3:], frames["pbc_force"].reshape(-1, 3), atol=1e-12)
    stress = np.loadtxt(tmp_path / "out/res.v1.s.out")
    volume = np.abs(np.linalg.det(frames["box"].reshape(-1, 3, 3)))[:, None]
    np.testing.assert_allclose(stress[:3, :9], -one["virial"] / volume, atol=1e-14)
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        f"res.v1.{k}.out" for k in ("e", "e_peratom", "f", "v", "v_peratom", "s")
    }
    report = json.loads((tmp_path / "res.json").read_text())
    assert [s["system"] for s in report["systems"]] == ["s/a", "s/b"]
    assert np.isclose(report["systems"][0]["errors"]["Force RMSE"], blocks[0]["Force  RMSE"], rtol=1e-6)
    assert np.isclose(report["average"]["Energy RMSE"], blocks[2]["Energy RMSE"], rtol=1e-6)


def test_chunks_and_atom_order_change_nothing(run, make_system, model_dir, frames, monkeypatch):
    perm = np.random.default_rng(5).permutation(24)
    _, data = make_system("a")
    make_system(
        "b", types=frames["atype"][perm], coord=frames["coord"].reshape(3, 24, 3)[:, perm].reshape(3, -1),
        force=data["force"].reshape(3, 24, 3)[:, perm].reshape(3, -1), energy=data["energy"], virial=data["virial"],
        atom_ener=data["atom_ener"][:, perm], atom_pref=data["atom_pref"][:, perm],
    )  # fmt: skip
    monkeypatch.setenv("DP_TEST_CHUNK_ATOMS", "25")
    status, text = run("test", "-m", model_dir / "se_e2_a.pb", "-s", ".", "-a", "-d", "x")
    a, b, _ = numbers(text)
    assert status == 0 and a.keys() == b.keys()
    for key in a:
        assert np.isclose(a[key], b[key], rtol=2e-6), key
    assert open("x.e.out").read().count("# ./a") == 1


def test_number_of_frames(run, make_system, model_dir, frames):
    _, data = make_system("a", sets=3)
    _, text = run("test", "-m", model_dir / "se_e2_a.pb", "-s", "a", "-n", "2")
    assert np.isclose(
        numbers(text)[0]["Energy MAE"], np.abs(data["energy"] - frames["pbc_energy"][:, 0])[:2].mean(), rtol=1e-5
    )
    shuffled = [
        run("test", "-m", model_dir / "se_e2_a.pb", "-s", "a", "-n", "1", "--shuffle-test", "-r", k)[1]
        for k in (1, 1, 2, 3, 4)
    ]
    energies = [numbers(t)[0]["Energy MAE"] for t in shuffled]
    assert energies[0] == energies[1] and len(set(energies)) > 1


def test_missing_labels_are_left_out(run, make_system, model_dir, tmp_path):
    make_system("a", leave_out=("virial", "force", "atom_pref"))
    status, text = run("test", "-m", model_dir / "se_e2_a.pb", "-s", "a", "-d", "x")
    assert status == 0
    assert set(numbers(text)[0]) == {"Energy MAE", "Energy RMSE", "Energy MAE/Natoms", "Energy RMSE/Natoms"}
    assert sorted(p.name for p in tmp_path.glob("x*")) == ["x.e.out", "x.e_peratom.out"]


def test_label_in_one_set_only(run, make_system, model_dir, frames):
    folder, data = make_system("a", sets=3)
    (folder / "set.001/energy.npy").unlink()
    _, text = run("test", "-m", model_dir / "se_e2_a.pb", "-s", "a")
    found = np.abs(data["energy"] - frames["pbc_energy"][:, 0])[[0, 2]].mean()
    assert np.isclose(numbers(text)[0]["Energy MAE"], found, rtol=1e-5)


def test_nothing_to_compare(run, make_system, model_dir):
    make_system("a", leave_out=("energy", "force", "virial", "atom_pref"))
    status, text = run("test", "-m", model_dir / "se_e2_a.pb", "-s", "a")
    assert status == 0 and "WARNING a has none of the labels energy, force, virial" in text
    status, text = run("test", "-m", model_dir / "se_e2_a.pb", "-s", "a", "-a")
    assert status == 0
    make_system("b", leave_out=("atom_ener",))
    status, text = run("test", "-m", model_dir / "se_e2_a.pb", "-s", "b", "-a")
    assert status == 1 and "atom_ener.npy is required" in text


def test_open_boundaries_have_no_virial(run, make_system, model_dir, frames):
    folder, data = make_system("a", leave_out=("box",))
    (folder / "nopbc").touch()
    status, text = run("test", "-m", model_dir / "se_e2_a.pb", "-s", "a")
    block = numbers(text)[0]
    assert status == 0 and not any("Virial" in key or "Stress" in key for key in block)
    assert np.isclose(block["Energy MAE"], np.abs(data["energy"] - frames["nopbc_energy"][:, 0]).mean(), rtol=1e-5)


def test_left_handed_cell_gives_the_same(run, make_system, model_dir, frames):
    swapped = frames["box"].reshape(3, 3, 3)[:, [1, 0, 2]].reshape(3, 9)
    make_system("a")
    make_system("b", box=swapped)
    _, text = run("test", "-m", model_dir / "se_e2_a.pb", "-s", ".")
    a, b, _ = numbers(text)
    for key in a:
        assert np.isclose(a[key], b[key], rtol=2e-6), key


def test_mixed_type_system(run, make_system, model_dir, frames):
    """Padding atoms count neither in the forces nor in the number of atoms."""
    _, data = make_system("a")
    make_system(
        "m", types=[0] * 26, coord=np.concatenate([frames["coord"], np.zeros((3, 6))], axis=1), energy=data["energy"],
        force=np.concatenate([data["force"], np.zeros((3, 6))], axis=1), virial=data["virial"],
        real_atom_types=np.concatenate([np.tile(frames["atype"], (3, 1)), -np.ones((3, 2), int)], axis=1),
        leave_out=("atom_ener", "atom_pref"),
    )  # fmt: skip
    _, text = run("test", "-m", model_dir / "se_e2_a.pb", "-s", ".")
    a, m, _ = numbers(text)
    for key in m:
        assert np.isclose(a[key], m[key], rtol=2e-6), key


def test_where_systems_come_from(run, make_system, model_dir, tmp_path):
    make_system("data/a")
    make_system("data/b")
    (tmp_path / "list").write_text("\n  data/a \n# data/x\n\ndata/b\n")
    status, text = run("test", "-m", model_dir / "se_e2_a.pb", "-f", "list")
    assert status == 0 and len(numbers(text)) == 3
    (tmp_path / "empty").write_text("\n#\n")
    status, text = run("test", "-m", model_dir / "se_e2_a.pb", "-f", "empty")
    assert status == 1 and "empty: names no system" in text
    status, text = run("test", "-m", model_dir / "se_e2_a.pb", "-s", "nowhere")
    assert status == 1 and "nowhere" in text


def test_systems_of_an_input(run, make_system, model_dir, tmp_path, monkeypatch):
    """Paths in the input are relative to the input, not to the working directory."""
    make_system("project/data/a")
    script = {
        "model": {
            "type_map": ["O", "H"],
            "descriptor": {"type": "se_e2_a", "sel": [20, 40], "rcut": 4.0},
            "fitting_net": {},
        },
        "learning_rate": {"start_lr": 1e-3},
        "loss": {},
        "training": {"training_data": {"systems": "data/a"}, "numb_steps": 1},
    }
    (tmp_path / "project/input.json").write_text(json.dumps(script))
    status, text = run("test", "-m", model_dir / "se_e2_a.pb", "--train-data", "project/input.json")
    assert status == 0, text
    assert len(numbers(text)) == 2
    status, text = run("test", "-m", model_dir / "se_e2_a.pb", "--valid-data", "project/input.json")
    assert status == 1 and "no section training/validation_data" in text


@pytest.mark.parametrize(
    "key, index, value, words",
    [
        ("coord", (1, 17), np.nan, r"a/set.000/coord.npy: frame 1, atom 5 holds nan"),
        ("force", (2, 3), np.inf, r"a/set.000/force.npy: frame 2, atom 1 holds inf"),
        ("energy", 1, np.nan, r"a/set.000/energy.npy: frame 1 holds nan"),
        ("box", slice(None), 0.0, r"a/set.000/box.npy"),
    ],
)
def test_bad_numbers_are_named(run, make_system, model_dir, key, index, value, words):
    folder, data = make_system("a")
    data[key] = data[key].copy()
    data[key][index] = value
    np.save(folder / "set.000" / f"{key}.npy", data[key])
    status, text = run("test", "-m", model_dir / "se_e2_a.pb", "-s", "a")
    assert status == 1 and re.search(words, text) and "Traceback" not in text


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("no.pb", None, "no.pb: no such model file"),
        ("empty.pb", b"", "empty.pb: the model file is empty"),
        ("text.pb", b"hello", "not a frozen TensorFlow graph"),
        ("m.pth", b"PK", "belongs to another backend"),
        ("m.dp", b"", "dp convert-backend m.dp m.pb"),
    ],
)
def test_bad_models(run, make_system, tmp_path, name, content, words):
    make_system("a")
    if content is not None:
        (tmp_path / name).write_bytes(content)
    status, text = run("test", "-m", name, "-s", "a")
    assert status == 1 and words in text and "Traceback" not in text


def test_other_mistakes(run, make_system, model_dir, tmp_path):
    make_system("a", types=[0] * 24)
    (tmp_path / "a/type_map.raw").write_text("Si H")
    status, text = run("test", "-m", model_dir / "se_e2_a.pb", "-s", "a")
    assert status == 1 and "Si" in text and "a/type_map.raw" in text
    status, text = run("test", "-m", model_dir / "se_e2_a.pb", "-s", "a", "-n", "-3")
    assert status == 1 and "-n/--numb-test: is -3" in text
    (tmp_path / "file").touch()
    status, text = run("test", "-m", model_dir / "se_e2_a.pb", "-s", "a", "-d", "file/x")
    assert status == 1 and "file" in text


def test_dipole(run, make_system, model_dir, tmp_path):
    data = np.load(model_dir / "dipole.npz")
    rng = np.random.default_rng(3)
    selected = data["atype"] == 0
    atomic = data["pbc_dipole_0"][:, selected]
    noise = rng.normal(size=atomic.shape)
    make_system("a", dipole=atomic.sum(axis=1) + noise.sum(axis=1), atomic_dipole=(atomic + noise).reshape(3, -1))
    status, text = run("test", "-m", model_dir / "dipole.pb", "-s", "a", "-d", "t")
    block, count = numbers(text)[0], selected.sum()
    total = np.sqrt((noise.sum(axis=1) ** 2).mean())
    assert status == 0
    assert np.isclose(block["Dipole  RMSE"], total, rtol=1e-5)
    assert np.isclose(block["Dipole  RMSE/sqrtN"], total / np.sqrt(count), rtol=1e-5)
    assert np.isclose(block["Dipole  RMSE/N"], total / count, rtol=1e-5)
    assert np.loadtxt(tmp_path / "t.out").shape == (3, 6)
    status, text = run("test", "-m", model_dir / "dipole.pb", "-s", "a", "-a", "-d", "u")
    assert np.isclose(numbers(text)[0]["Dipole  RMSE"], np.sqrt((noise**2).mean()), rtol=1e-5)
    assert np.loadtxt(tmp_path / "u.out").shape == (3, 6 * count)
    # labels of all atoms serve as well as those of the selected ones
    full = np.zeros((3, 24, 3))
    full[:, selected] = atomic + noise
    np.save(tmp_path / "a/set.000/atomic_dipole.npy", full.reshape(3, -1))
    assert numbers(run("test", "-m", model_dir / "dipole.pb", "-s", "a", "-a")[1])[0] == numbers(text)[0]


def test_picture(run, make_system, model_dir, tmp_path):
    pytest.importorskip("matplotlib")
    make_system("s/a")
    make_system("s/b", leave_out=("virial",), seed=1)
    status, text = run("test", "-m", model_dir / "se_e2_a.pb", "-s", "s", "--plot", "parity.png")
    assert status == 0 and "wrote parity.png" in text
    assert (tmp_path / "parity.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("option, name", [("--plot", "no/p.png"), ("--json", "no/r.json"), ("--json", "s")])
def test_targets_are_checked_first(run, make_system, model_dir, option, name):
    make_system("s/a")
    status, text = run("test", "-m", model_dir / "se_e2_a.pb", "-s", "s", option, name)
    assert status == 1 and option in text and "testing system" not in text and "Traceback" not in text
