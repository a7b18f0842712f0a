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
