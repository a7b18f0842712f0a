"""`ttm` of pair_style deepmd against the temperatures that fix ttm writes, and Python's evaluation with them."""

import shutil

import numpy as np
import pytest

from dptf.infer.deep_pot import DeepPot
from tests.dptf import dpa3_cases, model_cases
from tests.lmp.lammps_run import LIB, run, thermo, write_data

pytestmark = pytest.mark.skipif(not (LIB / "libdeepmd_lmpplugin.so").exists(), reason="the LAMMPS plugin was not built")

BOX = np.array([7.4, 7.9, 8.3])
GRID = (4, 3, 2)  # different in every direction, so that an exchange of axes shows
SCRIPT = """
units metal
atom_style atomic
atom_modify map yes
read_data data.lmp
group warm id <= 15
fix electrons warm {fix}
pair_style deepmd {style}
pair_coeff * *
neighbor 0.5 bin
velocity all create 300 1 loop all
fix 1 all nve
timestep 0.0005
thermo_style custom step pe
thermo_modify norm no format float %.16g
thermo 1
dump 1 all custom 1 out.dump id x y z
dump_modify 1 format float %.16g sort id
run 3
"""
MOD = "ttm/mod 5 parameters.txt 4 3 2 infile start.txt outfile 1 electrons.txt"
MOD_PARAMETERS = dict(
    a_0=0.0, a_1=0.0, a_2=0.0, a_3=0.0, a_4=0.0, C_0=1.0, A=0.0, rho_e=1.0, D_e=0.2, gamma_p=0.5, gamma_s=0.0, v_0=0.0, I_0=0.0,
    lsurface=0, rsurface=4, l_skin=1, tau=0.1, B=0.0, lam=0.1, n_ion=0.01, surface_movement=0, T_e_min=0.01,
)  # fmt: skip
TTM = "ttm 5 1.0 1.0 0.2 0.5 0.0 0.0 4 3 2 infile start.txt outfile 1 electrons.txt"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Models with no, one and two atom parameters, with one frame parameter, and with both."""
    folder, out = tmp_path_factory.mktemp("models"), {}
    for nf, na in ((0, 1), (1, 0), (0, 0), (0, 2), (1, 1)):
        fitting = model_cases.FITTING | {"numb_fparam": nf, "numb_aparam": na}
        model = {"type_map": ["A", "B"], "descriptor": model_cases.SE_A, "fitting_net": fitting}
        out[nf, na] = folder / f"{nf}{na}.pb"
        dpa3_cases.write_graph_def(
            dpa3_cases.frozen_graph({"model": model}, dpa3_cases.random_values(model)), out[nf, na]
        )
    return out


@pytest.fixture
def folder(tmp_path):
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3)[:20] * 2.4
    rng = np.random.default_rng(1)
    coord = grid + rng.normal(scale=0.1, size=grid.shape) + 0.5
    coord[:3] -= 1.0  # some start outside the cell
    write_data(tmp_path / "data.lmp", coord, np.arange(20) % 2, np.diag(BOX), 2)
    cells = np.stack(np.meshgrid(*map(np.arange, GRID), indexing="ij"), -1).reshape(-1, 3)
    hot = rng.uniform(0.2, 1.5, (len(cells), 1))
    rows = np.concatenate([cells, hot], 1)
    (tmp_path / "start.txt").write_text(
        "\n".join(f"{x + 1:.0f} {y + 1:.0f} {z + 1:.0f} {t:.16g}" for x, y, z, t in rows) + "\n"
    )
    (tmp_path / "parameters.txt").write_text("".join(f"{k}\n{v}\n" for k, v in MOD_PARAMETERS.items()))
    return tmp_path


def temperatures(path):
    """[x, y, z] from a file of fix ttm, which counts cells from one."""
    rows = np.loadtxt(path)
    out = np.zeros(GRID)
    out[tuple(rows[:, :3].astype(int).T - 1)] = rows[:, 3]
    return out


def frames(folder):
    blocks = (folder / "out.dump").read_text().split("ITEM: ATOMS id x y z\n")[1:]
    return [np.array([[float(x) for x in row.split()[1:4]] for row in b.split("ITEM")[0].splitlines()]) for b in blocks]


@pytest.mark.parametrize(
    "dims, ranks, fix",
    [((0, 1), 1, TTM), ((0, 1), 2, TTM), ((1, 1), 1, TTM), ((1, 0), 2, TTM), ((0, 1), 1, MOD), ((1, 0), 1, MOD)],
)
def test_electron_temperatures(folder, models, dims, ranks, fix):
    shutil.copy(models[dims], folder / "model.pb")
    style = "model.pb ttm electrons" + (" fparam 0.3" if dims == (1, 1) else "")
    process = run(folder, SCRIPT.format(fix=fix, style=style), ranks)
    assert process.returncode == 0, process.stdout[-2000:] + process.stderr[-2000:]
    energies, model = thermo(process)["PotEng"], DeepPot(models[dims])
    start = temperatures(folder / "start.txt")
    seen = [start, start, temperatures(folder / "electrons.txt.1"), temperatures(folder / "electrons.txt.2")]
    assert not np.allclose(seen[1], seen[2])
    for energy, coord, cells in zip(energies, frames(folder), seen):
        given = {}
        if dims[0]:
            given["fparam"] = np.array([[cells[cells > 0].mean() if dims == (1, 0) else 0.3]])
        if dims[1]:
            place = np.floor(np.mod(coord / BOX, 1) * GRID).astype(int)
            given["aparam"] = np.where(np.arange(20) < 15, cells[tuple(place.T)], 0)[None, :, None]
        expected = model.eval(coord.reshape(1, -1), np.diag(BOX).reshape(1, 9), np.arange(20) % 2, **given)[0]
        np.testing.assert_allclose(energy, expected[0, 0], rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    "dims, style, fix, words",
    [
        ((0, 1), "ttm absent", TTM, "there is no fix absent"),
        ((0, 1), "ttm 1", TTM, "has the style nve"),
        ((0, 1), "ttm electrons", TTM.replace("ttm 5", "ttm/grid 5").partition("outfile")[0], "has the style ttm/grid"),
        ((0, 1), "ttm electrons aparam 1.0", TTM, "exclude each other"),
        ((0, 0), "ttm electrons", TTM, "neither atom nor frame parameters"),
        ((0, 2), "ttm electrons", TTM, "one electron temperature"),
    ],
)
def test_mistakes(folder, models, dims, style, fix, words):
    shutil.copy(models[dims], folder / "model.pb")
    process = run(folder, SCRIPT.format(fix=fix, style=f"model.pb {style}"))
    output = process.stdout + process.stderr
    assert process.returncode != 0 and words in output, output[-1500:]
