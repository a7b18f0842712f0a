"""Pair tables and the soft minimum: against NumPy by loops, finite differences, and gradients as exact adjoints."""

import numpy as np
import pytest

from dptf.ops import op_module, tf

RNG = np.random.default_rng(4)
NF, NLOC, NALL, NNEI = 2, 5, 7, 6
TYPES = np.array([[0, 0, 1, 1, 1, 1, 0]] * NF)
NATOMS = np.array([NLOC, NALL, 2, 3], np.int32)
NLIST = np.stack([[RNG.permutation([j for j in range(NALL) if j != i])[:NNEI] for i in range(NLOC)] for _ in range(NF)])
NLIST[0, 0, 2:] = -1
NLIST[1, 3] = -1
NLIST[:, 4, 5] = -1
RIJ = RNG.normal(scale=1.3, size=(NF, NLOC, NNEI, 3))
RIJ *= 1 + 0.4 / np.linalg.norm(RIJ, axis=-1, keepdims=True)
RIJ *= (NLIST >= 0)[..., None]
SEL = {"n_a_sel": NNEI, "n_r_sel": 0}
ALPHA, RMIN, RMAX = 0.5, 0.75, 2.0


def run(build):
    with tf.Graph().as_default(), tf.Session() as session:
        return session.run(build())


def switch(rij=RIJ):
    return run(lambda: list(op_module.soft_min_switch(
        TYPES.astype(np.int32), rij.reshape(NF, -1), NLIST.reshape(NF, -1).astype(np.int32), NATOMS, sel_a=[2, 4], sel_r=[0, 0],
        alpha=ALPHA, rmin=RMIN, rmax=RMAX,
    )))  # fmt: skip


def test_soft_min_switch():
    value, deriv = switch()
    assert value[1, 3] == 0.0  # no neighbors
    expected = np.zeros((NF, NLOC))
    for f, i in np.ndindex(NF, NLOC):
        r = np.linalg.norm(RIJ[f, i][NLIST[f, i] >= 0], axis=1)
        if len(r):
            e = np.exp(-r / ALPHA)
            u = np.clip(((r * e).sum() / e.sum() - RMIN) / (RMAX - RMIN), 0, 1)
            expected[f, i] = u**3 * (-6 * u**2 + 15 * u - 10) + 1
    np.testing.assert_allclose(value, expected, atol=1e-12)
    assert ((expected > 0) & (expected < 1)).any()
    deriv, h = deriv.reshape(RIJ.shape), 1e-6
    for f, i, k in ((0, 1, 0), (1, 2, 3), (0, 0, 1)):
        for x in range(3):
            up, down = RIJ.copy(), RIJ.copy()
            up[f, i, k, x] += h
            down[f, i, k, x] -= h
            slope = (switch(up)[0] - switch(down)[0])[f, i] / (2 * h)
            np.testing.assert_allclose(deriv[f, i, k, x], slope, atol=1e-8)


def test_soft_min_switch_underflow():
    """exp(-r / alpha) of every neighbor may be 0; the switch is that of the nearest one all the same."""
    far = np.zeros_like(RIJ)
    far[..., 0] = 100.0 + np.arange(NNEI)
    op = lambda: list(op_module.soft_min_switch(  # noqa: E731
        TYPES.astype(np.int32), far.reshape(NF, -1), NLIST.reshape(NF, -1).astype(np.int32), NATOMS, sel_a=[2, 4], sel_r=[0, 0],
        alpha=0.1, rmin=99.0, rmax=103.0,
    ))  # fmt: skip
    value, deriv = run(op)
    assert np.isfinite(value).all() and np.isfinite(deriv).all()
    assert 0 < value[0, 1] < 1


def slots(dtype=np.float64):
    du, d = RNG.normal(size=(NF, NLOC)), RNG.normal(size=(NF, NLOC * NNEI * 3))
    return [x.astype(dtype) for x in (du, d, RIJ.reshape(NF, -1))] + [NLIST.reshape(NF, -1).astype(np.int32)]


