"""The fused activation against the composition of plain ops: value, first and second derivative, and its limits."""

import numpy as np
import pytest

from dptf.nn.activation import get_activation, get_fused_activation
from dptf.ops import op_module, tf


@pytest.mark.parametrize("name", ["silu", "silut", "silut:10.0"])
@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-14), (np.float32, 3e-6)])
def test_value_and_derivatives(name, dtype, tolerance):
    rng = np.random.default_rng(0)
    x = np.concatenate([np.linspace(-20, 20, 201), [-1e30, -200, 200, 1e30, 0]]).astype(dtype)
    with tf.Graph().as_default(), tf.Session() as sess:
        at, v, u = (tf.constant(a.astype(dtype)) for a in (x, rng.normal(size=x.shape), rng.normal(size=x.shape)))

        def derivatives(phi):
            y = phi(at)
            first = tf.gradients(y * v, at)[0]
            return [y, first, *tf.gradients(first * u, [at, v])]

        got, want = sess.run([derivatives(get_fused_activation(name)), derivatives(get_activation(name))])
    for a, b in zip(got, want):
        assert np.isfinite(a).all()
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def test_fused_op_is_used_and_refuses_a_third_derivative():
    with tf.Graph().as_default():
        x = tf.zeros([3], tf.float64)
        assert get_fused_activation("silut:5.0")(x).op.type == "DptfActivation"
        assert get_fused_activation("tanh")(x).op.type == "Tanh"
        y = op_module.dptf_activation(x, [x, x], activation=8, threshold=[5.0])
        with pytest.raises(LookupError, match="third derivatives"):
            tf.gradients(y, x)


def test_sizes_are_checked():
    with tf.Graph().as_default(), tf.Session() as sess:
        y = op_module.dptf_activation(tf.zeros([3]), [tf.zeros([2])], activation=7)
        with pytest.raises(tf.errors.InvalidArgumentError, match="differ in size"):
            sess.run(y)
