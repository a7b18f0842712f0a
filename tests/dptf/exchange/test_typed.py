"""Models with a type embedding in model files: as DPA-1 where that is the same, else in a form of our own; both ways."""

import copy
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from model_cases import BOX, COORD, FITTING, NET, SE_A, TYPES, random_graph
from test_legacy_descriptors import FIELD, LOC_FRAME, MASKED, RULE

from dptf.cli.main import main
from dptf.exchange.own_form import TYPE
from dptf.exchange.tree import read_tree
from dptf.graph.load import constants, load_graph_def, set_constant, write_graph_def
from dptf.infer import DeepPotential
from tests.dptf.exchange.trees import same_tree

ATTEN = NET | {
    "sel": 14, "rcut": 3.5, "rcut_smth": 1.0, "neuron": [4, 8], "axis_neuron": 3, "resnet_dt": False, "exclude_types": [],
    "set_davg_zero": True, "attn_layer": 0, "type_one_side": False, "attn": 8, "attn_dotr": True,
}  # fmt: skip
V2, CONCAT = ATTEN | {"type": "se_atten_v2"}, ATTEN | {"type": "se_atten"}
STRIP = SE_A | {"type": "se_a_ebd_v2", "exclude_types": [[0, 1]]}
TWO_SIDE = SE_A | {"type_one_side": False}
#: Descriptor, whether the model has a type embedding of its own, and the type in the file.
CASES = {
    "concat": (SE_A, True, "dpa1"),
    "concat_two_side": (TWO_SIDE, True, "dpa1"),
    "strip": (STRIP, False, "dpa1"),
    "strip_two_side": (STRIP | {"type_one_side": False}, True, "dpa1"),
    "se_atten": (CONCAT, True, "dpa1"),
    "hybrid": ({"type": "hybrid", "list": [CONCAT, STRIP, TWO_SIDE]}, True, "hybrid"),
    "se_atten_v2": (V2, False, TYPE),
    "hybrid_v2": ({"type": "hybrid", "list": [SE_A, V2]}, False, TYPE),
    "loc_frame": (LOC_FRAME | {"axis_rule": RULE}, False, TYPE),
    "se_a_ef": (FIELD, False, TYPE),
    "se_a_mask": (MASKED | {"sel": [2, 3]}, False, TYPE),
}


def graph(name, fitting, shifted=False):
    descriptor, typed, _ = CASES[name]
    section = {
        "type": "standard",
        "type_map": ["A", "B"],
        "descriptor": copy.deepcopy(descriptor),
        "fitting_net": fitting,
    }
    if typed:
        section["type_embedding"] = {"neuron": [3, 6], "seed": 2, "activation_function": "tanh"}
    if name == "se_a_mask":
        section["fitting_net"] = fitting | {"numb_aparam": 1, "use_aparam_as_mask": True}
    out = random_graph(section)
    if shifted:
        known, rng = constants(out), np.random.default_rng(0)
        for key in [k for k in known if k.endswith("/t_avg")]:
            set_constant(out, key, 0.1 * rng.normal(size=(2, 1)) + np.zeros_like(known[key]))
    return out


def outputs(path):
    more = {}
    with DeepPotential(path) as model:
        if model.has_efield:
            more["efield"] = np.random.default_rng(4).normal(size=(1, 5, 3))
        if model.get_dim_aparam():
            more["aparam"] = np.array([1, 1, 1, 0, 1.0])
        out = model.eval(COORD, BOX, TYPES, atomic=True, **more)
    return out if isinstance(out, tuple) else (out,)


def both_ways(source, kind, folder):
    """.pb -> .dp -> .pb -> .dp: equal outputs, equal files."""
    write_graph_def(source, folder / "a.pb")
    for a, b in (("a.pb", "a.dp"), ("a.dp", "b.pb"), ("b.pb", "b.dp")):
        assert main(["convert-backend", str(folder / a), str(folder / b)]) == 0
    first, second = (read_tree(folder / f"{k}.dp")["model"] for k in "ab")
    assert first["descriptor"]["type"] == kind
    for tree in (first, second):  # a flag without meaning here, as no width is that of the input
        for part in tree["descriptor"].get("list", [tree["descriptor"]]):
            for layer in part.get("type_embedding", {}).get("embedding", {}).get("layers", []):
                layer.pop("resnet")
    same_tree(first, second)
    for x, y in zip(outputs(folder / "a.pb"), outputs(folder / "b.pb")):
        np.testing.assert_allclose(y, x, rtol=0, atol=1e-6 if kind == "dpa1" else 1e-12)
    for name, value in constants(load_graph_def(folder / "a.pb")).items():
        if kind == TYPE and ("/t_" in name or "matrix" in name):
            np.testing.assert_array_equal(constants(load_graph_def(folder / "b.pb"))[name], value)


@pytest.mark.parametrize("name", CASES)
def test_energy_models(name, tmp_path):
    both_ways(graph(name, FITTING), CASES[name][2], tmp_path)


def test_dipoles_in_a_field(tmp_path):
    section = {k: v for k, v in FITTING.items() if k != "type"} | {"type": "dipole"}
    both_ways(graph("se_a_ef", section), TYPE, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "fitting",
    [
        {"type": "dipole", "sel_type": [0]},
        {"type": "polar"},
        {"type": "dos", "numb_dos": 3},
        {"type": "property", "property_name": "gap", "task_dim": 2},
    ],
    ids=lambda f: f["type"],
)
def test_other_properties(fitting, tmp_path):
    section = {k: v for k, v in FITTING.items() if k != "type"} | fitting
    both_ways(graph("concat_two_side", section), "dpa1", tmp_path)


def test_mean_in_the_statistics(tmp_path, capfd):
    """Empty slots then count by their section, which DPA-1 does not have."""
    both_ways(graph("concat", FITTING, shifted=True), TYPE, tmp_path)
    assert "for dptf alone" in capfd.readouterr().err
