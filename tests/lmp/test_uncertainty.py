"""compute deepmd/uncertainty/atom and the C API against Python."""

import subprocess
import sys

import numpy as np
import pytest

from dptf.graph.load import write_graph_def
from dptf.graph.uncertainty import Calibration, Rule, with_uncertainty
from dptf.infer import DeepPot
from tests.dptf import dpa3_cases, model_cases
from tests.lmp.lammps_run import LIB, dump, run, write_data

pytestmark = pytest.mark.skipif(not (LIB / "libdeepmd_lmpplugin.so").exists(), reason="the LAMMPS plugin was not built")

SCRIPT = """
units {units}
atom_style atomic
read_data data.lmp
pair_style deepmd {model}
pair_coeff * * {names}
compute sure {group} deepmd/uncertainty/atom {more}
compute worst all reduce max c_sure
neighbor 0.5 bin
fix 1 all nve
thermo_style custom step pe c_worst
dump 1 all custom 3 out.dump id x y z c_sure
dump_modify 1 format float %.16g
run 3
"""
TYPES, CELL = np.arange(24) % 2, np.eye(3) * 8.9


def script(model="sure.pb", units="metal", names="A B", group="all", more=""):
    return SCRIPT.format(model=model, units=units, names=names, group=group, more=more)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model with random weights and variances, of all precision that a graph has."""
    root = tmp_path_factory.mktemp("uncertainty")
    model = {"type_map": ["A", "B"], "descriptor": model_cases.SE_A, "fitting_net": model_cases.FITTING}
    graph = dpa3_cases.frozen_graph({"model": model}, dpa3_cases.random_values(model))
    write_graph_def(graph, root / "plain.pb")
    width = model_cases.FITTING["neuron"][-1]
    rows = np.random.default_rng(5).normal(size=(2, 50, width))
    covariances = np.einsum("tni,tnj->tij", rows, rows)
    sure = with_uncertainty(graph, covariances, Rule(1e-9, 3.5, 2.0), Calibration(0.7, 0.02, 0.1))
    write_graph_def(sure, root / "sure.pb")
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3)[:24] * 2.9
    coord = grid + np.random.default_rng(1).normal(scale=0.1, size=grid.shape) + 0.5
    write_data(root / "data.lmp", coord, TYPES, CELL, 2)
    np.save(root / "coord.npy", coord)
    return root


@pytest.mark.parametrize("units, ranks", [("metal", 1), ("real", 2), ("metal", 4)])
def test_lammps_agrees_with_python(folder, units, ranks):
    process = run(folder, script(units=units), ranks)
    assert process.returncode == 0, process.stdout[-2000:] + process.stderr[-2000:]
    found = dump(folder / "out.dump")
    coord = np.stack([found[k] for k in "xyz"], axis=1).reshape(1, -1)
    with DeepPot(folder / "sure.pb") as fused, DeepPot(folder / "sure.pb", plain=True) as plain:
        assert "fused" in fused.runtime_report()
        wanted = fused.eval_uncertainty(coord, CELL.reshape(1, 9), TYPES)[0]
        np.testing.assert_allclose(plain.eval_uncertainty(coord, CELL.reshape(1, 9), TYPES)[0], wanted, rtol=1e-9)
    assert np.ptp(wanted) > 1e-3 * wanted.mean() and wanted.min() > 0.02
    unit = 23.060549 if units == "real" else 1.0
    np.testing.assert_allclose(found["c_sure"], wanted * unit, rtol=2e-7 if units == "real" else 1e-9)


def test_groups_ignored_types_and_mistakes(folder):
    before = script(names="A NULL", group="left").replace("compute sure", "group left id 1:4\ncompute sure", 1)
    process = run(folder, before)
    assert process.returncode == 0, process.stdout[-2000:]
    assert np.flatnonzero(dump(folder / "out.dump")["c_sure"]).tolist() == [0, 2]
    for given, words in (
        ({"model": "plain.pb"}, "carries no uncertainties"), ({"more": "3"}, "use compute ID group deepmd/uncertainty/atom"),
    ):  # fmt: skip
        process = run(folder, script(**given))
        assert process.returncode != 0 and words in process.stdout + process.stderr


def test_c_api(folder):
    """In a process of its own, as a C program has it."""
    code = f"""
import ctypes, numpy as np
lib = ctypes.CDLL({str(LIB / "libdeepmd_c.so")!r})
lib.DP_NewDeepPot.restype = ctypes.c_void_p
lib.DP_DeepPotHasUncertainty.restype = ctypes.c_bool
lib.DP_DeepPotCheckOK.restype = ctypes.c_char_p
p = ctypes.c_void_p
x, t, box, out = np.load("coord.npy"), np.arange(24, dtype=np.int32) % 2, np.eye(3) * 8.9, np.zeros(24)
for name in (b"plain.pb", b"sure.pb"):
    dp = p(lib.DP_NewDeepPot(name))
    print(lib.DP_DeepPotHasUncertainty(dp))
    lib.DP_DeepPotComputeUncertainty(dp, 24, *(p(a.ctypes.data) for a in (x, t, box)), None, None, p(out.ctypes.data))
    print(lib.DP_DeepPotCheckOK(dp).decode())
np.save("c.npy", out)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    assert lines[0] == "False" and "o_atom_uncertainty" in lines[1] and lines[2:] == ["True", ""]
    with DeepPot(folder / "sure.pb") as model:
        wanted = model.eval_uncertainty(np.load(folder / "coord.npy").reshape(1, -1), CELL.reshape(1, 9), TYPES)[0]
    np.testing.assert_allclose(np.load(folder / "c.npy"), wanted, rtol=1e-10)
