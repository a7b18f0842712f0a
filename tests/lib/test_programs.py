"""Programs that check parts of the library by themselves: loops on threads, means through shared memory."""

import shutil
import subprocess
from pathlib import Path

import pytest

from dptf.ops import LIB_DIR

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(not shutil.which("g++"), reason="needs g++")
@pytest.mark.parametrize("name, checks", [("thread_team", 6), ("shared_mean", 3)])
def test_program(name, checks, tmp_path):
    command = ["g++", "-std=c++17", "-O1", "-pthread", "-frounding-math", f"-I{ROOT / 'lib/include'}"]
    command += [ROOT / f"tests/lib/{name}.cc", f"-L{LIB_DIR}", "-ldeepmd", f"-Wl,-rpath,{LIB_DIR}"]
    subprocess.run([*command, "-o", tmp_path / name], check=True)
    result = subprocess.run([tmp_path / name], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stdout + result.stderr
    assert len(result.stdout.splitlines()) == checks
