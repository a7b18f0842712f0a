"""The benchmark tool: measurements are read off right, failures are failures, the table says who is faster."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def modules(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import cases
    import measure
    import run
    import sections

    yield cases, measure, run, sections
    for name in ("cases", "copper", "dpa3", "drift", "measure", "run", "sections", "packages"):
        sys.modules.pop(name, None)


def test_time_and_memory_of_a_process():
    """In a process of its own: the kernel counts the memory of the caller at the fork, and pytest may be large."""
    code = """
import os, sys, measure
child = "import time; print('started', flush=True); x = bytearray(80 << 20); time.sleep(0.5)"
r = measure.run([sys.executable, "-c", child], ".", os.environ, watch="started")
print(r.seen, r.wall, r.peak_rss)
"""
    found = subprocess.run([sys.executable, "-c", code], cwd=BENCHMARKS, capture_output=True, text=True, check=True)
    seen, wall, peak_rss = map(float, found.stdout.split())
    assert 0 < seen < wall - 0.4
    assert 80 < peak_rss < 200


def test_a_failed_run_is_an_error(modules, tmp_path):
    _, measure, _, _ = modules
    with pytest.raises(measure.RunFailed, match=r"(?s)ended with 3.*the reason"):
        measure.run([sys.executable, "-c", "print('the reason'); raise SystemExit(3)"], tmp_path, os.environ)
    with pytest.raises(measure.RunFailed, match="no line matches"):
        measure.number(r"Loop time of (\d+)", "nothing of the kind")


def test_rounds_alternate(modules):
    _, measure, _, _ = modules
    calls = []
    runs = {name: lambda name=name: calls.append(name) or {"t": len(calls)} for name in ("public", "dptf")}
    found = measure.alternate(2, runs)
    assert calls == ["public", "dptf"] * 2
    assert measure.column(found, "t", 10) == {"public": [10, 30], "dptf": [20, 40]}


def test_table(modules):
    _, _, run, sections = modules
    rows = [
        sections._row("a time", "s", {"public": [2.0, 4.0, 3.0], "dptf": [1.0, 1.0, 1.0]}, True),
        sections._row("a rate", "1/s", {"public": [2.0], "dptf": [1.0]}, False),
        sections._row("alone", "s", {"dptf": [1.0]}, True),
    ]
    text = run.table(rows)
    assert "| a time | s | 3 ± 33 % | 1 ± 0 % | **3.00** |" in text
    assert "| a rate | 1/s | 2 ± 0 % | 1 ± 0 % | **0.50** |" in text
    assert "| alone | s |  | 1 ± 0 % |  |" in text


def test_runs_that_disagree_are_refused(modules):
    _, measure, _, sections = modules
    one = {"energy": -300.0, "pressure": 1000.0}
    sections._agree("case", one, {"energy": -300.0 + 1e-9, "pressure": 1000.0}, 1e-10)
    with pytest.raises(measure.RunFailed, match="energy at step 0 differs"):
        sections._agree("case", one, {"energy": -300.0 + 1e-7, "pressure": 1000.0}, 1e-10)
    with pytest.raises(measure.RunFailed, match="pressure"):
        sections._agree("case", one, {"energy": -300.0, "pressure": float("nan")}, 1e-10)


def test_small_frames_are_water_at_liquid_density(modules):
    cases, _, _, _ = modules
    coord, box, types = cases.small_frames(4)
    assert coord.shape == (4, 72) and box.shape == (4, 9) and list(np.bincount(types)) == [8, 16]
    x = coord.reshape(4, 8, 3, 3)
    bonds = np.linalg.norm(x[:, :, 1:] - x[:, :, :1], axis=-1)
    assert 0.7 < bonds.min() and bonds.max() < 1.3
    assert not np.allclose(coord[0], coord[1])


def test_steps_of_a_training_log(modules):
    """Both packages tell the time since the row before; the first interval holds the start."""
    import dpa3

    rows = "".join(
        f"INFO Batch {n:7d}: total wall time = {t} s, eta\n" for n, t in ((1, 50.0), (3, 8.0), (6, 9.0), (9, 15.0))
    )
    assert dpa3.seconds_per_step(rows) == 4.0
    with pytest.raises(modules[1].RunFailed):
        dpa3.seconds_per_step(rows[:40])


def test_unknown_section(modules, capsys):
    _, _, run, _ = modules
    with pytest.raises(SystemExit):
        run.parse(["lamps"])
    assert "unknown section lamps" in capsys.readouterr().err


def test_time_to_an_error_counts_from_where_it_stays_below(modules):
    import copper

    steps = np.array([0, 10, 20, 30, 40])
    assert copper.seconds_to(0.5, steps, np.array([9, 0.4, 0.6, 0.5, 0.1]), 8.0) == 6.0
    assert np.isnan(copper.seconds_to(0.5, steps, np.array([9, 0.4, 0.4, 0.4, 0.6]), 8.0))


def test_drift_and_its_uncertainty(modules):
    """The slope of a known drift lies within its error, which is that of independent blocks."""
    import drift

    time = np.arange(0.0, 20.0, 0.04)
    rng = np.random.default_rng(3)
    found = np.array([drift.drift(time, 2e-3 * time + rng.normal(scale=0.1, size=len(time))) for _ in range(200)])
    spread = found[:, 0].std()
    assert abs(found[:, 0].mean() - 2e-3) < 3 * spread / np.sqrt(200)
    assert 0.8 < np.sqrt(np.mean(found[:, 1] ** 2)) / spread < 1.25


def test_readings_are_those_of_the_last_run(modules):
    import drift

    table = "   Step          Temp          PotEng         TotEng\n{}Loop time of 1 on 1 procs\n"
    output = "".join(
        table.format(rows) for rows in ("0 9 9 9\n", "0 500.5 -3.5 -1.25\nWARNING: a b\n20 499 -3.25 -1.5\n")
    )
    step, temperature, potential, total = drift.readings(output)
    assert step.tolist() == [0, 20] and temperature.tolist() == [500.5, 499]
    assert potential.tolist() == [-3.5, -3.25] and total.tolist() == [-1.25, -1.5]
