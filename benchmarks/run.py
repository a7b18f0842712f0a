#!/usr/bin/env python3
"""Speed and memory beside the public package: the same model, data, threads and machine, measured in turn.

``make bench`` runs all of it (about 20 minutes on two cores); the public package goes into an environment of its own under
``bench-run``. Results: a Markdown table on the terminal and in ``bench-run/report.md``, all numbers in ``bench-run/raw.json``.
"""

import argparse
import datetime
import json
import os
import platform
import sys
from pathlib import Path

import cases
import measure
import packages
import sections

ROOT = Path(__file__).resolve().parents[1]
SECTIONS = {
    "training": sections.training,
    "ranks": sections.ranks,
    "lammps": sections.molecular_dynamics,
    "compressed": sections.compressed,
    "eval": sections.small_frames,
    "dpa3-training": sections.dpa3_training,
    "dpa3-lammps": sections.dpa3_dynamics,
    "kalman": sections.kalman,
    "uncertainty": sections.uncertainty,
    "nve": sections.conservation,
    "scaling": sections.scaling,
}
#: sections in which the public TensorFlow backend runs too
BESIDE_TF = ("training", "lammps", "compressed", "eval", "scaling")
#: sections that compare ways of this package, run where they are named
ON_REQUEST = ("kalman", "uncertainty", "nve")


def machine(threads):
    """One line about the computer."""
    cpu, memory = platform.processor() or "unknown processor", 0
    try:
        info = Path("/proc/cpuinfo").read_text()
        cpu = next(line.split(":")[1].strip() for line in info.splitlines() if line.startswith("model name"))
        flags = next(line for line in info.splitlines() if line.startswith("flags")).split()
        cpu += " (AVX-512)" if "avx512f" in flags else " (AVX2)" if "avx2" in flags else ""
        memory = int(Path("/proc/meminfo").read_text().split()[1]) / 2**20
    except (OSError, StopIteration, ValueError, IndexError):
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cpu}, {cores} cores, {memory:.0f} GiB, {threads} threads used, Python {platform.python_version()}"


def _cell(row, name):
    if name not in row["medians"]:
        return ""
    values = row["values"][name]
    return f"{row['medians'][name]:.4g} ± {100 * measure.spread(values):.0f} %"


def table(rows):
    """Markdown of the rows that compare."""
    lines = ["| | unit | public | dptf | ratio |", "|---|---|---|---|---|"]
    for row in rows:
        ratio = "" if row["ratio"] is None else f"**{row['ratio']:.2f}**"
        lines.append(f"| {row['what']} | {row['unit']} | {_cell(row, 'public')} | {_cell(row, 'dptf')} | {ratio} |")
    return "\n".join(lines)


def scaling_table(rows):
    """Markdown of the rows over sizes."""
    head = "| atoms | public µs/step/atom | public peak MB | dptf µs/step/atom | dptf peak MB | dptf KB/atom above the first |"
    lines = [head, "|" + "---|" * 6]
    for row in rows:
        cells = [str(row["atoms"])]
        for name in ("public", "dptf"):
            found = row.get(name)
            cells += [f"{found['us']:.1f}", f"{found['peak_rss']:.0f}"] if found else ["", ""]
        per_atom = row["dptf"]["kb_per_atom"]
        lines.append("| " + " | ".join(cells + ["" if per_atom is None else f"{per_atom:.2f}"]) + " |")
    return "\n".join(lines)


def report(results, head):
    """The whole page."""
    parts = ["# Benchmarks", "", *head, ""]
    rows = [row for name in SECTIONS if name != "scaling" for row in results.get(name, [])]
    if rows:
        parts += [table(rows), "", "Medians ± half the range. A ratio above 1 is in favour of dptf.", ""]
        parts += [f"- {row['what']}: {row['report']}" for row in rows if row.get("report")]
        parts.append("")
    if results.get("scaling"):
        parts += ["## Cost and memory against size (LAMMPS, frozen model)", "", scaling_table(results["scaling"]), ""]
    return "\n".join(parts)


def parse(argv):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument(
        "sections",
        nargs="*",
        metavar="SECTION",
        help=f"of {', '.join(SECTIONS)} (default: all but {', '.join(ON_REQUEST)})",
    )
    p.add_argument("--public", default=os.environ.get("DPTF_BENCH_PUBLIC"), metavar="PYTHON",
                   help="interpreter with deepmd-kit (default: DPTF_BENCH_PUBLIC, else an environment is made)")  # fmt: skip
    p.add_argument("--public-torch", default=os.environ.get("DPTF_BENCH_PUBLIC_TORCH"), metavar="PYTHON",
                   help="interpreter with deepmd-kit[torch], the torch its plugin was built with (3.2.0: 2.11.0) and lammps: what the sections dpa3-* are compared with")  # fmt: skip
    p.add_argument("--alone", action="store_true", help="measure dptf only")
    p.add_argument("--data", default=ROOT / "examples" / "water", type=Path, metavar="DIR", help="water data (data_*)")
    p.add_argument("--workdir", default=ROOT / "bench-run", type=Path, metavar="DIR")
    p.add_argument("--rounds", default=3, type=int, metavar="N", help="runs of each package (default 3)")
    p.add_argument("--threads", type=int, default=None, metavar="N", help="default: all cores")
    p.add_argument("--largest", default=1_000_000, type=int, metavar="ATOMS", help="largest cell of section scaling")
    args = p.parse_args(argv)
    unknown = sorted(set(args.sections) - set(SECTIONS))
    if unknown:
        p.error(f"unknown section {unknown[0]}; there are {', '.join(SECTIONS)}")
    if args.rounds < 1:
        p.error("--rounds has to be at least 1")
    return args


def main(argv=None):
    """Run the chosen sections; exit status 1 if one of them failed."""
    args = parse(argv)
    workdir = args.workdir.resolve()
    workdir.mkdir(parents=True, exist_ok=True)
    threads = args.threads or len(os.sched_getaffinity(0))
    chosen = args.sections or [name for name in SECTIONS if name not in ON_REQUEST]
    beside_tf = not args.alone and any(name in BESIDE_TF for name in chosen)
    known = {"public": packages.public(args.public, workdir)} if beside_tf else {}
    known["dptf"] = packages.ours()

    def say(text):
        print(f"[{datetime.datetime.now():%H:%M:%S}] {text}", flush=True)

    setup = sections.Setup(known, workdir, cases.water_systems(args.data), args.rounds, threads, say,
                           None if args.alone else packages.public_torch(args.public_torch))  # fmt: skip
    head = [
        f"Machine: {machine(threads)}.",
        f"Load before the start: {os.getloadavg()[0]:.2f}. Date: {datetime.date.today()}.",
    ]
    results, failures = {}, []
    for name in chosen:
        say(name)
        try:
            more = {"largest": args.largest} if name == "scaling" else {}
            results[name] = SECTIONS[name](setup, **more)
        except measure.RunFailed as err:
            failures.append(f"{name}: {err}")
            say(failures[-1])
    text = report(results, head) + "".join(f"\nFailed: {f}\n" for f in failures)
    (workdir / "report.md").write_text(text)
    (workdir / "raw.json").write_text(json.dumps({"machine": head, "results": results, "failures": failures}, indent=1))
    print(text)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
