"""The tabulated contraction against a plain TensorFlow net: value, gradients, second gradients, for float64 and float32."""

import numpy as np
import pytest

from dptf.nn.tabulated import DEFAULT_SPACING, embed_contract, stacked_nets
from dptf.ops import tf

SEL = [3, 0, 4]
WIDTHS = [5, 5, 10]


def make_case(seed=0, n=7, dtype=np.float64):
    """Random environment with full, partly filled and empty blocks, a virtual atom, padding rows and an excluded pair."""
    rng = np.random.default_rng(seed)
    nnei, nt = sum(SEL), len(SEL)
    env = rng.normal(size=(n, nnei, 4)).astype(dtype)
    env[:, :, 0] = rng.uniform(-1, 7, size=(n, nnei))
    nlist = np.full((n, nnei), -1, np.int32)
    for i in range(n):
        start = 0
        for s in SEL:
            used = rng.integers(0, s + 1) if i > 1 else (s if i else 0)  # atom 0: none, atom 1: all full
            nlist[i, start : start + used] = rng.integers(0, n, size=used)
            env[i, start + used : start + s] = [-0.3, 0, 0, 0]  # empty slots share one row
            start += s
    env[3, SEL[0] - 1] = [0.1, 0.2, 0.3, 0.4]  # an empty slot that differs from its neighbors must not be folded
    atype = rng.integers(0, nt, size=n).astype(np.int32)
    atype[-1] = -1
    net_of = np.arange(nt * nt).reshape(nt, nt) % 3
    net_of[0, 2] = -1
    return env, nlist, atype, net_of


def make_nets(rng, dtype, resnet_dt):
    nets = []
    for _ in range(3):
        layers, n_in = [], 1
        for n_out in WIDTHS:
            scale = 1 / np.sqrt(n_in + n_out)
            layers.append(
                (
                    tf.constant(rng.normal(scale=scale, size=(n_in, n_out)).astype(dtype)),
                    tf.constant(rng.normal(size=n_out).astype(dtype)),
                    tf.constant(rng.normal(1.0, 0.1, size=(1, n_out)).astype(dtype)) if resnet_dt else None,
                )
            )
            n_in = n_out
        nets.append(layers)
    return nets


