"""Every option of the losses against the formulas in NumPy."""

import numpy as np
import pytest

from dptf.errors import UserError
from dptf.loss.ener import EnergyLoss
from dptf.loss.property import PropertyLoss
from dptf.loss.tensor import TensorLoss
from dptf.ops import tf

NF, N, START, LR = 3, 5, 1e-2, 2.5e-3
RNG = np.random.default_rng(4)
OUT = {
    "energy": RNG.normal(size=NF), "force": RNG.normal(size=(NF, 3 * (N + 2))), "virial": RNG.normal(size=(NF, 9)),
    "atom_energy": RNG.normal(size=(NF, N)),
}  # fmt: skip
LABELS = {
    "energy": RNG.normal(size=NF), "force": RNG.normal(size=(NF, 3 * N)), "virial": RNG.normal(size=(NF, 9)),
    "atom_ener": RNG.normal(size=(NF, N)), "atom_pref": np.repeat(RNG.uniform(size=(NF, N)), 3, axis=1),
    "drdq": RNG.normal(size=(NF, 3 * N, 2)), "atom_ener_coeff": RNG.uniform(size=(NF, N)),
}  # fmt: skip
PREF = {"start_pref_e": 0, "limit_pref_e": 0, "start_pref_f": 0, "limit_pref_f": 0}


def pref(name, start=3.0, limit=0.5):
    return {f"start_pref_{name}": start, f"limit_pref_{name}": limit}


def scheduled(start=3.0, limit=0.5):
    return limit + (start - limit) * LR / START


def evaluate(loss, outputs, labels, missing=()):
    """Loss and metrics; `missing` labels have the find flag 0."""
    with tf.Graph().as_default(), tf.Session() as session:
        feeds = {k: tf.constant(np.ravel(v)) for k, v in labels.items()}
        feeds |= {f"find_{k}": tf.constant(float(k not in missing), tf.float32) for k in labels}
        out = {k: tf.constant(v) if isinstance(v, np.ndarray) else v for k, v in outputs.items()}
        natoms = tf.constant([N, N + 2, 2, 3])
        total, metrics = loss.build(out, feeds, natoms, tf.constant(LR, tf.float32))
        value, found = session.run([total, metrics])
    assert list(found) == loss.metric_names()
    return value, found


def huber(x, delta):
    x = abs(x)
    return np.where(x <= delta, 0.5 * x**2, delta * (x - 0.5 * delta)).mean()


