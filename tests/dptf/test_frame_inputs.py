"""What frames give beside positions: charge and multiplicity (DPA-3), frame parameters with a default, the number of the task."""

import json

import numpy as np
import pytest

from dptf.cli.main import main
from dptf.errors import UserError
from dptf.graph.freeze import frozen_graph
from dptf.graph.load import constants, load_graph_def, write_graph_def
from dptf.infer import DeepPot
from dptf.model import build_model
from tests.dptf.dpa3_cases import FITTING, REPFLOW, random_values, section, write_model
from tests.dptf.toy import write_input, write_system

RNG = np.random.default_rng(4)
COORD, BOX = RNG.uniform(0, 6, (2, 24)), np.tile(np.diag([6.0, 6.2, 6.4]).ravel(), (2, 1))
TYPES = np.array([0, 1, 1, 0, 1, 1, 0, 1])
STATES = np.array([[1.0, 2.0], [-3.4, 1.0]])
SMALL = {"nlayers": 1}


@pytest.fixture()
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("options", [{}, {"use_econf_tebd": True, "use_tebd_bias": True, "concat_output_tebd": True}])
def test_charge_and_spin_shift_the_types(folder, options):
    """The model equals one without them whose type vectors hold the vector of the frame, written out in NumPy."""
    charged = section(SMALL, add_chg_spin_ebd=True, **options)
    values = random_values(charged)
    write_graph_def(frozen_graph({"model": charged}, values), "charged.pb")
    with DeepPot("charged.pb") as dp:
        assert dp.has_chg_spin_ebd() and dp.get_dim_chg_spin() == 2 and not dp.has_default_chg_spin()
        found = dp.eval(COORD, BOX, TYPES, atomic=True, charge_spin=STATES)
        with pytest.raises(UserError, match="charge_spin"):
            dp.eval(COORD, BOX, TYPES)
        with pytest.raises(UserError, match="models know -100 to 99"):
            dp.eval(COORD, BOX, TYPES, charge_spin=[100, 1])
    tables = [values[f"{name}_embedding/matrix_1"] for name in ("chg", "spin")]
    if options:
        tables = [t + values[f"{name}_embedding/bias_1"] for t, name in zip(tables, ("chg", "spin"))]
    for f, (charge, spin) in enumerate(((1, 2), (-3, 1))):
        x = np.concatenate([tables[0][charge + 100], tables[1][spin]]) @ values["mix_cs_mlp/matrix"]
        x = x + values["mix_cs_mlp/bias"]
        c = 1 / (1 + np.exp(-3.0))
        slope = c * (1 + 3.0 * (1 - c))
        v = np.where(x < 3.0, x / (1 + np.exp(-x)), np.tanh(slope * (x - 3.0)) + 3.0 * c)
        plain = section(SMALL, **(options | {"use_tebd_bias": True}))
        own = {k: a for k, a in values.items() if not k.startswith(("chg_", "spin_", "mix_cs"))}
        own["type_embed_net/bias_1"] = own.get("type_embed_net/bias_1", 0.0) + v
        write_graph_def(frozen_graph({"model": plain}, own), "plain.pb")
        with DeepPot("plain.pb") as dp:
            want = dp.eval(COORD[f : f + 1], BOX[f : f + 1], TYPES, atomic=True)
        for a, b in zip(found, want):
            np.testing.assert_allclose(a[f], b[0], atol=1e-12)


def test_default_and_model_file(folder):
    """A default serves callers that give nothing; the model goes to a model file and back."""
    write_model("m.pb", repflow=SMALL, add_chg_spin_ebd=True, default_chg_spin=[-2, 3])
    assert main(["convert-backend", "m.pb", "m.dp"]) == 0
    assert main(["convert-backend", "m.dp", "again.pb"]) == 0
    results = []
    for name in ("m.pb", "again.pb"):
        with DeepPot(name) as dp:
            assert dp.has_default_chg_spin()
            results += [dp.eval(COORD, BOX, TYPES), dp.eval(COORD, BOX, TYPES, charge_spin=[-2, 3])]
            other = dp.eval(COORD, BOX, TYPES, charge_spin=[0, 1])[0]
    assert abs(other - results[0][0]).max() > 1e-6
    for one in results[1:]:
        for a, b in zip(one, results[0]):
            np.testing.assert_allclose(a, b, atol=1e-13)


