"""Energy conservation of the DPA models: solid copper at constant energy, and one rank beside two.

Small nets of every family are trained on the copper example, which keeps the atoms where the models were trained. What is left is
the drift that the models and their derivatives cause, beside the fluctuation of the integrator.
"""

import json

import copper
import measure
import numpy as np

ATOMS = 108
#: [ps]; the time step resolves the fastest vibration of copper (7 THz) some fifty times.
STEP, WARM_UP, LENGTH = 0.002, 2.0, 20.0
TEMPERATURE = 500  # K
TRAINING_STEPS = 3000
EVERY = 20  # steps between two readings of the energy
BLOCKS = 10  # of the run, for the uncertainty of the drift

_ATTENTION = {
    "type": "se_atten", "sel": 100, "rcut": 6.0, "rcut_smth": 2.0, "neuron": [10, 20, 40], "axis_neuron": 4, "tebd_dim": 8, "attn": 32,
    "attn_layer": 2, "attn_dotr": True, "smooth_type_embedding": True, "set_davg_zero": True,
}  # fmt: skip
_REPFORMER = {
    "type": "dpa2",
    "repinit": {"rcut": 6.0, "rcut_smth": 2.0, "nsel": 100, "neuron": [10, 20, 40], "axis_neuron": 4, "tebd_dim": 8},
    "repformer": {
        "rcut": 4.5, "rcut_smth": 3.5, "nsel": 30, "nlayers": 3, "g1_dim": 32, "g2_dim": 16, "attn2_hidden": 16, "attn2_nhead": 2,
        "attn1_hidden": 32, "attn1_nhead": 2, "axis_neuron": 4, "update_g1_has_conv": True, "update_g1_has_grrg": True,
        "update_g1_has_drrd": True, "update_g1_has_attn": False, "update_g2_has_g1g1": False, "update_g2_has_attn": True,
        "update_style": "res_residual", "update_residual": 0.01, "update_residual_init": "norm", "attn2_has_gate": True,
        "use_sqrt_nnei": True, "g1_out_conv": True, "g1_out_mlp": True,
    },
    "add_tebd_to_repinit_out": False,
    "smooth": True,
}  # fmt: skip
_REPFLOW = {
    "type": "dpa3",
    "repflow": {
        "n_dim": 32, "e_dim": 16, "a_dim": 8, "nlayers": 3, "e_rcut": 6.0, "e_rcut_smth": 5.3, "e_sel": 100, "a_rcut": 4.5,
        "a_rcut_smth": 3.5, "a_sel": 30, "axis_neuron": 4, "fix_stat_std": 0.3, "a_compress_rate": 1, "a_compress_e_rate": 2,
        "a_compress_use_split": True, "update_angle": True, "smooth_edge_update": True, "edge_init_use_dist": True,
        "use_exp_switch": True, "update_style": "res_residual", "update_residual": 0.1, "update_residual_init": "const",
    },
    "activation_function": "silut:10.0",
}  # fmt: skip
FAMILIES = {
    "DPA-2": (_REPFORMER, "float64"),
    "DPA-3": (_REPFLOW, "float64"),
    "DPA-3 in float32": (_REPFLOW, "float32"),
    "DPA-1, two attention layers": (_ATTENTION, "float64"),
}


