"""Local-frame ops (Descrpt, ProdForce, ProdVirial): NumPy, finite differences, adjoints."""

import itertools

import numpy as np
import pytest

from dptf.ops import op_module, sel_overflow, tf
from tests.op import env_reference as ref
from tests.op.test_prod_env_mat import mesh_by_value

RCUT = 5.2
OPEN = 13.0
"""Cutoff of the open cluster, whose outer atoms have few neighbors."""
CASES = ref.geometries()
LIQUIDS = ("liquid", "triclinic", "open", "flat cell", "far outside the cell")
RULES = {
    "first two": [],
    "by type": [0, 0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 1],
    "any type": [0, -3, 0, 0, -3, 2] * 2,
    "all but one": [0, -1, 1, 0, -2, 0] * 2,
    "radial": [1, 0, 0, 1, 1, 0] * 2,
    "mixed lists": [1, -3, 0, 0, -3, 0] * 2,
}
SEL = {"sel_a": [3, 4], "sel_r": [2, 1]}


def statistics(sel, seed=2):
    rng = np.random.default_rng(seed)
    width = 4 * sum(sel["sel_a"]) + sum(sel["sel_r"])
    return rng.normal(scale=0.3, size=(2, width)), rng.uniform(0.4, 2.0, size=(2, width))


def row(center, first, second, neighbor, angular):
    """Components of one neighbor, for (complex) positions."""
    dot = lambda a, b: (a * b).sum()  # noqa: E731
    r1, r2, d = first - center, second - center, neighbor - center
    x = r1 / np.sqrt(dot(r1, r1))
    y = r2 - dot(r2, x) * x
    y = y / np.sqrt(dot(y, y))
    z = np.cross(x, y)
    r2 = dot(d, d)
    return np.array([1 / np.sqrt(r2), *(dot(d, a) / r2 for a in (z, x, y))][: 4 if angular else 1]), np.array([x, y, z])


def choose(rule, kinds, lists, vectors, types_of):
    """Places of both axis atoms by the rule of a type."""
    if not rule:
        kind = 0 if len(lists[0]) > 1 else 1
        picks = [(kind, 0, 0), (kind, 0, 1)]
        find = lambda kind, _, place: place  # noqa: E731
    else:
        picks = [tuple(rule[:3]), tuple(rule[3:])]

        def find(kind, type_, place):
            slots = [k for k in range(len(lists[kind])) if lists[kind][k] >= 0]
            if type_ >= 0:
                return [k for k in slots if types_of[kind][k] == type_][place]
            without = -type_ if kind else -type_ - 1
            near = []
            for t in set(types_of[kind]) - {without}:
                near += [k for k in slots if types_of[kind][k] == t][:3]
            return sorted(near, key=lambda k: np.linalg.norm(vectors[kind][k]))[place]

    (k1, t1, p1), (k2, t2, p2) = picks
    a, b = find(k1, t1, p1), find(k2, t2, p2)
    u, v = vectors[k1][a], vectors[k2][b]
    if abs(u @ v / np.linalg.norm(u) / np.linalg.norm(v) + 1) < 1e-4:
        b = find(k2, t2, p2 + 1)
    return k1, a, k2, b


