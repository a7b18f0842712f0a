"""Options of the model section: pairs and atoms that do not take part, given biases, protected distances."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from model_cases import BOX, COORD, SE_A, SE_R, TYPES, Case, check_derivatives
from toy import write_input, write_system

from dptf.cli.main import main
from dptf.errors import UserError


@pytest.mark.parametrize("descriptor", [SE_A, SE_R], ids=["se_e2_a", "se_e2_r"])
def test_excluded_pairs_and_atoms(descriptor):
    """Type B neither sees A nor counts, so A alone decides."""
    case = Case(descriptor, pair_exclude_types=[[0, 1]], atom_exclude_types=[1])
    check_derivatives(case, "energy")
    out = case.run()
    assert np.all(out["atom_energy"][0, TYPES == 1] == 0)
    assert np.all(out["force"].reshape(-1, 3)[TYPES == 1] == 0)
    moved = COORD + np.where(TYPES == 1, 0.3, 0.0)[:, None]
    np.testing.assert_allclose(case.run(coord=moved)["energy"], out["energy"], rtol=1e-14)
    assert abs(case.run(coord=COORD + np.eye(5, 3) * 0.3)["energy"] - out["energy"]) > 1e-6


def test_trained_frozen_and_evaluated(tmp_path, monkeypatch):
    """The options reach the statistics, the training graph, the frozen graph and the exchange file."""
    from dptf.infer import DeepPot

    monkeypatch.chdir(tmp_path)
    system = write_system(tmp_path / "a")
    write_input(
        tmp_path, [system], training__numb_steps=3, model__pair_exclude_types=[[0, 1]], model__atom_exclude_types=[1],
        model__preset_out_bias={"energy": [0.25, None]}, model__descriptor__env_protection=0.05,
    )  # fmt: skip
    assert main(["train", "input.json"]) == 0
    assert main(["freeze"]) == 0
    assert main(["convert-backend", "frozen_model.pb", "model.dp"]) == 0
    assert main(["convert-backend", "model.dp", "again.pb"]) == 0
    results = []
    for file in ("frozen_model.pb", "again.pb"):
        with DeepPot(file) as dp:
            results.append(dp.eval(COORD, BOX, TYPES, atomic=True))
            far = dp.eval([[0.0, 0, 0]], None, [0], atomic=True)
    for a, b in zip(*results):
        np.testing.assert_allclose(a, b, atol=1e-12)
    assert np.all(results[0][3][0, TYPES == 1] == 0) and np.all(results[0][3][0, TYPES == 0] != 0)
    assert far[0][0, 0] != 0
    from dptf.train.checkpoint import Checkpoint

    bias = Checkpoint("model.ckpt").values()["fitting_attr/t_bias_atom_e"]
    np.testing.assert_allclose(bias, [0.25, 0.0], atol=1e-12)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model__preset_out_bias": {"dipole": [0, 0]}}, "'energy' alone"),
        ({"model__preset_out_bias": {"energy": [0.0]}}, "needs 2 entries"),
        ({"model__preset_out_bias": {"energy": [0.0, 1.0]}, "model__fitting_net__atom_ener": [0.0, None]}, "keep one"),
        ({"model__pair_exclude_types": [[0, 2]]}, "types run from 0 to 1"),
        ({"model__atom_exclude_types": [5]}, "types run from 0 to 1"),
    ],
)
def test_mistakes(tmp_path, monkeypatch, changes, words):
    monkeypatch.chdir(tmp_path)
    write_input(tmp_path, [write_system(tmp_path / "a", nframes=2)], **changes)
    from dptf.train.run import train

    with pytest.raises(UserError, match=words):
        train("input.json")
