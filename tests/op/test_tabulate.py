"""The ops of compressed models against a slow NumPy form: value, gradient and second gradient, inside and outside the table."""

import numpy as np
import pytest

from dptf.ops import op_module, tf

INFO = [-1.0, 1.5, 3.0, 0.25, 0.5, -1.0]
WIDTH = 5


def make_table(rng, symmetric, dtype=np.float64):
    rows = 10 + 3 + (4 if symmetric else 0)
    return rng.normal(size=(rows, 6 * WIDTH)).astype(dtype)


def lookup(table, x, symmetric):
    """Value and derivative (WIDTH,) at x, by the rules of the format."""
    lower, upper, top, fine, coarse, _ = INFO
    edges = []
    if symmetric:
        edges += list(np.arange(-top, lower - 1e-9, coarse))
    edges += list(np.arange(lower, upper - 1e-9, fine)) + list(np.arange(upper, top - 1e-9, coarse))
    first = edges[0]
    inside = min(max(x, first), top)
    k = min(np.searchsorted(edges, inside, side="right") - 1, len(edges) - 1)
    h = inside - edges[k]
    a = table[k].reshape(WIDTH, 6)
    value = sum(a[:, p] * h**p for p in range(6))
    slope = sum(p * a[:, p] * h ** (p - 1) for p in range(1, 6))
    return value + (x - inside) * slope, slope


def arguments(rng, shape):
    """Numbers in every region, and beyond both ends."""
    x = rng.uniform(-1.2, 3.4, size=shape)
    flat = x.reshape(-1)
    flat[:6] = [-5.0, 7.0, 3.0, -1.0, 1.5, 2.9999]
    return x


def make_case(form, seed=1, dtype=np.float64):
    """Inputs of an op after the table: padding in some atoms, one atom of padding only, a repeated slot in the middle."""
    rng = np.random.default_rng(seed)
    table = make_table(rng, form == "se_t", dtype)
    n, nnei = 6, 7
    if form == "se_r":
        em = arguments(rng, (n, nnei))
        em[2, 3:] = em[2, -1]
        return table, [em.astype(dtype)]
    if form == "se_t":
        em = arguments(rng, (n, nnei, 4)) * 1.3
        em[2, 3:] = 0.0
        em[3] = 0.0
        return table, [em.reshape(-1, 4).astype(dtype), em.astype(dtype)]
    x = arguments(rng, (n, nnei))
    em = rng.normal(size=(n, nnei, 4))
    two = rng.normal(size=(n, nnei, WIDTH))
    for atom, first in ((2, 3), (3, 0)):
        x[atom, first:] = -0.4
        em[atom, first:] = [-0.4, 0, 0, 0]
        two[atom, first:] = two[atom, -1]
    two[2, 4] = 0.3  # equal rows with another factor must not be folded
    em[:, 1] = em[:, 2]
    out = [x.reshape(-1, 1), em] + ([two.reshape(-1, WIDTH)] if form == "se_atten" else [])
    return table, [a.astype(dtype) for a in out]


def reference(form, table, inputs, dy):
    """Output, and gradient of sum(dy out) in every input, taking em_x and em as independent."""
    em = inputs[-1] if form in ("se_r", "se_t") else inputs[1]
    x = inputs[0].reshape(em.shape[:2] if form != "se_t" else em.shape)
    g, dg = np.zeros((*x.shape, WIDTH)), np.zeros((*x.shape, WIDTH))
    for k in np.ndindex(x.shape):
        g[k], dg[k] = lookup(table, x[k], form == "se_t")
    if form == "se_r":
        return g, [(dg * dy).sum(-1)]
    if form == "se_t":
        out = np.einsum("njk,njkc->nc", em, g)
        dx = np.einsum("njk,njkc,nc->njk", em, dg, dy).reshape(inputs[0].shape)
        return out, [dx, np.einsum("njkc,nc->njk", g, dy)]
    scale = 1 + inputs[2].reshape(*x.shape, WIDTH) if form == "se_atten" else 1.0
    out = np.einsum("nkm,nkc->nmc", em, g * scale)
    mixed = np.einsum("nkm,nmc->nkc", em, dy)
    grads = [(mixed * dg * scale).sum(-1).reshape(-1, 1), np.einsum("nkc,nmc->nkm", g * scale, dy)]
    return out, grads + ([(mixed * g).reshape(-1, WIDTH)] if form == "se_atten" else [])


FORMS = ["se_a", "se_atten", "se_t", "se_r"]
NAMES = {"se_a": "tabulate_fusion_se_a", **{f: f"tabulate_fusion_{f}" for f in FORMS[1:]}, "old": "tabulate_fusion"}


