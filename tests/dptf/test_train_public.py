"""The learning curve of the public package (3.2.0) from the same input and data, number for number."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from toy import write_input, write_system

from dptf.cli.main import main

# Written by the public package.
ALONE = """\
      0      8.48e+00      1.15e+00      2.67e-01      1.95e-01    3.0e-03
      2      4.55e+00      1.15e+00      2.18e-01      1.69e-01    4.5e-04
      4      4.14e+00      1.16e+00      2.43e-01      2.00e-01    6.7e-05
      6      4.01e+00      1.15e+00      2.48e-01      1.69e-01    1.0e-05
"""
VALIDATED = """\
      0      9.32e+00    8.48e+00      1.16e+00    1.15e+00      2.94e-01    2.67e-01      1.84e-01    1.95e-01    3.0e-03
      2      4.99e+00    4.82e+00      1.17e+00    1.15e+00      2.69e-01    2.54e-01      1.94e-01    1.69e-01    4.5e-04
      4      4.07e+00    3.98e+00      1.15e+00    1.14e+00      2.09e-01    1.62e-01      1.76e-01    1.64e-01    6.7e-05
      6      4.03e+00    4.02e+00      1.15e+00    1.15e+00      2.44e-01    2.57e-01      1.79e-01    1.72e-01    1.0e-05
"""

MEMBERS = """\
      0      5.50e+00      1.33e-01      1.74e-01      2.45e-01    3.0e-03
      2      1.86e+00      1.33e-01      1.46e-01      2.36e-01    4.5e-04
      4      1.06e+00      1.05e-01      2.00e-01      2.48e-01    6.7e-05
      6      6.04e-01      1.28e-01      1.53e-01      2.37e-01    1.0e-05
"""
STRIP = """\
      0      2.38e+00      8.13e-01      7.41e-02      1.53e-01    3.0e-03
      2      2.67e+00      7.94e-01      6.56e-02      1.43e-01    4.5e-04
      4      2.71e+00      7.83e-01      6.53e-02      1.43e-01    6.7e-05
      6      2.73e+00      7.86e-01      6.55e-02      1.42e-01    1.0e-05
"""
NAMES = {"type_map": ["A", "B"]}
PAIRS = {
    "type": "se_e2_a", "sel": [20, 20], "rcut": 4.0, "rcut_smth": 1.0, "neuron": [4, 8], "axis_neuron": 2, "seed": 1
}  # fmt: skip
NET = {"neuron": [6, 6], "seed": 4}
LENGTHS = {"type": "se_e2_r", "sel": [20, 20], "rcut": 3.5, "neuron": [5], "seed": 2}
MODELS = {
    "members": {
        "type": "linear_ener", "weights": "sum", **NAMES,
        "models": [
            {"descriptor": PAIRS, "fitting_net": NET, **NAMES},
            {"descriptor": LENGTHS, "fitting_net": {"neuron": [5], "seed": 3}, **NAMES},
        ],
    },
    "strip": {
        "type_embedding": {"neuron": [4], "seed": 6}, "descriptor": {**PAIRS, "type": "se_a_ebd_v2"}, "fitting_net": NET, **NAMES,
    },
}  # fmt: skip


@pytest.mark.parametrize(("model", "rows"), [("members", MEMBERS), ("strip", STRIP)])
def test_same_seeds_in_other_models(tmp_path, monkeypatch, model, rows):
    """Every member of a sum draws statistics of its own; the net of the types takes the first seeds."""
    monkeypatch.chdir(tmp_path)
    systems = [write_system(Path("a"), seed=0), write_system(Path("b"), nframes=5, seed=1, sets=2)]
    write_input(
        tmp_path, systems, training__numb_steps=6, training__disp_freq=2, training__save_freq=100, training__seed=7,
        model=MODELS[model],
    )  # fmt: skip
    assert main(["train", "input.json"]) == 0
    assert "".join(line for line in open("lcurve.out") if not line.startswith("#")) == rows


@pytest.mark.parametrize(
    ("validation", "rows"),
    [(None, ALONE), ({"systems": ["a"], "batch_size": 2, "numb_btch": 2}, VALIDATED)],
    ids=["alone", "validated"],
)
def test_same_seeds_give_the_same_learning_curve(tmp_path, monkeypatch, validation, rows):
    """Statistics, initial weights, vacuum energies, order of all batches, losses, updates."""
    monkeypatch.chdir(tmp_path)
    systems = [write_system(Path("a"), seed=0), write_system(Path("b"), nframes=5, seed=1, sets=2)]
    write_input(
        tmp_path, systems, training__numb_steps=6, training__disp_freq=2, training__save_freq=100, training__seed=7,
        model__fitting_net={"neuron": [6, 6], "seed": 4, "atom_ener": [-0.5, -1.0]},
        training__validation_data=validation,
    )  # fmt: skip
    assert main(["train", "input.json"]) == 0
    assert "".join(line for line in open("lcurve.out") if not line.startswith("#")) == rows
