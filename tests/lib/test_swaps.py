"""Message passing by the swaps of an engine (DP_NewNlist_comm): one, two and three processes give Python's numbers."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dptf.infer import DeepPot
from tests.dptf.dpa3_cases import write_model
from tests.lib.c_api import LIBRARY

pytest.importorskip("mpi4py")
BIN, HERE = Path(sys.executable).parent, Path(__file__).resolve().parent
ENV = dict(os.environ, PYTHONPATH=f"{HERE.parents[1]}:{HERE}")
pytestmark = pytest.mark.skipif(
    not LIBRARY.exists() or not (BIN / "mpiexec").exists(), reason="needs the C library and mpiexec"
)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A small DPA-3 model and 24 atoms; the folder, and the numbers of Python."""
    folder = tmp_path_factory.mktemp("swaps")
    model = write_model(folder / "model.pb")
    rng = np.random.default_rng(5)
    box = np.array([[7.0, 0, 0], [0.9, 6.4, 0], [-0.8, 0.7, 6.8]])
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3)[:24] / 3.0
    coord, types = grid @ box + rng.normal(scale=0.2, size=(24, 3)), rng.integers(0, 2, 24)
    np.savez(folder / "case.npz", coord=coord, types=types, box=box)
    with DeepPot(model) as dp:
        return folder, dp.eval(coord, box, types)


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_swaps(case, ranks):
    folder, expected = case
    command = [
        BIN / "mpiexec",
        "-n",
        str(ranks),
        sys.executable,
        HERE / "swaps_program.py",
        "model.pb",
        "case.npz",
        "out.npz",
    ]
    done = subprocess.run(command, cwd=folder, env=ENV, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    found = np.load(folder / "out.npz")
    for key, value in zip(("energy", "force", "virial"), expected):
        np.testing.assert_allclose(found[key].ravel(), value.ravel(), rtol=0, atol=1e-9, err_msg=key)


def test_swaps_to_others_need_mpi(case):
    """Without MPI in the program a pattern that names other processes is an error, not a wrong number."""
    code = """
import ctypes
import numpy as np
from c_api import Handle, load, pointer
lib = load()
dp = Handle(lib, "DeepPot", lib.DP_NewDeepPot(b"model.pb"))
i, one, two = (np.array([k], np.int32) for k in (0, 1, 2))
rows = (ctypes.c_void_p * 1)(one.ctypes.data)
sent = (ctypes.c_void_p * 1)(i.ctypes.data)
nlist = ctypes.c_void_p(lib.DP_NewNlist_comm(1, pointer(i), pointer(one), rows, 1, pointer(one), pointer(one),
                                             pointer(one), sent, pointer(i), pointer(one), None, 2))
dp.compute("NList", np.arange(6.0), np.zeros(2, int), None, list_args=[1, nlist, 0])
print(dp.error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=case[0], env=ENV, capture_output=True, text=True, timeout=60
    )
    assert "swap 0 of the neighbor list goes to another process" in done.stdout, done.stdout + done.stderr
