#!/usr/bin/env python3
"""Make the copper data: 108 atoms of fcc copper, sampled and labelled with the effective medium theory (EMT) of ASE.

Sampling: Langevin dynamics (5 fs, friction 0.01 / fs, one frame every 100 fs after 2 ps) in cells whose three axes
and angles are strained at random, a new strain for every ten frames:

    data_0      300 K, strain up to 1 %
    data_1      800 K, strain up to 3 %
    data_2     1200 K, strain up to 5 %
    data_3     all three, other starting points (validation)

Labels: EMT energy (eV, zero for the separate reference crystal), forces (eV/Å), virial (eV) = -volume * stress.

    pip install 'ase>=3.29'
    python make_data.py            # about three minutes on one core
"""

import argparse
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from npy_system import write_lammps, write_system  # noqa: E402

LATTICE = 3.6  # Å, near the EMT minimum
FRAMES_PER_CELL = 10
#: name: (list of (temperature [K], largest strain), frames, seed)
SYSTEMS = {
    "data_0": ([(300, 0.01)], 60, 1),
    "data_1": ([(800, 0.03)], 60, 2),
    "data_2": ([(1200, 0.05)], 60, 3),
    "data_3": ([(300, 0.01), (800, 0.03), (1200, 0.05)], 30, 4),
}


def crystal(strain=None):
    """108 atoms; ``strain`` deforms the cell, and the atoms with it."""
    from ase.build import bulk

    atoms = bulk("Cu", "fcc", a=LATTICE, cubic=True) * (3, 3, 3)
    if strain is not None:
        atoms.set_cell(atoms.cell[:] @ (np.eye(3) + strain), scale_atoms=True)
    return atoms


def label(atoms):
    """Energy, forces and virial of the positions and cell as they are stored (single precision)."""
    from ase.calculators.emt import EMT

    stored = atoms.copy()
    stored.set_cell(stored.cell[:].astype(np.float32).astype(float))
    stored.positions = stored.positions.astype(np.float32).astype(float)
    stored.calc = EMT()
    virial = -stored.get_volume() * stored.get_stress(voigt=False)
    return stored.positions, stored.cell[:], stored.get_potential_energy(), stored.get_forces(), virial


def sample(temperature, strain, frames, rng):
    """Labelled frames at one temperature."""
    from ase.calculators.emt import EMT
    from ase.md import thermalize_momenta
    from ase.md.langevin import Langevin
    from ase.units import fs

    rows = []
    while len(rows) < frames:
        atoms = crystal(rng.uniform(-strain, strain, size=(3, 3)))
        atoms.calc = EMT()
        thermalize_momenta(atoms, temperature, rng=rng)
        dynamics = Langevin(atoms, 5 * fs, temperature_K=temperature, friction=0.01 / fs, fixcm=False, rng=rng)
        dynamics.run(400)
        for _ in range(min(FRAMES_PER_CELL, frames - len(rows))):
            dynamics.run(20)
            rows.append(label(atoms))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=HERE)
    parser.add_argument("--systems", nargs="*", default=list(SYSTEMS))
    parser.add_argument("--frames", type=int, help="frames of every system instead of its own number")
    args = parser.parse_args()
    for name in args.systems:
        conditions, frames, seed = SYSTEMS[name]
        frames = args.frames or frames
        rng = np.random.default_rng(seed)
        rows = []
        for temperature, strain in conditions:
            rows += sample(temperature, strain, -(-frames // len(conditions)), rng)
        coord, box, energy, force, virial = (np.array(column[:frames]) for column in zip(*rows))
        write_system(args.output / name, np.zeros(108, int), ["Cu"], coord, box, energy, force, virial)
        print(f"{name}: {frames} frames, {energy.min():.3f} to {energy.max():.3f} eV", flush=True)
    start = crystal() * (2, 2, 2)
    write_lammps(
        args.output / "copper.lmp", "864 atoms of fcc copper", np.zeros(864, int), [63.546], start.positions, start.cell
    )


if __name__ == "__main__":
    main()
