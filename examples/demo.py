"""The whole road on the water example: train, freeze, test, molecular dynamics; numbers and pictures at the end.

Run by ``make demo``. Everything is written to ``demo-run/``. The number of training steps follows from the speed of the
machine, so that the demo takes a few minutes on two cores; ``--minutes`` changes the time given to training.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
WATER = ROOT / "examples" / "water"
BIN = Path(sys.executable).parent
NVE_TIMESTEP = 0.25e-3  # ps

LAMMPS = """\
# 64 H2O: {heat} steps at 330 K, then {nve} steps without thermostat; each part is stopped after {seconds} s on a slow machine.
units           metal
atom_style      atomic
read_data       {data}
pair_style      deepmd frozen.pb
pair_coeff      * * O H
velocity        all create 330 23456789 loop geom
timestep        0.0005
thermo_style    custom step time temp pe etotal press
thermo_modify   format float %.12g
thermo          {every}
fix             1 all nvt temp 330 330 0.05
timer           timeout {timeout} every 20
run             {heat}
unfix           1
reset_timestep  0
timestep        {dt}
fix             1 all nve
dump            1 all custom 100 water.dump id type x y z
timer           timeout {timeout} every 20
run             {nve}
"""


class DemoFailed(SystemExit):
    """A step of the demo ended with an error."""


def step(title, command, folder, log, visible=False):
    """Run one command; its output goes to the terminal or to a log file. Returns the seconds it took."""
    shown = " ".join(str(c) if " " not in str(c) else f"'{c}'" for c in command)
    print(f"\n== {title}\n   $ {shown.replace(f'{sys.executable} -m dptf', 'dp')}", flush=True)
    begin = time.perf_counter()
    if visible:
        code = subprocess.run(command, cwd=folder).returncode
    else:
        with open(folder / log, "w") as out:
            code = subprocess.run(command, cwd=folder, stdout=out, stderr=subprocess.STDOUT).returncode
    if code:
        tail = "" if visible else "".join(f"   | {line}\n" for line in read(folder / log).splitlines()[-15:])
        raise DemoFailed(f"demo: '{title}' ended with status {code}\n{tail}   (complete log: {folder / log})")
    return time.perf_counter() - begin


def read(path):
    """Text of a file, empty if there is none."""
    return path.read_text(errors="replace") if path.exists() else ""


def dp(*args):
    """Command line of this package."""
    return [sys.executable, "-m", "dptf", *map(str, args)]


def write_input(folder, steps, name):
    """The input of the example with smaller nets and a shorter schedule; returns its file name."""
    config = json.loads((WATER / "se_e2_a" / "input.json").read_text())
    relative = Path(os.path.relpath(WATER, folder))
    for section in ("training_data", "validation_data"):
        config["training"][section]["systems"] = [
            str(relative / Path(s).name) for s in config["training"][section]["systems"]
        ]
    config["_comment"] = "The water example, shortened for the demo."
    config["model"]["descriptor"].update(axis_neuron=8)
    config["model"]["fitting_net"].update(neuron=[120, 120, 120])
    config["learning_rate"].update(start_lr=0.005, stop_lr=1e-5, decay_steps=max(1, steps // 60))
    config["training"].update(numb_steps=steps, disp_freq=max(1, steps // 20), save_freq=max(1, steps // 2))
    (folder / name).write_text(json.dumps(config, indent=2) + "\n")
    return name


def seconds_per_step(folder):
    """Train a few steps to see how fast this machine is now."""
    probe = folder / "probe"
    probe.mkdir()
    steps = 200
    write_input(probe, steps, "input.json")
    step("measuring the speed of this machine", dp("train", "input.json"), probe, "train.log")
    rows = [float(x) for x in re.findall(r"total wall time = ([\d.]+) s", read(probe / "train.log"))]
    per_step = float(np.median(rows[1:])) * len(rows) / steps
    shutil.rmtree(probe)
    return max(per_step, 1e-3)


def train(folder, minutes, steps):
    """Train; returns the first and last rows of the learning curve, the number of steps and the seconds."""
    if steps is None:
        speed = seconds_per_step(folder)
        steps = int(np.clip(60 * minutes / speed, 2000, 6000)) // 20 * 20
        print(f"   {speed:.3f} s/step: training {steps} steps")
    write_input(folder, steps, "input.json")
    seconds = step("training", dp("train", "input.json", "-l", "train.log"), folder, "train.log", visible=True)
    return np.genfromtxt(folder / "lcurve.out", names=True), steps, seconds


def molecular_dynamics(folder, heat, nve, limit=35):
    """Run LAMMPS, at most `limit` seconds with and without thermostat each.

    Returns
    -------
    speed : float
        Steps per second.
    time : float
        Length of the part without thermostat in ps.
    drift, spread : float
        Slope of the total energy in eV/atom/ps, and its range in eV/atom.
    temperature : float
    """
    data = os.path.relpath(WATER / "water.lmp", folder)
    timeout = time.strftime("%H:%M:%S", time.gmtime(limit))
    text = LAMMPS.format(
        data=data, heat=heat, nve=nve, every=max(1, nve // 150), dt=NVE_TIMESTEP, timeout=timeout, seconds=limit
    )
    (folder / "in.lammps").write_text(text)
    lmp = BIN / "lmp"
    command = [str(lmp) if lmp.exists() else "lmp", "-in", "in.lammps", "-log", "log.lammps"]
    step(f"molecular dynamics, up to {heat + nve} steps", command, folder, "lammps.out")
    log = read(folder / "log.lammps")
    seconds, steps, natoms = map(
        float, re.findall(r"Loop time of ([\d.]+) on \d+ procs for (\d+) steps with (\d+) atoms", log)[-1]
    )
    rows = thermo(log)
    energy = rows["TotEng"] / natoms
    drift = np.polyfit(rows["Time"], energy, 1)[0]
    return steps / seconds, rows["Time"][-1], drift, np.ptp(energy), rows["Temp"].mean()


def thermo(log):
    """Last table of a LAMMPS log, as arrays by column."""
    names, *lines = log[log.rindex("Step ") :].splitlines()
    lines = lines[: next((k for k, line in enumerate(lines) if line.startswith("Loop")), None)]
    rows = [line.split() for line in lines if re.match(r"\s*\d", line)]
    return dict(zip(names.split(), np.array(rows, float).T))


def table(rows):
    """Lines of a table with a title in the first column."""
    width = max(len(title) for title, _ in rows)
    return "\n".join(f"  {title:{width}s}   {text}" for title, text in rows)


def main(argv=None):
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", default=str(ROOT / "demo-run"), help="where everything is written (%(default)s)")
    parser.add_argument("--minutes", type=float, default=1.8, help="time for training (%(default)s)")
    parser.add_argument("--steps", type=int, help="train this many steps instead")
    parser.add_argument("--md-steps", type=int, default=12000, help="steps of molecular dynamics at most (%(default)s)")
    args = parser.parse_args(argv)
    begin = time.perf_counter()
    folder = Path(args.folder).resolve()
    if (
        folder.exists()
        and any(folder.iterdir())
        and not (folder / "in.lammps").exists()
        and not (folder / "input.json").exists()
    ):
        raise DemoFailed(f"demo: {folder} holds files that are not of the demo; give another --folder")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)

    curve, steps, train_seconds = train(folder, args.minutes, args.steps)
    step("freezing", dp("freeze", "-o", "frozen.pb"), folder, "freeze.log")
    data = os.path.relpath(WATER / "data_3", folder)
    command = dp("test", "-m", "frozen.pb", "-s", data, "--plot", "parity.png", "--json", "test.json")
    step("testing on 36 frames that were not used in training", command, folder, "test.log")
    step("drawing the learning curve", dp("plot", "lcurve.out", "-o", "lcurve.png"), folder, "plot.log")
    heat = args.md_steps // 6
    speed, length, drift, spread, temperature = molecular_dynamics(folder, heat, args.md_steps - heat)

    errors = json.loads((folder / "test.json").read_text())["average"]
    before, after = curve[0], curve[-3:]
    report = [
        ("training", f"{steps} steps in {train_seconds:.0f} s"),
        ("force error, training (validation)", _change(before, after, "rmse_f", "eV/Å")),
        ("energy error, training (validation)", _change(before, after, "rmse_e", "eV/atom")),
        ("dp test: energy", f"MAE {errors['Energy MAE/Natoms'] * 1e3:.2f}, RMSE {errors['Energy RMSE/Natoms'] * 1e3:.2f} meV/atom"),
        ("dp test: force", f"MAE {errors['Force MAE'] * 1e3:.0f}, RMSE {errors['Force RMSE'] * 1e3:.0f} meV/Å"),
        ("dp test: virial", f"MAE {errors['Virial MAE/Natoms'] * 1e3:.1f}, RMSE {errors['Virial RMSE/Natoms'] * 1e3:.1f} meV/atom"),
        ("LAMMPS, 192 atoms", f"{speed:.1f} steps/s on {os.cpu_count()} cores, {temperature:.0f} K"),
        ("energy without thermostat", f"drift {drift:+.1e} eV/atom/ps, range {spread:.1e} eV/atom in {length:.2g} ps"),
        ("pictures", f"{_shown(folder / 'parity.png')}, {_shown(folder / 'lcurve.png')}"),
        ("whole demo", f"{time.perf_counter() - begin:.0f} s"),
    ]  # fmt: skip
    if temperature > 600:
        report.insert(-2, ("", "the atoms heat up: this short a training is not enough for dynamics, use --minutes 5"))
    text = table(report)
    (folder / "summary.txt").write_text(text + "\n")
    print(f"\n{'=' * 78}\n{text}\n{'=' * 78}")
    print("  A good model needs more steps: examples/water/README.md tells how to train one on these data.")


def _change(before, after, metric, unit):
    train, valid = f"{metric}_trn", f"{metric}_val"
    first = f"{before[train]:.2g} ({before[valid]:.2g})"
    return f"{first} -> {after[train].mean():.2g} ({after[valid].mean():.2g}) {unit}"


def _shown(path):
    return os.path.relpath(path, Path.cwd())


if __name__ == "__main__":
    main()
