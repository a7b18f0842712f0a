"""What is measured. Every section returns rows for the table and raw numbers."""

import dataclasses
import json
from pathlib import Path

import cases
import copper
import dpa3
import drift
import measure
import numpy as np

HERE = Path(__file__).resolve().parent
AGREEMENT = 1e-10
"""Largest relative difference of energies at which two runs count as the same work (float64)."""


@dataclasses.dataclass
class Setup:
    """What every section gets: the packages by heading (the public ones may be missing), where to work, how often."""

    packages: dict
    workdir: Path
    systems: list
    rounds: int
    threads: int
    say: object
    torch: object = None

    def beside_torch(self):
        """The same with the PyTorch backend in the place of the public TensorFlow backend."""
        packages = {"public": self.torch} if self.torch else {}
        return dataclasses.replace(self, packages={**packages, "dptf": self.ours})

    @property
    def ours(self):
        return self.packages["dptf"]

    @property
    def public(self):
        return self.packages.get("public")


def _row(what, unit, values, lower_is_better, raw=None):
    """Row of the table; ``values``: lists of numbers by package. The ratio is above one where ours is faster."""
    medians = {k: measure.median(v) for k, v in values.items() if v}
    ratio = None
    if len(medians) == 2:
        ratio = medians["public"] / medians["dptf"] if lower_is_better else medians["dptf"] / medians["public"]
    return {"what": what, "unit": unit, "values": values, "medians": medians, "ratio": ratio, **(raw or {})}


def training(setup, steps=60):
    """Seconds per training step, and from the start of ``dp train`` to the end of the first step."""

    def measurement(package):
        folder = setup.workdir / f"train-{package.name}"
        cases.write_training_input(folder, setup.systems, steps)

        def once():
            for old in folder.glob("lcurve.out"):
                old.unlink()
            result = measure.run(
                [*package.dp, "train", "input.json"], folder, package.environ(setup.threads), watch=r"Batch +0:"
            )
            step = measure.number(r"average training time: ([0-9.]+) s/batch", result.output)
            if result.seen is None:
                raise measure.RunFailed(f"{package.name}: no line of the first step in the log of dp train")
            return {"step": step, "first": result.seen, "peak_rss": result.peak_rss}

        return once

    found = measure.alternate(setup.rounds, {k: measurement(p) for k, p in setup.packages.items()})
    return [
        _row("training step, 192 atoms", "ms", measure.column(found, "step", 1e3), True),
        _row("`dp train`: start to first step", "s", measure.column(found, "first"), True),
        _row("`dp train`: peak memory", "MB", measure.column(found, "peak_rss"), True),
    ]


def ranks(setup, steps=150, numbers=(1, 2)):
    """Frames per second of training on 1, 2, ... ranks with one thread each; each rank on a core of its own."""
    package = setup.ours
    folder = setup.workdir / "train-ranks"
    cases.write_training_input(folder, setup.systems, steps)

    def measurement(n):
        launcher = [str(package.python.parent / "mpirun"), "-np", str(n)] if n > 1 else ["taskset", "-c", "0"]

        def once():
            command = [*launcher, *package.dp, "train", "input.json", "--skip-neighbor-stat"]
            result = measure.run(command, folder, package.environ(1))
            return {"rate": n / measure.number(r"average training time: ([0-9.]+) s/batch", result.output)}

        return once

    found = measure.alternate(setup.rounds, {n: measurement(n) for n in numbers})
    rates = measure.column(found, "rate")
    one = measure.median(rates[numbers[0]])
    return [
        _row(f"training, {n} rank(s) with one thread", "frames/s", {"dptf": rates[n]}, False,
             {"report": f"{measure.median(rates[n]) / one:.2f} times one rank"})
        for n in numbers
    ]  # fmt: skip


def models(setup):
    """One frozen file and its compressed form, made by the public package where it is at hand, else by ours."""
    package = setup.public or setup.ours
    folder = setup.workdir / f"train-{package.name}"
    frozen, compressed = folder / "frozen.pb", folder / "compressed.pb"
    env = package.environ(setup.threads)
    if not (folder / "checkpoint").exists():
        cases.write_training_input(folder, setup.systems, 30)
        measure.run([*package.dp, "train", "input.json"], folder, env)
    if not frozen.exists():
        measure.run([*package.dp, "freeze", "-o", frozen.name], folder, env)
    if not compressed.exists() and setup.public:
        measure.run([*package.dp, "compress", "-i", frozen.name, "-o", compressed.name], folder, env)
    return frozen, compressed if compressed.exists() else None


def _lammps(setup, package, model, repeat, steps, warm_up=0, folder="lammps", **variables):
    folder = setup.workdir / f"{folder}-{package.name}"
    folder.mkdir(parents=True, exist_ok=True)
    frame = cases.first_frame(setup.systems[0])
    cases.write_lammps_data(folder / "water.lmp", frame)
    (folder / "in.lammps").write_text(cases.lammps_script(model, repeat, steps, warm_up))
    result = measure.run(package.lammps("in.lammps"), folder, package.environ(setup.threads, **variables))
    loop = measure.number(r"Loop time of ([0-9.eE+-]+) on", result.output)
    atoms = int(measure.number(r"with (\d+) atoms", result.output))
    rows = [line.split() for line in result.output.splitlines()]
    first = next((r for r in rows if len(r) == 3 and r[0] == "0" and "." in r[1]), None)
    if first is None:
        raise measure.RunFailed(f"{package.name}: no thermo output of step 0")
    report = [line.strip() for line in result.output.splitlines() if "evaluated by" in line]
    return {
        "rate": 1e-3 * atoms * steps / loop,
        "us": 1e6 * loop / atoms / steps,
        "peak_rss": result.peak_rss,
        "energy": float(first[1]),
        "pressure": float(first[2]),
        "atoms": atoms,
        "report": report[0] if report else "",
    }


