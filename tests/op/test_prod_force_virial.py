"""Force and virial ops: against NumPy, against finite differences, and their gradients as exact adjoints."""

import itertools

import numpy as np
import pytest

from dptf.ops import op_module, tf
from tests.op import env_reference as ref

RCUT, RCUT_SMTH = 3.3, 0.7
CASES = ref.geometries()
KINDS = {"a": 4, "r": 1}


def environment(name, kind, strain=None, coord=None):
    """Slots of a geometry as the environment op gives them; ``strain`` (3, 3) acts on positions and cell."""
    x, types, box, sel = CASES[name]
    x = x if coord is None else coord
    if strain is not None:
        x, box = x @ strain, None if box is None else box @ strain
    davg, dstd = ref.statistics(2, sel, KINDS[kind], per_slot=name not in ref.WITH_TIES)
    n, cell = len(x), np.eye(3) if box is None else box
    mesh = np.zeros(0 if box is None else 6, np.int32)
    natoms = np.array([n, n, int((types == 0).sum()), int((types == 1).sum())], np.int32)
    with tf.Graph().as_default(), tf.Session() as session:
        inputs = [x.reshape(1, -1), types.reshape(1, -1).astype(np.int32), natoms, cell.reshape(1, 9), mesh, davg, dstd]
        if kind == "r":
            op = op_module.prod_env_mat_r(*inputs, rcut=RCUT, rcut_smth=RCUT_SMTH, sel=sel)
        else:
            op = op_module.prod_env_mat_a(
                *inputs, rcut_a=-1, rcut_r=RCUT, rcut_r_smth=RCUT_SMTH, sel_a=sel, sel_r=[0] * len(sel)
            )
        em, deriv, rij, nlist = session.run(list(op))
    return {"em": em, "deriv": deriv, "rij": rij, "nlist": nlist, "natoms": natoms, "nloc": n, "nnei": sum(sel)}


def batch(env, nf, seed):
    """Frames with the neighbors of ``env`` and other numbers, and adjoints of the environment rows."""
    rng = np.random.default_rng(seed)
    out = dict(env)
    for key in ("deriv", "rij"):
        out[key] = np.concatenate([env[key] * s for s in rng.uniform(0.5, 1.5, size=nf)])
    out["nlist"] = np.tile(env["nlist"], (nf, 1))
    out["g"] = rng.normal(size=(nf, env["em"].shape[1]))
    return out


def slot_forces(env, ncomp):
    """g D for every slot, (nf, nloc, nnei, 3)."""
    nf, shape = len(env["g"]), (env["nloc"], env["nnei"], ncomp)
    return np.einsum("fikc,fikcx->fikx", env["g"].reshape(nf, *shape), env["deriv"].reshape(nf, *shape, 3))


def reference(env, ncomp, nall):
    """Force (nf, nall, 3), virial (nf, 9), atomic virial (nf, nall, 9), by loops."""
    t = slot_forces(env, ncomp)
    nf = len(t)
    force, atomic = np.zeros((nf, nall, 3)), np.zeros((nf, nall, 9))
    nlist, rij = env["nlist"].reshape(t.shape[:3]), env["rij"].reshape(t.shape)
    for f, i, k in np.ndindex(*t.shape[:3]):
        j = nlist[f, i, k]
        if j < 0:
            continue
        force[f, i] -= t[f, i, k]
        force[f, j] += t[f, i, k]
        atomic[f, j] += np.outer(t[f, i, k], rij[f, i, k]).ravel()
    return force, atomic.sum(1), atomic


class Ops:
    """The ops of one kind with the inputs of a case, as TensorFlow nodes."""

    def __init__(self, env, kind, natoms=None, dtype=np.float64):
        self.kind, self.sel = kind, {"n_a_sel": env["nnei"], "n_r_sel": 0}
        self.g, self.deriv, self.rij = (tf.constant(env[k].astype(dtype)) for k in ("g", "deriv", "rij"))
        self.nlist = tf.constant(env["nlist"])
        self.natoms = tf.constant(env["natoms"] if natoms is None else np.array(natoms, np.int32))

    def force(self, g=None):
        g = self.g if g is None else g
        if self.kind == "r":
            return op_module.prod_force_se_r(g, self.deriv, self.nlist, self.natoms)
        return op_module.prod_force_se_a(g, self.deriv, self.nlist, self.natoms, **self.sel)

    def virial(self, g=None):
        g = self.g if g is None else g
        if self.kind == "r":
            return op_module.prod_virial_se_r(g, self.deriv, self.rij, self.nlist, self.natoms)
        return op_module.prod_virial_se_a(g, self.deriv, self.rij, self.nlist, self.natoms, **self.sel)


