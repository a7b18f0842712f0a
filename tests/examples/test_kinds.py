"""The inputs of examples/spin, dplr, pair_table and qmmm run from training to test, for a few steps."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from dptf.cli.main import main
from dptf.infer import DeepPot

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def enter(tmp_path, monkeypatch):
    """Copy an example folder and go there; the copper data stay where they are."""

    def go(name):
        shutil.copytree(EXAMPLES / name, tmp_path / name)
        (tmp_path / "copper").symlink_to(EXAMPLES / "copper")
        monkeypatch.chdir(tmp_path / name)

    return go


def train(name, **training):
    """Train an input for two steps, freeze it as <name>.pb, and give the learning curve."""
    config = json.loads(Path(f"{name}.json").read_text())
    steps = min(2, config["training"]["numb_steps"])
    config["training"] |= {
        "numb_steps": steps,
        "disp_freq": 1,
        "save_ckpt": name,
        "disp_file": f"{name}.out",
    } | training
    config["training"]["validation_data"]["numb_btch"] = 1
    Path("short.json").write_text(json.dumps(config))
    assert main(["train", "short.json"]) == 0
    assert main(["freeze", "-c", name, "-o", f"{name}.pb"]) == 0
    return np.loadtxt(f"{name}.out") if steps else None


def errors(model, data):
    assert main(["test", "-m", f"{model}.pb", "-s", data, "-n", "2", "--json", "e.json"]) == 0
    return json.loads(Path("e.json").read_text())["average"]


def test_spin(enter):
    enter("spin")
    assert np.isfinite(train("input")).all()
    found = errors("input", "data_1")
    assert 0 < found["Force atom RMSE"] < 10 and 0 < found["Force spin RMSE"] < 10


@pytest.mark.slow
def test_long_range(enter):
    """The Ewald sum of the dipole model leaves the labels and comes back with the energies."""
    import runpy

    enter("dplr")
    runpy.run_path("make_data.py")["write"]("data_0", 3, 1)
    runpy.run_path("make_data.py")["write"]("data_1", 2, 2)
    assert np.isfinite(train("dw")).all() and np.isfinite(train("ener")).all()
    assert 0 < errors("ener", "data_1")["Force RMSE"] < 200  # the dipoles are not trained
    folder = Path("data_1/set.000")
    coord, box = np.load(folder / "coord.npy"), np.load(folder / "box.npy")
    with DeepPot("ener.pb") as dp, DeepPot("ener.pb", skip_modifier=True) as short:
        types = np.loadtxt("data_1/type.raw", dtype=int)
        whole, part = dp.eval(coord, box, types)[0], short.eval(coord, box, types)[0]
    assert np.abs(whole - part).min() > 1  # the Ewald sum of charges of several e


@pytest.mark.slow
def test_pair_tables(enter):
    enter("pair_table")
    for name in ("zbl", "dispersion", "mean"):
        curve = train(name)
        assert curve is None or np.isfinite(curve).all()
    coord, box = np.array([[[0, 0, 0], [0.6, 0, 0.0]]]), np.eye(3) * 20
    table = np.loadtxt("zbl.txt")
    with DeepPot("zbl.pb") as zbl, DeepPot("dispersion.pb") as sum_, DeepPot("mean.pb") as mean:
        energies = [dp.eval(coord, box, [0, 0])[0].item() for dp in (zbl, sum_, mean)]
        bias = zbl.deep_eval.constant("fitting_attr/t_bias_atom_e").item()
    # Below sw_rmin the table alone counts, with the bias of the atoms.
    assert energies[0] == pytest.approx(np.interp(0.6, *table.T) + 2 * bias, rel=1e-4)
    assert energies[2] == pytest.approx(0.5 * (energies[0] + energies[1]), abs=1e-9)


@pytest.mark.parametrize("name", ["range", "generalized_force"])
def test_qmmm(enter, name):
    enter("qmmm")
    curve = train(name)
    assert curve.shape[1] == (8 if name == "range" else 10) and np.isfinite(curve).all()
    assert 0 < errors(name, "data_1")["Force RMSE"] < 10


@pytest.mark.slow
def test_qmmm_pairs(enter):
    enter("qmmm")
    assert np.isfinite(train("pairwise")).all()
    assert main(["compress", "-i", "pairwise.pb", "-o", "small.pb"]) == 0
    whole, small = errors("pairwise", "data_1"), errors("small", "data_1")
    assert whole["Force RMSE"] == pytest.approx(small["Force RMSE"], rel=1e-6)
