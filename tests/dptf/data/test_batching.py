"""Rules for batch sizes and probabilities."""

import numpy as np
import pytest

from dptf.data.batching import batch_sizes, system_probabilities
from dptf.errors import UserError


@pytest.mark.parametrize(
    "rule, sizes",
    [
        (3, [3, 3, 3]),
        ([1, 2, 3], [1, 2, 3]),
        ("auto", [1, 4, 7]),
        ("auto:200", [2, 20, 40]),
        ("max:40", [1, 4, 8]),
        ("filter:40", [None, 4, 8]),
        ("mixed:4", [1, 1, 1]),
    ],
)
def test_sizes(rule, sizes):
    assert batch_sizes(rule, [192, 10, 5]) == (sizes, 4 if rule == "mixed:4" else 0)


@pytest.mark.parametrize("rule", [0, [1, 2], [1, 0, 1], "autoo", "max", "auto:0", "filter:2", "mixed", -1])
def test_bad_sizes(rule):
    with pytest.raises(UserError, match="training_data/batch_size"):
        batch_sizes(rule, [192, 10, 5], "training_data/batch_size")


@pytest.mark.parametrize(
    "auto, probs, expected",
    [
        ("prob_uniform", None, [0.25, 0.25, 0.25, 0.25]),
        ("prob_sys_size", None, [0.1, 0.2, 0.3, 0.4]),
        ("prob_sys_size; 0:2:0.75; 2:4:0.25", None, [0.25, 0.5, 0.25 * 3 / 7, 0.25 * 4 / 7]),
        ("prob_sys_size;1:3:2", None, [0, 0.4, 0.6, 0]),
        ("prob_sys_size; 0:0:0.9; 0:4:0.1", None, [0.1, 0.2, 0.3, 0.4]),
        ("anything", [0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4]),
        ("anything", [0.5, -1, 0.2, -1], [0.5, 0.1, 0.2, 0.2]),
        ("anything", [-1, -1, -1, 0.0], [1 / 6, 2 / 6, 3 / 6, 0]),
    ],
)
def test_probabilities(auto, probs, expected):
    assert np.allclose(system_probabilities([1, 2, 3, 4], auto, probs), expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    "auto, probs",
    [
        ("prob_size", None), ("prob_sys_size;1:5:1", None), ("prob_sys_size;1:2", None), ("prob_sys_size;0:4:0", None),
        ("x", [0.3]), ("x", [0.5, 0.5, 0.5, -1]), ("x", [0.1, 0.1, 0.1, 0.1]), ("prob_sys_size;a:b:c", None),
    ],
)  # fmt: skip
def test_bad_probabilities(auto, probs):
    with pytest.raises(UserError, match="training_data/"):
        system_probabilities([1, 2, 3, 4], auto, probs)