def reference(name, rule, sel, davg, dstd):
    coord, types, box, _ = CASES[name]
    both = [a + r for a, r in zip(sel["sel_a"], sel["sel_r"])]
    ones = np.ones((2, sum(both)))
    env = ref.environment(coord, types, box, both, 0 * ones, ones, OPEN if name == "open" else RCUT, 0.5, ncomp=1)
    starts = np.cumsum([0, *both])
    order = [s + k for s, a in zip(starts, sel["sel_a"]) for k in range(a)]
    na = len(order)
    order += [s + a + k for s, a, r in zip(starts, sel["sel_a"], sel["sel_r"]) for k in range(r)]
    slot_types = np.repeat([0, 1], both)[order]
    nlist, rij = env["nlist"][:, order], env["rij"][:, order]
    n, width = len(coord), 4 * na + len(order) - na
    out = {"em": np.zeros((n, width)), "deriv": np.zeros((n, width, 4, 3)), "rij": rij, "nlist": nlist}
    out |= {"axis": np.zeros((n, 4), int), "rot": np.zeros((n, 3, 3)), "lost": env["lost"]}
    for i in range(n):
        split = [slice(0, na), slice(na, None)]
        lists, vectors, kinds = ([x[i][s] for s in split] for x in (nlist, rij, rij))
        rules = rule[6 * types[i] : 6 * types[i] + 6] if rule else []
        axis = choose(rules, kinds, lists, vectors, [slot_types[s] for s in split])
        out["axis"][i] = axis
        avg, std = davg[types[i]], dstd[types[i]]
        place = [np.zeros(3), rij[i, axis[1] + na * axis[0]], rij[i, axis[3] + na * axis[2]], None]
        m = 0
        for k in range(len(order)):
            ncomp = 4 if k < na else 1
            out["em"][i, m : m + ncomp] = -avg[m : m + ncomp] / std[m : m + ncomp]
            if nlist[i, k] >= 0:
                place[3] = rij[i, k]
                value, out["rot"][i] = row(*place, ncomp == 4)
                out["em"][i, m : m + ncomp] += value / std[m : m + ncomp]
                for q, x in itertools.product(range(4), range(3)):
                    moved = [p + 0j for p in place]
                    moved[q][x] += 1j * ref.EPS
                    slope = np.imag(row(*moved, ncomp == 4)[0]) / ref.EPS
                    out["deriv"][i, m : m + ncomp, q, x] = slope / std[m : m + ncomp]
                for q in (1, 2):  # slots taken for those of axis atoms: the whole derivative twice
                    kind, place_of_axis = axis[2 * q - 2 : 2 * q]
                    if (k if k < na else k - na) == place_of_axis and (k >= na or kind == 0):
                        d = out["deriv"][i, m : m + ncomp]
                        d[:, q] += d[:, 3]
                        d[:, 3] = d[:, q]
                        break
            m += ncomp
    return out


def descrpt(name, rule=(), sel=None, stats=None, coord=None, strain=None, mesh=None, dtype=np.float64, **attrs):
    """The op on a geometry; results as arrays."""
    sel = sel or SEL
    x, types, box, _ = CASES[name] if isinstance(name, str) else name
    x = x if coord is None else coord
    if strain is not None:
        x, box = x @ strain, None if box is None else box @ strain
    davg, dstd = stats or statistics(sel)
    n, cell = len(x), np.eye(3) if box is None else box
    mesh = np.zeros(0 if box is None else 6, np.int32) if mesh is None else mesh
    natoms = np.array([n, n, int((types == 0).sum()), int((types == 1).sum())], np.int32)
    floats = [a.astype(dtype) for a in (x.reshape(1, -1), cell.reshape(1, 9), davg, dstd)]
    with tf.Graph().as_default(), tf.Session() as session:
        op = op_module.descrpt(
            floats[0], types.reshape(1, -1).astype(np.int32), natoms, floats[1], mesh, floats[2], floats[3],
            **({"rcut_a": -1, "rcut_r": OPEN if name == "open" else RCUT, "axis_rule": list(rule)} | sel | attrs),
        )  # fmt: skip
        em, deriv, rij, nlist, axis, rot = session.run(list(op))
    width, nnei = davg.shape[1], nlist.shape[1] // n
    return {
        "em": em.reshape(n, width), "deriv": deriv.reshape(n, width, 4, 3), "rij": rij.reshape(n, nnei, 3),
        "nlist": nlist.reshape(n, nnei), "axis": axis.reshape(n, 4), "rot": rot.reshape(n, 3, 3), "natoms": natoms,
    }  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", ["liquid", "triclinic", "open"])