def with_ghosts(env, seed=0):
    """The same slots, with every second entry of the list moved to a ghost; the parents of the ghosts."""
    rng = np.random.default_rng(seed)
    out, n = dict(env), env["nloc"]
    parents = rng.integers(0, n, size=7)
    nlist = env["nlist"].copy()
    filled = np.flatnonzero(nlist.ravel() >= 0)[::2]
    nlist.ravel()[filled] = n + rng.integers(0, 7, size=len(filled))
    out["nlist"], out["natoms"] = nlist, np.array([n, n + 7, *env["natoms"][2:]], np.int32)
    return out, n + len(parents)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CASES)
def test_against_numpy(name, kind):
    env = batch(environment(name, kind), 2, 1)
    cases = [(env, env["nloc"])]
    if (env["nlist"] >= 0).any():
        cases.append(with_ghosts(env))
    for case, nall in cases:
        with tf.Graph().as_default(), tf.Session() as session:
            ops = Ops(case, kind)
            force, (virial, atomic) = session.run([ops.force(), list(ops.virial())])
        expected = reference(case, KINDS[kind], nall)
        for a, b in zip((force, virial, atomic), expected):
            np.testing.assert_allclose(a.reshape(b.shape), b, rtol=0, atol=1e-12 * max(1, np.abs(b).max()))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["liquid", "triclinic", "cell smaller than the cutoff", "virtual atoms", "open"])
