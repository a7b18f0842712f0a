"""dp test and dp model-devi on two processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from toy import write_system

from dptf.cli.main import main
from dptf.parallel.ranks import Ranks

MODEL = str(Path(__file__).parents[2] / "data/infer/se_e2_a.pb")


def test_one_process_owns_everything():
    ranks = Ranks()
    assert ranks.chief and ranks.owns(7) and ranks.collect([(1, "b"), (0, "a")]) == [(0, "a"), (1, "b")]
    with pytest.raises(KeyError), ranks.together():
        raise KeyError


@pytest.mark.slow
def test_two_processes_give_the_numbers_of_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for k in range(3):
        system = write_system(tmp_path / f"data/{k}", seed=k)
        (system / "type_map.raw").write_text("O\nH\n")
    command = ["test", "-m", MODEL, "-s", "data", "-n", "4", "--shuffle-test", "-r", "1"]
    assert main([*command, "--json", "one.json"]) == 0
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    env["PATH"] = os.path.dirname(sys.executable) + os.pathsep + env["PATH"]
    launcher = ["mpirun", "-np", "2", sys.executable, "-m", "dptf"]
    done = subprocess.run(
        [*launcher, *command, "--json", "two.json"], env=env, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr.count("# testing system") == 3
    one, two = (json.loads(Path(f).read_text()) for f in ("one.json", "two.json"))
    assert [s["system"] for s in two["systems"]] == [s["system"] for s in one["systems"]]
    for a, b in zip(one["systems"] + [{"errors": one["average"]}], two["systems"] + [{"errors": two["average"]}]):
        np.testing.assert_allclose(list(b["errors"].values()), list(a["errors"].values()), rtol=1e-10)
    (tmp_path / "data/2/set.000/coord.npy").write_bytes(b"broken")
    done = subprocess.run([*launcher, *command], env=env, capture_output=True, text=True, timeout=200)
    assert done.returncode != 0 and "coord.npy" in done.stderr
