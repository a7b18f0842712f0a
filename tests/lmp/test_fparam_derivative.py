"""compute deepmd/fparam/dedn against derivatives in Python."""

import shutil

import numpy as np
import pytest

from dptf.infer.deep_pot import DeepPot
from tests.dptf import dpa3_cases, model_cases
from tests.lmp.lammps_run import LIB, run, thermo, write_data

pytestmark = pytest.mark.skipif(not (LIB / "libdeepmd_lmpplugin.so").exists(), reason="the LAMMPS plugin was not built")

SCRIPT = """
units {units}
atom_style atomic
atom_modify map yes
read_data data.lmp
{before}
pair_style deepmd {style}
pair_coeff * *
variable n equal {n}
compute fp all reduce ave v_one v_n_atom
compute dedn all deepmd/fparam/dedn {source}
neighbor 0.5 bin
fix 1 all nve
timestep {step}
thermo_style custom step pe c_dedn v_n
thermo_modify norm no format float %.16g
thermo 1
dump 1 all custom 3 out.dump id x y z
dump_modify 1 format float %.16g
run 3
"""
N = 0.37
KCAL = 23.060549  # kcal/mol in one eV, as LAMMPS has it


def script(style=f"model.pb fparam {N}", source="v_n", units="metal", n=N, before=""):
    before += f"\nvariable one atom 1\nvariable n_atom atom {n}"
    return SCRIPT.format(
        style=style, source=source, units=units, n=n, before=before, step=0.5 if units == "real" else 5e-4
    )


def write_model(path, nfparam):
    model = {
        "type_map": ["A", "B"], "descriptor": model_cases.SE_A,
        "fitting_net": model_cases.FITTING | {"numb_fparam": nfparam},
    }  # fmt: skip
    graph = dpa3_cases.frozen_graph({"model": model}, dpa3_cases.random_values(model))
    dpa3_cases.write_graph_def(graph, path)
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {n: write_model(folder / f"{n}.pb", n) for n in (1, 2)}


@pytest.fixture
def folder(tmp_path, models):
    shutil.copy(models[1], tmp_path / "model.pb")
    shutil.copy(models[2], tmp_path / "two.pb")
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3)[:20] * 2.4
    coord = grid + np.random.default_rng(1).normal(scale=0.1, size=grid.shape) + 0.5
    write_data(tmp_path / "data.lmp", coord, np.arange(20) % 2, np.eye(3) * 7.4, 2)
    return tmp_path


def positions(folder, step):
    body = (folder / "out.dump").read_text().split("ITEM: TIMESTEP\n")[1 + step // 3].split("ITEM: ATOMS id x y z\n")[1]
    rows = np.array([[float(x) for x in row.split()] for row in body.splitlines()])
    return rows[np.argsort(rows[:, 0]), 1:]


@pytest.mark.parametrize(
    "source, units, ranks",
    [
        ("v_n", "metal", 1),
        ("v_n 1e-4", "real", 2),
        ("c_fp[2]", "metal", 2),
        ("f_ave[2]", "metal", 1),
        ("c_one", "metal", 1),
    ],
)
def test_derivative(folder, source, units, ranks):
    before = ""
    if source.startswith("f_"):
        before = f"variable a equal {N}\nvariable b equal 1\nfix ave all ave/time 1 1 1 v_b v_a\n"
    if source == "c_one":
        before = f"variable c atom {N}\ncompute one all reduce ave v_c\n"
    process = run(folder, script(source=source, units=units, before=before), ranks)
    table = thermo(process)
    model = DeepPot(str(folder / "model.pb"))
    assert len(table["c_dedn"]) == 4
    for step in (0, 3):
        if source.startswith("f_") and step == 0:
            continue  # the average is there after the first step
        coord, h = positions(folder, step).reshape(1, -1), 1e-4

        def energy(n, coord=coord):
            return model.eval(coord, np.eye(3).reshape(1, 9) * 7.4, np.arange(20) % 2, fparam=[n])[0][0, 0]

        unit = KCAL if units == "real" else 1
        # The parameter of the run itself is not touched.
        np.testing.assert_allclose(table["PotEng"][step], energy(N) * unit, rtol=1e-7)
        expected = (energy(N + h) - energy(N - h)) / (2 * h)
        assert abs(expected) > 1e-2
        np.testing.assert_allclose(table["c_dedn"][step], expected * unit, rtol=1e-6)


def test_in_a_hybrid(folder):
    alone = thermo(run(folder, script()))["c_dedn"]
    text = script(style=f"hybrid/overlay deepmd model.pb fparam {N} zero 3.0").replace(
        "pair_style deepmd hybrid", "pair_style hybrid"
    )
    text = text.replace("pair_coeff * *", "pair_coeff * * deepmd A B\npair_coeff * * zero")
    np.testing.assert_allclose(thermo(run(folder, text))["c_dedn"], alone, rtol=1e-12)


def test_the_run_is_not_changed(folder):
    with_it = thermo(run(folder, script()))["PotEng"]
    without = script().replace("c_dedn ", "")
    np.testing.assert_array_equal(thermo(run(folder, without))["PotEng"], with_it)


@pytest.mark.parametrize(
    "given, words",
    [
        ({"source": "0.5"}, "0.5 is not a source"),
        ({"source": "v_n[1]"}, "v_n[1] is not a source"),
        ({"source": "c_fp[x]"}, "c_fp[x] is not a source"),
        ({"source": "v_absent"}, "there is no variable absent"),
        ({"source": "v_one"}, "not of style equal"),
        ({"source": "c_fp"}, "fp has no scalar"),
        ({"source": "c_fp[3]"}, "fp has no entry 3"),
        ({"source": "v_n -1"}, "has to be positive"),
        ({"style": "two.pb fparam 1 2"}, "has 2 frame parameters"),
        ({"style": "model.pb model.pb fparam 1"}, "has 2 models"),
    ],
)
def test_mistakes_are_named(folder, given, words):
    process = run(folder, script(**given))
    output = process.stdout + process.stderr
    assert process.returncode != 0 and words in output, output[-1500:]
