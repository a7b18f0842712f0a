"""The Kalman measurement op against NumPy."""

import numpy as np
import pytest

from dptf.ops import op_module, tf
from dptf.train.kalman import block_sizes


def reference(p, h, error, forget, blocks):
    """Steps and covariance after measurements (rows of h), with full matrices per block."""
    ends = np.cumsum(blocks)
    cuts = [slice(e - n, e) for n, e in zip(blocks, ends)]
    k = [m @ h[:, c].T for m, c in zip(p, cuts)]
    a = np.linalg.inv(len(blocks) * forget * np.eye(len(h)) + sum(h[:, c] @ x for c, x in zip(cuts, k)))
    return np.concatenate([x @ a @ error for x in k]), [(m - x @ a @ x.T) / forget for m, x in zip(p, k)]


def pack(p):
    return np.concatenate([m[np.tril_indices(len(m))] for m in p])


@pytest.mark.parametrize("blocks, many", [([1], 1), ([5], 2), ([3, 40, 1, 17], 1), ([3, 40, 1, 17], 5)])
def test_measurements(blocks, many):
    rng = np.random.default_rng(1)
    p = [(lambda m: m @ m.T + np.eye(n))(rng.normal(size=(n, n))) for n in blocks]
    with tf.Graph().as_default(), tf.Session() as sess:
        cov = tf.get_variable("p", initializer=tf.constant(pack(p)), use_resource=False)
        h_in, e_in, f_in = (
            tf.placeholder(tf.float64, [None, None]),
            tf.placeholder(tf.float64, [None]),
            tf.placeholder(tf.float64, []),
        )
        step = op_module.dptf_kalman_measure(cov, h_in, e_in, f_in, blocks=blocks)
        sess.run(cov.initializer)
        for forget in (0.98, 1.0):
            h, error = rng.normal(size=(many, sum(blocks))), rng.normal(size=many)
            found = sess.run(step, {h_in: h, e_in: error, f_in: forget})
            wanted, p = reference(p, h, error, forget, blocks)
            np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-13)
            np.testing.assert_allclose(sess.run(cov), pack(p), rtol=1e-11, atol=1e-12)


def test_wrong_sizes_are_refused():
    with tf.Graph().as_default(), tf.Session() as sess:
        cov = tf.get_variable("p", initializer=tf.zeros([3], tf.float64), use_resource=False)
        step = op_module.dptf_kalman_measure(cov, tf.zeros([1, 3], tf.float64), [0.0], 1.0, blocks=[3])
        sess.run(cov.initializer)
        with pytest.raises(tf.errors.InvalidArgumentError, match="3 weights and 6 covariances"):
            sess.run(step)


def test_at_once_is_one_after_the_other_without_forgetting():
    """In a linear model the order of measurements does not matter, nor whether there is one."""
    rng = np.random.default_rng(3)
    p, h, truth = [np.eye(6)], rng.normal(size=(4, 6)), rng.normal(size=6)
    together = reference(p, h, h @ truth, 1.0, [6])
    w = np.zeros(6)
    for row in h:
        step, p = reference(p, row[None], row[None] @ (truth - w), 1.0, [6])
        w += step
    np.testing.assert_allclose(together[0], w, rtol=1e-10)
    np.testing.assert_allclose(together[1][0], p[0], rtol=1e-9, atol=1e-12)


def test_blocks():
    assert block_sizes([3, 4, 20, 2, 2], 8) == [7, 8, 8, 8] and sum(block_sizes([3, 4, 20, 2, 2], 8)) == 31
    assert block_sizes([10], 100) == [10]
