"""The copper example: the Kalman filter beside Adam, and the uncertainty of one model beside that of four models.

Nets of 16-16-32 (descriptor) and 40-40-40 (fitting), one thread. Both compare ways of this package.
"""

import json
import sys
from pathlib import Path

import measure
import numpy as np

HERE = Path(__file__).resolve().parent
EXAMPLE = HERE.parent / "examples" / "copper"
#: (temperature [K], largest strain) of the frames that no model and no calibration has seen
CONDITIONS = ((300, 0.01), (800, 0.03), (1200, 0.05))
ADAM_STEPS, FILTER_STEPS, DISPLAY = 16000, 400, 20
MEMBERS = 4


def training_input(steps, seed, **training):
    """Input of the example with smaller nets; the learning rate falls over the steps at hand."""
    source = json.loads((EXAMPLE / "input.json").read_text())
    model, sections = source["model"], source["training"]
    model["descriptor"] |= {"neuron": [16, 16, 32], "axis_neuron": 8, "seed": seed}
    model["fitting_net"] |= {"neuron": [40, 40, 40], "seed": seed}
    source["learning_rate"] |= {"decay_steps": max(steps // 80, 1)}
    for name in ("training_data", "validation_data"):
        sections[name]["systems"] = [str(EXAMPLE / s) for s in sections[name]["systems"]]
    sections["validation_data"]["numb_btch"] = 30  # all frames, once
    sections |= {"numb_steps": steps, "seed": seed, "save_freq": steps, **training}
    return source


def _train(setup, folder, source):
    """Train in a folder; seconds of all steps by the log of ``dp train``, without validation."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "input.json").write_text(json.dumps(source, indent=1))
    command = [*setup.ours.dp, "train", "input.json"]
    output = measure.run(command, folder, setup.ours.environ(1)).output
    return source["training"]["numb_steps"] * measure.number(r"average training time: ([0-9.]+) s/batch", output)


def force_errors(folder):
    """Steps and force errors of the validation data in ``lcurve.out``."""
    curve = np.genfromtxt(folder / "lcurve.out", names=True)
    return curve["step"], curve["rmse_f_val"]


def seconds_to(target, steps, errors, seconds):
    """Time after which a curve has come below a target for good, nan if it never does."""
    above = np.flatnonzero(~(errors <= target))
    last = above[-1] + 1 if len(above) else 0
    return seconds * steps[last] / steps[-1] if last < len(steps) else np.nan


def kalman(setup, row):
    """Seconds of the steps until the force error of Adam's whole run is reached; a round is a seed."""
    values = {"public": [], "dptf": []}
    report = []
    for seed in range(1, setup.rounds + 1):
        adam, lkf = (setup.workdir / f"copper-{name}-{seed}" for name in ("adam", "filter"))
        setup.say(f"kalman: Adam, seed {seed}")
        whole = _train(setup, adam, training_input(ADAM_STEPS, seed, disp_freq=ADAM_STEPS // 20))
        target = float(force_errors(adam)[1][-1])
        setup.say(f"kalman: filter, seed {seed}")
        source = training_input(FILTER_STEPS, seed, disp_freq=DISPLAY)
        source["optimizer"] = {"type": "LKF", "kf_blocksize": 512}
        seconds = _train(setup, lkf, source)
        steps, errors = force_errors(lkf)
        values["public"].append(whole)
        values["dptf"].append(seconds_to(target, steps, errors, seconds))
        report.append(f"{target:.4f} (in the end {errors[-1]:.4f})")
    what = f"copper, to the force error of {ADAM_STEPS} steps of Adam: Adam (left), Kalman filter (right)"
    return [row(what, "s", values, True, {"report": "force error of Adam (of the filter), eV/Å: " + ", ".join(report)})]


def unseen(folder, frames=40, seed=20):
    """Coordinates, cells and forces that had no part in anything, made by the script of the example."""
    file = folder / "copper-unseen.npz"
    if not file.exists():
        sys.path.insert(0, str(EXAMPLE))
        import make_data

        rng = np.random.default_rng(seed)
        rows = [r for condition in CONDITIONS for r in make_data.sample(*condition, frames, rng)]
        coord, box, _, force, _ = (np.array(column) for column in zip(*rows))
        np.savez(file, coord=coord, box=box, force=force)
    return file


def uncertainty(setup, row, steps=4000):
    """Rank correlation with the true force error, and processor time; a round is a group of four seeds."""
    python, env = str(setup.ours.python), setup.ours.environ(1)
    setup.say("uncertainty: data")
    data = unseen(setup.workdir)
    cost, report = {"public": [], "dptf": []}, []
    for group in range(setup.rounds):
        files = []
        for k in range(MEMBERS):
            folder = setup.workdir / f"copper-member-{group}-{k}"
            files.append(str(folder / "frozen.pb"))
            if not Path(files[-1]).exists():
                setup.say(f"uncertainty: training {group + 1}.{k + 1}")
                _train(setup, folder, training_input(steps, 1 + 10 * group + k, disp_freq=steps))
                measure.run([*setup.ours.dp, "freeze", "-o", "frozen.pb"], folder, env)
        first = Path(files[0]).parent
        measure.run([*setup.ours.dp, "uncertainty", "-m", "frozen.pb", "-o", "sure", "-t", "input.json"], first, env)
        command = [python, str(HERE / "uncertainty_worker.py"), str(data), str(first / "sure.pb"), *files]
        lines = measure.run(command, setup.workdir, env).output.splitlines()
        found = json.loads([x for x in lines if x.startswith("RESULT ")][-1].removeprefix("RESULT "))
        cost["public"].append(found["ms_members"])
        cost["dptf"].append(found["ms_one"])
        report.append(f"{found['spearman_one']:.2f}/{found['spearman_members']:.2f} ({found['rmse']:.3f} eV/Å)")
    text = f"rank correlation of one model / {MEMBERS} models (force error): " + ", ".join(report)
    return [row(f"uncertainty, 10 x 108 Cu: {MEMBERS} models (left), one (right)", "ms", cost, True, {"report": text})]
