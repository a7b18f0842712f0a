"""loc_frame, se_a_mask and se_a_ef: derivatives, and the whole way from the input file to the frozen graph."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from model_cases import BASE, FITTING, NET, random_graph
from toy import write_input, write_system

from dptf.cli.main import main
from dptf.graph.load import write_graph_def
from dptf.infer import DeepPot
from dptf.model import build_model
from dptf.nn.parameters import Parameters
from dptf.ops import tf

LOC_FRAME = {"type": "loc_frame", "sel_a": [2, 3], "sel_r": [0, 0], "rcut": 4.0}
RULE = [0, 0, 0, 0, 1, 0] * 2


def frozen_value(section, feeds, outputs=("energy", "force", "virial"), tabulated=None):
    """Outputs of a model section with initial weights."""
    with tf.Graph().as_default(), tf.Session() as session:
        model = build_model({"type_map": ["A", "B"], **section})
        inputs = model.placeholders()
        out = model.build(inputs, Parameters(), tabulated=tabulated)
        session.run(tf.global_variables_initializer())
        return session.run([out[k] for k in outputs], {inputs[k]: v for k, v in feeds.items()})


@pytest.mark.parametrize("rule", [[], RULE])
def test_forces_of_local_frames(rule):
    rng = np.random.default_rng(0)
    box, types = np.diag([6.0, 6.5, 7.0]), np.array([0] * 4 + [1] * 6, np.int32)
    coord = rng.uniform(size=(10, 3)) @ box
    section = {"descriptor": LOC_FRAME | {"axis_rule": rule}, "fitting_net": FITTING}

    def run(x):
        feeds = {"coord": x.ravel(), "type": types, "box": box.ravel(), "natoms": [10, 10, 4, 6], "mesh": np.zeros(6)}
        return frozen_value(section, feeds)

    force, h = run(coord)[1].reshape(-1, 3), 1e-5
    for atom, x in ((0, 0), (7, 2)):
        step = np.zeros_like(coord)
        step[atom, x] = h
        slope = (run(coord + step)[0] - run(coord - step)[0])[0] / (2 * h)
        assert force[atom, x] == pytest.approx(-slope, abs=1e-7)
    np.testing.assert_allclose(force.sum(0), 0, atol=1e-12)


MASKED = {k: v for k, v in BASE.items() if k not in ("rcut", "rcut_smth", "set_davg_zero")}
MASKED |= {"type": "se_a_mask", "sel": [3, 4], "axis_neuron": 3, "type_one_side": False}


@pytest.mark.parametrize("one_side", [False, True])
def test_masked_atoms_are_not_there(one_side):
    """Energy and forces do not depend on where padding is; it feels no force, and forces are slopes."""
    rng = np.random.default_rng(1)
    coord, mask = rng.uniform(0, 4, (7, 3)), np.array([1, 1, 0, 1, 1, 1, 0])
    section = {
        "descriptor": MASKED | {"type_one_side": one_side},
        "fitting_net": FITTING | {"numb_aparam": 1, "use_aparam_as_mask": True},
    }

    def run(x):
        return frozen_value(
            section, {"coord": x.ravel(), "type": np.array([0] * 3 + [1] * 4), "box": np.zeros(9), "aparam": mask,
                      "natoms": [7, 7, 3, 4], "mesh": np.zeros(0)},
        )  # fmt: skip

    energy, force, virial = run(coord)
    force = force.reshape(-1, 3)
    assert (virial == 0).all() and (force[mask == 0] == 0).all() and np.abs(force[mask == 1]).min() > 0
    moved = coord.copy()
    moved[mask == 0] = rng.uniform(-9, 9, (2, 3))
    for a, b in zip(run(moved), (energy, force, virial)):
        np.testing.assert_array_equal(a.ravel(), b.ravel())
    step, h = np.zeros_like(coord), 1e-5
    step[4, 1] = h
    slope = (run(coord + step)[0] - run(coord - step)[0])[0] / (2 * h)
    assert force[4, 1] == pytest.approx(-slope, abs=1e-7)


def test_public_masked_graphs_have_zeros_of_one_frame(tmp_path):
    """The virial that release 3.2.0 freezes for se_a_mask is a constant; any number of frames gets it."""
    section = {"descriptor": MASKED, "fitting_net": FITTING | {"numb_aparam": 1, "use_aparam_as_mask": True}}
    graph_def = random_graph({"type": "standard", "type_map": ["A", "B"], **section})
    for node in graph_def.node:
        if node.name in ("o_virial", "o_atom_virial"):
            zeros = tf.make_tensor_proto(np.zeros((1, 9 if node.name == "o_virial" else 63)))
            node.CopyFrom(tf.NodeDef(name=node.name, op="Const"))
            node.attr["dtype"].type = zeros.dtype
            node.attr["value"].tensor.CopyFrom(zeros)
    write_graph_def(graph_def, tmp_path / "m.pb")
    coord, mask = np.random.default_rng(2).uniform(0, 4, (3, 7, 3)), np.array([1, 1, 0, 1, 1, 1, 0])
    with DeepPot(tmp_path / "m.pb") as dp:
        out = dp.eval(coord, None, [0] * 3 + [1] * 4, atomic=True, aparam=mask)
    assert [x.shape for x in out] == [(3, 1), (3, 7, 3), (3, 9), (3, 7, 1), (3, 7, 9)]
    assert not out[2].any() and not out[4].any() and np.ptp(out[0]) > 1e-6


def train_freeze_test(folder, capsys=None):
    assert main(["train", "input.json", "--skip-neighbor-stat"]) == 0
    assert main(["freeze", "-o", "m.pb"]) == 0
    assert main(["test", "-m", "m.pb", "-s", str(folder), "-d", "out"]) == 0


def losses(path):
    return np.loadtxt(path / "lcurve.out")[:, 1]


@pytest.mark.slow
def test_local_frames_from_input_to_graph(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    system = write_system(tmp_path / "data")
    write_input(tmp_path, [system], model__descriptor=LOC_FRAME | {"rcut": 5.0, "axis_rule": RULE})
    train_freeze_test(system)
    assert losses(tmp_path)[-1] < losses(tmp_path)[0]
    from dptf.infer import DeepPot

    with DeepPot("m.pb") as dp:
        box = np.load(system / "set.000/box.npy")[0]
        energy, force, _ = dp.eval(np.load(system / "set.000/coord.npy")[:1], box, [0, 1, 1] * 4)
    assert np.isfinite(energy).all() and np.abs(force).max() > 0


@pytest.mark.slow
def test_masks_from_input_to_graph(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    system = write_system(tmp_path / "data", nopbc=True)
    np.save(system / "set.000/aparam.npy", np.ones((6, 12)))
    section = {k: v for k, v in MASKED.items() if k != "env_protection"} | {"sel": [4, 8]}
    fitting = {"neuron": [10, 10], "seed": 1, "numb_aparam": 1, "use_aparam_as_mask": True}
    loss = {"start_pref_v": 0, "limit_pref_v": 0}
    write_input(tmp_path, [system], model__descriptor=section, model__fitting_net=fitting, loss=loss)
    train_freeze_test(system)
    assert losses(tmp_path)[-1] < losses(tmp_path)[0]
    from dptf.infer import DeepPot

    with DeepPot("m.pb") as dp:
        assert dp.get_dim_aparam() == 1
        coord, types = np.load(system / "set.000/coord.npy")[:1], [0, 1, 1] * 4
        out = [dp.eval(coord, None, types, aparam=np.array([[1] * 11 + [w]]))[1][0, -1] for w in (1, 0)]
    assert np.abs(out[0]).max() > 0 and (out[1] == 0).all()
    section["sel"] = [5, 8]
    write_input(tmp_path, [system], model__descriptor=section, model__fitting_net=fitting, loss=loss)
    assert main(["train", "input.json", "--skip-neighbor-stat"]) == 1
    assert "model/descriptor/sel: is [5, 8], but a system has [4, 8]" in capsys.readouterr().err


def test_masks_need_their_parameter():
    from dptf.errors import UserError

    section = {"type_map": ["A", "B"], "descriptor": MASKED, "fitting_net": NET | FITTING}
    with pytest.raises(UserError, match="numb_aparam to 1 and use_aparam_as_mask"):
        build_model(section)


def test_in_a_hybrid():
    """Local frames may be part of a hybrid, masked clusters not."""
    from dptf.errors import UserError

    se_r = {**BASE, "type": "se_e2_r", "type_one_side": True, "sel": [4, 4]}
    box, types = np.diag([6.0, 6.5, 7.0]), np.array([0] * 4 + [1] * 6, np.int32)
    coord = np.random.default_rng(0).uniform(size=(10, 3)) @ box
    feeds = {"coord": coord.ravel(), "type": types, "box": box.ravel(), "natoms": [10, 10, 4, 6], "mesh": np.zeros(6)}
    hybrid = {"type": "hybrid", "list": [LOC_FRAME | {"axis_rule": RULE}, se_r]}
    force = frozen_value({"descriptor": hybrid, "fitting_net": FITTING}, feeds)[1]
    np.testing.assert_allclose(force.reshape(-1, 3).sum(0), 0, atol=1e-12)
    hybrid = {"type": "hybrid", "list": [MASKED, se_r]}
    fitting = FITTING | {"numb_aparam": 1, "use_aparam_as_mask": True}
    with pytest.raises(UserError, match=r"cannot be part of a hybrid|use_aparam_as_mask"):
        frozen_value({"descriptor": hybrid, "fitting_net": fitting}, feeds)


FIELD = BASE | {"type": "se_a_ef", "axis_neuron": 3, "type_one_side": True, "sel": [6, 8]}


def test_forces_in_a_field():
    """Forces are slopes at a constant field; only the direction of the field counts; tables give what the nets give."""
    rng = np.random.default_rng(2)
    box, types = np.diag([6.0, 6.5, 7.0]), np.array([0] * 4 + [1] * 6, np.int32)
    coord, field = rng.uniform(size=(10, 3)) @ box, rng.normal(size=(10, 3))
    field[3] = 0.0

    def run(x, f=field, tabulated=None):
        feeds = {"coord": x.ravel(), "type": types, "box": box.ravel(), "natoms": [10, 10, 4, 6], "mesh": np.zeros(6)}
        section = {"descriptor": FIELD, "fitting_net": FITTING}
        return frozen_value(section, feeds | {"efield": f.ravel()}, tabulated=tabulated)

    (energy, force, virial), h = run(coord), 1e-5
    for atom, x in ((0, 0), (7, 2), (3, 1)):
        step = np.zeros_like(coord)
        step[atom, x] = h
        slope = (run(coord + step)[0] - run(coord - step)[0])[0] / (2 * h)
        assert force.reshape(-1, 3)[atom, x] == pytest.approx(-slope, abs=1e-7)
    np.testing.assert_allclose(run(coord, 3 * field)[0], energy, atol=1e-12)
    along_x = np.where(np.arange(10)[:, None] == 3, [5.0, 0, 0], field)
    np.testing.assert_allclose(run(coord, along_x)[0], energy, atol=1e-12)
    assert np.abs(run(coord, field[:, ::-1])[0] - energy) > 1e-6
    for a, b in zip(run(coord, tabulated=1 / 64), (energy, force, virial)):
        np.testing.assert_allclose(a, b, atol=1e-9)


@pytest.mark.slow
def test_field_from_input_to_graph(tmp_path, monkeypatch, capfd):
    """Trained, frozen, compressed, trained again with tables, tested."""
    from dptf.infer import DeepPot

    monkeypatch.chdir(tmp_path)
    system = write_system(tmp_path / "a", nframes=3)
    rng = np.random.default_rng(4)
    write_input(
        tmp_path, [system], model__descriptor=FIELD | {"sel": "auto"}, training__numb_steps=2, training__disp_freq=1
    )
    assert main(["train", "input.json"]) == 1
    assert "efield.npy" in capfd.readouterr().err
    field = rng.normal(size=(3, 12, 3))
    np.save(system / "set.000/efield.npy", field.reshape(3, -1))
    assert main(["train", "input.json"]) == 0
    first = np.loadtxt("lcurve.out")
    assert main(["freeze", "-o", "m.pb"]) == 0
    assert main(["compress", "-i", "m.pb", "-o", "c.pb"]) == 0
    coord, box = np.load(system / "set.000/coord.npy"), np.load(system / "set.000/box.npy")
    types = np.loadtxt(system / "type.raw", dtype=int)
    with DeepPot("m.pb") as a, DeepPot("c.pb") as b:
        assert a.has_efield and b.has_efield
        for x, y in zip(*(dp.eval(coord, box, types, efield=field) for dp in (a, b))):
            np.testing.assert_allclose(y, x, atol=1e-9)
    assert main(["train", "input.json", "--init-frz-model", "c.pb"]) == 0
    # The same rates from the trained weights on: the first row goes on where the first run ended.
    assert np.loadtxt("lcurve.out")[0, 2] < 3 * first[-1, 2]
    assert main(["test", "-m", "m.pb", "-s", str(system), "-n", "3"]) == 0
