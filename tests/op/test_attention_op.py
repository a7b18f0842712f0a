"""The fused attention layer against its plain form: value, derivatives in rows, and derivatives of both in rows and weights."""

import numpy as np
import pytest

from dptf.descriptor.attention import GatedAttention
from dptf.ops import tf
from dptf.ops_ragged import geometry_only

FORM = {"kappa": 1.0, "dotr": True, "normalize": True, "smooth": False, "no_diagonal": False}
CASES = {
    "plain": {},
    "smooth": {"smooth": True},
    "mask": {"no_diagonal": True, "dotr": False},
    "smooth_mask": {"smooth": True, "no_diagonal": True, "dotr": False, "kappa": 0.3},
    "not_normalised": {"normalize": False, "kappa": 0.3},
    "float": {"smooth": True, "dtype": np.float32},
    "small_norms": {"norm_floor": 3.0},
}


@pytest.mark.parametrize("name", CASES)
def test_against_plain_layers(name):
    form = FORM | {"norm_floor": 1e-12} | CASES[name]
    dtype = form.pop("dtype", np.float64)
    n, k, width, hidden = 4, 19, 11, 13
    rng = np.random.default_rng(4)
    mask = rng.uniform(size=(n, k)) < 0.7
    mask[2] = False
    layers = GatedAttention(width, hidden, 2, eps=1e-3, **form)
    with tf.Graph().as_default(), tf.Session() as sess:

        def constant(*shape, low=-1.0):
            return tf.constant(rng.uniform(low, 1.0, shape).astype(dtype))

        g, vectors = constant(n, k, width), constant(n, k, 3)
        inside = tf.constant(mask.astype(dtype))
        raw_switch = constant(n, k, low=0.1)
        switch = raw_switch * inside
        weights = [
            {key: (constant(width, hidden), constant(hidden)) for key in ("c_query", "c_key", "c_value")}
            | {"c_out": (constant(hidden, width), constant(width)), "norm": (constant(width), constant(width))}
            for _ in range(2)
        ]
        arrays = [x for layer in weights for pair in layer.values() for x in pair]
        factors = constant(n, k, width)

        def everything(fused):
            y = layers(g, tf.constant(mask), switch, vectors, 3, weights, fused=fused) * inside[:, :, None]
            objective = tf.reduce_sum(factors * y + 0.3 * y * y)
            rows = [g, *[vectors] * form["dotr"], *[raw_switch] * form["smooth"]]
            with geometry_only():
                first = tf.gradients(objective, rows)
            loss = tf.reduce_sum(y * factors) + sum(tf.reduce_sum(tf.sin(x)) for x in first)
            return [y, *first, *tf.gradients(objective, arrays), *tf.gradients(loss, rows + arrays)]

        got, want = sess.run([everything(True), everything(False)])
    assert len(got) > 40
    for a, b in zip(got, want):
        scale = max(1.0, np.abs(b).max())
        np.testing.assert_allclose(a, b, rtol=0, atol=(1e-12 if dtype is np.float64 else 2e-5) * scale)


def test_a_derivative_that_never_comes_to_the_layer():
    """What it leaves behind for the layer is not taken by a later one."""
    layers = GatedAttention(3, 4, 1, eps=1e-3, norm_floor=1e-12, **FORM)
    rng = np.random.default_rng(1)
    with tf.Graph().as_default(), tf.Session() as sess:
        scale = tf.constant(1.3, tf.float64)
        pairs = {
            key: (tf.constant(rng.normal(size=(3, 4))), tf.zeros([4], tf.float64))
            for key in ("c_query", "c_key", "c_value")
        }
        pairs["c_out"] = tf.constant(rng.normal(size=(4, 3))), tf.zeros([3], tf.float64)
        pairs["norm"] = tf.ones([3], tf.float64), tf.zeros([3], tf.float64)
        g, vectors = (tf.constant(rng.normal(size=(2, 5, 3))) for _ in range(2))

        def derivatives(fused):
            y = layers(g, tf.fill([2, 5], True), None, vectors, 0, [pairs], fused=fused)
            with geometry_only():
                force = tf.gradients(scale * tf.reduce_sum(y**3), g)[0]
            loss = tf.reduce_sum(force**2)
            w = pairs["c_key"][0]
            return [tf.gradients(loss, scale)[0], tf.gradients(loss, w)[0], tf.gradients(loss, w)[0]]

        for a, b in zip(*sess.run([derivatives(True), derivatives(False)])):
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)
