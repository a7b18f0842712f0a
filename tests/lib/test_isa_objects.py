"""Objects compiled for one instruction set must not export symbols that the linker may share between sets."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _objects():
    return sorted(ROOT.glob("build/*/lib/CMakeFiles/deepmd_simd_*.dir/src/simd/*.o"))


@pytest.mark.skipif(not shutil.which("nm") or not _objects(), reason="needs binutils and a source build")
def test_no_shared_weak_symbols():
    for path in _objects():
        isa = path.parts[-4].removeprefix("deepmd_simd_").removesuffix(".dir")
        symbols = subprocess.run(["nm", "-C", path], capture_output=True, text=True, check=True).stdout
        weak = [line for line in symbols.splitlines() if " W " in line or " V " in line or " u " in line]
        shared = [line for line in weak if f"dptf::{isa}::" not in line]
        assert not shared, f"{path.name} ({isa}): {shared[:5]}"
