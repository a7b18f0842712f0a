"""DPA-3 of the public water example beside the public PyTorch backend: n_dim 128, e_dim 64, a_dim 32, 6 layers, float32, 192 atoms.

The same weights run in both: dptf trains and freezes them, and each package converts the backend-neutral file to its own.
"""

import json
import re

import cases
import measure

#: Largest relative difference of energy and pressure at which two single-precision runs count as the same work.
AGREEMENT = 2e-5


def training_input(systems, steps):
    """Input file that both packages accept."""
    silut = {"precision": "float32", "activation_function": "silut:10.0", "seed": 1}
    base = cases.training_input(systems, steps)
    base["model"]["descriptor"] = {
        "type": "dpa3",
        "repflow": {
            "n_dim": 128, "e_dim": 64, "a_dim": 32, "nlayers": 6, "e_rcut": 6.0, "e_rcut_smth": 5.3, "e_sel": 120,
            "a_rcut": 4.0, "a_rcut_smth": 3.5, "a_sel": 30, "axis_neuron": 4, "fix_stat_std": 0.3, "a_compress_rate": 1,
            "a_compress_e_rate": 2, "a_compress_use_split": True, "update_angle": True, "smooth_edge_update": True,
            "edge_init_use_dist": True, "use_exp_switch": True, "update_style": "res_residual", "update_residual": 0.1,
            "update_residual_init": "const",
        },
        "use_tebd_bias": False, "concat_output_tebd": False, **silut,
    }  # fmt: skip
    base["model"]["fitting_net"] = {"neuron": [240, 240, 240], "resnet_dt": True, **silut}
    base["loss"] |= {"start_pref_v": 0.02, "limit_pref_v": 1}
    base["training"] |= {"gradient_max_norm": 5.0, "disp_freq": 3}
    return base


def seconds_per_step(log):
    """Median over the intervals of a training log but the first."""
    found = re.findall(r"Batch +(\d+): total wall time = ([0-9.]+) s", log)
    steps = [int(n) for n, _ in found]
    rates = [float(t) / (b - a) for (_, t), a, b in zip(found[1:], steps, steps[1:])]
    if not rates:
        raise measure.RunFailed("fewer than two intervals in the log of dp train:\n" + log[-400:])
    return measure.median(rates)


def training(setup, row, steps=9):
    """Seconds per training step and peak memory; `row` makes the rows of the table."""

    def measurement(package):
        folder = setup.workdir / f"dpa3-{package.name}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "input.json").write_text(json.dumps(training_input(setup.systems, steps), indent=1))

        def once():
            command = [*package.dp, "train", "input.json", "--skip-neighbor-stat"]
            result = measure.run(command, folder, package.environ(setup.threads))
            return {"step": seconds_per_step(result.output), "peak_rss": result.peak_rss}

        return once

    found = measure.alternate(setup.rounds, {k: measurement(p) for k, p in setup.packages.items()})
    return [
        row("DPA-3 training step, 192 atoms", "s", measure.column(found, "step"), True),
        row("DPA-3 training: peak memory", "MB", measure.column(found, "peak_rss"), True),
    ]


def models(setup):
    """The frozen file of each package by its heading, with the same weights."""
    ours, folder = setup.ours, setup.workdir / "dpa3-model"
    folder.mkdir(parents=True, exist_ok=True)
    files = {"dptf": folder / "frozen.pb", "public": folder / "frozen.pth"}
    env = ours.environ(setup.threads)
    if not files["dptf"].exists():
        (folder / "input.json").write_text(json.dumps(training_input(setup.systems, 2), indent=1))
        measure.run([*ours.dp, "train", "input.json", "--skip-neighbor-stat"], folder, env)
        measure.run([*ours.dp, "freeze", "-o", "frozen.pb"], folder, env)
    if setup.public and not files["public"].exists():
        measure.run([*ours.dp, "convert-backend", "frozen.pb", "model.dp"], folder, env)
        convert = [*setup.public.dp, "convert-backend", "model.dp", "frozen.pth"]
        measure.run(convert, folder, setup.public.environ(setup.threads))
    return files


def molecular_dynamics(setup, row, lammps, agree, steps=10):
    """LAMMPS, 192 atoms, after the first step, which is not counted."""
    files = models(setup)

    def run_with(name):
        more = {"public": 3, "dptf": steps}
        return lambda: lammps(setup, setup.packages[name], files[name], (1, 1, 1), more[name], warm_up=2, folder="dpa3")

    found = measure.alternate(setup.rounds, {k: run_with(k) for k in setup.packages})
    if setup.public:
        agree("LAMMPS, DPA-3", found["public"][-1], found["dptf"][-1], AGREEMENT)
    atoms = found["dptf"][-1]["atoms"]
    return [
        row(f"LAMMPS, DPA-3, {atoms} atoms", "s/step", measure.column(found, "us", 1e-6 * atoms), True),
        row("LAMMPS, DPA-3: peak memory", "MB", measure.column(found, "peak_rss"), True),
    ]