def test_soft_min_force_and_virial():
    du, d, rij, nlist = slots()
    force = run(lambda: op_module.soft_min_force(du, d, nlist, NATOMS, **SEL)).reshape(NF, NALL, 3)
    virial, atomic = run(lambda: list(op_module.soft_min_virial(du, d, rij, nlist, NATOMS, **SEL)))
    f_ref, a_ref = np.zeros((NF, NALL, 3)), np.zeros((NF, NALL, 9))
    vectors = d.reshape(NF, NLOC, NNEI, 3)
    for f, i, k in np.ndindex(NF, NLOC, NNEI):
        j = NLIST[f, i, k]
        if j < 0:
            continue
        t = du[f, i] * vectors[f, i, k]
        f_ref[f, i] += t
        f_ref[f, j] -= t
        a_ref[f, j] -= np.outer(t, RIJ[f, i, k]).ravel()
    np.testing.assert_allclose(force, f_ref, atol=1e-13)
    np.testing.assert_allclose(atomic.reshape(NF, NALL, 9), a_ref, atol=1e-13)
    np.testing.assert_allclose(virial, a_ref.sum(1), atol=1e-13)


def test_gradients_are_adjoints():
    """<y, A x> = <A^T y, x> for both factors; the ops are bilinear, so this is the whole derivative."""
    du, d, rij, nlist = slots()

    def build():
        x, v = tf.constant(du), tf.constant(d)
        force = op_module.soft_min_force(x, v, nlist, NATOMS, **SEL)
        virial, atomic = op_module.soft_min_virial(x, v, rij, nlist, NATOMS, **SEL)
        scalars = [
            tf.reduce_sum(y * RNG.normal(size=(NF, w))) for y, w in ((force, 3 * NALL), (virial, 9), (atomic, 9 * NALL))
        ]
        grads = [tf.gradients(s, [x, v]) for s in scalars]
        yf, yv = RNG.normal(size=(NF, 3 * NALL)), RNG.normal(size=(NF, 9))
        public = [
            op_module.soft_min_force_grad(yf, x, v, nlist, NATOMS, **SEL),
            op_module.soft_min_virial_grad(yv, x, v, rij, nlist, NATOMS, **SEL),
        ]
        own = [tf.gradients(tf.reduce_sum(force * yf), x)[0], tf.gradients(tf.reduce_sum(virial * yv), x)[0]]
        return scalars, grads, public, own

    scalars, grads, public, own = run(build)
    for s, (gx, gv) in zip(scalars, grads):
        np.testing.assert_allclose((gx * du).sum(), s, rtol=1e-11)
        np.testing.assert_allclose((gv * d).sum(), s, rtol=1e-11)
    for a, b in zip(public, own):
        np.testing.assert_allclose(a, b, atol=1e-12)


RMIN_T, STEP, PIECES = 0.2, 0.25, 12
DATA = np.random.default_rng(2).normal(size=(2, 2, PIECES, 4))
DATA[1, 0] = DATA[0, 1]


def pair_tab(rij=RIJ, scale=None, dtype=np.float64):
    scale = np.ones((NF, NLOC)) if scale is None else scale
    info = np.array([RMIN_T, STEP, PIECES, 2.0])
    return run(lambda: list(op_module.pair_tab(
        info, DATA.ravel(), TYPES.astype(np.int32), rij.reshape(NF, -1).astype(dtype), NLIST.reshape(NF, -1).astype(np.int32),
        NATOMS, scale.astype(dtype), sel_a=[2, 4], sel_r=[0, 0],
    )))  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_pair_table(dtype):
    scale = RNG.uniform(0.5, 2, size=(NF, NLOC))
    found = pair_tab(scale=scale, dtype=dtype)
    energy, force, atomic = np.zeros((NF, NLOC)), np.zeros((NF, NALL, 3)), np.zeros((NF, NALL, 9))
    for f, i, k in np.ndindex(NF, NLOC, NNEI):
        j, d = NLIST[f, i, k], RIJ[f, i, k]
        if j < 0:
            continue
        r = np.linalg.norm(d)
        u = (r - RMIN_T) / STEP
        assert u > 0
        if u >= PIECES:
            continue
        # The type of a neighbor is that of its block of slots, whatever atom is there.
        c, w = DATA[TYPES[f, i], 0 if k < 2 else 1, int(u)], u - int(u)
        energy[f, i] += 0.5 * np.polyval(c, w)
        slope = np.polyval(np.polyder(c), w) / STEP
        pull = 0.5 * scale[f, i] * slope / r * d
        force[f, i] += pull
        force[f, j] -= pull
        for a in (i, j):
            atomic[f, a] -= 0.5 * np.outer(pull, d).ravel()
    tolerance = 1e-12 if dtype == np.float64 else 2e-4
    for a, b in zip(found, (energy, force, atomic)):
        np.testing.assert_allclose(a.reshape(b.shape), b, atol=tolerance)


def test_pair_table_too_close():
    near = RIJ.copy()
    near[0, 1, 0] = [0.1, 0.05, 0.0]
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"begins at 0\.2"):
        pair_tab(near)
