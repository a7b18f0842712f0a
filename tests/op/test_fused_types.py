"""Fused models whose embedding takes types as vectors, se_atten without attention and se_e2_a with a type embedding, against their graphs."""

import numpy as np
import pytest

from dptf.graph.freeze import frozen_graph
from dptf.graph.rewrite import rewrite_graph
from dptf.model import build_model
from dptf.nn.table import TableSettings
from dptf.ops import sel_overflow
from tests.dptf.dpa3_cases import random_values
from tests.op.test_fused_sea import GEOMETRIES, Runner, agree, feeds_of, without_virtual_atoms
from tests.op.test_prod_env_mat import list_of_engine, mesh_by_pointer

ATTEN = {
    "type": "se_atten", "rcut": 3.3, "rcut_smth": 0.7, "sel": 24, "neuron": [6, 12, 24], "axis_neuron": 5, "attn": 8,
    "attn_layer": 0, "attn_dotr": True, "seed": 1, "set_davg_zero": True, "precision": "float64", "activation_function": "tanh",
    "resnet_dt": False, "type_one_side": False, "exclude_types": [], "trainable": True,
}  # fmt: skip
STRIP = {**ATTEN, "tebd_input_mode": "strip"}
V2 = {**ATTEN, "type": "se_atten_v2", "set_davg_zero": False}
ATTENTION = {**ATTEN, "attn_layer": 2, "attn_mask": False}
TEBD = {**ATTEN, "type": "se_e2_a", "sel": [20, 20], "type_one_side": True}
for key in ("attn", "attn_layer", "attn_dotr"):
    del TEBD[key]
TYPES = {
    "type_embedding": {
        "neuron": [3, 6], "seed": 1, "precision": "float64", "activation_function": "tanh", "resnet_dt": False, "trainable": True,
        "use_tebd_bias": False, "use_econf_tebd": False,
    }
}  # fmt: skip

MODELS = {
    "concat": (ATTEN, {}),
    "concat, one-sided": ({**ATTEN, "type_one_side": True}, {}),
    "concat, time step": ({**ATTEN, "resnet_dt": True, "activation_function": "gelu"}, TYPES),
    "concat, mean": ({**ATTEN, "set_davg_zero": False}, {}),
    "concat, excluded": ({**ATTEN, "exclude_types": [[0, 1]]}, {}),
    "strip": (STRIP, {}),
    "strip, smooth": ({**STRIP, "smooth_type_embedding": True}, TYPES),
    "strip, smooth, excluded": ({**STRIP, "smooth_type_embedding": True, "exclude_types": [[1, 1]]}, {}),
    "strip, mean": ({**STRIP, "set_davg_zero": False}, {}),
    "strip, types added": ({**STRIP, "neuron": [12, 24]}, TYPES),
    "strip, types added twice": ({**STRIP, "neuron": [24, 48], "smooth_type_embedding": True}, TYPES),
    "second version": (V2, {}),
    "attention": (ATTENTION, {}),
    "attention, smooth": ({**ATTENTION, "smooth_type_embedding": True}, {}),
    "attention, mask, no directions": ({**ATTENTION, "attn_mask": True, "attn_dotr": False}, {}),
    "attention, excluded": ({**ATTENTION, "exclude_types": [[0, 1]]}, {}),
    "attention, strip, smooth, mask": (
        {**ATTENTION, **{"tebd_input_mode": "strip"}, "smooth_type_embedding": True, "attn_mask": True},
        {},
    ),
    "few slots": ({**V2, "sel": 9}, {}),
    "switch within the data": ({**V2, "rcut_smth": 1.6}, {}),
    "two-sided": ({**TEBD, "type_one_side": False}, TYPES),
    "types, mean": ({**TEBD, "set_davg_zero": False}, TYPES),
}
COMPRESSED = ("strip", "strip, smooth", "second version", "few slots")


