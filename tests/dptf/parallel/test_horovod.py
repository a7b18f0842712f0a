"""Training on two ranks, through the launchers that users type."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from toy import write_input, write_system

from dptf.cli.main import main
from dptf.parallel.install import installed
from dptf.train.checkpoint import Checkpoint, steps_on_disk

pytestmark = pytest.mark.slow

#: A hundredth of the usual prefactors: the moments of the gradients stay below 1, where 1e-12 is far above rounding.
LOSS = {
    "start_pref_e": 2e-4, "limit_pref_e": 0.01, "start_pref_f": 10.0, "limit_pref_f": 0.01, "start_pref_v": 1e-3,
    "limit_pref_v": 1e-3,
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Train one rank on the whole batch in this process; the folder can run commands on two ranks."""
    if not installed():
        pytest.skip("Horovod is not installed (make horovod)")
    root = tmp_path_factory.mktemp("parallel")
    systems = [write_system(root / "a", nframes=12), write_system(root / "b", seed=1, sets=2, nframes=8)]
    common = {
        "learning_rate__scale_by_worker": "none", "loss": LOSS, "training__numb_steps": 10,
        "training__validation_data": {"systems": [str(systems[0])], "batch_size": 1},
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as m:
        m.chdir(root)
        whole = {"systems": [str(s) for s in systems], "batch_size": 4}
        write_input(root, systems, training__training_data=whole, training__save_ckpt="one/m", **common)
        assert main(["train", "input.json"]) == 0
    os.rename(root / "lcurve.out", root / "one.out")
    write_input(root, systems, **common)
    env = dict(os.environ)
    env["PATH"] = os.path.dirname(sys.executable) + os.pathsep + env["PATH"]
    env["PYTHONPATH"] = str(Path(__file__).parents[3]) + os.pathsep + env.get("PYTHONPATH", "")

    def command(*words, **more):
        return subprocess.run(words, cwd=root, env=env | more, capture_output=True, text=True, timeout=300)

    command.root, command.env, command.systems = root, env, systems
    return command


@pytest.mark.parametrize("launcher", [["horovodrun", "-np", "2"], ["horovodrun", "--gloo", "-np", "2"]])
def test_two_ranks_with_half_the_batch_equal_one_rank(run, launcher):
    name = "gloo" if "--gloo" in launcher else "mpi"
    command = [*launcher, "dp", "train", "input.json", "-m", "workers", "-l", f"{name}/log.txt", "-o", f"{name}.json"]
    done = run(*command, DPTF_COLLECTIVES="horovod")  # without Horovod, over MPI: a lost worker, below
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = Checkpoint(run.root / "one/m-10").values(), Checkpoint(run.root / "model.ckpt-10").values()
    for key, value in one.items():
        np.testing.assert_allclose(two[key], value, rtol=0, atol=1e-12, err_msg=key)
    # Validation is evaluated once, by rank 0: the column is that of the run on one rank.
    curves = [np.genfromtxt(run.root / f, names=True) for f in ("one.out", "lcurve.out")]
    assert curves[0]["rmse_f_val"].tolist() == curves[1]["rmse_f_val"].tolist()
    logs = [(run.root / name / f"log_{r}.txt").read_text() for r in (0, 1)]
    assert "saved checkpoint" in logs[0] and "saved checkpoint" not in logs[1]
    assert all("weights at step 0: 2 ranks hold the same numbers" in text for text in logs)
    assert f"over Horovod and {'Gloo' if name == 'gloo' else 'MPI'}" in logs[1]


def rank_process(folder, rank):
    """Process id of a rank that runs in a folder."""
    for path in Path("/proc").iterdir():
        try:
            if path.name.isdigit() and f"PMI_RANK={rank}".encode() in (path / "environ").read_bytes().split(b"\0"):
                if os.readlink(path / "cwd") == str(folder) and b"train" in (path / "cmdline").read_bytes():
                    return int(path.name)
        except OSError:
            continue
    return None


def test_a_lost_worker_does_not_end_the_run(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    steps = 120
    common = {
        "learning_rate__scale_by_worker": "none", "loss": LOSS, "training__numb_steps": steps, "training__save_freq": 10,
        "training__disp_freq": 10,
    }  # fmt: skip
    whole = {"systems": [str(s) for s in run.systems], "batch_size": 3}
    write_input(tmp_path, run.systems, training__training_data=whole, training__save_ckpt="one/m", **common)
    assert main(["train", "input.json"]) == 0
    data = whole | {"batch_size": 1}
    write_input(tmp_path, run.systems, training__training_data=data, **common)
    options = ["--launcher", "mpirun -np 3", "--retries", "2"]
    job = subprocess.Popen(
        [sys.executable, "-m", "dptf", "train", "input.json", *options], env=run.env, stderr=subprocess.PIPE, text=True
    )
    while job.poll() is None and len(steps_on_disk("model.ckpt")) < 2:
        time.sleep(0.02)
    os.kill(rank_process(tmp_path, 1), 9)
    text = job.communicate()[1]
    assert job.returncode == 0, text[-2000:]
    assert "attempt 1 of 2 continues from model.ckpt-" in text and "3 ranks, over MPI" in text
    one, three = Checkpoint(f"one/m-{steps}").values(), Checkpoint(f"model.ckpt-{steps}").values()
    for key, value in one.items():
        np.testing.assert_allclose(three[key], value, rtol=0, atol=1e-12, err_msg=key)
    rows = np.genfromtxt("lcurve.out", names=True)["step"]
    assert rows.tolist() == list(range(0, steps + 1, 10))