DE = OUT["energy"] - LABELS["energy"]
DF = OUT["force"][:, : 3 * N] - LABELS["force"]
DV = OUT["virial"] - LABELS["virial"]
DA = OUT["atom_energy"] - LABELS["atom_ener"]
NORM = np.repeat(np.linalg.norm(LABELS["force"].reshape(NF, N, 3), axis=2), 3, axis=1)
DQ = np.einsum("fig,fi->fg", LABELS["drdq"], DF)
WEIGHTED = (LABELS["atom_ener_coeff"] * OUT["atom_energy"]).sum(axis=1) - LABELS["energy"]
CASES = {
    "e": (pref("e"), (DE**2).mean() / N, {"rmse_e": np.sqrt((DE**2).mean()) / N}),
    "e_intensive": (pref("e") | {"intensive_ener_virial": True}, (DE**2).mean() / N**2, {}),
    "f": (pref("f"), (DF**2).mean(), {"rmse_f": np.sqrt((DF**2).mean())}),
    "f_relative": (pref("f") | {"relative_f": 0.3}, ((DF / (NORM + 0.3)) ** 2).mean(), {}),
    "v": (pref("v"), (DV**2).mean() / N, {"rmse_v": np.sqrt((DV**2).mean()) / N}),
    "v_intensive": (pref("v") | {"intensive_ener_virial": True}, (DV**2).mean() / N**2, {}),
    "ae": (pref("ae"), (DA**2).mean(), {"rmse_ae": np.sqrt((DA**2).mean())}),
    "pf": (pref("pf"), (LABELS["atom_pref"] * DF**2).mean(), {}),
    "pf_relative": (
        pref("pf") | {"relative_f": 0.2}, (LABELS["atom_pref"] * (DF / (NORM + 0.2)) ** 2).mean(), {},
    ),
    "gf": (pref("gf") | {"numb_generalized_coord": 2}, (DQ**2).mean(), {"rmse_gf": np.sqrt((DQ**2).mean())}),
    "coeff": (pref("e") | {"enable_atom_ener_coeff": True}, (WEIGHTED**2).mean() / N, {}),
    "huber_e": (pref("e") | {"use_huber": True, "huber_delta": 0.1}, huber(DE / N, 0.1), {}),
    "huber_f": (pref("f") | {"use_huber": True, "huber_delta": [0.1, 0.4, 0.2]}, huber(DF, 0.4), {}),
    "huber_v": (pref("v") | {"use_huber": True, "huber_delta": [0.1, 0.4, 0.2]}, huber(DV / N, 0.2), {}),
    "huber_ae": (pref("ae") | {"use_huber": True, "huber_delta": [0.3, 0.4, 0.2]}, huber(DA, 0.3), {}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_energy_terms(name):
    section, expected, metrics = CASES[name]
    value, found = evaluate(EnergyLoss(PREF | section, START), OUT, LABELS)
    np.testing.assert_allclose(value, scheduled() * expected, rtol=1e-6)  # the rate is float32
    np.testing.assert_allclose(found["rmse"], np.sqrt(value), rtol=1e-12)
    for key, number in metrics.items():
        np.testing.assert_allclose(found[key], number, rtol=1e-12)


def test_default_weights_of_forces():
    """use_default_pf: atoms of systems without atom_pref.npy count 1."""
    loss = EnergyLoss(PREF | pref("pf", 2, 2) | {"use_default_pf": True}, START)
    assert {r.key: r.default for r in loss.label_requirements()}["atom_pref"] == 1.0
    labels = LABELS | {"atom_pref": np.ones_like(LABELS["atom_pref"])}
    value, _ = evaluate(loss, OUT, labels, missing=("atom_pref",))
    np.testing.assert_allclose(value, 2 * (DF**2).mean(), rtol=1e-12)


def test_energy_terms_add_up_and_missing_labels_count_nothing():
    section = PREF | pref("e", 1, 1) | pref("f", 2, 2) | pref("v", 3, 3) | pref("ae", 4, 4)
    loss = EnergyLoss(section, START)
    assert loss.metric_names() == ["rmse", "rmse_e", "rmse_ae", "rmse_f", "rmse_v"]
    value, found = evaluate(loss, OUT, LABELS, missing=("virial", "atom_ener"))
    np.testing.assert_allclose(value, (DE**2).mean() / N + 2 * (DF**2).mean(), rtol=1e-12)
    assert np.isnan(found["rmse_v"]) and np.isnan(found["rmse_ae"]) and np.isfinite(found["rmse_f"])


@pytest.mark.parametrize(
    "section, words",
    [
        (pref("gf"), "numb_generalized_coord"),
        (pref("pf") | {"use_huber": True}, "use_huber"),
        (pref("f") | {"use_huber": True, "relative_f": 1.0}, "use_huber"),
        (pref("f") | {"start_pref_h": 1.0}, "start_pref_h"),
        (pref("f") | {"loss_func": "mae"}, "loss_func"),
        (pref("f") | {"f_use_norm": True}, "f_use_norm"),
        ({}, "nothing to train"),
        (pref("e", -1.0), "must not be negative"),
    ],
)
def test_energy_options_that_are_refused(section, words):
    with pytest.raises(UserError, match=words):
        EnergyLoss(PREF | section, START)


class Fitting:
    """What losses ask of a fitting."""

    model_type, label, output_dim, ntypes, sel_type = "dipole", "dipole", 3, 2, [0]
    name, task_dim, intensive = "gap", 2, False


def test_tensor_weights():
    """enable_atomic_weight multiplies the differences of atoms."""
    atoms, label, weight = (RNG.normal(size=(NF, 2, k)) for k in (3, 3, 1))
    total = RNG.normal(size=(NF, 3))
    loss = TensorLoss({"pref": 2.0, "pref_atomic": 3.0, "enable_atomic_weight": True}, START, Fitting)
    outputs = {"dipole": atoms.reshape(NF, 6), "global_dipole": atoms.sum(axis=1)}
    value, found = evaluate(loss, outputs, {"atomic_dipole": label, "atomic_weight": weight, "dipole": total})
    local, whole = (((atoms - label) * weight) ** 2).mean(), ((atoms.sum(axis=1) - total) ** 2).mean()
    np.testing.assert_allclose(value, 3 * local + 2 * whole / 2, rtol=1e-12)
    np.testing.assert_allclose([found["rmse_lc"], found["rmse_gl"]], [np.sqrt(local), np.sqrt(whole) / 2], rtol=1e-12)
    assert loss.weight({"type": np.array([[0, 0, 1, 1, 1]] * NF)}) == 2.0


@pytest.mark.parametrize("function", ["smooth_mae", "mae", "mse", "rmse", "mape"])
def test_property_functions(function):
    value, label = RNG.normal(size=(NF, 2)), RNG.normal(size=(NF, 2))
    counted, bias, std = np.array([[5.0], [4.0], [5.0]]), RNG.normal(size=2), np.array([0.5, 2.0])
    loss = PropertyLoss({"loss_func": function, "metric": ["mae", "rmse"], "beta": 0.2}, START, Fitting)
    with tf.Graph().as_default(), tf.Session() as session:
        stat = [tf.constant(np.tile(x, (1, 2, 1))) for x in (bias, std)]
        outputs = {"property": tf.constant(value), "counted": tf.constant(counted), "out_stat": stat}
        total, metrics = loss.build(outputs, {"gap": tf.constant(label.ravel())}, None, None)
        found, metrics = session.run([total, metrics])
    x, y = (value / counted - bias) / std, (label / counted - bias) / std
    d = abs(x - y)
    expected = {
        "smooth_mae": np.where(d < 0.2, 0.5 * d**2 / 0.2, d - 0.1).sum(), "mae": d.sum(), "mse": (d**2).sum(),
        "rmse": np.sqrt((d**2).mean()), "mape": (d / (abs(y) + 1e-3)).mean(),
    }[function]  # fmt: skip
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    error = (value - label) / counted
    np.testing.assert_allclose(
        [metrics["mae"], metrics["rmse_prop"]], [abs(error).mean(), np.sqrt((error**2).mean())], rtol=1e-12
    )