def make_graph(name, step=None, **fitting):
    """Frozen graph with random weights, means and deviations; with a step it is compressed."""
    descriptor, more = MODELS[name]
    section = {
        "type_map": ["A", "B"], "descriptor": descriptor, **more,
        "fitting_net": {
            "type": "ener", "neuron": [14, 14], "seed": 1, "numb_fparam": 0, "numb_aparam": 0, "precision": "float64",
            "activation_function": "tanh", "resnet_dt": True, **fitting,
        },
    }  # fmt: skip
    rng = np.random.default_rng(len(name))
    nnei = int(np.sum(descriptor["sel"]))
    davg = np.zeros((2, 1, 4))
    davg[:, :, 0] = 0.0 if descriptor.get("set_davg_zero", False) else [[0.11], [0.06]]
    dstd = np.array([[[0.3, 0.2, 0.2, 0.2]], [[0.25, 0.17, 0.17, 0.17]]])
    values = random_values(section) | {
        "descrpt_attr/t_avg": np.repeat(davg, nnei, axis=1).reshape(2, -1),
        "descrpt_attr/t_std": np.repeat(dstd, nnei, axis=1).reshape(2, -1),
        "fitting_attr/t_bias_atom_e": np.array([-1.5, 0.75]),
    }
    for key in ("fparam", "aparam"):
        if dim := fitting.get(f"numb_{key}", 0):
            values[f"fitting_attr/t_{key}_avg"] = rng.normal(size=dim)
            values[f"fitting_attr/t_{key}_istd"] = rng.uniform(0.5, 2, size=dim)
    if step is not None:
        build_model(section).compress(values, TableSettings(step, min_distance=0.7))
    return frozen_graph({"model": section}, values)


def fuse(graph, **options):
    fused, report = rewrite_graph(graph, **options)
    assert report.startswith(("fused se_atten kernels (", "fused se_e2_a kernels (")), report
    return fused


@pytest.mark.parametrize("name", MODELS)
def test_models(name):
    graph = make_graph(name)
    plain, fused = Runner(graph), Runner(fuse(graph))
    for geometry in ("liquid", "triclinic", "cell smaller than the cutoff", "sel overflows"):
        coord, types, box, _ = GEOMETRIES[geometry]
        feeds, _ = without_virtual_atoms(feeds_of(coord, types, box, 2))
        sel_overflow()
        expected = plain.run(feeds)
        lost = sel_overflow()
        found = fused.run(feeds)
        assert sel_overflow() == lost, geometry
        agree(found, expected)


@pytest.mark.parametrize("name", ["concat", "second version", "two-sided", "attention, smooth"])
def test_list_of_an_engine(name):
    coord, types, box, _ = GEOMETRIES["triclinic"]
    order = np.argsort(np.where(types < 0, 9, types), kind="stable")
    coord, types = coord[order], types[order]
    graph = make_graph(name)
    all_coord, all_types, _, rows_of, rows = list_of_engine(coord, types, box, skin=0.8)
    mesh, _alive = mesh_by_pointer(rows_of, rows)
    feeds = {
        "coord": all_coord.ravel(), "type": all_types.astype(np.int32), "box": box.ravel(), "mesh": mesh,
        "natoms": np.array([len(coord), len(all_coord), (types == 0).sum(), (types == 1).sum()], np.int32),
    }  # fmt: skip
    agree(Runner(fuse(graph)).run(feeds), Runner(graph).run(feeds))


@pytest.mark.parametrize("name", COMPRESSED)
def test_compressed(name):
    graph = make_graph(name, step=0.02)
    coord, types, box, _ = GEOMETRIES["liquid"]
    feeds, _ = without_virtual_atoms(feeds_of(coord, types, box, 2))
    agree(Runner(fuse(graph)).run(feeds), Runner(graph).run(feeds))


def test_parameters():
    graph = make_graph("second version", numb_fparam=2, numb_aparam=1)
    coord, types, box, _ = GEOMETRIES["liquid"]
    feeds, n = without_virtual_atoms(feeds_of(coord, types, box, 1))
    feeds |= {"fparam": np.array([0.3, -0.2]), "aparam": np.linspace(-1, 1, n)}
    agree(Runner(fuse(graph)).run(feeds), Runner(graph).run(feeds))


def test_single_precision():
    graph = make_graph("second version")
    coord, types, box, _ = GEOMETRIES["liquid"]
    feeds, _ = without_virtual_atoms(feeds_of(coord, types, box, 1))
    agree(Runner(fuse(graph, precision="float32")).run(feeds), Runner(graph).run(feeds), 2e-5)


def test_attention_with_a_mean_stays_a_graph():
    MODELS["mean"] = ({**ATTENTION, "set_davg_zero": False}, {})
    try:
        _, report = rewrite_graph(make_graph("mean"))
    finally:
        del MODELS["mean"]
    assert report == "graph run as it is: empty slots count in the attention"


def test_golden_models_are_fused(golden):
    from dptf.infer import DeepPot

    for name in ("se_atten_no_attn", "se_atten_strip", "se_atten_strip.compressed", "se_atten_v2", "se_atten_v2.compressed",
                 "se_e2_a_tebd"):  # fmt: skip
        report = DeepPot(golden / "pb" / f"{name}.pb").runtime_report()
        assert report.startswith(("fused se_atten kernels (", "fused se_e2_a kernels (")), f"{name}: {report}"
