"""The fused Adam against TensorFlow's: the same weights, running means and names after some steps."""

import numpy as np

from dptf.ops import tf
from dptf.train.optimizer import FusedAdam


def run(kind, steps=4):
    rng = np.random.default_rng(0)
    with tf.Graph().as_default(), tf.Session() as sess:
        shapes = [([70, 130], tf.float64), ([5], tf.float64), ([3, 4], tf.float32)]
        weights = [
            tf.get_variable(f"w{k}", initializer=tf.constant(rng.normal(size=s), d)) for k, (s, d) in enumerate(shapes)
        ]
        loss = tf.add_n([tf.reduce_sum(tf.cast(tf.square(w), tf.float64) ** 2) for w in weights])
        step = tf.train.get_or_create_global_step()
        rate = tf.placeholder(tf.float32, [])
        optimizer = kind(rate, beta1=0.8, beta2=0.95)
        grads = tf.tuple(tf.gradients(loss, weights))
        update = optimizer.apply_gradients(list(zip(grads, weights)), global_step=step)
        sess.run(tf.global_variables_initializer())
        for k in range(steps):
            sess.run(update, {rate: 0.01 / (k + 1)})
        return {v.op.name: sess.run(v) for v in tf.global_variables()}


def test_same_as_tensorflow():
    got, want = run(FusedAdam), run(tf.train.AdamOptimizer)
    assert list(got) == list(want) and got["global_step"] == 4
    for name, value in want.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-13 if value.dtype == np.float64 else 1e-5, err_msg=name)
