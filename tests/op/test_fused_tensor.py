"""Fused dipoles, polarizabilities and densities of states against the graphs that they replace."""

import numpy as np
import pytest

from dptf.config.load import normalize_model
from dptf.graph.freeze import frozen_graph
from dptf.graph.rewrite import rewrite_graph
from dptf.model import build_model
from dptf.nn.table import TableSettings
from tests.dptf.dpa3_cases import random_values
from tests.op.test_fused_sea import GEOMETRIES, Runner, agree, feeds_of, without_virtual_atoms
from tests.op.test_prod_env_mat import list_of_engine, mesh_by_pointer

SE_A = {
    "type": "se_e2_a",
    "rcut": 3.3,
    "rcut_smth": 0.7,
    "sel": [20, 20],
    "neuron": [6, 12],
    "axis_neuron": 5,
    "seed": 1,
}
ONE = SE_A | {"type_one_side": True}
DIPOLE, DOS = {"type": "dipole", "sel_type": [0]}, {"type": "dos", "numb_dos": 5}
POLAR = {"type": "polar", "fit_diag": True}
ATTEN = {
    "type": "se_atten",
    **{k: SE_A[k] for k in ("rcut", "rcut_smth", "neuron", "axis_neuron")},
    "sel": 24,
    "attn_layer": 0,
}
MODELS = {
    "dipole": (ONE, DIPOLE),
    "dipole, all types, excluded": (ONE | {"exclude_types": [[0, 0]]}, {"type": "dipole"}),
    "dipole, no attention": (ATTEN, DIPOLE),
    "dipole, few slots": (SE_A | {"sel": [6, 5]}, {"type": "dipole", "sel_type": [1], "activation_function": "gelu"}),
    "polar": (ONE, POLAR | {"scale": [1.5, 0.25], "sel_type": [0, 1]}),
    "polar, whole matrix": (SE_A, {"type": "polar", "fit_diag": False, "scale": [0.5, 3.0], "sel_type": [1]}),
    "dos": (ONE, DOS),
    "dos, excluded, parameters": (ONE | {"exclude_types": [[1, 1]]}, DOS | {"numb_fparam": 2, "numb_aparam": 1}),
}
OUTPUTS = {
    "dipole": ["o_dipole", "o_global_dipole", "o_force", "o_virial", "o_atom_virial"],
    "polar": ["o_polar", "o_global_polar", "o_force", "o_virial", "o_atom_virial"],
    "dos": ["o_dos", "o_atom_dos"],
}


def make_graph(name, step=None, precision="float64"):
    """Frozen graph with random weights, means and deviations; with a step it is compressed."""
    descriptor, fitting = MODELS[name]
    fitting = {"neuron": [10, 10], "seed": 1, "precision": precision, **fitting}
    section = normalize_model(
        {"type_map": ["A", "B"], "descriptor": descriptor | {"precision": precision}, "fitting_net": fitting}
    )
    nnei = int(np.sum(descriptor["sel"]))
    davg = np.zeros((2, 1, 4))
    davg[:, :, 0] = [[0.11], [0.06]]
    dstd = np.array([[[0.3, 0.2, 0.2, 0.2]], [[0.25, 0.17, 0.17, 0.17]]])
    values = random_values(section) | {
        "descrpt_attr/t_avg": np.repeat(davg, nnei, axis=1).reshape(2, -1),
        "descrpt_attr/t_std": np.repeat(dstd, nnei, axis=1).reshape(2, -1),
    }
    if fitting["type"] == "polar":
        values["fitting_attr/t_constant_matrix"] = np.array([0.7, -0.4])
    if step is not None:
        build_model(section).compress(values, TableSettings(step, min_distance=0.7))
    return frozen_graph({"model": section}, values)


def compare(graph, feeds, kind, tolerance=1e-10, **options):
    fused, report = rewrite_graph(graph, **options)
    assert report.startswith("fused se_"), report
    outputs = OUTPUTS[kind]
    agree(Runner(fused).run(feeds, outputs), Runner(graph).run(feeds, outputs), tolerance)


def frames(geometry, nf=2):
    coord, types, box, _ = GEOMETRIES[geometry]
    return without_virtual_atoms(feeds_of(coord, types, box, nf))


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if "whole" in n else n for n in MODELS])
def test_models(name):
    graph, kind = make_graph(name), MODELS[name][1]["type"]
    feeds, n = frames("cell smaller than the cutoff" if "all types" in name else "triclinic")
    if "parameters" in name:
        feeds |= {"fparam": np.array([0.3, -0.2, 0.1, 0.5]), "aparam": np.linspace(-1, 1, 2 * n)}
    compare(graph, feeds, kind)


@pytest.mark.parametrize("name", ["dipole", "dos"])
def test_compressed(name):
    compare(make_graph(name, step=0.02), frames("triclinic")[0], MODELS[name][1]["type"])


@pytest.mark.parametrize("options", [{"precision": "float32"}, {}])
def test_single_precision(options):
    graph = make_graph("dipole", precision="float64" if options else "float32")
    compare(graph, frames("triclinic")[0], "dipole", 2e-5, **options)


def test_list_of_an_engine():
    coord, types, box, _ = GEOMETRIES["triclinic"]
    order = np.argsort(np.where(types < 0, 9, types), kind="stable")
    coord, types = coord[order], types[order]
    all_coord, all_types, _, rows_of, rows = list_of_engine(coord, types, box, skin=0.8)
    mesh, _alive = mesh_by_pointer(rows_of, rows)
    feeds = {
        "coord": all_coord.ravel(), "type": all_types.astype(np.int32), "box": box.ravel(), "mesh": mesh,
        "natoms": np.array([len(coord), len(all_coord), (types == 0).sum(), (types == 1).sum()], np.int32),
    }  # fmt: skip
    compare(make_graph("dipole"), feeds, "dipole")


def test_golden_models_are_fused(golden):
    from dptf.infer import DeepPotential

    for name in ("dipole", "dipole.compressed", "polar", "dos"):
        report = DeepPotential(golden / "pb" / f"{name}.pb").deep_eval.report()
        assert report.startswith("fused se_e2_a kernels (float64"), f"{name}: {report}"
