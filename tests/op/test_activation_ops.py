"""The Gelu family, and Unaggregated* against derivatives of whole networks."""

import numpy as np
import pytest

from dptf.ops import op_module, tf

X = np.concatenate([np.linspace(-6, 6, 41), [0.0, 1e-9, -40.0, 40.0]])
CODES = {"tanh": 1, "gelu": 2, "relu": 3, "relu6": 4, "softplus": 5, "sigmoid": 6, "silu": 7}
PHI = {
    "tanh": np.tanh,
    "gelu": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "relu": lambda x: np.where(x.real > 0, x, 0),
    "relu6": lambda x: np.where(x.real > 6, 6, np.where(x.real > 0, x, 0)),
    "softplus": lambda x: np.log(1 + np.exp(x)),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "silu": lambda x: x / (1 + np.exp(-x)),
}


def contour_derivative(f, x, order, radius=0.05, n=16):
    """Derivative of an analytic function by Cauchy's formula, exact to rounding."""
    points = radius * np.exp(2j * np.pi * np.arange(n) / n)
    values = f(x[:, None] + points) * points**-order
    return np.array([1, 1, 2][order]) * values.mean(1).real


@pytest.mark.parametrize("suffix", ["", "_custom"])
@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_gelu(suffix, dtype, tolerance):
    x = X[np.abs(X) < 7]
    rng = np.random.default_rng(0)
    dy, dz = rng.normal(size=(2, len(x)))
    first, second = (contour_derivative(PHI["gelu"], x, k) for k in (1, 2))
    with tf.Graph().as_default(), tf.Session() as session:
        nx, ny, nz = (tf.constant(v.astype(dtype).reshape(1, 1, -1)) for v in (x, dy, dz))
        y = getattr(op_module, f"gelu{suffix}")(nx)
        g = getattr(op_module, f"gelu_grad{suffix}")(ny, nx)
        gg = getattr(op_module, f"gelu_grad_grad{suffix}")(ny, nz, nx)
        chain = tf.gradients(y, nx, ny)[0]
        along_dy, along_x = tf.gradients(g, [ny, nx], nz)
        found = session.run([y, g, gg, chain, along_dy, along_x])
    expected = [PHI["gelu"](x), dy * first, dy * dz * second, dy * first, dz * first, dy * dz * second]
    for a, b in zip(found, expected):
        assert a.shape == (1, 1, len(x))
        np.testing.assert_allclose(a.ravel(), b, rtol=0, atol=tolerance)


def test_gelu_far_out():
    with tf.Graph().as_default(), tf.Session() as session:
        y, g = session.run([op_module.gelu(X), op_module.gelu_grad(np.ones_like(X), X)])
    np.testing.assert_allclose(y, PHI["gelu"](X), atol=1e-13)
    assert (y[-2:] == [0, 40]).all() and (g[-2:] == [0, 1]).all()


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("sizes", [(5, 5, 10, 4), (3, 6, 6)])
def test_network(name, sizes):
    """Derivatives of a residual network in its input, layer by layer, against complex steps and contours."""
    rng = np.random.default_rng(3)
    weights, biases, width = [], [], 1
    for size in sizes:
        weights.append(rng.normal(size=(width, size)))
        biases.append(rng.normal(size=size))
        width = size
    x = np.linspace(-1.5, 1.5, 9)

    def layers(x):
        """Activation, pre-activation and output of every layer for (complex) x."""
        h, out = x[..., None], []
        for k, (w, b) in enumerate(zip(weights, biases)):
            pre = h @ w + b
            y = PHI[name](pre)
            skip = h if w.shape[0] == w.shape[1] else np.concatenate([h, h], -1) if w.shape[1] == 2 * w.shape[0] else 0
            h = y if k == 0 else y + skip
            out.append((y, pre, h))
        return out

    smooth = name not in ("relu", "relu6")
    code = CODES[name]
    with tf.Graph().as_default(), tf.Session() as session:
        dy = d2y = None
        for k, (w, (y, pre, _)) in enumerate(zip(weights, layers(x))):
            if k == 0:
                dy = op_module.unaggregated_dy_dx_s(y, w, pre, code)
                d2y = op_module.unaggregated_dy2_dx_s(y, dy, w, pre, code)
            else:
                dz = op_module.unaggregated_dy_dx(y, w, dy, pre, code)
                d2y = op_module.unaggregated_dy2_dx(y, w, dy, d2y, pre, code)
                dy = dz
            first, second = session.run([dy, d2y])
            f = lambda z, k=k: layers(z)[k][2]  # noqa: E731
            slope = np.imag(f(x + 1e-200j)) / 1e-200
            np.testing.assert_allclose(first, slope, rtol=1e-11, atol=1e-11)
            if smooth:
                points = 0.02 * np.exp(2j * np.pi * np.arange(16) / 16)
                curve = 2 * (f(x[:, None] + points) * points[:, None] ** -2).mean(1).real
                np.testing.assert_allclose(second, curve, rtol=1e-8, atol=1e-8)
            else:
                np.testing.assert_array_equal(second, 0)


def test_errors():
    one = np.ones((4, 3))
    with tf.Graph().as_default(), tf.Session() as session:
        for code in (0, 8):
            with pytest.raises(tf.errors.InvalidArgumentError, match=f"activation {code} is unknown"):
                session.run(op_module.unaggregated_dy_dx_s(one, one[:1], one, code))
        with pytest.raises(tf.errors.InvalidArgumentError, match="shapes do not fit"):
            session.run(op_module.unaggregated_dy_dx(one, one, one, one, 1))
        with pytest.raises(tf.errors.InvalidArgumentError, match="differ in size"):
            session.run(op_module.gelu_grad(np.ones(3), np.ones(4)))
