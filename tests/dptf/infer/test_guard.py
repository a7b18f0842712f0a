"""What is refused before the graph runs, and how the message reads."""

import numpy as np
import pytest

from dptf.errors import UserError
from dptf.infer import DeepPot


def poisoned(frames, key, index, value):
    array = frames[key].copy()
    array[index] = value
    return array


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_coordinates_must_be_finite(dp, frames, value):
    with pytest.raises(UserError, match=r"frame 1, atom 5, component z"):
        dp.eval(poisoned(frames, "coord", (1, 17), value), frames["box"], frames["atype"])


@pytest.mark.parametrize(
    "box, words",
    [
        (np.zeros((3, 9)), "singular"),
        (np.tile([1.0, 0, 0, 2.0, 0, 0, 0, 0, 1.0], (3, 1)), "singular"),
        (np.full((3, 9), np.nan), "not finite"),
        (np.eye(3).ravel() * 10, "9 numbers for 3 frames"),
        (np.tile(np.eye(3).ravel() * 1e-3, (3, 1)), "image atoms"),
    ],
)
def test_cells(dp, frames, box, words):
    with pytest.raises(UserError, match=words):
        dp.eval(frames["coord"], box, frames["atype"])


@pytest.mark.parametrize("bad, words", [(2, r"atom 3.*\n.*0\.\.1"), (-2, "type -2"), (0.5, "whole numbers")])
def test_types(dp, frames, bad, words):
    types = frames["atype"].astype(float)
    types[3] = bad
    with pytest.raises(UserError, match=words):
        dp.eval(frames["coord"], frames["box"], types)


def test_sizes(dp, frames):
    with pytest.raises(UserError, match="whole frames of 24 atoms"):
        dp.eval(frames["coord"][:, :-1], frames["box"], frames["atype"])
    with pytest.raises(UserError, match="mixed_type"):
        dp.eval(frames["coord"], frames["box"], np.tile(frames["atype"], (3, 1)))
    with pytest.raises(UserError, match="one row per frame"):
        dp.eval(frames["coord"], frames["box"], frames["atype"], mixed_type=True)


def test_unknown_choices(model_dir, monkeypatch):
    with pytest.raises(UserError, match="head"):
        DeepPot(model_dir / "se_e2_a.pb", head="x")
    with pytest.raises(UserError, match="nlist_backend"):
        DeepPot(model_dir / "se_e2_a.pb", nlist_backend="cuda")
    monkeypatch.setenv("DP_INFER_BATCH_SIZE", "many")
    with pytest.raises(UserError, match="DP_INFER_BATCH_SIZE"):
        DeepPot(model_dir / "se_e2_a.pb")


def test_sel_overflow_is_reported(dp, frames, caplog):
    crowded = np.random.default_rng(0).uniform(0, 4, (80, 3))
    types = [0] * 40 + [1] * 40
    dp.deep_eval._warned_sel = False
    dp.eval(crowded, None, types)
    assert "no slot in 'sel'" in caplog.text


def test_overlapping_atoms(dp, frames):
    coord = frames["coord"].copy()
    coord[1, 9:12] = coord[1, 3:6]
    with pytest.raises(UserError, match=r"frame 1: the model gives no finite .*atom 1 and another"):
        dp.eval(coord, frames["box"], frames["atype"])
