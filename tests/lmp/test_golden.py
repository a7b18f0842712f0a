"""Every energy graph of the public TensorFlow backend gives the public numbers in LAMMPS, on one rank and on two."""

import numpy as np
import pytest

from tests.dptf.infer.test_golden_pb import COMPRESSED, PLAIN
from tests.lmp.lammps_run import LIB, dump, restricted, run, write_data

pytestmark = pytest.mark.skipif(not (LIB / "libdeepmd_lmpplugin.so").exists(), reason="the LAMMPS plugin was not built")
# Tensors have no forces in an engine; the parameters of atoms are one for all there, in the reference one each.
NAMES = [n for n in PLAIN + COMPRESSED if n.split(".")[0] not in ("dipole", "polar", "dos", "se_e2_a_fparam_aparam")]
SETUP = """
units metal
atom_style atomic
atom_modify map yes
boundary p p p
read_data data.lmp
neighbor 0.5 bin
"""
MODEL = """
pair_style deepmd {file}
pair_coeff * *
run 0
variable e equal pe
print "{name} $(v_e:%.16g)" append energies.txt
write_dump all custom {name}.dump id fx fy fz modify sort id format float %.16g
"""


@pytest.fixture(scope="module", params=[1, 2], ids=["1 rank", "2 ranks"])
def results(request, golden, tmp_path_factory):
    """Energies and forces of all models, in one run of LAMMPS."""
    folder = tmp_path_factory.mktemp("golden")
    data = dict(np.load(golden / "pb" / "se_e2_a.npz"))
    box, turn = restricted(data["box"][0])
    types = data["atype"].reshape(-1)[: data["coord"][0].size // 3]
    write_data(folder / "data.lmp", data["coord"][0].reshape(-1, 3) @ turn, types, box, 2)
    text = SETUP + "".join(MODEL.format(file=golden / "pb" / f"{name}.pb", name=name) for name in NAMES)
    process = run(folder, text, request.param)
    assert process.returncode == 0, process.stdout[-2000:] + process.stderr[-2000:]
    energies = dict(line.split() for line in (folder / "energies.txt").read_text().splitlines())
    out = {}
    for name in NAMES:
        atoms = dump(folder / f"{name}.dump")
        out[name] = float(energies[name]), np.stack([atoms[k] for k in ("fx", "fy", "fz")], 1) @ turn.T
    return out


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_golden(golden, results, name):
    data = dict(np.load(golden / "pb" / f"{name}.npz"))
    assert np.array_equal(data["coord"], np.load(golden / "pb" / "se_e2_a.npz")["coord"])
    tolerance = 1e-5 if "fp32" in name else 1e-9  # positions reach LAMMPS as text
    energy, force = results[name]
    expected = data["pbc_force"][0].reshape(-1, 3)
    assert energy == pytest.approx(data["pbc_energy"].ravel()[0], rel=tolerance, abs=tolerance)
    np.testing.assert_allclose(force, expected, rtol=0, atol=tolerance * max(1, np.abs(expected).max()))