ACTIVATIONS = {
    "tanh": lambda x: tf.tanh(x),
    "sigmoid": lambda x: tf.sigmoid(x),
    "softplus": lambda x: tf.nn.softplus(x),
    "silu": lambda x: x * tf.sigmoid(x),
    "gelu": lambda x: 0.5 * x * (1 + tf.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "none": lambda x: x,
}


def reference(env, atype, net_of, nets, activation):
    """Every slot through the net, by plain TensorFlow."""
    out = []
    for i, ti in enumerate(atype):
        total = tf.zeros([4, WIDTHS[-1]], env.dtype)
        start = 0
        for tj, s in enumerate(SEL):
            rows = env[i, start : start + s]
            start += s
            if ti < 0 or s == 0 or net_of[ti, tj] < 0:
                continue
            y = rows[:, :1]
            for w, b, dt in nets[net_of[ti, tj]]:
                h = ACTIVATIONS[activation](tf.matmul(y, w) + b)
                n_in, n_out = int(w.shape[0]), int(w.shape[1])
                if n_in == n_out or 2 * n_in == n_out:
                    h = h if dt is None else h * dt
                    h = h + (y if n_in == n_out else tf.concat([y, y], 1))
                y = h
            total += tf.matmul(rows, y, transpose_a=True)
        out.append(total)
    return tf.stack(out)


@pytest.mark.parametrize(
    "activation, resnet_dt", [(name, False) for name in sorted(ACTIVATIONS)] + [("tanh", True), ("silu", True)]
)
def test_value_and_both_gradients(activation, resnet_dt):
    env_np, nlist, atype, net_of = make_case()
    rng = np.random.default_rng(5)
    with tf.Graph().as_default(), tf.Session() as sess:
        env = tf.constant(env_np)
        nets = make_nets(rng, np.float64, resnet_dt)
        weights = [t for net in nets for layer in net for t in layer if t is not None]
        da = tf.constant(rng.normal(size=(len(atype), 4, WIDTHS[-1])))
        z = tf.constant(rng.normal(size=env_np.shape))
        got = embed_contract(
            tf.reshape(env, [len(atype), -1]), nlist, atype, nets, activation, sel=SEL, net_of=net_of.ravel().tolist()
        )[0]
        want = reference(env, atype, net_of, nets, activation)

        def derivatives(a):
            first = tf.gradients(a, [env, *weights], grad_ys=da)
            # The loss of a force: what training differentiates.
            second = tf.gradients(tf.reduce_sum(z * first[0]), [da, env, *weights])
            # A net that no pair uses has no gradient in the reference and a zero one in the op.
            inputs = [a, env, *weights, da, env, *weights]
            return [tf.zeros_like(x) if t is None else t for t, x in zip([a, *first, *second], inputs)]

        a, b = sess.run([derivatives(x) for x in (got, want)])
    for x, y in zip(a, b):
        np.testing.assert_allclose(x, y, rtol=0, atol=3e-9 * max(1, np.abs(y).max()))
    np.testing.assert_allclose(a[0], b[0], rtol=0, atol=1e-12 * np.abs(b[0]).max())
    np.testing.assert_allclose(a[1], b[1], rtol=0, atol=1e-10 * np.abs(b[1]).max())


def test_stripped_types_that_are_damped():
    """One net times one plus a damped factor per pair of types: everything that a loss on energies and forces differentiates."""
    rng = np.random.default_rng(2)
    n, nnei, types, width = 9, 11, 2, WIDTHS[-1]
    env_np = rng.normal(size=(n, nnei, 4))
    env_np[:, :, 0] = rng.uniform(-1, 7, size=(n, nnei))
    neighbor = rng.integers(-1, types, (n, nnei)).astype(np.int32)
    atype = rng.integers(0, types, n).astype(np.int32)
    atype[-1] = -1
    net_of = np.array([[0, 1], [-1, 3]])
    used = (atype[:, None] >= 0) & (neighbor >= 0)
    pair = np.where(used, net_of[atype[:, None], neighbor], -1)
    with tf.Graph().as_default(), tf.Session() as sess:
        env, factor, damping = (
            tf.constant(x) for x in (env_np, rng.normal(size=(4, width)), rng.uniform(0, 1, (n, nnei)))
        )
        da, z = (
            tf.constant(rng.normal(size=(n, 4, width))),
            [tf.constant(rng.normal(size=s)) for s in ((n, nnei, 4), (n, nnei))],
        )
        net = make_nets(rng, np.float64, True)[:1]
        weights = [t for layer in net[0] for t in layer]
        got = embed_contract(
            tf.reshape(env, [n, -1]), neighbor, atype, net, "tanh", sel=[nnei], net_of=net_of.ravel().tolist(), factor=factor,
            damping=damping,
        )[0]  # fmt: skip
        g = tf.reshape(stacked_nets(tf.reshape(env[:, :, 0], [-1]), net, "tanh"), [n, nnei, width])
        g *= (1 + damping[:, :, None] * tf.gather(factor, np.maximum(pair, 0))) * (pair >= 0)[:, :, None]
        want = tf.matmul(env, g, transpose_a=True)

        def derivatives(a):
            inputs = [env, damping, factor, *weights]
            first = tf.gradients(a, inputs, grad_ys=da, unconnected_gradients="zero")
            force = tf.reduce_sum(z[0] * first[0]) + tf.reduce_sum(z[1] * first[1])
            second = tf.gradients(force, [da, *inputs], unconnected_gradients="zero")
            return [tf.convert_to_tensor(x) for x in (a, *first, *second)]

        for x, y in zip(*sess.run([derivatives(got), derivatives(want)])):
            np.testing.assert_allclose(x, y, rtol=0, atol=3e-9 * max(1, np.abs(y).max()))


def test_float32_and_threads_do_not_change_the_sums():
    env_np, nlist, atype, net_of = make_case(seed=3, n=41)
    results = []
    for threads in (1, 2):
        config = tf.ConfigProto(intra_op_parallelism_threads=threads)
        with tf.Graph().as_default(), tf.Session(config=config) as sess:
            env = tf.constant(env_np.astype(np.float32).reshape(41, -1))
            nets = make_nets(np.random.default_rng(5), np.float32, False)
            weights = [t for net in nets for layer in net for t in layer if t is not None]
            a = embed_contract(env, nlist, atype, nets, "tanh", sel=SEL, net_of=net_of.ravel().tolist())[0]
            want = reference(tf.reshape(env, [41, -1, 4]), atype, net_of, nets, "tanh")
            results.append(sess.run([a, *tf.gradients(a, [env, *weights])]))
            np.testing.assert_allclose(results[-1][0], sess.run(want), atol=2e-4)
    for x, y in zip(*results):
        np.testing.assert_array_equal(x, y)


def test_interpolation_error_of_default_nets():
    """The default spacing gives round-off accuracy for nets of the usual size and initialisation."""
    rng = np.random.default_rng(1)
    widths, n_in, layers = [25, 50, 100], 1, []
    for n in widths:
        layers.append((rng.normal(scale=1 / np.sqrt(n_in + n), size=(n_in, n)), rng.normal(size=n), None))
        n_in = n
    s = rng.uniform(-1, 9, size=(1, 400))
    env_np = np.zeros((1, 400, 4))
    env_np[:, :, 0], env_np[:, :, 1] = s, 1.0
    with tf.Graph().as_default(), tf.Session() as sess:
        env = tf.constant(env_np.reshape(1, -1))
        nets = [[tuple(None if t is None else tf.constant(t) for t in layer) for layer in layers]]
        y = x = tf.reshape(env, [400, 4])[:, :1]
        n_in = 1
        for w, b, _ in nets[0]:
            h = tf.tanh(tf.matmul(y, w) + b)
            y = h if n_in == 1 else h + tf.concat([y, y], 1)
            n_in = int(w.shape[1])
        nlist, atype = np.zeros((1, 400), np.int32), np.zeros(1, np.int32)
        a, error = embed_contract(env, nlist, atype, nets, "tanh", sel=[400], net_of=[0], spacing=DEFAULT_SPACING)
        assert sess.run(error) < 1e-13
        da = np.zeros((1, 4, 100))
        da[0, 1] = 1.0
        slope = tf.gradients(a, env, grad_ys=tf.constant(da))[0]
        got, want, got_slope, want_slope = sess.run(
            [a[0, 1], tf.reduce_sum(y, 0), tf.reshape(slope, [400, 4])[:, 0], tf.gradients(y, x)[0][:, 0]]
        )
    assert np.abs(got - want).max() < 1e-13 * 400
    assert np.abs(got_slope - want_slope).max() < 1e-10


def test_bad_geometry_is_refused():
    env_np, nlist, atype, net_of = make_case()
    env_np[2, 0, 0] = np.nan
    nlist[2, 0] = 1
    atype[2] = 1
    with tf.Graph().as_default(), tf.Session() as sess:
        nets = make_nets(np.random.default_rng(5), np.float64, False)
        a = embed_contract(
            tf.constant(env_np.reshape(len(atype), -1)), nlist, atype, nets, "tanh", sel=SEL,
            net_of=net_of.ravel().tolist(),
        )[0]  # fmt: skip
        with pytest.raises(tf.errors.InvalidArgumentError, match="not finite"):
            sess.run(a)
