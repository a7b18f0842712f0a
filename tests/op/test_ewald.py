"""Reciprocal Ewald sum: against a plain sum in NumPy, reference numbers, and finite differences."""

import numpy as np
import pytest

from dptf.ops import op_module, tf

COORD = np.array([
    [0.3, 0.4, 0.5], [1.2, 0.6, 0.4], [0.1, 1.3, 0.7], [3.0, 3.2, 2.9], [3.7, 2.6, 3.1], [2.4, 2.7, 3.5],
])  # fmt: skip
BOX = np.array([[5.0, 0, 0], [0.6, 5.2, 0], [0.3, -0.4, 5.4]])
CHARGE = np.array([-2.0, 1, 1, -2, 1, 1])
BETA, H = np.float32(0.4), 1.0


def run(coord=COORD, box=BOX, charge=CHARGE, h=H, dtype=np.float64):
    frames = coord.reshape(-1, len(np.ravel(charge)), 3)
    box = np.broadcast_to(box, (len(frames), 3, 3))
    charges = np.broadcast_to(charge, frames.shape[:2])
    with tf.Graph().as_default(), tf.Session() as session:
        op = op_module.ewald_recp(
            frames.ravel().astype(dtype), charges.ravel().astype(dtype), [frames.shape[1]], box.ravel().astype(dtype),
            ewald_beta=BETA, ewald_h=h,
        )  # fmt: skip
        return session.run(list(op))


def reference(coord, box, charge, h):
    k = [int(np.ceil(np.linalg.norm(a) / h)) for a in box]
    half = [(n + n % 2) // 2 for n in k]
    m = np.array([v for v in np.ndindex(*[2 * n + 1 for n in half])]) - half
    m = m[np.any(m != 0, axis=1)] @ np.linalg.inv(box).T
    square, volume = (m**2).sum(1), abs(np.linalg.det(box))
    s = np.exp(2j * np.pi * coord @ m.T)
    total = charge @ s
    w = np.exp(-(np.pi**2) * square / float(BETA) ** 2) / square
    c = 14.39964535475696995 / (2 * np.pi * volume)
    push = (w * (s.imag * total.real - s.real * total.imag))[..., None] * m
    term = w * abs(total) ** 2
    tensor = 2 * (1 + np.pi**2 * square / float(BETA) ** 2) / square
    virial = term.sum() * np.eye(3) - np.einsum("k,ka,kb->ab", term * tensor, m, m)
    return c * term.sum(), c * 4 * np.pi * charge[:, None] * push.sum(1), c * virial


@pytest.mark.parametrize("h", [1.0, 0.7, 2.0])
def test_against_numpy(h):
    energy, force, virial = run(h=h)
    e, f, v = reference(COORD, BOX, CHARGE, h)
    np.testing.assert_allclose(energy[0], e, rtol=1e-12)
    np.testing.assert_allclose(force.reshape(-1, 3), f, atol=1e-12)
    np.testing.assert_allclose(virial.reshape(3, 3), v, atol=1e-12)


def test_reference_numbers():
    energy, force, virial = run()
    np.testing.assert_allclose(energy[0], 0.695562983897, atol=1e-11)
    np.testing.assert_allclose(force[0, :3], (0.14851897, 1.00033428, -0.26697736), atol=1e-8)
    np.testing.assert_allclose([virial[0, 0], virial[0, 4]], (0.25922719, -3.09082839), atol=1e-8)


def test_derivatives_images_and_frames():
    moved = COORD + [5.0, 0, 0] + BOX[2] * 3
    energy, force, virial = run(np.stack([COORD, moved]))
    np.testing.assert_allclose(energy[0], energy[1], rtol=1e-12)
    np.testing.assert_allclose(force[0], force[1], atol=1e-11)
    h = 1e-5
    for atom, axis in ((0, 1), (4, 2)):
        step = np.zeros_like(COORD)
        step[atom, axis] = h
        slope = (run(COORD + step)[0][0] - run(COORD - step)[0][0]) / (2 * h)
        np.testing.assert_allclose(force[0, 3 * atom + axis], -slope, atol=1e-8)
    for a, b in ((0, 0), (1, 2)):
        strain = np.zeros((3, 3))
        strain[b, a] = h
        up, down = np.eye(3) + strain, np.eye(3) - strain
        slope = (run(COORD @ up, BOX @ up)[0][0] - run(COORD @ down, BOX @ down)[0][0]) / (2 * h)
        np.testing.assert_allclose(virial[0, 3 * a + b], -slope, atol=1e-8)


def test_float32_and_errors():
    np.testing.assert_allclose(run(dtype=np.float32)[0][0], 0.695562983897, rtol=1e-6)
    with pytest.raises(tf.errors.InvalidArgumentError, match="no volume"):
        run(box=np.diag([5.0, 5.0, 0.0]))