def test_against_numpy(name, rule):
    davg, dstd = statistics(SEL)
    sel_overflow()
    found = descrpt(name, RULES[rule])
    expected = reference(name, RULES[rule], SEL, davg, dstd)
    assert sel_overflow() == expected["lost"] > 0
    for key in ("nlist", "axis"):
        np.testing.assert_array_equal(found[key], expected[key])
    for key in ("em", "deriv", "rij", "rot"):
        np.testing.assert_allclose(found[key], expected[key], rtol=0, atol=1e-10, err_msg=key)
    low = descrpt(name, RULES[rule], dtype=np.float32)
    np.testing.assert_allclose(low["em"], expected["em"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["flat cell", "far outside the cell", "absent type"])
def test_hard_geometries(name):
    sel = {"sel_a": [6, 2], "sel_r": [40, 0]} if name == "absent type" else {"sel_a": [6, 6], "sel_r": [40, 40]}
    davg, dstd = statistics(sel)
    if name in ref.WITH_TIES:
        davg, dstd = np.zeros_like(davg), np.ones_like(dstd)
    found, expected = descrpt(name, [], sel, (davg, dstd)), reference(name, [], sel, davg, dstd)
    tied = name in ref.WITH_TIES  # which of two images at the same distance comes first is open
    np.testing.assert_allclose(found["em"][:, ::4] if tied else found["em"], expected["em"][:, ::4] if tied else expected["em"], atol=1e-9)  # fmt: skip
    assert ((found["nlist"] < 0) == (expected["nlist"] < 0)).all()


def test_opposite_axes_take_the_next_neighbor():
    """Opposite vectors are avoided by the neighbor after the second one, parallel ones only where they span no plane."""
    for second, place in ([2.0, 0.001], 1), ([-2.0, 0.001], 2), ([2.0, 0.0], 2):
        coord = np.array([[0, 0, 0], [1.0, 0, 0], [*second, 0], [0, 2.4, 0.3], [0.2, 0.1, 2.9]])
        case = (coord, np.zeros(5, int), None, None)
        sel = {"sel_a": [4, 0], "sel_r": [0, 0]}
        axis = descrpt(case, [], sel)["axis"][0]
        by_rule = descrpt(case, [0, 0, 0, 0, 0, 1] * 2, sel)["axis"][0]
        assert axis.tolist() == by_rule.tolist() == [0, 0, 0, place]


def test_neighbor_list_by_value_and_ghosts_in_coord():
    """The same numbers from the caller's list and from the caller's ghosts (mesh of length 12)."""
    coord, types, box, _ = CASES["liquid"]
    own = descrpt("liquid")
    ext, ext_types, owner = ref.images(coord - np.floor(coord @ np.linalg.inv(box)) @ box, types, box, RCUT)
    n, nall = len(coord), len(ext)
    lists = [
        np.flatnonzero((np.linalg.norm(ext - ext[i], axis=1) < RCUT + 0.5) & (np.arange(nall) != i)) for i in range(n)
    ]
    davg, dstd = statistics(SEL)
    natoms = np.array([n, nall, 12, 12], np.int32)
    for mesh in (mesh_by_value(np.arange(n), lists), np.zeros(12, np.int32)):
        with tf.Graph().as_default(), tf.Session() as session:
            op = op_module.descrpt(
                ext.reshape(1, -1), ext_types.reshape(1, -1).astype(np.int32), natoms, box.reshape(1, 9), mesh, davg, dstd,
                rcut_a=-1, rcut_r=RCUT, axis_rule=[], **SEL,
            )  # fmt: skip
            em, deriv, _, nlist, _, _ = session.run(list(op))
        np.testing.assert_allclose(em.reshape(n, -1), own["em"], rtol=0, atol=1e-11)
        np.testing.assert_allclose(deriv.reshape(own["deriv"].shape), own["deriv"], rtol=0, atol=1e-10)
        np.testing.assert_array_equal(np.where(nlist >= 0, owner[nlist], -1).reshape(n, -1), own["nlist"])


def test_virtual_atoms():
    types = CASES["virtual atoms"][1]
    out = descrpt(
        "virtual atoms", sel={"sel_a": [2, 2], "sel_r": [1, 1]}, stats=statistics({"sel_a": [2, 2], "sel_r": [1, 1]})
    )
    virtual = types < 0
    assert (
        (out["em"][virtual] == 0).all() and (out["deriv"][virtual] == 0).all() and (out["nlist"][virtual] == -1).all()
    )
    assert not np.isin(out["nlist"], np.flatnonzero(virtual)).any() and np.isfinite(out["em"]).all()


class Ops:
    """Force and virial of random adjoints, two frames of the same neighbors."""

    def __init__(self, env, dtype=np.float64, seed=5, sel=SEL):
        rng = np.random.default_rng(seed)
        self.n, self.width = env["em"].shape
        self.env, self.dtype = env, dtype
        self.g = rng.normal(size=(2, self.n * self.width))
        self.scales = rng.uniform(0.5, 1.5, size=2)
        self.nall = int(env["natoms"][1])
        self.attrs = {"n_a_sel": sum(sel["sel_a"]), "n_r_sel": sum(sel["sel_r"])}

    def twice(self, key):
        x = self.env[key].reshape(1, -1)
        return (
            np.concatenate([x * s for s in self.scales]).astype(self.dtype)
            if key in ("deriv", "rij")
            else np.tile(x, (2, 1))
        )

    def nodes(self):
        g = tf.constant(self.g.astype(self.dtype))
        deriv, rij, nlist, axis = (tf.constant(self.twice(k)) for k in ("deriv", "rij", "nlist", "axis"))
        natoms = tf.constant(self.env["natoms"])
        force = op_module.prod_force(g, deriv, nlist, axis, natoms, **self.attrs)
        virial = op_module.prod_virial(g, deriv, rij, nlist, axis, natoms, **self.attrs)
        return g, [force, *virial], (deriv, rij, nlist, axis, natoms)

    def reference(self):
        force, virial = np.zeros((2, self.nall, 3)), np.zeros((2, self.nall, 9))
        na = self.attrs["n_a_sel"]
        g = self.g.reshape(2, self.n, self.width)
        for f, i in itertools.product(range(2), range(self.n)):
            axis = self.env["axis"][i]
            slots = [axis[1] + na * axis[0], axis[3] + na * axis[2], 0]
            for m in range(self.width):
                slots[2] = m // 4 if m < 4 * na else m - 3 * na
                d = self.env["deriv"][i, m] * self.scales[f]
                if self.env["nlist"][i, slots[2]] < 0:
                    continue
                force[f, i] -= g[f, i, m] * d[0]
                for q, slot in enumerate(slots[:2] if slots[2] in slots[:2] else slots):
                    j, r = self.env["nlist"][i, slot], self.env["rij"][i, slot] * self.scales[f]
                    force[f, j] -= g[f, i, m] * d[q + 1]
                    virial[f, j] -= g[f, i, m] * np.outer(d[q + 1], r).ravel()
        return force, virial.sum(1), virial


def with_ghosts(env):
    """The same slots, every second neighbor a ghost."""
    n, out = len(env["em"]), dict(env)
    nlist = env["nlist"].copy()
    filled = np.flatnonzero(nlist.ravel() >= 0)[::2]
    nlist.ravel()[filled] = n + np.random.default_rng(0).integers(0, 6, size=len(filled))
    return out | {"nlist": nlist, "natoms": np.array([n, n + 6, *env["natoms"][2:]], np.int32)}


@pytest.mark.parametrize("rule", ["first two", "mixed lists"])
@pytest.mark.parametrize("name", LIQUIDS)
def test_force_and_virial(name, rule):
    for env in (descrpt(name, RULES[rule]), with_ghosts(descrpt(name, RULES[rule]))):
        for dtype, tolerance in ((np.float64, 1e-12), (np.float32, 1e-5)):
            ops = Ops(env, dtype)
            with tf.Graph().as_default(), tf.Session() as session:
                found = session.run(ops.nodes()[1])
            for a, b in zip(found, ops.reference()):
                np.testing.assert_allclose(a.reshape(b.shape), b, rtol=0, atol=tolerance * max(1, np.abs(b).max()))


@pytest.mark.parametrize("rule", ["first two", "all but one", "radial"])
@pytest.mark.parametrize("name", ["liquid", "open"])
def test_finite_differences(name, rule):
    """Force and virial are the slopes of E = g . descriptor while no neighbor changes its slot.

    (With angular axes, and without radial slots that all releases take for those of the axis atoms.)
    """
    sel = SEL if rule == "radial" else {"sel_a": [3, 4], "sel_r": [0, 0]}
    env, coord, h = descrpt(name, RULES[rule], sel), CASES[name][0], 1e-6
    ops = Ops(env, sel=sel)
    g = ops.g[0].reshape(ops.n, ops.width)
    ops.scales[:] = 1

    def energy(**change):
        out = descrpt(name, RULES[rule], sel, **change)
        assert (out["nlist"] == env["nlist"]).all() and (out["axis"] == env["axis"]).all()
        return (out["em"] * g).sum()

    with tf.Graph().as_default(), tf.Session() as session:
        force, virial, _ = session.run(ops.nodes()[1])
    for atom, x in [(0, 0), (5, 1), (23, 2)]:
        moved = [coord.copy(), coord.copy()]
        moved[0][atom, x] += h
        moved[1][atom, x] -= h
        slope = (energy(coord=moved[0]) - energy(coord=moved[1])) / (2 * h)
        assert force[0].reshape(-1, 3)[atom, x] == pytest.approx(-slope, abs=1e-5, rel=1e-5)
    strain = np.zeros((3, 3))
    strain[1, 2] = h
    slope = (energy(strain=np.eye(3) + strain) - energy(strain=np.eye(3) - strain)) / (2 * h)
    assert virial[0, 7] == pytest.approx(-slope, abs=1e-4, rel=1e-5)


def test_gradients_are_adjoints():
    rng = np.random.default_rng(6)
    for env in (descrpt("liquid", RULES["mixed lists"]), with_ghosts(descrpt("liquid"))):
        ops = Ops(env)
        z = [rng.normal(size=(2, k * ops.nall)) for k in (3, 9)]
        z = [z[0], rng.normal(size=(2, 9)), z[1]]
        with tf.Graph().as_default(), tf.Session() as session:
            g, outputs, rest = ops.nodes()
            adjoints = [tf.gradients(y, g, tf.constant(w))[0] for y, w in zip(outputs, z)]
            public = op_module.prod_virial_grad(z[1], g, *rest, **ops.attrs)
            y, a, public = session.run([outputs, adjoints, public])
        for value, weight, adjoint in zip(y, z, a):
            assert np.vdot(value, weight) == pytest.approx(np.vdot(adjoint, ops.g), rel=1e-11)
        np.testing.assert_allclose(public, a[1], rtol=0, atol=1e-12)


def test_errors():
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"atom \d+ has too few neighbors .*loc_frame"):
        descrpt("no neighbors")
    with pytest.raises(tf.errors.InvalidArgumentError, match="rcut_a is 3"):
        descrpt("liquid", rcut_a=3.0)
    with pytest.raises(tf.errors.InvalidArgumentError, match="six for each of 2 types"):
        descrpt("liquid", [0, 0, 0, 0, 0, 1])
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"entry 1 is \(2, 0, 1\)"):
        descrpt("liquid", [0, 0, 0, 2, 0, 1] * 2)
    with pytest.raises(tf.errors.InvalidArgumentError, match="mixed types"):
        descrpt("liquid", mesh=np.zeros(7, np.int32))
    env = descrpt("liquid")
    with pytest.raises(tf.errors.InvalidArgumentError, match="axis names place 40 of kind 0"):
        ops = Ops(env | {"axis": (env["axis"] + [0, 40, 0, 0]).astype(np.int32)})
        with tf.Graph().as_default(), tf.Session() as session:
            session.run(ops.nodes()[1][0])
