"""``dp change-bias`` and ``dp transfer``."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from toy import write_input, write_system, write_tensors

from dptf.cli.main import main
from dptf.graph.load import constant, load_graph_def
from dptf.infer import DeepPot, DeepPotential

BIAS = "fitting_attr/t_bias_atom_e"
SHIFT = np.array([1.5, -0.25])


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    """Labelled frames; beside them a system with shifted energies."""
    root = tmp_path_factory.mktemp("data")
    a, b = (write_tensors(write_system(root / name, nframes=6)) for name in "ab")
    types = np.loadtxt(a / "type.raw", dtype=int)
    for key in ("energy", "dos", "gap"):
        values = np.load(b / f"set.000/{key}.npy")
        np.save(b / f"set.000/{key}.npy", values + (SHIFT[types].sum() if key == "energy" else 2.0))
    return a, b


@pytest.fixture(scope="module")
def trained(system, tmp_path_factory):
    """Folder of a short run with a checkpoint and its frozen model."""
    folder = tmp_path_factory.mktemp("run")
    write_input(folder, system[:1], training__numb_steps=4, training__save_freq=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["train", "input.json"]) == 0
        assert main(["freeze", "-o", "m.pb"]) == 0
    return folder


def energies(path, system):
    with DeepPot(str(path)) as dp:
        coord, box = (np.load(system / f"set.000/{key}.npy") for key in ("coord", "box"))
        return dp.eval(coord, box, np.loadtxt(system / "type.raw", dtype=int))[0][:, 0]


@pytest.mark.parametrize("mode", ["change", "set"])
def test_frozen_model(trained, system, tmp_path, mode):
    """Least squares by hand: one composition, so the shift is shared by minimum norm."""
    out, (_, other) = tmp_path / "new.pb", system
    args = ["change-bias", str(trained / "m.pb"), "-s", str(other), "-m", mode, "-o", str(out)]
    assert main(args) == 0
    label, old = np.load(other / "set.000/energy.npy"), energies(trained / "m.pb", other)
    old_bias, new_bias = (constant(load_graph_def(p), BIAS) for p in (trained / "m.pb", out))
    counts = np.array([4.0, 8.0])
    target = (label - old).mean() if mode == "change" else label.mean()
    expected = counts * target / (counts @ counts) + (old_bias if mode == "change" else 0.0)
    np.testing.assert_allclose(new_bias, expected, atol=1e-12)
    np.testing.assert_allclose(energies(out, other) - old, counts @ (new_bias - old_bias), atol=1e-10)


def test_values(trained, system, tmp_path, monkeypatch):
    """-b needs no data; the default output is beside the input; nothing else is touched."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.pb").write_bytes((trained / "m.pb").read_bytes())
    (tmp_path / "lcurve.out").write_text("mine")
    assert main(["change-bias", "m.pb", "-b", "-1.5", "2.5"]) == 0
    np.testing.assert_array_equal(constant(load_graph_def("m_updated.pb"), BIAS), [-1.5, 2.5])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["lcurve.out", "m.pb", "m_updated.pb"]
    assert (tmp_path / "lcurve.out").read_text() == "mine"


def test_checkpoint(trained, system, tmp_path, monkeypatch):
    """A copy of the checkpoint and its frozen model; training goes on from the copy."""
    monkeypatch.chdir(trained)
    before = (trained / "model.ckpt-4.index").read_bytes()
    args = ["change-bias", "model.ckpt", "-s", str(system[1]), "-n", "3", "-o", str(tmp_path / "c.pb")]
    assert main(args) == 0
    assert (trained / "model.ckpt-4.index").read_bytes() == before
    new, old = (energies(path, system[1]) for path in (tmp_path / "c.pb", trained / "m.pb"))
    np.testing.assert_allclose(new - old, (new - old).mean(), atol=1e-10)
    label = np.load(system[1] / "set.000/energy.npy")
    assert abs((new - label).mean()) < 0.2 < abs((old - label).mean())
    config = json.loads((trained / "input.json").read_text())
    config["training"] |= {"numb_steps": 5, "save_ckpt": str(tmp_path / "again"), "disp_file": str(tmp_path / "l")}
    (tmp_path / "i.json").write_text(json.dumps(config))
    args = ["train", str(tmp_path / "i.json"), "--restart", "model.ckpt_updated/model.ckpt", "-o", str(tmp_path / "o")]
    assert main(args) == 0


