"""A model frozen here, run by the public package: the same numbers.

Needs an interpreter that has deepmd-kit, of which nothing else is used here: DPTF_BENCH_PUBLIC=/path/to/venv/bin/python.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "dptf"))
from toy import write_input, write_system

from dptf.cli.main import main

PUBLIC = os.environ.get("DPTF_BENCH_PUBLIC")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not PUBLIC, reason="DPTF_BENCH_PUBLIC names no interpreter")]

EVALUATE = """
import sys, numpy as np
from deepmd.infer import DeepPot
d = np.load("frames.npz")
dp = DeepPot(sys.argv[1])
out = {}
for name, box in (("pbc", d["box"]), ("open", None)):
    for key, value in zip(("energy", "force", "virial", "atom_energy", "atom_virial"), dp.eval(d["coord"], box, d["type"], atomic=True)):
        out[name + "_" + key] = value
np.savez("public.npz", **out)
"""

DESCRIPTORS = [
    {"type": "se_e2_a", "type_one_side": True},
    {"type": "se_e2_a", "type_one_side": False, "resnet_dt": True, "exclude_types": [[0, 1]], "activation_function": "gelu"},
    {"type": "se_e2_a", "precision": "float32"},
    {"type": "se_e2_r"},
    {"type": "se_e3"},
]  # fmt: skip


@pytest.mark.parametrize("descriptor", DESCRIPTORS, ids=lambda d: "-".join(map(str, d.values())).replace(" ", ""))
def test_public_package_runs_our_graphs(tmp_path, monkeypatch, descriptor):
    from dptf.infer import DeepPot

    monkeypatch.chdir(tmp_path)
    system = write_system(tmp_path / "data")
    write_input(tmp_path, [system], training__numb_steps=5)
    full = {"sel": "auto:1.3", "rcut": 4.0, "rcut_smth": 1.0, "neuron": [4, 8], "seed": 1, **descriptor}
    if descriptor["type"] == "se_e2_a":
        full["axis_neuron"] = 3
    write_input(tmp_path, [system], training__numb_steps=5, model__descriptor=full)
    assert main(["train", "input.json"]) == 0 and main(["freeze"]) == 0
    coord, box = np.load(system / "set.000/coord.npy"), np.load(system / "set.000/box.npy")
    types = np.loadtxt(system / "type.raw", dtype=int)
    np.savez("frames.npz", coord=coord, box=box, type=types)
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "LAMMPS_PLUGIN_PATH")}
    done = subprocess.run(
        [PUBLIC, "-c", EVALUATE, "frozen_model.pb"], env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    theirs = np.load("public.npz")
    tolerance = 1e-5 if descriptor.get("precision") == "float32" else 1e-10
    with DeepPot("frozen_model.pb") as dp:
        for name, cell in (("pbc", box), ("open", None)):
            ours = dp.eval(coord, cell, types, atomic=True)
            for key, value in zip(("energy", "force", "virial", "atom_energy", "atom_virial"), ours):
                expected = theirs[f"{name}_{key}"]
                scale = max(1, np.abs(expected).max())
                np.testing.assert_allclose(value, expected, rtol=0, atol=tolerance * scale, err_msg=f"{name} {key}")
