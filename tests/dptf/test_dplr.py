"""Long-range electrostatics through dipoles: training in two stages, the frozen graph, derivatives."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from model_cases import BOX, COORD, TYPES
from toy import write_input, write_system

from dptf.cli.main import main
from dptf.errors import UserError
from dptf.graph.load import constants, load_graph_def
from dptf.infer import DeepPot
from dptf.infer.data_modifier import DipoleChargeModifier, LabelModifier

CHARGES = {"model_charge_map": [-1.5], "sys_charge_map": [0.5, 0.5], "ewald_h": 0.8, "ewald_beta": 0.4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Frozen dipole model dw.pb and energy model ener.pb, trained on toy data."""
    root = tmp_path_factory.mktemp("dplr")
    system = write_system(root / "a", nframes=3)
    rng = np.random.default_rng(2)
    np.save(system / "set.000" / "atomic_dipole.npy", rng.normal(scale=0.2, size=(3, 4 * 3)))
    with pytest.MonkeyPatch.context() as m:
        m.chdir(root)
        write_input(
            root, [system], model__fitting_net={"type": "dipole", "sel_type": [0], "neuron": [6], "seed": 2},
            loss={"type": "tensor", "pref": 0.0, "pref_atomic": 1.0}, training__numb_steps=3,
        )  # fmt: skip
        assert main(["train", "input.json"]) == 0
        assert main(["freeze", "-o", "dw.pb"]) == 0
        modifier = {"type": "dipole_charge", "model_name": "dw.pb", **CHARGES}
        write_input(root, [system], model__modifier=modifier, training__numb_steps=3)
        assert main(["train", "input.json"]) == 0
        assert main(["freeze", "-o", "ener.pb"]) == 0
    return root


def test_modifier_derivatives(folder):
    modifier = DipoleChargeModifier(str(folder / "dw.pb"), **CHARGES)
    energy, force, virial = modifier.eval(COORD, BOX, TYPES)
    h, of = 1e-4, lambda x, box=BOX: modifier.eval(x, box, TYPES)[0][0]
    for atom, axis in ((0, 0), (1, 2), (3, 1), (4, 0)):
        step = np.zeros((5, 3))
        step[atom, axis] = h
        np.testing.assert_allclose(force[0, atom, axis], -(of(COORD + step) - of(COORD - step)) / (2 * h), atol=1e-6)
    for a, b in ((0, 0), (1, 2), (2, 1)):
        strain = np.zeros((3, 3))
        strain[b, a] = h
        up, down = np.eye(3) + strain, np.eye(3) - strain
        slope = (of(COORD @ up, BOX @ up) - of(COORD @ down, BOX @ down)) / (2 * h)
        np.testing.assert_allclose(virial[0, 3 * a + b], -slope, atol=1e-6)
    # Any order of the atoms, several frames, absent atoms.
    order = [3, 0, 4, 1, 2]
    again = modifier.eval(np.stack([COORD[order], COORD[order]]), np.stack([BOX, BOX]), TYPES[order])
    np.testing.assert_allclose(again[0], [energy[0]] * 2, rtol=1e-10)
    np.testing.assert_allclose(again[1][1], force[0][order], atol=1e-9)
    padded = modifier.eval(np.vstack([COORD, [9.0, 9, 9]]), BOX, [*TYPES, -1])
    np.testing.assert_allclose(padded[0], energy, rtol=1e-10)


