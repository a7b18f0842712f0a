"""pair_style deepspin, and fix dplr with kspace_style pppm/dplr and compute deeptensor/atom: against Python, on 1 and 2 processes."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "dptf"))
from model_cases import FITTING, NET, SE_A, random_graph

from dptf.graph.load import write_graph_def
from dptf.infer import DeepDipole, DeepPot
from tests.lmp.lammps_run import LIB, dump, run, thermo

pytestmark = pytest.mark.skipif(not (LIB / "libdeepmd_lmpplugin.so").exists(), reason="the LAMMPS plugin was not built")
BOX = np.array([[8.0, 0, 0], [0.8, 7.4, 0], [-0.6, 0.5, 7.7]])
TYPES = np.array([0, 1, 1] * 5)
GRID = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3)[: len(TYPES)] / 3 + 0.02
COORD = GRID @ BOX + np.random.default_rng(0).normal(scale=0.15, size=(len(TYPES), 3))
DESCRIPTOR = {**SE_A, "sel": [12, 20], "rcut": 3.0}
SECTION = {"type": "standard", "type_map": ["A", "B"], "descriptor": DESCRIPTOR, "fitting_net": FITTING}
NKTV2P = 1.6021765e6  # eV/Å^3 in bar


def header(n, ntypes, *counts):
    tilt = f"{BOX[1, 0]} {BOX[2, 0]} {BOX[2, 1]} xy xz yz"
    lines = ["test", "", f"{n} atoms", f"{ntypes} atom types", *counts, ""]
    lines += [f"0 {BOX[0, 0]} xlo xhi", f"0 {BOX[1, 1]} ylo yhi", f"0 {BOX[2, 2]} zlo zhi", tilt, "", "Masses", ""]
    return [*lines, *[f"{k + 1} {10.0 + k}" for k in range(ntypes)], ""]


def virial_of(rows):
    volume = np.linalg.det(BOX)
    return np.array([rows[k][-1] for k in ("Pxx", "Pyy", "Pzz", "Pxy", "Pxz", "Pyz")]) * volume / NKTV2P


def in_order(virial):
    """xx, yy, zz, xy, xz, yz as LAMMPS takes them; with spins the virial alone is not symmetric."""
    return virial[[0, 4, 8, 3, 6, 7]]


#: Atoms and displaced charges of a script with fix dplr.
DPLR_ATOMS = """units metal
atom_style full
atom_modify map yes
read_data data.lmp
bond_style zero
bond_coeff *
special_bonds lj/coul 1 1 1 angle no
"""
THERMO = """
thermo_style custom step pe pxx pyy pzz pxy pxz pyz
thermo_modify norm no format float %.16g
"""


@pytest.fixture(scope="module", params=["length", "scale"])
def spin_model(request, tmp_path_factory):
    spin = {"use_spin": [True, False], "virtual_len": [0.4], "spin_norm": [1.2]}
    if request.param == "scale":
        spin = {"use_spin": [True, False], "virtual_scale": [0.3]}
    path = tmp_path_factory.mktemp("spin") / "spin.pb"
    write_graph_def(random_graph({**SECTION, "spin": spin}), path)
    return path


def spin_data(path):
    """Atoms of atom_style spin; directions and sizes of their spins."""
    rng = np.random.default_rng(1)
    direction, size = rng.normal(size=(len(TYPES), 3)), np.where(TYPES == 0, 1.2, 0.0)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    lines = [*header(len(TYPES), 2), "Atoms # spin", ""]
    for i, t in enumerate(TYPES):
        x, s = COORD[i], direction[i]
        lines.append(
            f"{i + 1} {t + 1} {x[0]:.16g} {x[1]:.16g} {x[2]:.16g} {s[0]:.16g} {s[1]:.16g} {s[2]:.16g} {size[i]}"
        )
    path.write_text("\n".join(lines) + "\n")
    return direction, size


@pytest.mark.parametrize("ranks", [1, 2])
def test_deepspin(spin_model, tmp_path, ranks):
    direction, size = spin_data(tmp_path / "data.lmp")
    finished = run(tmp_path, f"""