def test_finite_differences(name, kind):
    """For E = g . rows, the force is -dE/dr and the virial is -dE/d(strain)."""
    env = environment(name, kind)
    rng = np.random.default_rng(4)
    # One number for every block keeps E smooth where neighbors of equal distance change places.
    n, ncomp = env["nloc"], KINDS[kind]
    sel = CASES[name][3]
    weights = np.repeat(rng.normal(size=(n, len(sel), ncomp)), sel, axis=1).reshape(1, -1)
    _, dstd = ref.statistics(2, sel, ncomp, per_slot=name not in ref.WITH_TIES)
    types = CASES[name][1]
    scale = np.where(types[:, None] >= 0, dstd[np.maximum(types, 0)], 1.0).reshape(1, -1)
    weights = weights * scale  # and the deviations differ from slot to slot
    env["g"] = weights

    def energy(**change):
        return float((environment(name, kind, **change)["em"] * weights).sum())

    with tf.Graph().as_default(), tf.Session() as session:
        ops = Ops(env, kind)
        force, virial = session.run([ops.force(), ops.virial()[0]])
    h, coord = 1e-5, CASES[name][0]
    for atom, x in [(0, 0), (n // 2, 1), (n - 1, 2)]:
        values = []
        for s in (h, -h):
            moved = coord.copy()
            moved[atom, x] += s
            values.append(energy(coord=moved))
        assert -(values[0] - values[1]) / (2 * h) == pytest.approx(force.reshape(n, 3)[atom, x], abs=2e-6, rel=2e-6)
    for a, b in [(0, 0), (1, 1), (2, 0), (0, 1)]:
        strain = np.zeros((3, 3))
        strain[b, a] = h
        up, down = energy(strain=np.eye(3) + strain), energy(strain=np.eye(3) - strain)
        assert -(up - down) / (2 * h) == pytest.approx(virial.reshape(3, 3)[a, b], abs=2e-5, rel=2e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name", ["liquid", "cell smaller than the cutoff", "sel overflows", "no neighbors", "absent type"]
)
def test_gradients_are_adjoints(name, kind):
    """<z, F(g)> = <F^T(z), g> for every z and g, and the gradient of the gradient is the op again."""
    env = batch(environment(name, kind), 2, 2)
    rng = np.random.default_rng(3)
    cases = [env]
    if (env["nlist"] >= 0).any():
        cases.append(with_ghosts(env)[0])
    for case in cases:
        nall = int(case["natoms"][1])
        z = [rng.normal(size=(2, 3 * nall)), rng.normal(size=(2, 9)), rng.normal(size=(2, 9 * nall))]
        with tf.Graph().as_default(), tf.Session() as session:
            ops = Ops(case, kind)
            outputs = [ops.force(), *ops.virial()]
            adjoints = [tf.gradients(y, ops.g, tf.constant(w))[0] for y, w in zip(outputs, z)]
            together = tf.gradients(outputs, ops.g, [tf.constant(w) for w in z])[0]
            y, a, t = session.run([outputs, adjoints, together])
        for value, weight, adjoint in zip(y, z, a):
            assert np.vdot(value, weight) == pytest.approx(np.vdot(adjoint, case["g"]), rel=1e-12, abs=1e-12)
        np.testing.assert_allclose(t, sum(a), rtol=0, atol=1e-12 * max(1, np.abs(t).max()))


@pytest.mark.parametrize("kind", KINDS)
def test_public_gradient_ops(kind):
    """The gradient ops by their public names, as graphs of the public package hold them."""
    env = batch(environment("liquid", kind), 2, 5)
    rng = np.random.default_rng(6)
    zf, zv = rng.normal(size=(2, 3 * env["nloc"])), rng.normal(size=(2, 9))
    with tf.Graph().as_default(), tf.Session() as session:
        ops = Ops(env, kind)
        if kind == "a":
            gf = op_module.prod_force_se_a_grad(zf, ops.g, ops.deriv, ops.nlist, ops.natoms, **ops.sel)
            gv = op_module.prod_virial_se_a_grad(zv, ops.g, ops.deriv, ops.rij, ops.nlist, ops.natoms, **ops.sel)
        else:
            gf = op_module.prod_force_se_r_grad(zf, ops.g, ops.deriv, ops.nlist, ops.natoms)
            gv = op_module.prod_virial_se_r_grad(zv, ops.g, ops.deriv, ops.rij, ops.nlist, ops.natoms)
        f, v, gf, gv = session.run([ops.force(), ops.virial()[0], gf, gv])
    assert np.vdot(f, zf) == pytest.approx(np.vdot(gf, env["g"]), rel=1e-12)
    assert np.vdot(v, zv) == pytest.approx(np.vdot(gv, env["g"]), rel=1e-12)


def test_adjoint_of_the_force_without_ghosts():
    """A gradient of local size: entries of the list beyond it stand for the atom modulo that size."""
    env, nall = with_ghosts(batch(environment("liquid", "a"), 1, 7))
    n = env["nloc"]
    z = np.random.default_rng(8).normal(size=(1, 3 * n))
    folded = dict(
        env, nlist=np.where(env["nlist"] >= 0, env["nlist"] % n, -1), natoms=np.array([n, n, 12, 12], np.int32)
    )
    with tf.Graph().as_default(), tf.Session() as session:
        gradients = []
        for case in (env, folded):
            ops = Ops(case, "a")
            gradients.append(op_module.prod_force_se_a_grad(z, ops.g, ops.deriv, ops.nlist, ops.natoms, **ops.sel))
        a, b = session.run(gradients)
    assert nall > n
    np.testing.assert_array_equal(a, b)


def test_parts_of_the_force_add_up():
    env = batch(environment("liquid", "a"), 2, 9)
    with tf.Graph().as_default(), tf.Session() as session:
        ops = Ops(env, "a")
        bounds = [0.0, 0.3, 0.55, 1.0]
        parts = [
            op_module.parallel_prod_force_se_a(
                ops.g, ops.deriv, ops.nlist, ops.natoms, parallel=True, start_frac=a, end_frac=b, **ops.sel
            )
            for a, b in itertools.pairwise(bounds)
        ]
        whole, parts = session.run([ops.force(), parts])
    assert all(np.abs(p).max() > 0 for p in parts)
    np.testing.assert_allclose(sum(parts), whole, rtol=0, atol=1e-12)


def test_same_bits_in_every_run():
    env = batch(environment("liquid", "a"), 3, 10)
    with tf.Graph().as_default(), tf.Session() as session:
        ops = Ops(env, "a")
        fetches = [ops.force(), *ops.virial()]
        first = session.run(fetches)
        for _ in range(5):
            for a, b in zip(first, session.run(fetches)):
                np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", KINDS)
def test_float32(kind):
    env = batch(environment("liquid", kind), 2, 11)
    with tf.Graph().as_default(), tf.Session() as session:
        ops = Ops(env, kind, dtype=np.float32)
        force, (virial, atomic) = session.run([ops.force(), list(ops.virial())])
    for a, b in zip((force, virial, atomic), reference(env, KINDS[kind], env["nloc"])):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a.reshape(b.shape), b, rtol=0, atol=1e-5 * np.abs(b).max())


def test_errors():
    env = batch(environment("liquid", "a"), 1, 12)
    n = env["nloc"]
    changes = [
        ({"nlist": np.where(env["nlist"] == 3, n, env["nlist"])}, f"names atom {n} of {n}"),
        ({"deriv": env["deriv"][:, :-3]}, "shapes do not fit"),
        ({"natoms": np.array([n, n], np.int32)}, "natoms needs at least 3 entries"),
        ({"natoms": np.array([n - 1, n, 12, 11], np.int32)}, "shapes do not fit"),
    ]
    for change, message in changes:
        with tf.Graph().as_default(), tf.Session() as session:
            ops = Ops({**env, **change}, "a")
            for fetch in (ops.force(), ops.virial()[0]):
                with pytest.raises(tf.errors.InvalidArgumentError, match=message):
                    session.run(fetch)
