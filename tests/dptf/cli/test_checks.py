"""dp doctor, dp selftest, dp bench."""

import json
from pathlib import Path

import numpy as np
import pytest

from dptf.check import doctor
from dptf.check.selftest import SelfTest
from dptf.cli.main import main

MODEL = str(Path(__file__).parents[2] / "data/infer/se_e2_a.pb")


def test_doctor_tells_one_line_per_part(capsys):
    assert main(["doctor", "package", "tensorflow", "threads", "extras"]) == 0
    lines = [r for r in capsys.readouterr().out.splitlines() if "fix:" not in r]
    assert [r.split()[1] for r in lines] == ["package", "tensorflow", "threads", "extras"]
    assert main(["doctor", "liver"]) == 1
    assert "choose from package" in capsys.readouterr().err


def test_doctor_finds_faults(monkeypatch, capsys):
    monkeypatch.setenv("DP_INTRA_OP_PARALLELISM_THREADS", "9999")
    monkeypatch.setitem(doctor.PARTS, "gpu", lambda: 1 / 0)
    monkeypatch.setenv("DPTF_LMP_PLUGIN", "0")
    assert main(["doctor", "threads", "gpu", "lammps"]) == 1
    out = capsys.readouterr().out
    assert "set DP_INTRA_OP_PARALLELISM_THREADS=" in out and "FAIL gpu" in out and "FAIL lammps" in out


def test_selftest_passes_a_good_model(capsys):
    assert main(["selftest", MODEL]) == 0
    out = capsys.readouterr().out
    assert out.count("\nok ") == len(SelfTest.CHECKS) and "all checks passed" in out


@pytest.mark.parametrize("fault, found", [("force", "forces"), ("order", "permutation"), ("virial", "virials")])
def test_selftest_finds_faults(monkeypatch, fault, found):
    test = SelfTest(MODEL)
    honest = test.model.eval

    def spoiled(coords, cells, types, **more):
        e, f, v = honest(coords, cells, types, **more)
        if fault == "force":
            f = f * 1.01
        elif fault == "order":
            f = f + 1e-3 * np.arange(f.shape[1])[None, :, None]
        else:
            v = v + 0.1
        return e, f, v

    monkeypatch.setattr(test.model, "eval", spoiled)
    test.energy, test.force, test.virial = test._eval(test.coord, test.cell, test.types)
    failed = [name for name, _, worst, tolerance in test.run() if worst > tolerance]
    assert found in failed
    test.close()


def test_selftest_refuses_other_models(capsys):
    assert main(["selftest", str(Path(MODEL).with_name("dipole.pb"))]) == 1
    assert "energies and forces are needed" in capsys.readouterr().err


def test_bench(tmp_path, capsys):
    target = tmp_path / "b.json"
    assert main(["bench", MODEL, "-n", "64", "27", "-t", "0.01", "--json", str(target)]) == 0
    rows = json.loads(target.read_text())["rows"]
    assert [r["atoms"] for r in rows] == [27, 64] and all(0 < r["us_per_atom"] < 1e5 for r in rows)
    assert len(capsys.readouterr().out.splitlines()) == 3
