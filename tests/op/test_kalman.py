"""The Kalman measurement op against NumPy."""

import numpy as np
import pytest

from dptf.ops import op_module, tf
from dptf.train.kalman import block_sizes


def reference(p, h, error, forget, blocks):
    """Steps and covariance after one measurement, with full matrices per block."""
    ends = np.cumsum(blocks)
    cuts = [slice(e - n, e) for n, e in zip(blocks, ends)]
    k = [m @ h[c] for m, c in zip(p, cuts)]
    a = 1.0 / (len(blocks) * forget + sum(h[c] @ x for c, x in zip(cuts, k)))
    return np.concatenate([a * error * x for x in k]), [(m - a * np.outer(x, x)) / forget for m, x in zip(p, k)]


def pack(p):
    return np.concatenate([m[np.tril_indices(len(m))] for m in p])


@pytest.mark.parametrize("blocks", [[1], [5], [3, 40, 1, 17]])
def test_measurements(blocks):
    rng = np.random.default_rng(1)
    p = [(lambda m: m @ m.T + np.eye(n))(rng.normal(size=(n, n))) for n in blocks]
    with tf.Graph().as_default(), tf.Session() as sess:
        cov = tf.get_variable("p", initializer=tf.constant(pack(p)), use_resource=False)
        h_in, e_in, f_in = (
            tf.placeholder(tf.float64, [None]),
            tf.placeholder(tf.float64, []),
            tf.placeholder(tf.float64, []),
        )
        step = op_module.dptf_kalman_measure(cov, h_in, e_in, f_in, blocks=blocks)
        sess.run(cov.initializer)
        for forget in (0.98, 1.0):
            h, error = rng.normal(size=sum(blocks)), rng.normal()
            found = sess.run(step, {h_in: h, e_in: error, f_in: forget})
            wanted, p = reference(p, h, error, forget, blocks)
            np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-13)
            np.testing.assert_allclose(sess.run(cov), pack(p), rtol=1e-11, atol=1e-12)


def test_wrong_sizes_are_refused():
    with tf.Graph().as_default(), tf.Session() as sess:
        cov = tf.get_variable("p", initializer=tf.zeros([3], tf.float64), use_resource=False)
        step = op_module.dptf_kalman_measure(cov, tf.zeros([3], tf.float64), 0.0, 1.0, blocks=[3])
        sess.run(cov.initializer)
        with pytest.raises(tf.errors.InvalidArgumentError, match="3 weights and 6 covariances"):
            sess.run(step)


def test_blocks():
    assert block_sizes([3, 4, 20, 2, 2], 8) == [7, 8, 8, 8] and sum(block_sizes([3, 4, 20, 2, 2], 8)) == 31
    assert block_sizes([10], 100) == [10]