def call(name, form, table, inputs):
    info = tf.constant(np.array(INFO, table.dtype))
    return getattr(op_module, NAMES[name])(tf.constant(table), info, *inputs, last_layer_size=WIDTH)


@pytest.mark.parametrize("name", [*FORMS, "old"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_against_numpy(name, dtype):
    form = "se_a" if name == "old" else name
    table, arrays = make_case(form, dtype=dtype)
    rng = np.random.default_rng(7)
    with tf.Graph().as_default(), tf.Session() as sess:
        inputs = [tf.constant(a) for a in arrays]
        out = call(name, form, table, inputs)
        value = sess.run(out)
        dy = rng.normal(size=value.shape).astype(dtype)
        seed = tf.constant(dy)
        grads = tf.gradients(out, inputs, seed)
        weights = [rng.normal(size=a.shape).astype(dtype) for a in arrays]
        scalar = sum(tf.reduce_sum(g * w) for g, w in zip(grads, weights))
        second = tf.gradients(scalar, seed)[0]
        found, dd = sess.run([grads, second])
    wide = [a.astype(np.float64) for a in arrays]
    expected, expected_grads = reference(form, table.astype(np.float64), wide, dy.astype(np.float64))
    tolerance = 1e-12 if dtype == np.float64 else 2e-5

    def compare(a, b):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.abs(b).max())

    compare(value, expected)
    for a, b in zip(found, expected_grads, strict=True):
        compare(a, b)
    # The gradients are linear in dy: the derivative of the weighted sum is that sum for every unit vector.
    unit = np.zeros(expected.size)
    expected_second = np.zeros(expected.size)
    for k in range(expected.size):
        unit[k] = 1
        parts = reference(form, table.astype(np.float64), wide, unit.reshape(expected.shape))[1]
        expected_second[k] = sum((p * w).sum() for p, w in zip(parts, weights))
        unit[k] = 0
    compare(dd, expected_second.reshape(expected.shape))


def test_gradient_is_the_derivative_of_the_value():
    """Outside the table too, where old releases disagreed with themselves."""
    table, _ = make_case("se_r")
    x = np.array([[-3.0, -1.1, 0.3, 1.7, 2.999, 3.2, 9.0]])
    h = 1e-6
    with tf.Graph().as_default(), tf.Session() as sess:
        em = tf.placeholder(tf.float64, x.shape)
        out = tf.reduce_sum(call("se_r", "se_r", table, [em]))
        grad = tf.gradients(out, em)[0]
        found = sess.run(grad, {em: x})
        for k in range(x.size):
            step = np.zeros_like(x)
            step[0, k] = h
            numeric = (sess.run(out, {em: x + step}) - sess.run(out, {em: x - step})) / (2 * h)
            np.testing.assert_allclose(found[0, k], numeric, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("form", FORMS)
def test_nothing_to_do(form):
    table, arrays = make_case(form)
    empty = [a[:0] for a in arrays]
    with tf.Graph().as_default(), tf.Session() as sess:
        inputs = [tf.constant(a) for a in empty]
        out = call(form, form, table, inputs)
        value, *grads = sess.run([out, *tf.gradients(out, inputs)])
    assert value.size == 0 and all(g.shape == e.shape for g, e in zip(grads, empty))


def test_no_slots():
    with tf.Graph().as_default(), tf.Session() as sess:
        table = np.ones((13, 6 * WIDTH))
        out = call("se_a", "se_a", table, [tf.zeros([0, 1], tf.float64), tf.zeros([3, 0, 4], tf.float64)])
        value = sess.run(out)
    assert value.shape == (3, 4, WIDTH) and not value.any()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda t, i, e: (t[:, :-1], i, e), "the table must be"),
        (lambda t, i, e: (t, i[:5], e), "table_info must have 6"),
        (lambda t, i, e: (t, i * 0, e), "strides"),
        (lambda t, i, e: (t, i, e[:, :, :3]), "em must be"),
        (lambda t, i, e: (t, i, e[:3]), "em_x has"),
    ],
)
def test_wrong_shapes(change, text):
    table, (x, em) = make_case("se_a")
    table, info, em = change(table, np.array(INFO), em)
    with tf.Graph().as_default(), tf.Session() as sess:
        out = op_module.tabulate_fusion_se_a(table, info, x, em, last_layer_size=WIDTH)
        with pytest.raises(tf.errors.InvalidArgumentError, match=text):
            sess.run(out)


def test_a_number_that_is_none_stays_one():
    table, (em,) = make_case("se_r")
    em = np.full_like(em, np.nan)
    with tf.Graph().as_default(), tf.Session() as sess:
        assert np.isnan(sess.run(call("se_r", "se_r", table, [em]))).all()