def test_bad_default():
    for bad in ([1], [0, 100], [-101, 0]):
        with pytest.raises(UserError, match="default_chg_spin"):
            build_model(section(SMALL, add_chg_spin_ebd=True, default_chg_spin=bad))
    with pytest.raises(UserError, match="default_fparam"):
        build_model(section(SMALL) | {"fitting_net": FITTING | {"numb_fparam": 2, "default_fparam": [1.0]}})


@pytest.mark.slow
def test_training_on_charged_frames(folder, capsys):
    """Charges and spins are read with the data; so is a frame parameter, for which a default stands in; tasks are numbered."""
    a, b = write_system(folder / "a"), write_system(folder / "b", seed=1)
    for path in (a, b):
        state = np.tile([[1.0, 2.0], [0.0, 1.0]], (3, 1))
        np.save(path / "set.000/charge_spin.npy", state)
        energy = np.load(path / "set.000/energy.npy")
        np.save(path / "set.000/energy.npy", energy + 0.5 * state[:, 0])
    np.save(a / "set.000/fparam.npy", np.full((6, 1), 0.2))
    descriptor = section(SMALL, add_chg_spin_ebd=True)["descriptor"]
    descriptor["repflow"] = {k: v for k, v in REPFLOW.items() if k != "nlayers"} | {"nlayers": 1}
    fitting = {"neuron": [8], "numb_fparam": 1, "default_fparam": [0.3], "dim_case_embd": 3, "seed": 2}
    write_input(folder, [a, b], model__descriptor=descriptor, model__fitting_net=fitting, training__numb_steps=4)
    one = json.loads((folder / "input.json").read_text())
    data = {"systems": [str(a), str(b)], "batch_size": 2}
    config = one | {
        "model": {
            "shared_dict": {"map": one["model"]["type_map"], "d": descriptor, "f": fitting},
            "model_dict": {t: {"type_map": "map", "descriptor": "d", "fitting_net": "f"} for t in ("z", "y")},
        },
        "loss_dict": {t: one["loss"] for t in ("z", "y")},
        "training": {
            "data_dict": {t: {"training_data": data} for t in ("z", "y")}, "numb_steps": 4, "seed": 1, "disp_freq": 2,
        },
    }  # fmt: skip
    del config["loss"]
    (folder / "tasks.json").write_text(json.dumps(config))
    assert main(["train", "tasks.json"]) == 0
    for head, number in (("y", 0), ("z", 1)):
        assert main(["freeze", "-o", "m.pb", "--head", head]) == 0
        np.testing.assert_array_equal(constants(load_graph_def("m.pb"))["fitting_attr/t_case_embd"], np.eye(3)[number])
    assert main(["test", "-m", "m.pb", "-s", "b"]) == 0
    with DeepPot("m.pb") as dp:
        x = [np.load(b / f"set.000/{key}.npy") for key in ("coord", "box")]
        types = np.loadtxt(b / "type.raw", dtype=int)
        e = [dp.eval(*x, types, charge_spin=[q, 1])[0] for q in (0, 1)]
        assert abs(e[0] - e[1]).max() > 1e-6
        np.testing.assert_array_equal(dp.eval(*x, types, charge_spin=[0, 1], fparam=[0.3])[0], e[0])
    np.save(b / "set.000/charge_spin.npy", np.full((6, 2), 120.0))
    assert main(["train", "tasks.json"]) == 1
    assert "charge_spin.npy" in capsys.readouterr().err