units metal
atom_style spin
atom_modify map yes
read_data data.lmp
pair_style deepspin {spin_model} virtual_len 0.4 spin_norm 1.2
pair_coeff * * A B
neighbor 0.7 bin
compute m all property/atom fmx fmy fmz
{THERMO}
dump 1 all custom 1 out.dump id fx fy fz c_m[1] c_m[2] c_m[3]
dump_modify 1 format float %.16g
run 0
""", ranks)  # fmt: skip
    assert finished.returncode == 0, finished.stdout[-2000:] + finished.stderr[-2000:]
    assert "spin_norm is a property of the model" in finished.stdout
    with DeepPot(spin_model) as dp:
        energy, force, virial, magnetic, _ = dp.eval(COORD, BOX, TYPES, spin=direction * size[:, None])
    rows, atoms = thermo(finished), dump(tmp_path / "out.dump")
    np.testing.assert_allclose(rows["PotEng"][-1], energy[0, 0], atol=1e-9)
    np.testing.assert_allclose(np.column_stack([atoms[k] for k in ("fx", "fy", "fz")]), force[0], atol=1e-9)
    found = np.column_stack([atoms[f"c_m[{k}]"] for k in (1, 2, 3)]) * 6.5821191e-04
    np.testing.assert_allclose(found, magnetic[0] * size[:, None], atol=1e-9)
    np.testing.assert_allclose(virial_of(rows), in_order(virial[0]), atol=1e-6)


def test_deviation_of_spin_models(tmp_path):
    """Deviations of forces and of magnetic forces on two processes, against Python."""
    spin = {"use_spin": [True, False], "virtual_len": [0.4], "spin_norm": [1.2]}
    for k in range(2):
        section = {**SECTION, "descriptor": {**DESCRIPTOR, "seed": k}, "fitting_net": {**FITTING, "seed": k}}
        write_graph_def(random_graph({**section, "spin": spin}), tmp_path / f"{k}.pb")
    direction, size = spin_data(tmp_path / "data.lmp")
    finished = run(tmp_path, """
units metal
atom_style spin
read_data data.lmp
pair_style deepspin 0.pb 1.pb out_file devi.out out_freq 1
pair_coeff * * A B
neighbor 0.7 bin
run 0
""", 2)  # fmt: skip
    assert finished.returncode == 0, finished.stdout[-2000:] + finished.stderr[-2000:]
    results = []
    for k in range(2):
        with DeepPot(tmp_path / f"{k}.pb") as dp:
            results.append(dp.eval(COORD, BOX, TYPES, spin=direction * size[:, None]))
    names = (tmp_path / "devi.out").read_text().splitlines()[0].split()[1:]
    row = dict(zip(names, np.loadtxt(tmp_path / "devi.out", ndmin=2)[0]))
    for number, letter in ((1, "fr"), (3, "fm")):
        pair = np.array([r[number][0] for r in results])
        spread = np.sqrt(((pair - pair.mean(0)) ** 2).sum(-1).mean(0))
        spread = spread if letter == "fr" else spread[TYPES == 0]
        assert row[f"max_devi_{letter}"] == pytest.approx(spread.max(), rel=1e-5)
    virial = np.std([r[2][0] for r in results], axis=0) / len(TYPES)
    assert row["max_devi_v"] == pytest.approx(virial.max(), rel=1e-5)


def test_deepmd_refuses_spins(spin_model, tmp_path):
    finished = run(tmp_path, f"""
units metal
region box block 0 5 0 5 0 5
create_box 2 box
pair_style deepmd {spin_model}
""")  # fmt: skip
    assert finished.returncode != 0
    assert "use pair_style deepspin" in finished.stdout + finished.stderr


@pytest.fixture(scope="module")
def dplr(tmp_path_factory):
    """A dipole model and an energy model with its modifier."""
    root = tmp_path_factory.mktemp("dplr")
    fitting = NET | {
        "type": "dipole",
        "neuron": [6],
        "resnet_dt": True,
        "sel_type": [0],
        "numb_fparam": 0,
        "numb_aparam": 0,
    }
    write_graph_def(random_graph({**SECTION, "fitting_net": fitting}), root / "dw.pb")
    modifier = {
        "type": "dipole_charge", "model_name": str(root / "dw.pb"), "model_charge_map": [-4.0], "sys_charge_map": [2.0, 1.0],
        "ewald_h": 1.0, "ewald_beta": 0.4,
    }  # fmt: skip
    write_graph_def(random_graph({**SECTION, "modifier": modifier}), root / "ener.pb")
    return root


def dplr_data(path):
    """Atoms of atom_style full with a displaced charge for every atom of type A, at its position."""
    hosts = np.flatnonzero(TYPES == 0)
    n = len(TYPES)
    lines = [*header(n + len(hosts), 3, f"{len(hosts)} bonds", "1 bond types"), "Atoms # full", ""]
    for i, t in enumerate(TYPES):
        lines.append(f"{i + 1} 1 {t + 1} {(2.0, 1.0)[t]} " + " ".join(f"{c:.16g}" for c in COORD[i]))
    for k, i in enumerate(hosts):
        lines.append(f"{n + k + 1} 1 3 -4.0 " + " ".join(f"{c:.16g}" for c in COORD[i]))
    lines += ["", "Bonds", ""] + [f"{k + 1} 1 {i + 1} {n + k + 1}" for k, i in enumerate(hosts)]
    path.write_text("\n".join(lines) + "\n")
    return hosts


@pytest.mark.parametrize("ranks", [1, 2])
def test_dplr(dplr, tmp_path, ranks):
    """Energy, forces and virial are those of Python with the modifier; also after the atoms have moved."""
    hosts = dplr_data(tmp_path / "data.lmp")
    mesh = [n + n % 2 for n in (int(np.ceil(np.linalg.norm(a))) for a in BOX)]
    finished = run(tmp_path, f"""
