"""The C++ library, the header-only interface and the examples, compiled as a user would."""

import os
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


def run(program, *args, level=None):
    env = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    env |= {} if level is None else {"TF_CPP_MIN_LOG_LEVEL": level}
    return subprocess.run([program, *args], capture_output=True, text=True, timeout=120, env=env)


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
        assert process.stderr == ""  # no notes of TensorFlow either
        check(read(process), data, prefix, 1)
    for args, words in (
        (("absent.pb", frame), "cannot open the model file absent.pb"),
        ((MODELS / "se_e2_a.npz", frame), "Unsupported model file format"),
        ((MODELS / "se_e2_a_fparam_aparam.pb", frame), "fparam"),
        ((MODELS / "se_e2_a.pb", "absent.txt"), "absent.txt"),
    ):
        process = run(program, *args)
        assert process.returncode == 1 and words in process.stderr, process.stderr


def test_notes_of_tensorflow_on_demand(folder):
    program = compiled(folder, ROOT / "examples/c/infer.c", "c")
    assert "TensorFlow" not in run(program, "absent.pb", "x").stderr
    assert len(run(program, "absent.pb", "x", level="0").stderr.splitlines()) > 1


@pytest.mark.parametrize("library, more", [("cc", []), ("c", ["-DHEADER_ONLY"])])
def test_every_overload(folder, library, more):
    program = compiled(folder, Path(__file__).with_name("cc_api.cc"), library, *more)
    data = np.load(MODELS / "se_e2_a.npz")
    frame = write_frame(folder / "frame.txt", data["coord"][0], data["box"][0], data["atype"])
    check(read(run(program, MODELS / "se_e2_a.pb", frame)), data, "pbc")
    read(run(program, MODELS / "se_e2_a_fparam_aparam.pb", frame, "0.3", "-0.2"))


BOX = np.array([[8.0, 0, 0], [0.8, 7.4, 0], [-0.6, 0.5, 7.7]])
TYPES = np.array([0, 1, 1] * 5)
COORD = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3)[:15] / 3 @ BOX
COORD += np.random.default_rng(0).normal(scale=0.15, size=COORD.shape)


@pytest.fixture(scope="module")
def special_models(folder):
    """A model with spins, a dipole model, and an energy model with the modifier of the latter."""
    from dptf.graph.load import write_graph_def
    from tests.dptf.model_cases import FITTING, NET, SE_A, random_graph

    section = {
        "type": "standard",
        "type_map": ["A", "B"],
        "descriptor": {**SE_A, "sel": [12, 20], "rcut": 3.0},
        "fitting_net": FITTING,
    }
    spin = {"use_spin": [True, False], "virtual_len": [0.4], "spin_norm": [1.2]}
    write_graph_def(random_graph({**section, "spin": spin}), folder / "spin.pb")
    fitting = NET | {
        "type": "dipole",
        "neuron": [6],
        "resnet_dt": True,
        "sel_type": [0],
        "numb_fparam": 0,
        "numb_aparam": 0,
    }
    write_graph_def(random_graph({**section, "fitting_net": fitting}), folder / "tensor.pb")
    modifier = {
        "type": "dipole_charge", "model_name": str(folder / "tensor.pb"), "model_charge_map": [-4.0],
        "sys_charge_map": [2.0, 1.0], "ewald_h": 1.0, "ewald_beta": 0.4,
    }  # fmt: skip
    write_graph_def(random_graph({**section, "modifier": modifier}), folder / "modifier.pb")
    return folder


def special(folder, kind, library, more):
    program = compiled(folder, Path(__file__).with_name("cc_models.cc"), library, *more)
    frame = write_frame(folder / "special.txt", COORD, BOX.ravel(), TYPES)
    return read(run(program, kind, folder / f"{kind}.pb", frame))


@pytest.mark.parametrize("library, more", [("cc", []), ("c", ["-DHEADER_ONLY"])])
def test_spins_and_tensors(special_models, library, more):
    from dptf.infer import DeepDipole, DeepPot

    found = special(special_models, "spin", library, more)
    with DeepPot(special_models / "spin.pb") as dp:
        energy, force, virial, magnetic, _ = dp.eval(COORD, BOX, TYPES, spin=np.sin(1.0 + np.arange(45)).reshape(15, 3))
    for key, value in (("energy", energy), ("force", force), ("virial", virial), ("magnetic", magnetic)):
        np.testing.assert_allclose(found[key], value.ravel(), rtol=0, atol=1e-10, err_msg=key)
    found = special(special_models, "tensor", library, more)
    with DeepDipole(special_models / "tensor.pb") as dipoles:
        total, force, virial = dipoles.eval_full(COORD, BOX, TYPES)
        atomic = dipoles.eval(COORD, BOX, TYPES)[0][TYPES == 0]
    for key, value in (("tensor", total), ("force", force), ("virial", virial), ("atomic", atomic)):
        np.testing.assert_allclose(found[key], value.ravel(), rtol=0, atol=1e-10, err_msg=key)


def test_modifier_is_the_same_in_both(special_models):
    a, b = (special(special_models, "modifier", *how) for how in (("cc", []), ("c", ["-DHEADER_ONLY"])))
    assert np.abs(a["force"]).max() > 0.1
    for key in a:
        np.testing.assert_array_equal(a[key], b[key])


def test_neighbor_list_data(folder):
    source = folder / "nlist_data.cc"
    source.write_text("""
#include <deepmd/DeepPot.h>
#include <cstdio>
int main() {
  int ilist[3] = {2, 0, 1}, numneigh[3] = {2, 1, 2}, a[2] = {0 | 1 << 29, 3}, b[1] = {2}, c[2] = {0, 2};
  int* first[3] = {a, b, c};
  deepmd::InputNlist in(3, ilist, numneigh, first), out;
  in.set_mask(0x1FFFFFFF);
  const std::vector<int> types = {1, 0, 0};
  deepmd::NeighborListData data;
  data.copy_from_nlist(in);
  data.shuffle(deepmd::AtomMap(types.begin(), types.end()));
  data.make_inlist(out);
  bool ok = out.inum == 3 && out.ilist[0] == 1 && out.ilist[1] == 2 && out.ilist[2] == 0 &&
            out.firstneigh[0][0] == 2 && out.firstneigh[0][1] == 3 && deepmd::max_numneigh(out) == 2;
  data.copy_from_nlist(in);
  data.shuffle_exclude_empty({0, -1, 1, 2});
  data.make_inlist(out);
  ok = ok && out.inum == 2 && out.ilist[0] == 1 && out.numneigh[0] == 2 && out.firstneigh[0][1] == 2 &&
       out.firstneigh[1][0] == 1;
  ok = ok && deepmd::get_backend("m.pb") == deepmd::TensorFlow && deepmd::get_backend("m.pth") == deepmd::PyTorch;
  try {
    deepmd::get_backend("m.txt");
    ok = false;
  } catch (const deepmd::deepmd_exception&) {
  }
  std::printf(ok ? "ok 1" : "ok 0");
}
""")
    assert read(run(compiled(folder, source, "cc")))["ok"][0] == 1


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
