"""The demo and the files of the examples, as a user runs them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dptf.config.load import normalize_input, read_input
from dptf.lmp import LIB

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


def environment():
    return {**os.environ, "LAMMPS_PLUGIN_PATH": str(LIB), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.mark.slow
@pytest.mark.skipif(not (LIB / "libdeepmd_lmpplugin.so").exists(), reason="the LAMMPS plugin was not built")
def test_demo(tmp_path):
    folder = tmp_path / "run"
    command = [sys.executable, EXAMPLES / "demo.py", "--folder", folder, "--steps", "20", "--md-steps", "60"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    for words in ("force error, training (validation)", "dp test: force", "LAMMPS, 192 atoms", "steps/s", "drift"):
        assert words in done.stdout
    for name in ("parity.png", "lcurve.png"):
        assert (folder / name).read_bytes()[:4] == b"\x89PNG"
    assert (folder / "summary.txt").read_text() in done.stdout
    curve = np.genfromtxt(folder / "lcurve.out", names=True)
    assert curve["rmse_e_trn"][-1] < curve["rmse_e_trn"][0]


def test_demo_leaves_other_folders_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    command = [sys.executable, EXAMPLES / "demo.py", "--folder", tmp_path, "--steps", "20"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and "not of the demo" in done.stderr
    assert (tmp_path / "thesis.tex").exists()


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("input*.json")), ids=lambda p: str(p.relative_to(EXAMPLES)))
def test_inputs_are_valid(path, monkeypatch):
    """Every input of the examples passes the checks, with its systems found from its own folder."""
    monkeypatch.chdir(path.parent)
    source = read_input(path.name)
    if "model_dict" in source.data["model"]:
        assert set(source.data["model"]["model_dict"]) == set(source.data["training"]["data_dict"])
        return
    assert normalize_input(source)["training"]["numb_steps"] > 0


@pytest.mark.parametrize("name", ["water", "copper"])
def test_data_are_whole(name):
    """Shapes, finite labels, forces that sum to zero, and frames that differ."""
    folders = sorted((EXAMPLES / name).glob("data_*"))
    assert len(folders) >= 4
    for folder in folders:
        n = len(np.loadtxt(folder / "type.raw"))
        arrays = {k: np.load(folder / "set.000" / f"{k}.npy") for k in ("coord", "box", "energy", "force", "virial")}
        nframes = len(arrays["energy"])
        assert arrays["coord"].shape == arrays["force"].shape == (nframes, 3 * n)
        assert arrays["box"].shape == arrays["virial"].shape == (nframes, 9)
        assert all(np.isfinite(a).all() for a in arrays.values())
        assert np.abs(arrays["force"].reshape(nframes, n, 3).sum(1)).max() < 2e-3 * n**0.5
        assert np.unique(arrays["energy"]).size == nframes


def test_scripts_name_existing_files():
    for script in EXAMPLES.rglob("in.lammps"):
        data = [line.split()[1] for line in script.read_text().splitlines() if line.startswith("read_data")]
        assert data and all((script.parent / name).exists() for name in data)


def test_readme_inputs_of_the_pages():
    """The inputs in the documentation are inputs."""
    text = (ROOT / "docs" / "input.md").read_text()
    block = text.split("```json")[1].split("```")[0]
    config = json.loads(block)
    config["training"]["training_data"]["systems"] = config["training"]["validation_data"]["systems"] = ["x"]
    assert normalize_input(config, paths=False)["model"]["descriptor"]["sel"] == "auto"
