"""Kill a training run with SIGKILL at random moments and continue it, until it is done: ``python kill_resume.py [KILLS]``.

The final checkpoint must hold the bits of a run that was left alone.
"""

import multiprocessing
import os
import random
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from toy import write_input, write_system

from dptf.cli.main import main
from dptf.errors import UserError
from dptf.train import run as _loaded_before_the_forks  # noqa: F401
from dptf.train import trainer as _and_tensorflow  # noqa: F401
from dptf.train.checkpoint import Checkpoint, newest_intact, steps_on_disk


def train(folder, *words):
    """A process that runs ``dp train``; forked, so that TensorFlow is loaded once for all."""

    def child():
        os.chdir(folder)
        os._exit(main(["train", "input.json", "--skip-neighbor-stat", "-v", "ERROR", *words]))

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    return process


def kill_and_resume(folder, kills, steps, seed=0, **changes):
    """Returns the number of kills, and the names of variables that differ in the end.

    To be called in a process that has not used TensorFlow yet: its threads would not survive a fork.
    """
    rng, folder = random.Random(seed), Path(folder)
    systems = [write_system(folder / "a"), write_system(folder / "b", seed=1, sets=2)]
    options = {
        "training__numb_steps": steps, "training__save_freq": 2, "training__disp_freq": 7,
        "training__validation_data": {"systems": [str(systems[0])], "batch_size": 1}, **changes,
    }  # fmt: skip

    def start(name, *more):
        write_input(folder, systems, training__save_ckpt=f"{name}/m", training__disp_file=f"{name}.out", **options)
        return train(folder, *more)

    options["model__descriptor__sel"] = [20, 40]
    whole = start("whole")
    whole.join()
    assert whole.exitcode == 0
    done, prefix, restart = 0, folder / "killed/m", []
    while True:
        run = start("killed", *restart)
        newest = max(steps_on_disk(prefix), default=0)
        # Startup takes seconds; the interesting moments are those in which the run makes progress.
        while run.is_alive() and max(steps_on_disk(prefix), default=0) <= newest:
            time.sleep(0.01)
        if done < kills:
            time.sleep(rng.uniform(0, 0.15))
            if run.is_alive():
                run.kill()
                done += 1
        run.join()
        if run.exitcode == 0:
            break
        found = newest_intact(prefix, steps_on_disk(prefix))
        # Not one complete name may stand for a damaged file.
        assert found == f"{prefix}-{max(steps_on_disk(prefix))}", found
        restart = ["--restart", str(found)]
    a, b = (Checkpoint(folder / f"{n}/m-{steps}").values() for n in ("whole", "killed"))
    different = [k for k in a if not np.array_equal(a[k], b[k])]
    curves = [np.genfromtxt(folder / f"{n}.out", names=True) for n in ("whole", "killed")]
    rows = {int(s): v for s, v in zip(curves[1]["step"], curves[1]["rmse_f_val"])}
    different += [f"row {int(s)}" for s, v in zip(curves[0]["step"], curves[0]["rmse_f_val"]) if rows[int(s)] != v]
    return done, different


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    with tempfile.TemporaryDirectory() as scratch:
        try:
            done, different = kill_and_resume(scratch, number, steps=max(120, 60 * number))
        except UserError as err:
            sys.exit(f"Error: {err}")
    print(f"{done} kills, {'the same bits' if not different else f'different: {different}'}")
    sys.exit(bool(different))
