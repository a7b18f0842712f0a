"""The water example of DPA-3, a few steps: train, freeze, test, evaluate."""

import json
from pathlib import Path

import numpy as np
import pytest

from dptf.cli.main import main
from dptf.infer import DeepPot

WATER = Path(__file__).resolve().parents[2] / "examples" / "water"


def small_input():
    """The input of the example with smaller nets and absolute paths."""
    config = json.loads((WATER / "dpa3/input.json").read_text())
    for part in ("training_data", "validation_data"):
        config["training"][part]["systems"] = [
            str((WATER / "dpa3" / s).resolve()) for s in config["training"][part]["systems"]
        ]
    config["training"] |= {"numb_steps": 3, "disp_freq": 1, "save_freq": 3}
    config["model"]["data_stat_nbatch"] = 1
    config["model"]["descriptor"]["repflow"] |= {"n_dim": 12, "e_dim": 8, "a_dim": 4, "nlayers": 2}
    config["model"]["fitting_net"]["neuron"] = [12, 12]
    return config


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("dpa3")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        Path("input.json").write_text(json.dumps(small_input()))
        assert main(["train", "input.json"]) == 0
        assert main(["freeze", "-o", "frozen.pb"]) == 0
        assert main(["test", "-m", "frozen.pb", "-s", str(WATER / "data_3"), "-n", "2", "--json", "errors.json"]) == 0
    return path


def frame(k=0):
    load = lambda name: np.load(WATER / f"data_3/set.000/{name}.npy")[k]  # noqa: E731
    return load("coord"), load("box"), np.loadtxt(WATER / "data_3/type.raw", int)


@pytest.mark.slow
def test_learning_curve(folder):
    curve = np.genfromtxt(folder / "lcurve.out", names=True)
    assert all(np.isfinite(curve[name]).all() for name in curve.dtype.names)
    assert 0 < curve["rmse_f_val"].max() < 5.0


@pytest.mark.slow
def test_dp_test_reports_the_errors_of_the_evaluator(folder):
    average = json.loads((folder / "errors.json").read_text())["average"]
    model, difference = DeepPot(str(folder / "frozen.pb")), []
    for k in range(2):
        coord, box, types = frame(k)
        force = model.eval(coord[None], box[None], types)[1]
        difference.append(force.ravel() - np.load(WATER / "data_3/set.000/force.npy")[k])
    np.testing.assert_allclose(average["Force RMSE"], np.sqrt(np.mean(np.square(difference))), rtol=1e-4)


@pytest.mark.slow
def test_force_is_the_slope_of_the_energy(folder):
    """Along the force and along one random direction of all atoms; the model computes in single precision."""
    model = DeepPot(str(folder / "frozen.pb"))
    coord, box, types = frame()
    energy, force, virial = model.eval(coord[None], box[None], types)
    assert all(np.isfinite(x).all() for x in (energy, force, virial))
    force, h = force.ravel(), 0.02
    for way in (force, np.random.default_rng(0).normal(size=force.size)):
        way = way / np.linalg.norm(way)
        both = np.stack([coord + h * way, coord - h * way])
        e = model.eval(both, np.stack([box, box]), types)[0].ravel()
        np.testing.assert_allclose((e[0] - e[1]) / (2 * h), -force @ way, atol=2e-3 * np.linalg.norm(force))
