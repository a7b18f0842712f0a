"""Environment rows in an electric field: DescrptSeAEf, DescrptSeAEfPara, DescrptSeAEfVert."""

import numpy as np
import pytest

from dptf.ops import op_module, tf
from tests.op import env_reference as ref
from tests.op.test_prod_env_mat import mesh_by_value

RCUT, RCUT_SMTH = 3.3, 0.7
CASES = ref.geometries()
KINDS = {"": "ef", "_para": "para", "_vert": "vert"}


def row(kind, d, f, rs, rc):
    """Row of the (complex) vector d in the field f."""
    r = np.sqrt((d * d).sum())
    w, p = ref.switch(r, rs, rc, rc - rs), (d * f).sum()
    along = p * f
    if kind == "":
        return w * np.array([p, *(d - along)]) / r**2
    return w * np.array([1 / r, *(along if kind == "_para" else d - along) / r**2])


def run(kind, coord, types, box, sel, field, stats, mesh=None, natoms=None, dtype=np.float64):
    n = len(coord) if natoms is None else natoms[0]
    natoms = [n, n, int((types == 0).sum()), int((types == 1).sum())] if natoms is None else natoms
    mesh = np.zeros(0 if box is None else 6, np.int32) if mesh is None else mesh
    cell = np.eye(3) if box is None else box
    floats = [x.astype(dtype) for x in (coord.reshape(1, -1), cell.reshape(1, 9), field.reshape(1, -1), *stats)]
    with tf.Graph().as_default(), tf.Session() as session:
        op = getattr(op_module, f"descrpt_se_a_ef{kind}")(
            floats[0], types.reshape(1, -1).astype(np.int32), np.array(natoms, np.int32), floats[1], mesh, *floats[2:],
            rcut_a=-1, rcut_r=RCUT, rcut_r_smth=RCUT_SMTH, sel_a=sel, sel_r=[0] * len(sel),
        )  # fmt: skip
        em, deriv, rij, nlist = session.run(list(op))
    return em.reshape(n, -1, 4), deriv.reshape(n, -1, 4, 3), rij.reshape(n, -1, 3), nlist.reshape(n, -1)


def fields(n, seed=4):
    """Directions, and vectors that are not of unit length: the op takes them as they are."""
    return np.random.default_rng(seed).normal(size=(n, 3))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name", ["liquid", "triclinic", "open", "sel overflows", "virtual atoms", "far outside the cell", "no neighbors"]
)
def test_against_numpy(name, kind):
    coord, types, box, sel = CASES[name]
    davg, dstd = ref.statistics(2, sel, 4)
    field = fields(len(coord))
    em, deriv, rij, nlist = run(kind, coord, types, box, sel, field, (davg, dstd))
    env = ref.environment(coord, types, box, sel, davg, dstd, RCUT, RCUT_SMTH)
    np.testing.assert_array_equal(nlist, env["nlist"])
    np.testing.assert_allclose(rij, env["rij"], atol=1e-12)
    rs, rc = float(np.float32(RCUT_SMTH)), float(np.float32(RCUT))
    expected, slopes = np.zeros_like(em), np.zeros_like(deriv)
    for i in np.flatnonzero(types >= 0):
        avg, std = davg[types[i]].reshape(-1, 4), dstd[types[i]].reshape(-1, 4)
        expected[i] = -avg / std
        for k in np.flatnonzero(nlist[i] >= 0):
            expected[i, k] += row(kind, rij[i, k] + 0j, field[i], rs, rc).real / std[k]
            for x in range(3):
                step = rij[i, k] + 0j
                step[x] -= 1j * ref.EPS  # the center moves
                slopes[i, k, :, x] = row(kind, step, field[i], rs, rc).imag / ref.EPS / std[k]
    np.testing.assert_allclose(em, expected, rtol=0, atol=2e-7)  # (rc - rs) is formed in float32
    np.testing.assert_allclose(deriv, slopes, rtol=0, atol=2e-6)
    if name == "far outside the cell":  # float32 positions do not resolve that
        return
    low = run(kind, coord, types, box, sel, field, (davg, dstd), dtype=np.float32)[0]
    np.testing.assert_allclose(low, expected, rtol=0, atol=2e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_lists(kind):
    """The caller's list by value, and ghosts in coord without a list (mesh of length 12)."""
    coord, types, box, sel = CASES["liquid"]
    field, stats = fields(24), ref.statistics(2, sel, 4, per_slot=False)
    own = run(kind, coord, types, box, sel, field, stats)
    inside = coord - np.floor(coord @ np.linalg.inv(box)) @ box
    ext, ext_types, owner = ref.images(inside, types, box, RCUT)
    near = [np.flatnonzero((np.linalg.norm(ext - ext[i], axis=1) < 4) & (np.arange(len(ext)) != i)) for i in range(24)]
    for mesh in (mesh_by_value(np.arange(24), near), np.zeros(12, np.int32)):
        other = run(kind, ext, ext_types, box, sel, field, stats, mesh, [24, len(ext), 12, 12])
        for a, b in zip(other[:3], own[:3]):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-11)
        np.testing.assert_array_equal(np.where(other[3] >= 0, owner[other[3]], -1), own[3])


def test_errors():
    coord, types, box, sel = CASES["liquid"]
    stats = ref.statistics(2, sel, 4)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"ef must be \[1, 72\]"):
        run("", coord, types, box, sel, fields(23), stats)
    with pytest.raises(tf.errors.InvalidArgumentError, match="mixed types"):
        run("", coord, types, box, sel, fields(24), stats, mesh=np.zeros(7, np.int32))
