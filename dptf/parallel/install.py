"""Build Horovod for the TensorFlow and MPI of this environment: ``python -m dptf.parallel.install``.

The last release of Horovod needs two edits to its source: one source file (XLA ops, off by default) uses headers that
TensorFlow moved, and its launcher does not know the version text of the MPICH wheel. Both are made on the archive from PyPI.
"""

import argparse
import os
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from pathlib import Path

from dptf.errors import UserError

VERSION = "0.28.1"
#: file, text that must be there once, replacement
EDITS = (
    (
        "horovod/tensorflow/CMakeLists.txt",
        'list(APPEND TF_SOURCES "${PROJECT_SOURCE_DIR}/horovod/tensorflow/xla_mpi_ops.cc")\n',
        "",
    ),
    ("horovod/runner/mpi_run.py", "elif 'MPICH' in output:", "elif 'MPICH' in output or 'HYDRA' in output:"),
)


def fetch(folder):
    """Source tree of the release below `folder`, from PyPI."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-build-isolation",
               "--no-binary", "horovod", "-d", str(folder), f"horovod=={VERSION}"]  # fmt: skip
    subprocess.run(command, check=True)
    # Python before 3.10.12 and 3.11.4 has no filter for what an archive may write.
    careful = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    with tarfile.open(next(Path(folder).glob("horovod-*.tar.gz"))) as archive:
        archive.extractall(folder, **careful)
    return Path(folder) / f"horovod-{VERSION}"


def edit(source):
    """Make the edits in a source tree; a tree that looks different is refused."""
    for name, old, new in EDITS:
        path = Path(source) / name
        text = path.read_text()
        if text.count(old) != 1:
            raise UserError(f"does not hold the line to change: {old.strip()}", str(path), f"use Horovod {VERSION}")
        path.write_text(text.replace(old, new))


def build_environment():
    """Environment of the build: TensorFlow, Gloo and MPI, with the compiler wrappers of this Python's environment first."""
    env = dict(os.environ)
    env["PATH"] = sysconfig.get_path("scripts") + os.pathsep + env.get("PATH", "")
    env.update(
        HOROVOD_WITH_TENSORFLOW="1", HOROVOD_WITHOUT_PYTORCH="1", HOROVOD_WITHOUT_MXNET="1", HOROVOD_WITH_MPI="1",
        HOROVOD_WITH_GLOO="1",
    )  # fmt: skip
    env.setdefault("MAKEFLAGS", f"-j{os.cpu_count() or 1}")
    return env


def installed():
    """Whether this Horovod is installed and its library loads with the TensorFlow of the environment."""
    check = (
        "import horovod, horovod.tensorflow as h; "
        f"assert horovod.__version__ == '{VERSION}' and h.mpi_built() and h.gloo_built()"
    )
    return subprocess.run([sys.executable, "-c", check], capture_output=True).returncode == 0


def install():
    """Fetch, edit, build and install; takes some minutes."""
    with tempfile.TemporaryDirectory(prefix="horovod-") as folder:
        source = fetch(folder)
        edit(source)
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-build-isolation", "--no-cache-dir", str(source)]
        try:
            subprocess.run(command, check=True, env=build_environment())
        except subprocess.CalledProcessError:
            raise UserError(
                "Horovod did not build; the compiler's message is above", None,
                "it needs g++, 'cmake<4', tensorflow, and mpich (or another MPI) in this environment",
            ) from None  # fmt: skip
    if not installed():
        raise UserError(
            "Horovod was built, but does not load", None, f"try: {sys.executable} -c 'import horovod.tensorflow'"
        )


def main(argv=None):
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m dptf.parallel.install", description=__doc__.splitlines()[0])
    parser.add_argument("--force", action="store_true", help="build again even if it is installed")
    args = parser.parse_args(argv)
    try:
        if args.force or not installed():
            install()
    except (UserError, subprocess.CalledProcessError) as err:
        print(f"Error: {err}", file=sys.stderr)
        return 1
    print(f"Horovod {VERSION} is installed, with MPI and Gloo")
    return 0


if __name__ == "__main__":
    sys.exit(main())
