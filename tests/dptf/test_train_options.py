"""Options of the training section that decide what a run writes."""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from toy import write_input, write_system

from dptf.cli.main import main


@pytest.fixture
def train(tmp_path, monkeypatch):
    """Train the toy with some options; returns the folder."""
    monkeypatch.chdir(tmp_path)
    system = write_system(tmp_path / "data")

    def run(*argv, **changes):
        write_input(tmp_path, [system], **{"training__numb_steps": 4, "training__disp_freq": 2, **changes})
        assert main(["train", "input.json", *argv]) == 0
        return tmp_path

    return run


def steps(folder):
    return sorted(int(p.name.split("-")[1].split(".")[0]) for p in folder.glob("model.ckpt-*.index"))


def test_checkpoints_are_kept_and_named(train):
    folder = train(training__save_freq=1, training__max_ckpt_keep=2)
    assert steps(folder) == [3, 4]
    text = (folder / "checkpoint").read_text()
    assert 'model_checkpoint_path: "model.ckpt-4"' in text and '"model.ckpt-3"' in text and "ckpt-2" not in text
    assert os.readlink(folder / "model.ckpt.index") == "model.ckpt-4.index"
    assert (folder / "model.ckpt.data-00000-of-00001").exists() and (folder / "model.ckpt.meta").exists()


def test_only_a_final_checkpoint(train):
    assert steps(train(training__save_freq=0)) == [4]


def test_no_steps(train):
    assert steps(train(training__numb_steps=0)) == [0]


def test_names_of_files(train):
    folder = train("-o", "understood.json", training__disp_file="curve.txt", training__save_ckpt="sub/m")
    assert json.loads((folder / "understood.json").read_text())["training"]["numb_steps"] == 4
    assert (folder / "curve.txt").exists() and (folder / "sub" / "m-4.index").exists()
    assert not (folder / "out.json").exists()


def test_tensorboard(train):
    folder = train(training__tensorboard=True, training__tensorboard_log_dir="board", training__tensorboard_freq=1)
    events = [p for p in (folder / "board").rglob("events*")]
    assert events
    from dptf.ops import tf

    tags = {}
    for path in events:
        for event in tf.train.summary_iterator(str(path)):
            for value in event.summary.value:
                tags.setdefault(value.tag, []).append(event.step)
    assert {"lr", "rmse_f", "loss"} <= set(tags) and 4 in tags["lr"]
    assert "layer_0_type_0/matrix" in tags  # distributions of the weights


def test_profile(train):
    folder = train(training__profiling=True, training__profiling_file="trace.json")
    events = json.loads((folder / "trace.json").read_text())["traceEvents"]
    assert any("ProdForceSeA" in str(e.get("args", {}).get("op", "")) for e in events)


@pytest.mark.parametrize("name", ["stat.hdf5", "stat_folder"])
def test_statistics_are_kept(train, name, monkeypatch):
    from dptf.train.checkpoint import Checkpoint

    folder = train(training__stat_file=name)
    first = Checkpoint("model.ckpt").values()["descrpt_attr/t_std"]
    # The second run takes them from the file: it would get others from the data it sees now.
    coord = np.load("data/set.000/coord.npy")
    np.save("data/set.000/coord.npy", coord * 1.02)
    train(training__stat_file=name)
    np.testing.assert_array_equal(Checkpoint("model.ckpt").values()["descrpt_attr/t_std"], first)
    assert (folder / name).exists()


def test_what_is_logged(train, capsys):
    train(training__time_training=False, training__disp_training=True)
    err = capsys.readouterr().err
    assert "Batch       2: trn: rmse = " in err and "total wall time" not in err
    train()
    err = capsys.readouterr().err
    for words in (
        "eta = ",
        "data wait",
        "average training time: ",
        "finished training",
        "wall time: ",
        "saved checkpoint",
    ):
        assert words in err


def test_little_is_printed_before_the_first_step(train, capsys):
    train()
    err = capsys.readouterr().err
    before = err[: err.index("Batch       0")].splitlines()
    assert len(before) <= 16, err


def test_old_layouts_are_converted_once(train):
    folder = train()
    assert not (folder / "input_v2_compat.json").exists()
    config = json.loads((folder / "input.json").read_text())
    data = config["training"].pop("training_data")
    config["training"].update(systems=data["systems"], batch_size=data["batch_size"])
    (folder / "old.json").write_text(json.dumps(config))
    assert main(["train", "old.json"]) == 0
    assert json.loads((folder / "input_v2_compat.json").read_text())["training"]["training_data"]["batch_size"] == 2


def test_epochs(train):
    folder = train(training__numb_steps=None, training__numb_epoch=2)
    assert steps(folder)[-1] == 2 * 3  # six frames in batches of two


def test_clipped_gradients_train(train):
    train(training__gradient_max_norm=0.1)


@pytest.mark.slow
def test_interrupt_leaves_a_checkpoint(train, tmp_path):
    import signal
    import subprocess

    train()
    write_input(tmp_path, [tmp_path / "data"], training__numb_steps=10**6, training__save_freq=10**6)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with open("log", "w") as log:
        process = subprocess.Popen([sys.executable, "-m", "dptf", "train", "input.json"], stderr=log, env=env)
        for _ in range(600):
            time.sleep(0.1)
            if "Batch      10" in Path("log").read_text():
                break
        process.send_signal(signal.SIGINT)
        code = process.wait(60)
    assert code == 1
    assert "a checkpoint was written" in Path("log").read_text() and max(steps(tmp_path)) > 4


def test_default_frame_parameter(train, tmp_path, capfd):
    """Frames without fparam.npy have the default, in training, tests and every evaluation."""
    from dptf.infer import DeepPot

    options = {"numb_fparam": 2, "neuron": [4], "seed": 1}
    train(model__fitting_net=options | {"default_fparam": [0.5, -1.0]})
    assert main(["freeze", "-o", "m.pb"]) == 0
    folder = tmp_path / "data/set.000"
    coord, box, types = (
        np.load(folder / "coord.npy"),
        np.load(folder / "box.npy"),
        np.loadtxt("data/type.raw", dtype=int),
    )
    with DeepPot("m.pb") as dp:
        assert dp.has_default_fparam()
        own, given = (dp.eval(coord, box, types, fparam=f)[0] for f in (None, [0.5, -1.0]))
        np.testing.assert_array_equal(own, given)
    assert main(["test", "-m", "m.pb", "-s", "data", "-n", "2"]) == 0
    np.save(folder / "fparam.npy", np.tile([0.5, -1.0], (len(coord), 1)))
    first = np.loadtxt("lcurve.out")
    train(model__fitting_net=options)
    np.testing.assert_array_equal(np.loadtxt("lcurve.out"), first)
    (folder / "fparam.npy").unlink()
    write_input(tmp_path, [tmp_path / "data"], model__fitting_net=options | {"default_fparam": [0.5]})
    assert main(["train", "input.json"]) == 1
    assert "has 1 numbers, numb_fparam is 2" in capfd.readouterr().err
