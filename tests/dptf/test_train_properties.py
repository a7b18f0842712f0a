"""Training, freezing and testing models of dipoles, polarizabilities, densities of states and properties."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from toy import write_input, write_system, write_tensors

from dptf.cli.main import main
from dptf.infer import DeepPotential

FITTINGS = {
    "dipole": ({"type": "dipole", "sel_type": [0]}, {"type": "tensor", "pref": 1.0, "pref_atomic": 1.0}),
    "polar": ({"type": "polar", "sel_type": 0, "scale": [2.0, 1.0]}, {"type": "tensor", "pref": 0.0, "pref_atomic": 1.0}),
    "polar_full": (
        {"type": "polar", "sel_type": [0], "fit_diag": False},
        {"type": "tensor", "pref": 1.0, "pref_atomic": 0.0},
    ),
    "dos": (
        {"type": "dos", "numb_dos": 4},
        {"start_pref_dos": 1, "limit_pref_dos": 1, "start_pref_cdf": 1, "limit_pref_cdf": 1, "start_pref_acdf": 0.1},
    ),
    "property": (
        {"type": "property", "property_name": "gap", "task_dim": 2, "intensive": True},
        {"metric": ["mae", "rmse", "mape"]},
    ),
}  # fmt: skip
COLUMNS = {
    "dipole": ["rmse", "rmse_lc", "rmse_gl"],
    "polar": ["rmse", "rmse_lc"],
    "polar_full": ["rmse", "rmse_gl"],
    "dos": ["rmse", "rmse_dos", "rmse_ados", "rmse_cdf", "rmse_acdf"],
    "property": ["rmse", "mae", "rmse_prop", "mape"],
}


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    return write_tensors(write_system(tmp_path_factory.mktemp("data") / "a", nframes=8))


@pytest.fixture(scope="module", params=FITTINGS)
def trained(request, system, tmp_path_factory):
    """Name of the property and folder of a short run with its frozen model."""
    folder = tmp_path_factory.mktemp(request.param)
    fitting, loss = FITTINGS[request.param]
    path = write_input(folder, [system], loss=loss, training__numb_steps=60, training__disp_freq=20)
    config = json.loads(path.read_text())
    config["model"]["fitting_net"] |= fitting
    config["training"]["validation_data"] = {"systems": [str(system)], "batch_size": 8}
    path.write_text(json.dumps(config))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["train", "input.json"]) == 0
        assert main(["freeze", "-o", "m.pb"]) == 0
    return request.param, folder


def test_learning_curve(trained):
    """Columns are those of the loss, and the error falls."""
    name, folder = trained
    curve = np.genfromtxt(folder / "lcurve.out", names=True)
    expected = [f"{m}_{which}" for m in COLUMNS[name] for which in ("val", "trn")]
    assert list(curve.dtype.names) == ["step", *expected, "lr"]
    assert curve["rmse_val"][-1] < 0.9 * curve["rmse_val"][0]


def rms(x):
    return np.sqrt(np.mean(x**2))


def expected_metrics(name, frame, atoms, labels, natoms):
    """Metrics by their formulas, from results (of frames, of atoms) and labels."""
    if name == "dos":
        d, a = frame - labels["dos"], atoms - labels["atom_dos"]
        out = {"dos": rms(d) / natoms, "ados": rms(a), "cdf": rms(d.cumsum(-1)) / natoms, "acdf": rms(a.cumsum(-1))}
        out = {f"rmse_{k}": v for k, v in out.items()}
        loss = natoms * (out["rmse_dos"] ** 2 + out["rmse_cdf"] ** 2) + out["rmse_ados"] ** 2
        return out, loss + 0.1 * out["rmse_acdf"] ** 2 * labels["decay"]
    if name == "property":
        d = frame - labels["gap"]
        return {"mae": abs(d).mean(), "rmse_prop": rms(d), "mape": (abs(d) / (abs(labels["gap"]) + 1e-3)).mean()}, None
    key = "dipole" if name == "dipole" else "polarizability"
    nsel = labels[f"atomic_{key}"].shape[1]
    local, total = rms(atoms[:, labels["chosen"]] - labels[f"atomic_{key}"]), rms(frame - labels[key]) / nsel
    pref = FITTINGS[name][1]
    out = {"rmse_lc": local} if pref["pref_atomic"] else {}
    out |= {"rmse_gl": total} if pref["pref"] else {}
    return out, pref["pref_atomic"] * local**2 + pref["pref"] * total**2 * nsel


def test_frozen_model(trained, system):
    """Errors of the frozen graph are those of the last line of the learning curve, by the formulas of the loss."""
    name, folder = trained
    types = np.loadtxt(system / "type.raw", dtype=int)
    set0, chosen = system / "set.000", types == 0
    load = lambda key, *shape: np.load(set0 / f"{key}.npy").reshape(8, *shape)  # noqa: E731
    labels = {
        "dos": load("dos", 4), "atom_dos": load("atom_dos", 12, 4), "gap": load("gap", 2), "chosen": chosen,
        **{f"atomic_{k}": load(f"atomic_{k}", chosen.sum(), w) for k, w in (("dipole", 3), ("polarizability", 9))},
        **{k: load(k, w) for k, w in (("dipole", 3), ("polarizability", 9))},
    }  # fmt: skip
    last = np.genfromtxt(folder / "lcurve.out", names=True)[-1]
    labels["decay"] = last["lr"] / 0.003
    with DeepPotential(str(folder / "m.pb")) as model:
        args = load("coord", 36), load("box", 9), types
        full = getattr(model, "eval_full", model.eval)(*args, atomic=True)
        frame, atoms = (full[0], full[3]) if len(full) > 2 else full
    metrics, loss = expected_metrics(name, frame, atoms, labels, 12)
    for key, value in metrics.items():
        np.testing.assert_allclose(last[f"{key}_val"], value, rtol=6e-3, err_msg=key)
    if loss is not None:
        np.testing.assert_allclose(last["rmse_val"], np.sqrt(loss), rtol=8e-3)
