"""The loops of the ops on several threads."""

import shutil
import subprocess
from pathlib import Path

import pytest

from dptf.ops import LIB_DIR

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(not shutil.which("g++"), reason="needs g++")
def test_thread_team(tmp_path):
    program = tmp_path / "thread_team"
    command = ["g++", "-std=c++17", "-O1", "-pthread", "-frounding-math", f"-I{ROOT / 'lib/include'}"]
    command += [ROOT / "tests/lib/thread_team.cc", f"-L{LIB_DIR}", "-ldeepmd", f"-Wl,-rpath,{LIB_DIR}", "-o", program]
    subprocess.run(command, check=True)
    result = subprocess.run([program], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stdout + result.stderr
    assert len(result.stdout.splitlines()) == 6
