"""The work that is measured: liquid water, se_e2_a 25-50-100 (16 axis neurons), fitting net 240x3, float64."""

import json
from pathlib import Path

import numpy as np

MASSES = {"O": 15.999, "H": 1.008}


def water_systems(folder):
    """Systems of the training data, checked to be periodic water.

    Parameters
    ----------
    folder : Path
        Holds data_0, data_1, ... in the npy layout.
    """
    systems = sorted(p for p in Path(folder).glob("data_*") if (p / "type.raw").exists())
    if not systems:
        raise SystemExit(f"benchmarks: {folder}: no water data; run examples/water/make_data.py, or give --data DIR")
    return [str(p.resolve()) for p in systems]


def first_frame(system):
    """Coordinates (n, 3) and cell lengths (3,) in Å, element names; of the first orthogonal frame."""
    system = Path(system)
    sets = sorted(system.glob("set.*"))
    coord = np.concatenate([np.load(s / "coord.npy") for s in sets])
    box = np.concatenate([np.load(s / "box.npy") for s in sets]).reshape(-1, 3, 3)
    names = (system / "type_map.raw").read_text().split()
    elements = [names[int(t)] for t in (system / "type.raw").read_text().split()]
    off = np.abs(box * (1 - np.eye(3))).max(axis=(1, 2))
    if not (off < 1e-12).any():
        raise SystemExit(f"benchmarks: {system}: no frame with an orthogonal cell")
    k = int(np.argmax(off < 1e-12))
    lengths = np.diag(box[k])
    return coord[k].reshape(-1, 3) % lengths, lengths, elements


def training_input(systems, steps):
    """Input file that both packages accept."""
    return {
        "model": {
            "type_map": ["O", "H"],
            "descriptor": {
                "type": "se_e2_a",
                "sel": [46, 92],
                "rcut_smth": 0.5,
                "rcut": 6.0,
                "neuron": [25, 50, 100],
                "resnet_dt": False,
                "axis_neuron": 16,
                "type_one_side": True,
                "precision": "float64",
                "seed": 1,
            },
            "fitting_net": {"neuron": [240, 240, 240], "resnet_dt": True, "precision": "float64", "seed": 1},
        },
        "learning_rate": {"type": "exp", "decay_steps": 5000, "start_lr": 0.001, "stop_lr": 1e-4},
        "loss": {
            "type": "ener",
            "start_pref_e": 0.02,
            "limit_pref_e": 1,
            "start_pref_f": 1000,
            "limit_pref_f": 1,
            "start_pref_v": 0,
            "limit_pref_v": 0,
        },
        "training": {
            "training_data": {"systems": systems, "batch_size": 1},
            "numb_steps": steps,
            "seed": 10,
            "disp_file": "lcurve.out",
            "disp_freq": 10,
            "save_freq": 100000,
        },
    }


def write_training_input(folder, systems, steps):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "input.json").write_text(json.dumps(training_input(systems, steps), indent=1))


def write_lammps_data(path, frame):
    """Data file of the cell (types in the order O, H)."""
    coord, lengths, elements = frame
    rows = [
        f"{i + 1} {1 + (e == 'H')} {x[0]:.8f} {x[1]:.8f} {x[2]:.8f}" for i, (x, e) in enumerate(zip(coord, elements))
    ]
    lines = ["water", "", f"{len(coord)} atoms", "2 atom types", ""]
    lines += [f"0 {length:.8f} {d}lo {d}hi" for length, d in zip(lengths, "xyz")]
    lines += ["", "Masses", "", f"1 {MASSES['O']}", f"2 {MASSES['H']}", "", "Atoms # atomic", "", *rows]
    Path(path).write_text("\n".join(lines) + "\n")


def lammps_script(model, repeat, steps, warm_up=0):
    """Molecular dynamics at constant energy with a list that is rebuilt every ten steps, as in published benchmarks.

    `warm_up` steps come first in a run of their own. The atom map is what the public package needs for message passing.
    """
    first = f"run {warm_up}\n" if warm_up else ""
    return f"""\
units metal
boundary p p p
atom_style atomic
atom_modify map yes
neighbor 2.0 bin
neigh_modify every 10 delay 0 check no
read_data water.lmp
replicate {repeat[0]} {repeat[1]} {repeat[2]}
pair_style deepmd {model}
pair_coeff * * O H
velocity all create 330 23456789
fix 1 all nve
timestep 0.0005
thermo_style custom step pe press
thermo_modify norm no format float %.15g
thermo {steps}
{first}run {steps}
"""


def small_frames(n_frames, seed=5):
    """Eight water molecules in a periodic cube of 6.2 Å, differently turned in every frame.

    Returns
    -------
    coord : (n_frames, 72) array
        [Å]
    box : (n_frames, 9) array
        [Å]
    types : (24,) int array
        O 0, H 1.
    """
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.normal(size=(n_frames, 8, 3, 3)))
    water = np.array([[0.0, 0.0, 0.0], [0.76, 0.58, 0.0], [-0.76, 0.58, 0.0]])
    sites = np.array([[i, j, k] for i in range(2) for j in range(2) for k in range(2)]) * 3.1
    coord = (water @ q) + sites[:, None] + rng.normal(scale=0.05, size=(n_frames, 8, 3, 3))
    return coord.reshape(n_frames, 72), np.tile((6.2 * np.eye(3)).ravel(), (n_frames, 1)), np.tile([0, 1, 1], 8)