def _fused_dipoles(graph_def):
    """Dipoles and what forces on displaced charges do to the atoms, fused and as the graph says."""
    from dptf.graph.rewrite import rewrite_graph
    from dptf.ops import tf

    fused, report = rewrite_graph(graph_def)
    assert "dipoles: fused se_e2_a kernels" in report
    order = np.argsort(TYPES, kind="stable")
    n, selected = len(TYPES), int(np.sum(np.array(TYPES) == 0))
    feeds = {
        "coord": np.reshape(COORD, (-1, 3))[order].ravel(), "type": np.asarray(TYPES, np.int32)[order], "box": np.ravel(BOX),
        "natoms": np.array([n, n, selected, n - selected], np.int32), "mesh": np.zeros(6, np.int32),
    }  # fmt: skip
    feeds = {f"dipole_charge/t_{key}:0": value for key, value in feeds.items()}
    feeds["t_ef:0"] = np.random.default_rng(1).normal(size=3 * selected)
    names = [f"{name}:0" for name in ("dipole_charge/o_dipole", "o_dm_force", "o_dm_virial", "o_dm_av")]
    out = []
    for graph in (graph_def, fused):
        with tf.Graph().as_default(), tf.Session() as session:
            tf.import_graph_def(graph, name="")
            out.append(session.run(names, feeds))
    for a, b in zip(*out):
        assert abs(a).max() > 1e-4
        np.testing.assert_allclose(b, a, rtol=0, atol=1e-12 * max(1, abs(a).max()))


def test_frozen_graph(folder):
    """The energy model carries the modifier; evaluation adds it unless told otherwise."""
    modifier = DipoleChargeModifier(str(folder / "dw.pb"), **CHARGES)
    long_range = modifier.eval(COORD, BOX, TYPES)
    with DeepPot(folder / "ener.pb") as whole, DeepPot(folder / "ener.pb", skip_modifier=True) as short:
        a, b = (dp.eval(COORD, BOX, TYPES) for dp in (whole, short))
        for x, y, z in zip(a, b, long_range):
            np.testing.assert_allclose(x.ravel(), y.ravel() + z.ravel(), atol=1e-10)
        with pytest.raises(UserError, match="periodic"):
            whole.eval(COORD, None, TYPES)
        short.eval(COORD, None, TYPES)
    files = DeepPot(folder / "ener.pb", skip_modifier=True), DeepPot(folder / "ener.pb", plain=True, skip_modifier=True)
    with files[0] as a, files[1] as b:
        assert a.runtime_report().startswith("fused se_e2_a kernels")  # the dipole model in the file is no obstacle
        for x, y in zip(a.eval(COORD, BOX, TYPES, atomic=True), b.eval(COORD, BOX, TYPES, atomic=True)):
            np.testing.assert_allclose(x, y, rtol=0, atol=1e-12)
    _fused_dipoles(load_graph_def(folder / "ener.pb"))
    names = {node.name for node in load_graph_def(folder / "ener.pb").node}
    assert {"t_ef", "o_dm_force", "o_dm_virial", "o_dm_av", "dipole_charge/t_coord", "dipole_charge/o_dipole"} <= names
    known = constants(load_graph_def(folder / "ener.pb"))
    assert known["modifier_attr/mdl_charge_map"].item() == b"-1.5" and known["modifier_attr/ewald_h"].item() == 0.8


def test_labels(folder):
    """What is trained on is the rest of the labels."""
    section = {"type": "dipole_charge", "model_name": str(folder / "dw.pb"), **CHARGES}
    modify, direct = LabelModifier(section, 2), DipoleChargeModifier(section["model_name"], **CHARGES)
    batch = {
        "coord": COORD.reshape(1, -1), "box": BOX.reshape(1, 9), "type": TYPES[None], "energy": np.array([[1.0]]),
        "force": np.ones((1, 15)), "find_energy": 1.0, "find_force": 0.0, "system": "s",
    }  # fmt: skip
    out = modify(batch)
    np.testing.assert_allclose(out["energy"].ravel(), 1.0 - direct.eval(COORD, BOX, TYPES)[0])
    assert np.all(out["force"] == 1.0) and np.all(batch["energy"] == 1.0)
    with pytest.raises(UserError, match="has no cell"):
        modify(batch | {"box": np.zeros((1, 9))})
    with pytest.raises(UserError, match="3 entries for 2 types"):
        LabelModifier(section | {"sys_charge_map": [1, 1, 1]}, 2)
    with pytest.raises(UserError, match="selects 1 types"):
        LabelModifier(section | {"model_charge_map": [1, 1]}, 2)
    with pytest.raises(UserError, match="type 'ener'"):
        LabelModifier(section | {"model_name": str(folder / "ener.pb")}, 2)
