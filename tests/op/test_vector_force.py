"""Forces and virials of derivatives in the vectors from center to neighbor: NumPy, and adjoints."""

import numpy as np
import pytest

from dptf.ops import op_module, tf

NF, NLOC, NALL, NNEI = 2, 20, 23, 6


@pytest.fixture
def case():
    rng = np.random.default_rng(4)
    nlist = rng.integers(-1, NALL, (NF, NLOC * NNEI)).astype(np.int32)
    g, rij = rng.normal(size=(2, NF, NLOC * NNEI * 3))
    g = np.where(np.repeat(nlist, 3, axis=1) < 0, 0.0, g)  # empty slots have no derivative
    return g, rij, nlist, np.array([NLOC, NALL, NLOC], np.int32)


def run(*tensors):
    with tf.Session() as session:
        return session.run(list(tensors))


def test_sums(case):
    g, rij, nlist, natoms = case
    with tf.Graph().as_default():
        force, virial, atomic = run(op_module.dptf_vector_force(g, nlist, natoms), *op_module.dptf_vector_virial(*case))
    want, want_atomic = np.zeros((NF, NALL, 3)), np.zeros((NF, NALL, 9))
    for f in range(NF):
        for k, j in enumerate(nlist[f]):
            if j >= 0:
                x, d = g[f, 3 * k : 3 * k + 3], rij[f, 3 * k : 3 * k + 3]
                want[f, k // NNEI] += x
                want[f, j] -= x
                want_atomic[f, j] -= np.outer(x, d).ravel()
    np.testing.assert_allclose(force, want.reshape(NF, -1), atol=1e-12)
    np.testing.assert_allclose(atomic, want_atomic.reshape(NF, -1), atol=1e-12)
    np.testing.assert_allclose(virial, want_atomic.sum(1), atol=1e-12)


def test_adjoints(case):
    """<grad, op(x)> = <adjoint(grad), x> for these linear ops."""
    g, rij, nlist, natoms = case
    rng = np.random.default_rng(5)
    with tf.Graph().as_default():
        x = tf.constant(g)
        force = op_module.dptf_vector_force(x, nlist, natoms)
        virial, atomic = op_module.dptf_vector_virial(x, rij, nlist, natoms)
        total = sum(tf.reduce_sum(t * rng.normal(size=s)) for t, s in (
            (force, (NF, NALL * 3)), (virial, (NF, 9)), (atomic, (NF, NALL * 9)),
        ))  # fmt: skip
        value, grad = run(total, tf.gradients(total, x)[0])
    filled = np.repeat(nlist, 3, axis=1) >= 0
    np.testing.assert_allclose(value, (np.where(filled, grad, 0) * g).sum(), rtol=1e-12)


def test_shapes_are_checked(case):
    g, _, nlist, natoms = case
    with tf.Graph().as_default(), pytest.raises(tf.errors.InvalidArgumentError, match="shapes do not fit"):
        run(op_module.dptf_vector_force(g[:, 3:], nlist, natoms))
