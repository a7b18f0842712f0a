"""The C++ library, the header-only interface and the examples, compiled as a user would."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dptf.flags import INCLUDE, LIB, options

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "tests" / "data" / "infer"
pytestmark = pytest.mark.skipif(
    not (LIB / "libdeepmd_cc.so").exists() or not shutil.which("g++"), reason="needs the C++ library and g++"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("programs")


def write_frame(path, coord, box, atype):
    rows = [f"{t} " + " ".join(f"{x:.17g}" for x in r) for t, r in zip(atype, coord.reshape(-1, 3))]
    path.write_text("\n".join([str(len(atype)), " ".join(f"{x:.17g}" for x in box), *rows]) + "\n")
    return path


def compiled(folder, source, library, *more):
    """Compile with all warnings as errors; returns the program."""
    target = folder / f"{source.stem}_{source.suffix[1:]}_{library}{''.join(more).lower()}"
    if not target.exists():
        compiler = ["gcc", "-std=c99"] if source.suffix == ".c" else ["g++", "-std=c++11"]
        warnings = ["-Wall", "-Wextra", "-Werror", "-O0"]
        subprocess.run([*compiler, *warnings, *more, source, *options(library), "-lm", "-o", target], check=True)
    return target


def run(program, *args):
    return subprocess.run([program, *args], capture_output=True, text=True, timeout=120)


def read(process):
    """Numbers by the first word of the line; rows of the same word are joined."""
    assert process.returncode == 0, process.stdout + process.stderr
    out = {}
    for line in process.stdout.splitlines():
        word, *numbers = line.split()
        out.setdefault(word, []).extend(map(float, numbers))
    return {k: np.array(v) for k, v in out.items()}


def check(found, data, prefix, frame=0):
    for key in ("energy", "force", "virial"):
        expected = data[f"{prefix}_{key}"][frame].ravel()
        np.testing.assert_allclose(
            found[key], expected, rtol=0, atol=1e-10 * max(1, np.abs(expected).max()), err_msg=key
        )


EXAMPLES = [("c/infer.c", "c", []), ("cpp/infer.cc", "cc", []), ("cpp/infer.cc", "c", ["-DHEADER_ONLY"])]


@pytest.mark.parametrize("source, library, more", EXAMPLES)
def test_examples(folder, source, library, more):
    program = compiled(folder, ROOT / "examples" / source, library, *more)
    data = np.load(MODELS / "se_e2_a.npz")
    for prefix, box in (("pbc", data["box"][1]), ("nopbc", np.zeros(9))):
        frame = write_frame(folder / "frame.txt", data["coord"][1], box, data["atype"])
        process = run(program, MODELS / "se_e2_a.pb", frame)
        assert process.stderr == "" or "TensorFlow" not in process.stderr
        check(read(process), data, prefix, 1)
    for args, words in (
        (("absent.pb", frame), "cannot open the model file absent.pb"),
        ((MODELS / "se_e2_a.npz", frame), "Unsupported model file format"),
        ((MODELS / "se_e2_a_fparam_aparam.pb", frame), "fparam"),
        ((MODELS / "se_e2_a.pb", "absent.txt"), "absent.txt"),
    ):
        process = run(program, *args)
        assert process.returncode == 1 and words in process.stderr, process.stderr


@pytest.mark.parametrize("library, more", [("cc", []), ("c", ["-DHEADER_ONLY"])])
def test_every_overload(folder, library, more):
    program = compiled(folder, Path(__file__).with_name("cc_api.cc"), library, *more)
    data = np.load(MODELS / "se_e2_a.npz")
    frame = write_frame(folder / "frame.txt", data["coord"][0], data["box"][0], data["atype"])
    check(read(run(program, MODELS / "se_e2_a.pb", frame)), data, "pbc")
    read(run(program, MODELS / "se_e2_a_fparam_aparam.pb", frame, "0.3", "-0.2"))


def test_cmake_package(folder):
    cmake = shutil.which("cmake", path=f"{Path(sys.executable).parent}:/usr/bin:/usr/local/bin")
    if not cmake:
        pytest.skip("cmake is not installed")
    project = folder / "project"
    project.mkdir()
    (project / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(p CXX)\nfind_package(DeePMD REQUIRED)\n"
        f"add_executable(infer {ROOT / 'examples/cpp/infer.cc'})\n"
        "target_link_libraries(infer PRIVATE DeePMD::deepmd_cc)\n"
    )
    prefix = subprocess.run([sys.executable, "-m", "dptf.flags", "cmake"], capture_output=True, text=True, check=True)
    command = [cmake, "-S", project, "-B", project / "build", f"-DCMAKE_PREFIX_PATH={prefix.stdout.strip()}"]
    subprocess.run(command, check=True, capture_output=True)
    subprocess.run([cmake, "--build", project / "build"], check=True, capture_output=True)
    process = run(project / "build" / "infer", "absent.pb", "x")
    assert process.returncode == 1 and "absent.pb" in process.stderr


def test_flags():
    def flags(*args):
        return subprocess.run([sys.executable, "-m", "dptf.flags", *args], capture_output=True, text=True)

    assert flags("include").stdout.strip() == str(INCLUDE) and (INCLUDE / "deepmd" / "DeepPot.h").exists()
    assert flags("lib").stdout.strip() == str(LIB)
    assert "-ldeepmd_cc" in flags("cc").stdout.split()
    wrong = flags("fortran")
    assert wrong.returncode == 2 and "usage" in wrong.stderr
