"""Products with the first axes against plain matrix products, with both derivatives."""

import numpy as np
import pytest

from dptf.ops import op_module, tf


@pytest.mark.parametrize(
    "shape, axis, dtype",
    [
        ((5, 4, 13), 3, np.float64), ((3, 4, 16), 16, np.float32), ((0, 4, 8), 2, np.float64), ((5, 4, 29), 16, np.float64),
        ((2, 3, 35), 8, np.float64), ((2, 5, 37), 16, np.float32),
    ],
)  # fmt: skip
def test_value_and_both_gradients(shape, axis, dtype):
    rng = np.random.default_rng(0)
    with tf.Graph().as_default(), tf.Session() as sess:
        a = tf.constant(rng.normal(size=shape).astype(dtype))
        w = tf.constant(rng.normal(size=(shape[0], shape[2], axis)).astype(dtype))
        z = tf.constant(rng.normal(size=shape).astype(dtype))

        def derivatives(d):
            first = tf.gradients(tf.reduce_sum(d * d * w), a)[0]
            return [d, first, *tf.gradients(tf.reduce_sum(z * first * first), a)]

        got = derivatives(op_module.dptf_axis_product(a, axis=axis))
        want = derivatives(tf.matmul(a, a[:, :, :axis], transpose_a=True))
        for x, y in zip(*sess.run([got, want])):
            np.testing.assert_allclose(
                x, y, rtol=0, atol=(1e-12 if dtype is np.float64 else 1e-4) * max(1.0, np.abs(y).max(initial=0))
            )


def test_too_many_axes_are_refused():
    with (
        tf.Graph().as_default(),
        tf.Session() as sess,
        pytest.raises(tf.errors.InvalidArgumentError, match="width >= 9"),
    ):
        sess.run(op_module.dptf_axis_product(tf.zeros([2, 4, 8]), axis=9))