units metal
atom_style full
atom_modify map yes
read_data data.lmp
group real type 1 2
bond_style zero
bond_coeff *
special_bonds lj/coul 1 1 1 angle no
pair_style deepmd {dplr}/ener.pb
pair_coeff * * A B NULL
kspace_style pppm/dplr 1e-5
kspace_modify gewald {float(np.float32(0.4)):.17g} mesh {mesh[0]} {mesh[1]} {mesh[2]}
neighbor 0.7 bin
neigh_modify every 1 delay 0 check no
fix 0 all dplr model {dplr}/ener.pb type_associate 1 3 bond_type 1
fix_modify 0 virial yes
fix 1 real nve
timestep 0.0005
{THERMO}
thermo 1
dump 1 all custom 1 out.dump id x y z fx fy fz
dump_modify 1 format float %.16g
run 3
""", ranks)  # fmt: skip
    assert finished.returncode == 0, finished.stdout[-3000:] + finished.stderr[-2000:]
    rows, atoms = thermo(finished), dump(tmp_path / "out.dump")
    n = len(TYPES)
    where = np.column_stack([atoms[k] for k in "xyz"])
    assert abs(where[:n] - COORD).max() > 1e-8
    with DeepPot(dplr / "ener.pb") as dp:
        start = dp.eval(COORD, BOX, TYPES)
        energy, force, _ = dp.eval(where[:n], BOX, TYPES)
    np.testing.assert_allclose(rows["PotEng"][0], start[0][0, 0], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(virial_of({k: v[:1] for k, v in rows.items()}), in_order(start[2][0]), atol=2e-5)
    np.testing.assert_allclose(rows["PotEng"][-1], energy[0, 0], rtol=1e-6, atol=1e-6)
    found = np.column_stack([atoms[k] for k in ("fx", "fy", "fz")])
    np.testing.assert_allclose(found[:n], force[0], atol=1e-5)
    np.testing.assert_allclose(found[n:], 0.0, atol=1e-12)
    with DeepDipole(dplr / "dw.pb") as dipoles:
        mu = dipoles.eval(where[:n], BOX, TYPES)[0][hosts]
    apart = (where[n:] - where[hosts] - mu) @ np.linalg.inv(BOX)
    np.testing.assert_allclose(apart, np.round(apart), atol=1e-6)


def test_dplr_in_a_field(dplr, tmp_path):
    """Forces are slopes of the model's energy and of that of all charges, displaced ones included, in the field."""
    hosts = dplr_data(tmp_path / "data.lmp")
    mesh = [n + n % 2 for n in (int(np.ceil(np.linalg.norm(a))) for a in BOX)]
    field, n = np.array([0.1, -0.2, 0.3]), len(TYPES)
    finished = run(tmp_path, f"""
{DPLR_ATOMS}pair_style deepmd {dplr}/ener.pb
pair_coeff * * A B NULL
kspace_style pppm/dplr 1e-5
kspace_modify gewald {float(np.float32(0.4)):.17g} mesh {mesh[0]} {mesh[1]} {mesh[2]}
variable ez equal 0.3
fix 0 all dplr model {dplr}/ener.pb type_associate 1 3 bond_type 1 efield 0.1 -0.2 v_ez
fix_modify 0 energy yes
{THERMO}
dump 1 all custom 1 out.dump id xu yu zu fx fy fz
dump_modify 1 format float %.16g
run 0
""")  # fmt: skip
    assert finished.returncode == 0, finished.stdout[-3000:] + finished.stderr[-2000:]
    rows, atoms = thermo(finished), dump(tmp_path / "out.dump")
    where = np.column_stack([atoms[k] for k in ("xu", "yu", "zu")])
    charges = np.where(TYPES == 0, 2.0, 1.0)
    with DeepPot(dplr / "ener.pb") as dp, DeepDipole(dplr / "dw.pb") as dipoles:

        def energy(x):
            mu = dipoles.eval(x, BOX, TYPES)[0]
            displaced = (x + mu)[hosts]
            return dp.eval(x, BOX, TYPES)[0][0, 0] - (charges @ x + -4.0 * displaced.sum(0)) @ field

        assert rows["PotEng"][0] == pytest.approx(energy(where[:n]), abs=1e-5)
        for atom, axis in ((0, 0), (1, 2), (3, 1), (4, 0)):
            step = np.zeros((n, 3))
            step[atom, axis] = 1e-4
            slope = (energy(where[:n] + step) - energy(where[:n] - step)) / 2e-4
            assert atoms["f" + "xyz"[axis]][atom] == pytest.approx(-slope, abs=2e-5)


