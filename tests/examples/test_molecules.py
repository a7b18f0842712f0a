"""The inputs of examples/molecules run from training to test."""

import json
from pathlib import Path

import pytest

from dptf.cli.main import main

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "molecules"
WORDS = {"dipole": "Dipole RMSE", "polar": "Polarizability RMSE", "dos": "DOS RMSE", "property": "Property RMSE"}


@pytest.mark.parametrize("name", WORDS)
def test_few_steps(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = json.loads((FOLDER / f"{name}.json").read_text())
    for part in ("training_data", "validation_data"):
        config["training"][part]["systems"] = [str(FOLDER / s) for s in config["training"][part]["systems"]]
    config["training"] |= {"numb_steps": 3, "disp_freq": 1}
    Path("input.json").write_text(json.dumps(config))
    assert main(["train", "input.json"]) == 0
    assert main(["freeze", "-o", "m.pb"]) == 0
    assert main(["test", "-m", "m.pb", "-s", str(FOLDER / "data_1"), "--json", "e.json"]) == 0
    average = json.loads(Path("e.json").read_text())["average"]
    assert 0 < average[WORDS[name]] < 100
