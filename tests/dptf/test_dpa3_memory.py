"""The memory forecast of DPA-3 against a measured peak, and its line in `dp show`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dptf.cli.main import main
from dptf.cli.show import _memory
from dptf.descriptor.repflow import RepFlowOptions
from dptf.descriptor.repflow_memory import bytes_per_atom
from dptf.errors import UserError
from tests.dptf.dpa3_cases import REPFLOW, write_model

WIDE = {"n_dim": 32, "e_dim": 16, "a_dim": 16, "nlayers": 4, "e_rcut": 6.0, "a_rcut": 4.0, "e_sel": 80, "a_sel": 24}

# A cube of 12**3 atoms at the density of water; the lists of all atoms are full. Numbers are kept from the third evaluation on; the
# smaller peak of two counts, as threads that other work delays hold their memory longer.
PROGRAM = """
import json, sys
import numpy as np
from dptf.infer import DeepPot

def status(name):
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(name))

model, n = DeepPot(sys.argv[1]), 12
coord = np.stack(np.meshgrid(*[np.arange(n)] * 3), -1).reshape(-1, 3) * 2.15
coord += np.random.default_rng(0).normal(scale=0.1, size=coord.shape)
types = np.arange(n**3) % 2
few = model.eval(coord[None, :3], None, types[:3])
before = status("VmRSS")
peaks = []
for _ in range(4):
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak starts anew
    energy = model.eval(coord[None], np.eye(3)[None] * n * 2.15, types)[0]
    peaks.append(status("VmHWM"))
assert np.isfinite(energy).all()
print(json.dumps({"peak": (min(peaks[2:]) - before) / n**3, "energy": energy.item()}))
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("dpa3") / "m.pb", repflow=WIDE, precision="float32")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peaks are read from /proc")
def test_forecast_and_measured_peak(model):
    """Also that a limit of what is kept holds, and that the energy is the same with and without."""

    def run(keep):
        command, env = [sys.executable, "-c", PROGRAM, str(model)], {**os.environ, "DPTF_KEEP": keep}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
        return json.loads(done.stdout.splitlines()[-1])

    none, some = run("0"), run("100M")
    forecast = bytes_per_atom(RepFlowOptions.read(REPFLOW | WIDE, "repflow"), 4)
    assert none["peak"] / 1.5 < forecast < none["peak"] * 1.5, (none, forecast)
    assert 0 < (some["peak"] - none["peak"]) * 12**3 < 110 * 2**20
    assert some["energy"] == pytest.approx(none["energy"], rel=1e-6)


def test_show(model, capsys):
    assert main(["show", str(model), "memory"]) == 0
    size = bytes_per_atom(RepFlowOptions.read(REPFLOW | WIDE, "repflow"), 4) / 1e6
    text = capsys.readouterr().err
    assert f"{size:.3g} MB per atom (80 neighbors within 6 Å and 24 within 4 Å)" in text
    assert "in blocks of atoms, in several times the time, and need 0.896 KB per atom" in text


def test_other_models_have_none():
    with pytest.raises(UserError, match="no memory forecast for 'se_e2_a'"):
        _memory({"type": "se_e2_a"}, 2, "m.pb")


def test_what_counts():
    """Lists of dynamic models are those that sums are divided by; models without angles have none; double precision needs more."""
    read = lambda **change: bytes_per_atom(RepFlowOptions.read(REPFLOW | change, "repflow"), 4)  # noqa: E731
    dynamic = read(use_dynamic_sel=True, e_sel=600, a_sel=300)
    assert dynamic == pytest.approx(read())
    assert read(update_angle=False) < 0.5 * read() < read(nlayers=6)
    options = RepFlowOptions.read(REPFLOW, "repflow")
    assert 1.4 < bytes_per_atom(options, 8) / bytes_per_atom(options, 4) < 2.0
