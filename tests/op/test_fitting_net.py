"""The fused fitting nets against the same nets of plain TensorFlow: values, gradients, and gradients of forces."""

import numpy as np
import pytest

from dptf.nn.embedding import Seeder
from dptf.nn.fitting import FittingNet, fused_nets
from dptf.nn.parameters import Parameters
from dptf.ops import tf

COUNTS = [5, 0, 37]


class Case:
    """Nets of three types on frames of 42 atoms, 3 of them without net; the second type has no atoms."""

    def __init__(self, *, n_out=1, neuron=(19, 19, 8), activation="tanh", resnet_dt=True, dtype=np.float64, frames=2):
        rng = np.random.default_rng(3)
        self.natoms = np.array([45, 45, *COUNTS, 3], np.int32)
        self.x = tf.constant(rng.normal(size=(frames, 45, 27)).astype(dtype))
        params, seeder = Parameters(), Seeder(7)
        self.nets = [
            FittingNet(
                params, [f"layer_{k}_type_{t}" for k in range(len(neuron) + 1)], 27, list(neuron), n_out, tf.as_dtype(dtype),
                activation, resnet_dt, seeder, [True] * (len(neuron) + 1),
            )
            for t in range(3)
        ]  # fmt: skip
        self.weights = [w for net in self.nets for w in net.weights]
        self.dy = tf.constant(rng.normal(size=(frames, 45, n_out)).astype(dtype))
        self.z = tf.constant(rng.normal(size=(frames, 45, 27)).astype(dtype))

    def plain(self):
        parts, start = [], 0
        for net, n in zip(self.nets, COUNTS):
            rows = tf.reshape(self.x[:, start : start + n], [-1, 27])
            parts.append(tf.reshape(net(rows), [int(self.x.shape[0]), n, int(self.dy.shape[2])]))
            start += n
        parts.append(tf.zeros_like(self.dy[:, start:]))
        return tf.concat(parts, axis=1)

    def fused(self, gradient):
        return fused_nets(self.x, tf.constant(self.natoms), self.nets, [0, 1, 2, -1], gradient=gradient)

    def derivatives(self, y, second):
        """Value; gradients in x and weights; and the same of a function of value and force."""

        def gradients(value, inputs, **more):
            found = tf.gradients(value, inputs, **more)
            return [tf.zeros_like(x) if g is None else g for x, g in zip(inputs, found)]

        out = [y, *gradients(y, [self.x, *self.weights], grad_ys=self.dy)]
        if second:
            force = tf.gradients(tf.reduce_sum(y), self.x)[0]
            loss = tf.reduce_sum(tf.square(y) * self.dy) + tf.reduce_sum(self.z * force * force)
            out += gradients(loss, [self.x, *self.weights])
            # Of a force alone: the last bias has no gradient then.
            out += gradients(tf.reduce_sum(self.z * force), [self.x, *self.weights[:2]])
        return out

    def compare(self, gradient, second, tolerance, config=None):
        with tf.Session(config=config) as sess:
            sess.run(tf.global_variables_initializer())
            got, want = sess.run(
                [self.derivatives(self.fused(gradient), second), self.derivatives(self.plain(), second)]
            )
        for a, b in zip(got, want):
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1.0, np.abs(b).max()))
        return got


@pytest.mark.parametrize("activation", ["tanh", "gelu", "relu6", "softplus", "sigmoid", "silu", "linear"])
def test_values_and_derivatives_of_energies(activation):
    with tf.Graph().as_default():
        Case(activation=activation).compare(True, True, 1e-12)


def test_without_time_steps_and_with_one_layer():
    for neuron in ((33,), (16, 16)):
        with tf.Graph().as_default():
            Case(neuron=neuron, resnet_dt=False).compare(True, True, 1e-12)


def test_energies_alone_and_several_outputs():
    for n_out, gradient in ((1, True), (1, False), (11, False)):
        with tf.Graph().as_default():
            Case(n_out=n_out).compare(gradient, False, 1e-12)


def test_float32():
    with tf.Graph().as_default():
        Case(dtype=np.float32).compare(True, True, 2e-5)


def test_threads_do_not_change_the_sums():
    results = []
    for threads in (1, 2):
        with tf.Graph().as_default():
            config = tf.ConfigProto(intra_op_parallelism_threads=threads)
            results.append(Case(frames=7).compare(True, True, 1e-12, config))
    for a, b in zip(*results):
        np.testing.assert_array_equal(a, b)


def test_third_derivatives_are_refused():
    with tf.Graph().as_default():
        case = Case()
        force = tf.gradients(tf.reduce_sum(case.fused(False)), case.x)[0]
        with pytest.raises(LookupError, match="DPTF_PLAIN"):
            tf.gradients(force, case.weights)


def test_wrong_shapes_are_refused():
    with tf.Graph().as_default(), tf.Session() as sess:
        case = Case()
        sess.run(tf.global_variables_initializer())
        for counts, match in (([45, 45, 50, 0, 0, 0], "does not fit the atoms"), ([45, 45, 45], "one entry per type")):
            y = fused_nets(case.x, tf.constant(counts, tf.int32), case.nets, [0, 1, 2, -1], gradient=True)
            with pytest.raises(tf.errors.InvalidArgumentError, match=match):
                sess.run(y)
