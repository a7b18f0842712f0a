"""CUDA kernels: their work items give the numbers of the CPU kernels (run on the host), and nvcc compiles them."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dptf.ops import LIB_DIR

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="needs g++")
@pytest.mark.parametrize("name, count", [("device_work", 3 * 5 + 3 * 6 + 3 + 2 * 8), ("ragged_work", 131)])
def test_work_items_on_the_host(tmp_path, name, count):
    program = tmp_path / name
    command = ["g++", "-std=c++17", "-O1", f"-I{ROOT / 'lib/include'}", ROOT / f"tests/lib/{name}.cc"]
    subprocess.run([*command, f"-L{LIB_DIR}", "-ldeepmd", f"-Wl,-rpath,{LIB_DIR}", "-o", program], check=True)
    lines = subprocess.run([program], capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) == count
    for line in lines:
        assert float(line.rpartition(" ")[2]) < 1e-12, line


def gpu_kernels(folder):
    """Ops with GPU kernels and their number, as a TensorFlow without GPU lists them after loading the libraries."""
    code = (
        "import sys, tensorflow as tf\n"
        "from tensorflow.python.framework import kernels\n"
        "names = dir(tf.load_op_library(sys.argv[1] + '/libdeepmd_op.so'))\n"
        "tf.load_library(sys.argv[1] + '/libdeepmd_op_cuda.so')\n"
        "for name in names:\n"
        "    if name[0].isupper() and name != 'Any':\n"
        "        found = [k for k in kernels.get_registered_kernels_for_op(name).kernel if k.device_type == 'GPU']\n"
        "        if found: print(name, len(found))\n"
    )
    lines = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True).stdout
    return {name: int(n) for name, n in (line.split() for line in lines.splitlines())}


def expected_kernels():
    """Ops that the public package runs on GPUs, and own ones."""
    out = ["ProdEnvMatA", "ProdEnvMatR", "ProdEnvMatAMix", "DescrptSeA", "DescrptNorot", "DescrptSeR"]
    out += [f"Prod{q}{f}" for q in ("Force", "Virial") for f in ("SeA", "SeR", "Norot", "SeAGrad", "SeRGrad")]
    out += [f"TabulateFusion{f}{g}" for f in ("", "SeA", "SeAtten", "SeT", "SeR") for g in ("", "Grad", "GradGrad")]
    out += [f"Gelu{g}{c}" for g in ("", "Grad", "GradGrad") for c in ("", "Custom")]
    out += [f"DptfEmbedContract{g}" for g in ("", "GradEnv", "GradNodes", "GradGrad")]
    out += [f"DptfMessage{g}" for g in ("", "Keep", "Grad", "KeepGrad", "GradGrad")] + ["DptfActivation"]
    out += [f"DptfMoments{g}" for g in ("", "ToX", "ToW")] + [f"Dptf{g}Rows" for g in ("Take", "Put", "Share", "Add")]
    out += ["DptfSpread", "DptfSegmentSum", "DptfPairDot", "DptfPairApply"]
    return out + ["DptfVirialGrad", *(f"DptfVector{q}{g}" for q in ("Force", "Virial") for g in ("", "Grad"))]


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("nvcc") or not shutil.which("ninja"), reason="needs nvcc and ninja")
def test_compiles(tmp_path):
    """Kernels and their registration with TensorFlow, from a fresh build folder."""
    (tmp_path / "lib").mkdir()
    for name in ("deepmd", "deepmd_op"):
        shutil.copy(Path(LIB_DIR) / f"lib{name}.so", tmp_path / "lib")
    configure = [
        "cmake", "-S", ROOT, "-B", tmp_path / "build", "-G", "Ninja", f"-DPython_EXECUTABLE={sys.executable}", "-DDPTF_CUDA_ALONE=1",
        f"-DDPTF_LIB_DIR={tmp_path / 'lib'}",
    ]  # fmt: skip
    subprocess.run(configure, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["ninja", "-C", tmp_path / "build"], check=True, stdout=subprocess.DEVNULL)
    symbols = subprocess.run(
        ["nm", "-DC", tmp_path / "lib/libdeepmd_cuda.so"], capture_output=True, text=True, check=True
    ).stdout
    for name in (
        "tabulate_grad_grad<float>",
        "embed_contract_grad_nodes<double>",
        "env_rows<double>",
        "env_virial<float>",
        "message_grad_grad<float>",
        "pair_sums<double>",
    ):
        assert f"void dptf::cuda::{name}(" in symbols
    assert gpu_kernels(tmp_path / "lib") == {op: 2 for op in expected_kernels()}
