"""Embedding nets on a grid by the op of the fitting nets against plain TensorFlow; rows that are scaled."""

import numpy as np
import pytest

from dptf.nn.embedding import Seeder, embedding_layers
from dptf.nn.parameters import Parameters
from dptf.nn.tabulated import fused_stacked_nets, stacked_nets
from dptf.ops import op_module, tf


@pytest.mark.parametrize(
    "widths, activation, resnet_dt, dtype, n_nets",
    [
        ((25, 50, 100), "tanh", False, np.float64, 2),
        ((6, 12, 12, 20), "gelu", True, np.float64, 3),
        ((2, 4, 7), "silu", True, np.float32, 1),
        ((10,), "softplus", False, np.float64, 2),
    ],
)
def test_values_and_gradients(widths, activation, resnet_dt, dtype, n_nets):
    with tf.Graph().as_default(), tf.Session() as sess:
        params, seeder = Parameters(), Seeder(5)
        nets = [
            embedding_layers(params, "net", f"_{k}", widths, tf.as_dtype(dtype), seeder, resnet_dt=resnet_dt)
            for k in range(n_nets)
        ]
        x = tf.constant(np.linspace(-1, 9, 61).astype(dtype))
        dy = tf.constant(np.random.default_rng(1).normal(size=(n_nets, 61, widths[-1])).astype(dtype))
        weights = [a for net in nets for layer in net for a in layer if a is not None]

        def both(y):
            return [y, *tf.gradients(y, weights, grad_ys=dy)]

        fused = fused_stacked_nets(x, nets, activation)
        assert "DptfFittingNet" in {op.type for op in sess.graph.get_operations()}
        sess.run(tf.global_variables_initializer())
        for got, want in zip(*sess.run([both(fused), both(stacked_nets(x, nets, activation))])):
            largest = max(1.0, np.abs(want).max())
            np.testing.assert_allclose(got, want, rtol=0, atol=(1e-13 if dtype is np.float64 else 3e-6) * largest)


def test_plain_ops_on_request(monkeypatch):
    monkeypatch.setenv("DPTF_PLAIN", "1")
    with tf.Graph().as_default() as graph:
        nets = [embedding_layers(Parameters(), "net", "", [4, 8], tf.float64, Seeder(1))]
        fused_stacked_nets(tf.zeros([3], tf.float64), nets, "tanh")
        assert not any(op.type == "DptfFittingNet" for op in graph.get_operations())


@pytest.mark.parametrize("ones", [False, True])
def test_scaled_rows(ones):
    rng = np.random.default_rng(2)
    x, dz = rng.normal(size=(2, 2, 5, 7))  # two arrays of 2 frames
    factor = np.ones((2, 5, 1)) if ones else rng.normal(size=(2, 5, 1))
    with tf.Graph().as_default(), tf.Session() as sess:
        x_in, factor_in = tf.constant(x), tf.constant(factor)
        z = op_module.dptf_scale_rows(x_in, factor_in)
        got = sess.run([z, *tf.gradients(z, [x_in, factor_in], grad_ys=tf.constant(dz))])
    for a, b in zip(got, [x * factor, dz * factor, (dz * x).sum(-1, keepdims=True)]):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-15, atol=1e-15)
