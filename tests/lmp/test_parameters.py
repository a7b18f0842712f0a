"""Parameters in LAMMPS: fragments of pairwise_dprc models on 1 and 2 processes, and default frame parameters."""

import copy
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "dptf"))
from model_cases import FITTING, SE_A, random_graph
from test_pairwise_dprc import IDS, MODEL, TYPES, frames

from dptf.graph.load import write_graph_def
from dptf.infer import DeepPot
from tests.lmp.lammps_run import LIB, dump, run, thermo

pytestmark = pytest.mark.skipif(not (LIB / "libdeepmd_lmpplugin.so").exists(), reason="the LAMMPS plugin was not built")


def complete(part):
    """A member's section with what an input file leaves to defaults."""
    base = {k: v for k, v in SE_A.items() if k not in ("type", "sel", "neuron", "rcut", "rcut_smth")}
    part = copy.deepcopy(part)
    for section in part["descriptor"].get("list", [part["descriptor"]]):
        section.update({**base, "rcut_smth": 0.5, "attn": 4, "attn_dotr": True, **section})
        section["sel"] = 12 if section["sel"] == "auto" else section["sel"]
    part["fitting_net"] = {**FITTING, **part["fitting_net"]}
    return {"type": "standard", **part}


@pytest.fixture(scope="module")
def fragments(tmp_path_factory):
    path = tmp_path_factory.mktemp("dprc") / "m.pb"
    section = {**MODEL, "qm_model": complete(MODEL["qm_model"]), "qmmm_model": complete(MODEL["qmmm_model"])}
    write_graph_def(random_graph(section), path)
    return path


def write_molecules(path, coord):
    lines = ["fragments", "", "9 atoms", "4 atom types", "", "-12 12 xlo xhi", "-12 12 ylo yhi", "-12 12 zlo zhi", ""]
    lines += ["Masses", "", *[f"{k + 1} {m}" for k, m in enumerate((12, 1, 16, 1))], "", "Atoms # full", ""]
    rows = zip(IDS, TYPES, coord)
    lines += [f"{i + 1} {m} {t + 1} 0 {x[0]:.16g} {x[1]:.16g} {x[2]:.16g}" for i, (m, t, x) in enumerate(rows)]
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("ranks", [1, 2])
def test_fragments(fragments, tmp_path, ranks):
    """The molecule of an atom numbers its fragment; ghosts of other processes have theirs too."""
    coord = frames(1, 9)[0]
    write_molecules(tmp_path / "data.lmp", coord)
    finished = run(tmp_path, f"""
units metal
atom_style full
boundary f f f
read_data data.lmp
compute mol all property/atom mol
pair_style deepmd {fragments} aparam_from_compute mol
pair_coeff * * C H OW HW
thermo_style custom step pe
thermo_modify format float %.16g
dump 1 all custom 1 out.dump id fx fy fz
dump_modify 1 format float %.16g
run 0
""", ranks)  # fmt: skip
    assert finished.returncode == 0, finished.stdout[-2000:] + finished.stderr[-2000:]
    atoms = dump(tmp_path / "out.dump")
    with DeepPot(fragments) as dp:
        energy, force, _ = dp.eval(coord[None], None, TYPES, aparam=IDS)
    assert thermo(finished)["PotEng"][-1] == pytest.approx(energy[0, 0], abs=1e-9)
    np.testing.assert_allclose(np.column_stack([atoms[k] for k in ("fx", "fy", "fz")]), force[0], atol=1e-9)


def test_default_frame_parameter(tmp_path):
    """Nothing needs to be given; what is given counts."""
    fitting = {**FITTING, "numb_fparam": 1, "default_fparam": [0.7]}
    section = {"type": "standard", "type_map": ["A", "B"], "descriptor": SE_A, "fitting_net": fitting}
    write_graph_def(random_graph(section), tmp_path / "m.pb")
    coord = np.array([[1.0, 1.0, 1.0], [2.2, 1.1, 0.9], [1.1, 2.3, 1.4]])
    found = []
    for words in ("", "fparam 0.7", "fparam 0.2"):
        lines = [
            "three",
            "",
            "3 atoms",
            "2 atom types",
            "",
            "0 9 xlo xhi",
            "0 9 ylo yhi",
            "0 9 zlo zhi",
            "",
            "Masses",
            "",
        ]
        lines += ["1 1.0", "2 1.0", "", "Atoms # atomic", ""]
        lines += [f"{i + 1} {1 + (i > 0)} {x[0]} {x[1]} {x[2]}" for i, x in enumerate(coord)]
        (tmp_path / "data.lmp").write_text("\n".join(lines) + "\n")
        finished = run(tmp_path, f"""
units metal
read_data data.lmp
pair_style deepmd m.pb {words}
pair_coeff * * A B
thermo_modify format float %.16g
run 0
""")  # fmt: skip
        assert finished.returncode == 0, finished.stdout[-2000:] + finished.stderr[-2000:]
        found.append(thermo(finished)["E_pair"][-1])
    with DeepPot(tmp_path / "m.pb") as dp:
        expected = [dp.eval(coord[None], np.eye(3) * 9, [0, 1, 1], fparam=f)[0].item() for f in (None, 0.7, 0.2)]
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert found[0] == found[1] != found[2]
