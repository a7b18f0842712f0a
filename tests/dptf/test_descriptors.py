"""Descriptors of the smooth-edition family: derivatives, symmetries, tables against nets, published digits."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import test_model_numbers as numbers
from model_cases import BOX, COORD, DESCRIPTORS, SE_3, Case, check_derivatives
from toy import write_input, write_system

from dptf.cli.main import main
from dptf.errors import UserError


@pytest.mark.parametrize("name", DESCRIPTORS)
def test_forces_and_virials_are_derivatives(name):
    check_derivatives(Case(DESCRIPTORS[name]), "energy")


@pytest.mark.parametrize("name", DESCRIPTORS)
def test_rotation_and_translation(name):
    case = Case(DESCRIPTORS[name])
    q = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    a, b = case.run(), case.run(coord=(COORD + 0.7) @ q, box=BOX @ q)
    np.testing.assert_allclose(a["energy"], b["energy"], atol=1e-6)  # the list is made in single precision
    np.testing.assert_allclose(a["force"].reshape(-1, 3) @ q, b["force"].reshape(-1, 3), atol=1e-5)


@pytest.mark.parametrize("name", DESCRIPTORS)
def test_tables_give_what_the_nets_give(name):
    exact, table = (Case(DESCRIPTORS[name], tabulated=t).run() for t in (None, 1 / 64))
    for key, value in exact.items():
        np.testing.assert_allclose(table[key], value, atol=1e-10, err_msg=key)


@pytest.mark.parametrize("tabulated", [None, 1 / 64])
@pytest.mark.parametrize(
    "kind, energies, force, virial",
    [
        ("se_e2_r", (-0.893374098598, -0.893214080658), (0.000407930832, 0.000594823016, 0.000033302315),
         (-0.002309978308, -0.001882401900, -0.001653750357)),
        ("se_e3", (-0.181227947660, -0.183976881538), (-0.323159859132, -0.491573510259, -0.043562879253),
         (0.724955951293, 0.411005767155, 0.147282873112)),
    ],
)  # fmt: skip
def test_published_digits(kind, energies, force, virial, tabulated):
    values = numbers.model_values(True)
    if kind == "se_e2_r":
        for key in ("avg", "std"):
            name = f"descrpt_attr/t_{key}"
            values[name] = values[name].reshape(2, 26, 4)[..., 0]
    for a, b in ((0, 0), (0, 1), (1, 1)):
        n = 1
        for layer, m in enumerate([3, 6, 12]):
            values[f"filter_type_all/matrix_{layer + 1}_{a}_{b}"] = numbers.matrix(n, m, layer, a + 2 * b)
            values[f"filter_type_all/bias_{layer + 1}_{a}_{b}"] = numbers.bias(m, layer, a + 2 * b)
            n = m
    for t in range(2):
        values[f"layer_0_type_{t}/matrix"] = numbers.matrix(12, 5, 0, t)
    results = numbers.evaluate(True, False, [], tabulated, values, kind=kind)
    for result, want in zip(results, energies):
        assert abs(result["energy"][0] - want) < 2e-12
    np.testing.assert_allclose(results[0]["force"].reshape(6, 3)[np.argsort(numbers.ORDER)][0], force, atol=2e-12)
    np.testing.assert_allclose(results[0]["virial"][0][[0, 4, 8]], virial, atol=2e-12)


def test_se_e3_has_no_excluded_types():
    with pytest.raises(UserError, match="exclude_types"):
        Case(SE_3 | {"exclude_types": [[0, 1]]})


@pytest.mark.parametrize(
    "descriptor",
    [
        {"type": "se_e2_r", "rcut": 4.0, "neuron": [4, 8], "seed": 1},
        {"type": "se_e3", "rcut": 3.2, "neuron": [2, 4], "seed": 1, "env_protection": 0.05},
        {"type": "hybrid", "list": [
            {"type": "se_e2_a", "rcut": 4.0, "neuron": [4, 8], "axis_neuron": 3, "seed": 1},
            {"type": "se_r", "rcut": 3.0, "neuron": [4, 8], "type_one_side": True, "seed": 1},
        ]},
    ],
    ids=lambda d: d["type"],
)  # fmt: skip
def test_train_freeze_export(descriptor, tmp_path, monkeypatch):
    """A few steps lower the force error; the frozen graph and its exported copy give the same numbers."""
    from dptf.infer import DeepPot

    monkeypatch.chdir(tmp_path)
    system = write_system(tmp_path / "a", seed=0)
    write_input(
        tmp_path,
        [system],
        model__descriptor=descriptor,
        learning_rate__start_lr=3e-3,
        training__numb_steps=60,
        training__training_data={"systems": [str(system)], "batch_size": 6},
        training__stat_file="stat.h5",
    )
    assert main(["train", "input.json"]) == 0
    curve = np.genfromtxt("lcurve.out", names=True)
    assert curve["rmse_f_trn"][-2:].mean() < curve["rmse_f_trn"][:2].mean()
    assert main(["freeze", "-o", "m.pb"]) == 0
    for a, b in (("m.pb", "m.dp"), ("m.dp", "again.pb")):
        assert main(["convert-backend", a, b]) == 0
    coord, box = np.load(system / "set.000/coord.npy"), np.load(system / "set.000/box.npy")
    out = []
    for name in ("m.pb", "again.pb"):
        with DeepPot(name) as dp:
            assert abs(dp.get_rcut() - max(d["rcut"] for d in descriptor.get("list", [descriptor]))) < 1e-6
            out.append(dp.eval(coord, box, [0, 1, 1] * 4))
    for x, y in zip(*out):
        np.testing.assert_allclose(x, y, atol=1e-12)
