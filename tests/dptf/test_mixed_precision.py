"""training/mixed_precision: layers in half precision, weights and sums in float32."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from model_cases import SE_3, SE_R
from toy import write_input, write_system

from dptf.cli.main import main
from dptf.infer import DeepPot
from dptf.ops import tf
from dptf.train.checkpoint import Checkpoint
from dptf.train.optimizer import LossScale


@pytest.fixture()
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_system(tmp_path / "a", nframes=4)
    return tmp_path


def run(folder, name, **changes):
    write_input(
        folder, [folder / "a"], training__numb_steps=3, training__disp_freq=1, training__disp_file=f"{name}.out",
        training__save_ckpt=name, training__tabulated_embedding=False, **changes,
    )  # fmt: skip
    assert main(["train", "input.json"]) == 0
    return np.loadtxt(f"{name}.out")


@pytest.mark.parametrize("compute", ["bfloat16", "float16"])
def test_close_to_single_precision(folder, compute):
    """The same course of training up to the rounding of 8 (11) bits; the frozen graph computes as the training did."""
    single = run(
        folder, "single", model__descriptor__precision="float32", model__fitting_net__precision="float32"
    )  # fmt: skip
    mixed = run(folder, "mixed", training__mixed_precision={"compute_prec": compute})
    loose = {"bfloat16": 0.1, "float16": 0.02}[compute]
    np.testing.assert_allclose(mixed[:, 3], single[:, 3], rtol=loose)
    kinds = {k: v.dtype for k, v in Checkpoint("mixed").values().items() if k.startswith(("filter", "layer"))}
    assert set(kinds.values()) == {np.dtype("float32")}
    forces = []
    for name in ("single", "mixed"):
        assert main(["freeze", "-c", name, "-o", f"{name}.pb"]) == 0
        with DeepPot(f"{name}.pb") as dp:
            coord, box = np.load("a/set.000/coord.npy")[:1], np.load("a/set.000/box.npy")[:1]
            forces.append(dp.eval(coord, box, np.loadtxt("a/type.raw", dtype=int))[1])
    assert 0 < np.abs(forces[0] - forces[1]).max() < loose * np.abs(forces[0]).max()


def test_other_descriptors(folder):
    """Radial and three-body nets; a restart goes on with the scale of the loss."""
    parts = {"type": "hybrid", "list": [SE_R, SE_3]}
    changes = {"model__descriptor": parts, "training__mixed_precision": {"compute_prec": "bfloat16"}}
    assert np.isfinite(run(folder, "m", **changes)).all()
    changes = {"model__descriptor": SE_R, "training__mixed_precision": {"compute_prec": "float16"}}
    assert np.isfinite(run(folder, "m", **changes)).all()
    before = Checkpoint("m").values()["loss_scale/good_steps"]
    assert before > 0
    config = json.loads(Path("input.json").read_text())
    config["training"]["numb_steps"] = 4
    Path("input.json").write_text(json.dumps(config))
    assert main(["train", "input.json", "--restart", "m"]) == 0
    assert Checkpoint("m").values()["loss_scale/good_steps"] == before + 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"training__mixed_precision": {"compute_prec": "float32"}}, "float16 or bfloat16"),
        ({"training__mixed_precision": {"compute_prec": "float16", "output_prec": "float64"}}, "must be float32"),
        ({"model__type_embedding": {"neuron": [2]}, "training__mixed_precision": {"compute_prec": "float16"}}, "mixed"),
    ],
)
def test_what_does_not_fit(folder, capfd, changes, words):
    write_input(folder, [folder / "a"], **changes)
    assert main(["train", "input.json"]) == 1
    assert words in capfd.readouterr().err


def test_scale_of_the_loss():
    """Gradients that are not finite change no weight and halve the scale; many good steps double it."""
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.get_variable("x", initializer=tf.constant(1.0))
        source, step = tf.placeholder(tf.float32, []), tf.train.get_or_create_global_step()
        scale = LossScale()
        scale._PATIENCE = 2
        grad = scale.down(tf.gradients(scale.up(source * x), [x]))
        update = scale.guard(tf.train.GradientDescentOptimizer(0.1), [(grad[0], x)], step)
        session.run(tf.global_variables_initializer())
        seen = []
        for value in (2.0, np.inf, 2.0, 2.0):
            session.run(update, {source: value})
            seen.append([float(v) for v in session.run([x, scale._factor, step])])
    expected = [[0.8, 1024, 1], [0.8, 512, 2], [0.6, 512, 3], [0.4, 1024, 4]]
    np.testing.assert_allclose(seen, expected, rtol=1e-6)