def test_field_without_k_space(dplr, tmp_path):
    """Energy and pressure of a script without kspace_style, as release 3.2.0 gives them for this model."""
    dplr_data(tmp_path / "data.lmp")
    finished = run(tmp_path, f"""
{DPLR_ATOMS}pair_style deepmd {dplr}/ener.pb
pair_coeff * *
fix 0 all dplr model {dplr}/ener.pb type_associate 1 3 bond_type 1 efield 0.1 -0.2 0.3
fix_modify 0 energy yes virial yes
{THERMO}
run 0
group real type 1 2
velocity real create 300 5
fix 1 real nve
neigh_modify every 1 delay 0 check no
timestep 0.00001
thermo 1
thermo_style custom step temp
thermo_modify format float %.12g
run 1
run 0
""")  # fmt: skip
    assert finished.returncode == 0, finished.stdout[-3000:] + finished.stderr[-2000:]
    assert "only the field acts on them" in finished.stdout
    rows = thermo(finished)
    # A displaced charge has the velocity of its atom after a step; the first row takes it as it stands.
    temperature = [float(t) for t in re.findall(r"^ +[01] +(\S+) *$", finished.stdout, re.M)]
    atoms, charges = len(TYPES), np.sum(TYPES == 0)
    assert len(temperature) == 3
    assert temperature[0] == pytest.approx(300 * (atoms - 1) / (atoms + charges - 1))
    assert temperature[1] > 1.05 * temperature[0] and temperature[2] == temperature[1]
    assert rows["PotEng"][0] == pytest.approx(0.3267985485302649, abs=1e-9)
    pressure = [rows[k][0] for k in ("Pxx", "Pyy", "Pzz", "Pxy", "Pxz", "Pyz")]
    public = [
        -651.5831004985729, -1679.969470050994, 39549.20533542182, 842.1874623371829, 13360.97995555614, -26766.31622726382,
    ]  # fmt: skip
    np.testing.assert_allclose(pressure, public, rtol=1e-8)


def test_deeptensor(dplr, tmp_path):
    dplr_data(tmp_path / "data.lmp")
    finished = run(tmp_path, f"""
units metal
atom_style full
read_data data.lmp
bond_style zero
bond_coeff *
special_bonds lj/coul 1 1 1 angle no
pair_style zero 3.5
pair_coeff * *
compute t all deeptensor/atom {dplr}/dw.pb
dump 1 all custom 1 out.dump id c_t[1] c_t[2] c_t[3]
dump_modify 1 format float %.16g
run 0
""")  # fmt: skip
    assert finished.returncode == 0, finished.stdout[-3000:]
    atoms = dump(tmp_path / "out.dump")
    found = np.column_stack([atoms[f"c_t[{k}]"] for k in (1, 2, 3)])
    with DeepDipole(dplr / "dw.pb") as dipoles:
        expected = dipoles.eval(COORD, BOX, TYPES)[0]
    np.testing.assert_allclose(found[: len(TYPES)], expected, atol=1e-9)
    assert np.all(found[len(TYPES) :] == 0)
