"""Masked environment (DescrptSeAMask, ProdForceSeAMask): NumPy, finite differences, adjoints."""

import numpy as np
import pytest

from dptf.ops import op_module, tf
from tests.op import env_reference as ref

CASES = {
    "some padding": ([0, 1, 0, 1, 1, 0, 2], [1, 1, 1, 0, 1, 0, 1]),
    "no padding": ([0, 1, 0, 1, 1, 0, 2], [1] * 7),
    "only padding": ([0, 0, 1], [0, 0, 0]),
    "one real atom": ([0, 1, 1], [0, 1, 0]),
    "one atom": ([0], [1]),
    "no atoms": ([], []),
}


def frames(name, nf=2):
    types, mask = (np.array(x, np.int32) for x in CASES[name])
    coord = np.random.default_rng(1).uniform(-20, 20, size=(nf, len(types), 3))
    masks = np.stack([mask, mask[::-1]][:nf])
    return coord, np.tile(types, (nf, 1)), masks


def run(coord, types, mask, dtype=np.float64):
    nf, n = types.shape
    natoms = np.array([n, n, *[(types[0] == t).sum() for t in range(3)]], np.int32)
    with tf.Graph().as_default(), tf.Session() as session:
        op = op_module.descrpt_se_a_mask(
            coord.reshape(nf, -1).astype(dtype), types, mask, np.zeros((nf, 9), dtype), natoms, np.zeros(0, np.int32)
        )
        em, deriv, rij, nlist = session.run(list(op))
    shape = (nf, n, n)
    return em.reshape(*shape, 4), deriv.reshape(*shape, 4, 3), rij.reshape(*shape, 3), nlist.reshape(shape)


def reference(coord, types, mask):
    nf, n = types.shape
    em, deriv, rij = (np.zeros((nf, n, n, *tail)) for tail in ((4,), (4, 3), (3,)))
    nlist = np.full((nf, n, n), -1)
    for f, i in np.ndindex(nf, n):
        if not mask[f, i]:
            continue
        d = coord[f] - coord[f, i]
        key = np.where((mask[f] == 0) | (np.arange(n) == i), 1e4, np.linalg.norm(d, axis=1))
        for k, j in enumerate(sorted(range(n), key=lambda j: (types[f, j], key[j], j))):
            nlist[f, i, k] = j
            if key[j] < 1e4:
                rij[f, i, k] = d[j]
                em[f, i, k], deriv[f, i, k] = ref.row_and_derivative(d[j], 1e9, 2e9, 1e9, 4)
    return em, deriv, rij, nlist


@pytest.mark.parametrize("name", CASES)
def test_against_numpy(name):
    coord, types, mask = frames(name)
    for a, b in zip(run(coord, types, mask), reference(coord, types, mask)):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-13)
    for a, b in zip(run(coord, types, mask, np.float32), reference(coord, types, mask)):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def force_nodes(g, deriv, mask, nlist, dtype=np.float64):
    nf, n = mask.shape
    g = tf.constant(g.reshape(nf, -1).astype(dtype))
    rest = (deriv.reshape(nf, -1).astype(dtype), mask, nlist.reshape(nf, -1).astype(np.int32))
    return g, op_module.prod_force_se_a_mask(g, *rest, total_atom_num=n)


@pytest.mark.parametrize("name", ["some padding", "no padding", "only padding", "one atom"])
def test_force(name):
    coord, types, mask = frames(name)
    em, deriv, _, nlist = reference(coord, types, mask)
    rng = np.random.default_rng(2)
    g, z = rng.normal(size=em.shape), rng.normal(size=coord.shape)
    expected = np.zeros_like(coord)
    for f, i, k in np.ndindex(*nlist.shape):
        t = g[f, i, k] @ deriv[f, i, k]
        expected[f, i] -= t
        if nlist[f, i, k] >= 0:
            expected[f, nlist[f, i, k]] += t
    for dtype, tolerance in ((np.float64, 1e-13), (np.float32, 1e-5)):
        with tf.Graph().as_default(), tf.Session() as session:
            node, force = force_nodes(g, deriv, mask, nlist, dtype)
            adjoint = tf.gradients(force, node, tf.constant(z.reshape(2, -1).astype(dtype)))[0]
            force, adjoint = session.run([force, adjoint])
        np.testing.assert_allclose(force.reshape(coord.shape), expected, rtol=0, atol=tolerance)
        assert np.vdot(force, z) == pytest.approx(np.vdot(adjoint, g), rel=10 * tolerance, abs=10 * tolerance)
    h = 1e-5  # and the force is the slope of g . rows
    for f, i, x in ((0, 0, 0), (1, len(types[0]) - 1, 2)):
        moved = [coord.copy(), coord.copy()]
        moved[0][f, i, x] += h
        moved[1][f, i, x] -= h
        slope = sum(s * (reference(c, types, mask)[0] * g).sum() for s, c in zip((1, -1), moved)) / (2 * h)
        assert expected[f, i, x] == pytest.approx(-slope, abs=1e-8)


def test_errors():
    coord, types, mask = frames("no padding")
    with pytest.raises(tf.errors.InvalidArgumentError, match="shapes do not fit"):
        run(coord[:, 1:], types, mask)
    em, deriv, _, nlist = reference(coord, types, mask)
    with tf.Graph().as_default(), tf.Session() as session:
        with pytest.raises(tf.errors.InvalidArgumentError, match="names atom 10 of 7"):
            session.run(force_nodes(em, deriv, mask, np.where(nlist == 3, 10, nlist))[1])
        with pytest.raises(tf.errors.InvalidArgumentError, match="shapes do not fit"):
            session.run(force_nodes(em, deriv[..., 0], mask, nlist)[1])