def _agree(what, one, other, tolerance):
    """Stop where two measurements did not do the same work."""
    for key in ("energy", "pressure"):
        scale = max(abs(one[key]), 1.0)
        if not abs(one[key] - other[key]) <= tolerance * scale:
            raise measure.RunFailed(f"{what}: {key} at step 0 differs: {one[key]:.15g} and {other[key]:.15g}")


def _same_file(setup, label, model, steps, repeat, float32=False):
    def run_with(package, **variables):
        return lambda: _lammps(setup, package, model, repeat, steps, **variables)

    runs = {k: run_with(p) for k, p in setup.packages.items()}
    if float32:
        runs["float32"] = run_with(setup.ours, DPTF_PRECISION="float32")
    found = measure.alternate(setup.rounds, runs)
    single = found.pop("float32", None)
    last = found["dptf"][-1]
    if setup.public:
        _agree(f"LAMMPS, {label}", found["public"][-1], last, AGREEMENT)
    rates = measure.column(found, "rate")
    what = f"LAMMPS, {label} model, {last['atoms']} atoms"
    rows = [_row(what, "katom-step/s", rates, False, {"report": last["report"]})]
    if single and "float32" in single[-1]["report"]:
        gain = measure.median([x["rate"] for x in single]) / measure.median(rates["dptf"])
        rates = {**rates, "dptf": [x["rate"] for x in single]}
        report = f"{single[-1]['report']}; {gain:.2f} times the speed of float64"
        rows.append(_row(what + ", dptf in float32", "katom-step/s", rates, False, {"report": report}))
    return rows


def molecular_dynamics(setup, steps=20, repeat=(2, 2, 2)):
    """LAMMPS with the same frozen file, and ours in float32."""
    return _same_file(setup, "frozen", models(setup)[0], steps, repeat, float32=True)


def compressed(setup, steps=20, repeat=(2, 2, 2)):
    """LAMMPS with the same compressed file."""
    model = models(setup)[1]
    if model is None:
        raise measure.RunFailed("the compressed file is made by the public package, which is not measured")
    return _same_file(setup, "compressed", model, steps, repeat)


def small_frames(setup, n_frames=1000):
    """``DeepPot.eval`` of many small frames in one call."""
    frozen, _ = models(setup)
    data = setup.workdir / "frames.npz"
    coord, box, types = cases.small_frames(n_frames)
    np.savez(data, coord=coord, box=box, types=types)

    def measurement(package):
        def once():
            command = [str(package.python), str(HERE / "eval_worker.py"), package.module, str(frozen), str(data)]
            result = measure.run(command, setup.workdir, package.environ(setup.threads))
            line = [x for x in result.output.splitlines() if x.startswith("RESULT ")][-1]
            return json.loads(line.removeprefix("RESULT "))

        return once

    found = measure.alternate(setup.rounds, {k: measurement(p) for k, p in setup.packages.items()})
    last = {k: v[-1] for k, v in found.items()}
    if setup.public:
        for key in ("energy", "force"):
            a, b = last["public"][key], last["dptf"][key]
            if not abs(a - b) <= 10 * AGREEMENT * max(abs(a), 1.0):
                raise measure.RunFailed(f"DeepPot.eval: {key} differs: {a:.15g} and {b:.15g}")
    what = f"`DeepPot.eval`, {n_frames} frames of {len(types)} atoms"
    return [
        _row(what, "s", measure.column(found, "seconds"), True, {"report": last["dptf"]["report"]}),
        _row("`DeepPot(model)`: loading", "s", measure.column(found, "load"), True),
    ]


def dpa3_training(setup):
    """DPA-3: seconds per training step and memory, beside the PyTorch backend."""
    return dpa3.training(setup.beside_torch(), _row)


def dpa3_dynamics(setup):
    """DPA-3 in LAMMPS, beside the PyTorch backend."""
    return dpa3.molecular_dynamics(setup.beside_torch(), _row, _lammps, _agree)


def kalman(setup):
    """Kalman filter beside Adam, on copper."""
    return copper.kalman(setup, _row)


def uncertainty(setup):
    """Uncertainty of one model beside that of four, on copper."""
    return copper.uncertainty(setup, _row)


def conservation(setup):
    """Energy conservation of the DPA models, on copper."""
    return drift.conservation(setup, _row)


def scaling(setup, largest=1_000_000, public_largest=13_000):
    """Cost and memory per atom against the size of the cell, from about 1e3 to 1e6 atoms, one process."""
    frozen, _ = models(setup)
    rows, small = [], {}
    for repeat, steps in (((2, 2, 2), 20), ((4, 4, 4), 5), ((9, 8, 8), 2), ((18, 17, 17), 1)):
        atoms = 192 * repeat[0] * repeat[1] * repeat[2]
        if atoms > largest:
            continue
        row = {"atoms": atoms}
        for name, package in setup.packages.items():
            if name == "public" and atoms > public_largest:
                continue
            setup.say(f"scaling: {name}, {atoms} atoms")
            found = _lammps(setup, package, frozen, repeat, steps)
            small.setdefault(name, found)
            grown = found["atoms"] - small[name]["atoms"]
            row[name] = {
                "us": found["us"],
                "peak_rss": found["peak_rss"],
                "kb_per_atom": 1024 * (found["peak_rss"] - small[name]["peak_rss"]) / grown if grown else None,
            }
        rows.append(row)
    return rows