@pytest.mark.parametrize("fitting", [
    {"type": "dos", "numb_dos": 4}, {"type": "property", "property_name": "gap", "task_dim": 2, "intensive": True},
], ids=lambda f: f["type"])  # fmt: skip
def test_other_properties(system, tmp_path, monkeypatch, fitting):
    """The mean error of a DOS or a property on other data vanishes."""
    monkeypatch.chdir(tmp_path)
    path = write_input(tmp_path, system[:1], loss={}, training__numb_steps=1)
    config = json.loads(path.read_text())
    config["model"]["fitting_net"] |= fitting
    path.write_text(json.dumps(config))
    assert main(["train", "input.json"]) == 0
    assert main(["freeze", "-o", "m.pb"]) == 0
    assert main(["change-bias", "m.pb", "-s", str(system[1]), "-o", "n.pb"]) == 0
    key = "dos" if fitting["type"] == "dos" else "gap"
    coord, box, label = (np.load(system[1] / f"set.000/{k}.npy") for k in ("coord", "box", key))
    with DeepPotential("n.pb") as model:
        value = model.eval(coord, box, [0, 1, 1] * 4)[0]
    np.testing.assert_allclose((value - label).mean(axis=0), 0.0, atol=1e-10)
    assert main(["test", "-m", "n.pb", "-s", str(system[1]), "-d", "d", "--json", "e.json"]) == 0
    errors = json.loads(Path("e.json").read_text())["systems"][0]["errors"]
    rmse = errors["DOS RMSE" if key == "dos" else "Property RMSE"]
    np.testing.assert_allclose(rmse, np.sqrt(np.mean((value - label) ** 2)))
    if key == "gap":
        rows = np.loadtxt("d.property.out")
        np.testing.assert_allclose(rows, np.hstack([label, value]))


def test_mistakes(trained, system, tmp_path, capsys, golden):
    run = lambda *args: (main(["change-bias", *map(str, args)]), capsys.readouterr().err)  # noqa: E731
    status, error = run(trained / "m.pb", "-b", 1.0)
    assert status == 1 and "gives 1 values; the model needs 2 values" in error
    status, error = run(golden / "pb/dipole.pb", "-s", system[0], "-o", tmp_path / "x.pb")
    assert status == 1 and "type 'dipole', which has no bias" in error
    status, error = run(trained / "m.pb", "-s", system[0], "-n", -1)
    assert status == 1 and "-n" in error
    assert not (tmp_path / "x.pb").exists()


def test_transfer(trained, system, tmp_path, monkeypatch, capsys):
    """All arrays come from the old model, so its energies do; other structures are refused."""
    monkeypatch.chdir(tmp_path)
    for name, change in (("other", {"model__fitting_net": {"neuron": [10, 10], "seed": 9}}),
                         ("wide", {"model__fitting_net": {"neuron": [8, 8]}})):  # fmt: skip
        folder = tmp_path / name
        folder.mkdir()
        path = write_input(folder, system[:1], training__numb_steps=1, **change)
        monkeypatch.chdir(folder)
        assert main(["train", str(path)]) == 0
        assert main(["freeze", "-o", str(tmp_path / f"{name}.pb")]) == 0
    monkeypatch.chdir(tmp_path)
    old = str(trained / "m.pb")
    assert main(["transfer", "-r", "other.pb", "-O", old, "-o", "new.pb"]) == 0
    assert "layer_0_type_1/matrix is passed" in capsys.readouterr().err
    np.testing.assert_allclose(energies("new.pb", system[0]), energies(old, system[0]), rtol=0, atol=1e-12)
    assert main(["transfer", "-r", "wide.pb", "-O", old, "-o", "bad.pb"]) == 1
    assert "has shape" in capsys.readouterr().err and not Path("bad.pb").exists()


def test_composed_models(tmp_path, monkeypatch, capfd):
    """Of a sum the first member with a bias takes the correction, times its weight; in training and of frozen graphs."""
    monkeypatch.chdir(tmp_path)
    system = write_system(tmp_path / "a", nframes=4)
    config = json.loads(write_input(tmp_path, [system], training__numb_steps=1).read_text())
    member = config["model"] | {"type": "standard"}
    member.pop("type_map")
    config["model"] = {
        "type": "linear_ener", "type_map": ["A", "B"], "models": [member, member], "weights": [0.5, 0.25],
    }  # fmt: skip
    config["training"]["change_bias_after_training"] = True
    energy = np.load(system / "set.000/energy.npy")
    (tmp_path / "sum.json").write_text(json.dumps(config))
    assert main(["train", "sum.json"]) == 0
    assert main(["freeze", "-o", "m.pb"]) == 0

    def mean_error(model):
        with DeepPot(model) as dp:
            coord, box = np.load(system / "set.000/coord.npy"), np.load(system / "set.000/box.npy")
            found = dp.eval(coord, box, np.loadtxt(system / "type.raw", dtype=int))[0].ravel()
        return float((found - np.load(system / "set.000/energy.npy").ravel()).mean())

    assert abs(mean_error("m.pb")) < 1e-6
    np.save(system / "set.000/energy.npy", energy + 1.0)
    assert main(["change-bias", "m.pb", "-s", str(system), "-o", "n.pb"]) == 0
    assert abs(mean_error("n.pb")) < 1e-6
    assert main(["change-bias", "m.pb", "-m", "set", "-s", str(system), "-o", "x.pb"]) == 1
    assert "--mode change" in capfd.readouterr().err