def training_input(descriptor, precision, steps):
    """Input of the copper example with another descriptor."""
    source = copper.training_input(steps, 1, disp_freq=steps // 4)
    source["model"]["descriptor"] = {**descriptor, "precision": precision, "seed": 1}
    source["model"]["fitting_net"] |= {"precision": precision}
    return source


_WARM_UP = f"fix 0 all langevin {TEMPERATURE} {TEMPERATURE} 0.1 77\nrun {round(WARM_UP / STEP)}\nunfix 0\n"
_DUMP = "dump 1 all custom 50 forces.dump id fx fy fz\ndump_modify 1 sort id format float %.15g\n"


def script(model, before, length):
    """Copper at constant energy for `length` [ps], after the commands `before`."""
    return f"""\
units metal
atom_style atomic
atom_modify map yes
read_data copper.lmp
displace_atoms all random 0.05 0.05 0.05 9
neighbor 1.0 bin
pair_style deepmd {model}
pair_coeff * * Cu
velocity all create {TEMPERATURE} 4321 loop geom
timestep {STEP}
fix 1 all nve
thermo_style custom step temp pe etotal
thermo_modify norm no format float %.15g
thermo {EVERY}
{before}reset_timestep 0
run {round(length / STEP)}
"""


def write_lattice(path, a=3.6, cells=3):
    """Data file of fcc copper with the lattice constant `a` [Å], its atoms in an order that does not depend on ranks."""
    corner = np.array([p for p in np.ndindex(cells, cells, cells)])[:, None]
    basis = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    sites = a * (corner + basis).reshape(-1, 3)
    rows = [f"{k + 1} 1 {x:.8f} {y:.8f} {z:.8f}" for k, (x, y, z) in enumerate(sites)]
    box = [f"0 {cells * a:.8f} {d}lo {d}hi" for d in "xyz"]
    lines = [
        "copper",
        "",
        f"{len(sites)} atoms",
        "1 atom types",
        *box,
        "",
        "Masses",
        "",
        "1 63.546",
        "",
        "Atoms # atomic",
        "",
        *rows,
    ]
    path.write_text("\n".join(lines) + "\n")


def readings(output):
    """Step, temperature [K], potential and total energy [eV] of the last run in the output of LAMMPS."""
    rows = [line.split() for line in output[output.rindex("TotEng") :].splitlines()[1:]]
    return np.array([[float(x) for x in r] for r in rows if len(r) == 4 and r[0].isdigit()]).T


def drift(time, energy):
    """Slope of the energy and its standard error, from the means of blocks, which are long beside the vibrations."""
    used = len(time) // BLOCKS * BLOCKS
    t, e = (np.reshape(x[:used], (BLOCKS, -1)).mean(1) for x in (time, energy))
    (slope, _), covariance = np.polyfit(t, e, 1, cov="unscaled")
    residual = e - np.polyval(np.polyfit(t, e, 1), t)
    return slope, np.sqrt(covariance[0, 0] * np.sum(residual**2) / (BLOCKS - 2))


def _forces(file):
    """Forces of the last frame of a dump."""
    rows = file.read_text().split("ITEM: ATOMS")[-1].splitlines()[1:]
    return np.array([[float(x) for x in r.split()[1:]] for r in rows])


def _trained(setup, folder, what, descriptor, precision):
    """Folder with the frozen model of a family."""
    if not (folder / "frozen.pb").exists():
        setup.say(f"nve: training {what}")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "input.json").write_text(json.dumps(training_input(descriptor, precision, TRAINING_STEPS)))
        env = setup.ours.environ(setup.threads)
        measure.run([*setup.ours.dp, "train", "input.json", "--skip-neighbor-stat"], folder, env)
        measure.run([*setup.ours.dp, "freeze", "-o", "frozen.pb"], folder, env)
    return folder


def _ranks_differ(setup, folder):
    """Largest difference of the energy [eV] and the forces [eV/Å] of one and two ranks in 100 steps."""
    (folder / "in.ranks").write_text(script("frozen.pb", _DUMP, 100 * STEP))
    found = []
    for ranks in (1, 2):
        launcher = [str(setup.ours.python.parent / "mpirun"), "-np", str(ranks)]
        run = measure.run([*launcher, *setup.ours.lammps("in.ranks")], folder, setup.ours.environ(1))
        found.append((readings(run.output)[3], _forces(folder / "forces.dump")))
    return [np.abs(a - b).max() for a, b in zip(*found)]


def conservation(setup, row, length=LENGTH):
    """Drift at constant energy per family, and the largest difference between one and two ranks in 100 steps."""
    folders = [
        _trained(setup, setup.workdir / f"drift-{k}", what, *how) for k, (what, how) in enumerate(FAMILIES.items())
    ]
    rows = []
    for what, folder in zip(FAMILIES, folders):
        setup.say(f"nve: {what}, {length:g} ps")
        write_lattice(folder / "copper.lmp")
        (folder / "in.lammps").write_text(script("frozen.pb", _WARM_UP, length))
        run = measure.run(setup.ours.lammps("in.lammps"), folder, setup.ours.environ(setup.threads))
        step, temperature, potential, total = readings(run.output)
        slope, error = (1e6 * x for x in drift(step * STEP, total / ATOMS))
        energies, forces = _ranks_differ(setup, folder)
        report = (
            f"({slope:.2f} ± {error:.2f})e-6 eV/atom/ps over {length:g} ps at {temperature.mean():.0f} K; fluctuation of the total energy "
            f"{np.std(total) / ATOMS:.1e}, of the potential energy {np.std(potential) / ATOMS:.1e} eV/atom; force error after training "
            f"{copper.force_errors(folder)[1][-1]:.3f} eV/Å; one and two ranks differ in 100 steps by {energies:.1e} eV and {forces:.1e} eV/Å"
        )
        setup.say(f"nve: {what}: {report}")
        rows.append(row(f"NVE, {what}: drift", "µeV/atom/ps", {"dptf": [slope]}, True, {"report": report}))
    return rows
