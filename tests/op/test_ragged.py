"""Ops over ragged edges and angles: NumPy, plain TensorFlow, finite differences, second derivatives."""

import numpy as np
import pytest

from dptf.nn.ragged import Edges
from dptf.ops import op_module, sel_overflow, tf
from dptf.ops_ragged import geometry_only

RNG = np.random.default_rng(4)
BOX = np.array([[5.0, 0, 0], [1.1, 4.6, 0], [-0.7, 0.9, 4.8]])
COORD = RNG.uniform(0, 5, (9, 3))
TYPES = np.array([0, 1, 0, 1, 1, 0, 1, 0, 1])


def neighbors(coord, types, box, e_rcut, a_rcut, e_sel, a_sel, exclude=()):
    """(vector, owner) of the edges of every atom by distance, and the numbers of them that form angles."""
    fractional = coord @ np.linalg.inv(box) if box is not None else None
    at = coord if box is None else (fractional - np.floor(fractional)) @ box
    shifts = (
        np.zeros((1, 3)) if box is None else np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3), -1).reshape(-1, 3) @ box
    )
    edges, angles = [], []
    for i, ri in enumerate(at):
        found = []
        for shift in shifts:
            for j, rj in enumerate(at):
                d = rj + shift - ri
                r = np.linalg.norm(d)
                if types[i] >= 0 and types[j] >= 0 and 1e-12 < r <= e_rcut:
                    found.append((r, j, d))
        found.sort(key=lambda f: f[:2])
        row = [(s, *f) for s, f in enumerate(found[:e_sel]) if (types[i], types[f[1]]) not in exclude]
        edges.append([(d, j) for _, _, j, d in row])
        angles.append(sum(s < a_sel and r < a_rcut for s, r, _, _ in row))
    return edges, angles


def build(coord=COORD, types=TYPES, box=BOX, mesh=None, e_rcut=4.0, a_rcut=2.5, e_sel=100, a_sel=50, exclude=(), **kw):
    nf = coord.size // (3 * len(types))
    nloc = kw.pop("nloc", len(types))
    mesh = np.zeros(0 if box is None else 6, np.int32) if mesh is None else mesh
    return Edges(
        tf.constant(coord.reshape(nf, -1)), tf.constant(np.tile(types, (nf, 1)), tf.int32),
        tf.constant([nloc, len(types), 0, 0], tf.int32), tf.constant(np.tile((np.eye(3) if box is None else box).ravel(), (nf, 1))),
        tf.constant(mesh, tf.int32), cutoffs=[e_rcut, a_rcut], e_sel=e_sel, a_sel=a_sel, ntypes=2, exclude=exclude, **kw,
    )  # fmt: skip


def gradients(y, xs):
    """Gradients as dense tensors."""
    return [None if g is None else tf.convert_to_tensor(g) for g in tf.gradients(y, xs)]


def run(edges):
    with tf.Session() as session:
        return dict(zip(Edges.NAMES, session.run([getattr(edges, n) for n in Edges.NAMES])))


def settled(vectors, start):
    """Rows of every center, those of one length (an atom and its images on both sides) in one order."""
    center = np.repeat(np.arange(len(start) - 1), np.diff(start))
    length = np.linalg.norm(vectors, axis=1).round(9)
    return vectors[np.lexsort((*vectors.round(9).T, length, center))]


@pytest.mark.parametrize(
    "case",
    [
        {}, {"box": None}, {"e_sel": 20, "a_sel": 4}, {"exclude": {(0, 1), (1, 0)}}, {"exclude": {(0, 0)}, "e_sel": 30, "a_sel": 5},
        {"coord": 0.51 * COORD, "box": 0.51 * BOX, "e_rcut": 3.0}, {"coord": 50 + COORD[:1], "types": TYPES[:1], "box": None},
        {"coord": COORD + np.array([40, -30, 8])}, {"types": np.array([0, -1, 0, 1, -1, 0, 1, 0, 1])},
    ],
)  # fmt: skip
def test_edges_and_angles(case):
    args = {
        "coord": COORD,
        "types": TYPES,
        "box": BOX,
        "e_rcut": 4.0,
        "a_rcut": 2.5,
        "e_sel": 900,
        "a_sel": 800,
        **case,
    }
    want, angles = neighbors(**args)
    with tf.Graph().as_default():
        got = run(build(**args))
    assert np.array_equal(np.diff(got["start"]), [len(w) for w in want])
    vectors = np.array([d for w in want for d, _ in w] or np.zeros((0, 3)))
    np.testing.assert_allclose(settled(got["vec"], got["start"]), settled(vectors, got["start"]), atol=1e-12)
    assert got["neighbor"].tolist() == got["atom"].tolist() == [j for w in want for _, j in w]
    assert np.array_equal(np.diff(got["a_start"]), angles)
    assert got["a_edge"].tolist() == [s + k for s, n in zip(got["start"], angles) for k in range(n)]
    assert np.array_equal(np.diff(got["angle_start"]), np.repeat(angles, angles))
    first = got["a_start"]
    assert got["angle_k"].tolist() == [first[i] + k for i, n in enumerate(angles) for _ in range(n) for k in range(n)]
    into = [got["in_edge"][a:b].tolist() for a, b in zip(got["in_start"], got["in_start"][1:])]
    assert into == [np.flatnonzero(got["neighbor"] == i).tolist() for i in range(len(args["types"]))]


def test_lost_neighbors_are_counted():
    _, angles = neighbors(COORD, TYPES, BOX, 4.0, 2.5, 1000, 1000)
    sel_overflow()
    with tf.Graph().as_default():
        run(build(e_sel=1000, a_sel=2))
    assert sel_overflow() == sum(max(0, n - 2) for n in angles)


def test_frames_and_a_list_with_ghosts_agree():
    """Own list, and one by value with ghosts whose owners are told, over two frames."""
    with tf.Graph().as_default():
        two = run(build(coord=np.stack([COORD, COORD[::-1]])))
        one, other = run(build()), run(build(coord=COORD[::-1]))
    np.testing.assert_array_equal(two["vec"], np.concatenate([one["vec"], other["vec"]]))
    np.testing.assert_array_equal(two["neighbor"], np.concatenate([one["neighbor"], 9 + other["neighbor"]]))
    shifts = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3), -1).reshape(-1, 3) @ BOX
    shifts = shifts[np.argsort(np.abs(shifts).sum(1))]
    wrapped = (COORD @ np.linalg.inv(BOX) % 1) @ BOX
    ghosts = (wrapped[None] + shifts[:, None]).reshape(-1, 3)
    owners = np.tile(np.arange(9), len(shifts))
    n = len(ghosts)
    rows = [[j for j in range(n) if j != i] for i in range(9)]
    head = np.zeros(16, int)
    head[:3] = 9, 1, n
    mesh = np.concatenate([head, np.arange(9), np.full(9, n - 1), np.concatenate(rows), owners])
    with tf.Graph().as_default():
        got = run(build(coord=ghosts, types=TYPES[owners], mesh=mesh, nloc=9))
        np.testing.assert_allclose(got["vec"], one["vec"], atol=1e-12)
        assert np.array_equal(got["neighbor"], one["neighbor"]) and np.array_equal(owners[got["atom"]], one["neighbor"])
        mesh[1] = 0
        with pytest.raises(tf.errors.InvalidArgumentError, match="which atom every ghost is an image of"):
            run(build(coord=ghosts, types=TYPES[owners], mesh=mesh[: -n or None], nloc=9))
        mesh[1], mesh[-1] = 1, 9
        with pytest.raises(tf.errors.InvalidArgumentError, match="another process"):
            run(build(coord=ghosts, types=TYPES[owners], mesh=mesh, nloc=9))


def arrays(dtype, local, k, m, d, n=9):
    """Random inputs of a message step over the edges or angles of the test frame."""
    rng = np.random.default_rng(7)
    edges = build()
    sizes = run(edges)
    owners = len(sizes["a_edge"]) if local else n
    rows = len(sizes["angle_k"]) if local else len(sizes["center"])
    shapes = {"x": (rows, k), "weight": (k, m + d), "u": (owners, m + d), "v": (owners, m + d), "w": (rows,)}
    return {name: rng.normal(size=s).astype(dtype) for name, s in shapes.items()}, rng


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "local, k, m, d, activation",
    [
        (True, 6, 8, 6, "silut:1.3"), (False, 8, 5, 8, "silut:3"), (True, 1, 8, 6, "silu"), (False, 3, 7, 0, "tanh"),
        (True, 5, 20, 5, "gelu"), (False, 16, 64, 16, "sigmoid"), (True, 2, 3, 2, "softplus"), (False, 1, 4, 1, "relu6"),
        (True, 32, 64, 32, "none"),
    ],
)  # fmt: skip
def test_message_equals_plain_ops(dtype, local, k, m, d, activation):
    """Value, first derivatives in everything, and derivatives of the derivatives in x, u, v and w."""
    with tf.Graph().as_default(), tf.Session() as session:
        values, rng = arrays(dtype, local, k, m, d)
        results = []
        inputs = {name: tf.constant(v) for name, v in values.items()}
        kept = None
        if d:
            kept = [tf.constant(rng.normal(size=d).astype(dtype)) for _ in range(2)]
        rows = values["x"].shape[0]
        owners = values["u"].shape[0]
        g_out = tf.constant(rng.normal(size=(owners, m)).astype(dtype))
        g_y = tf.constant(rng.normal(size=(rows, d)).astype(dtype))
        tangents = {
            name: tf.constant(rng.normal(size=values[name].shape).astype(dtype)) for name in ("x", "u", "v", "w")
        }
        for fused in (True, False):
            edges = build(fused=fused)
            step = edges.angle_message if local else edges.edge_message
            out, y = step(*inputs.values(), activation=activation, kept=kept)
            energy = tf.reduce_sum(out * g_out) + (tf.reduce_sum(y * g_y) if d else 0.0)
            every = [*inputs.values(), *(kept or [])]
            first = gradients(energy, every)
            with geometry_only():
                slopes = gradients(energy, [inputs[n] for n in tangents])
            phi = tf.add_n([tf.reduce_sum(s * tangents[n]) for n, s in zip(tangents, slopes)])
            second = gradients(phi, [*every, g_out, g_y] if d else [*every, g_out])
            flat = [out, *([y] if d else []), *first, *slopes, *[g for g in second if g is not None]]
            results.append((session.run(flat), [g is None for g in second]))
        (fused, _), (plain, none) = results
        if any(none):  # linear: the plain derivative has no path to some inputs
            session.close()
            return
        assert len(fused) == len(plain)
        for a, b in zip(fused, plain):
            scale = np.abs(b).max() + 1e-30
            assert np.abs(a - b).max() <= (1e-12 if dtype == np.float64 else 2e-4) * max(scale, 1.0), (a, b)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "local, k, m, d, activation",
    [
        (True, 32, 64, 32, "silut:1.3"), (False, 64, 48, 64, "silu"), (True, 9, 5, 9, "silut:3"), (False, 16, 16, 0, "tanh"),
        (True, 1, 16, 16, "silu"), (True, 8, 0, 8, "gelu"),
    ],
)  # fmt: skip
def test_kept_numbers_give_the_same_gradients(dtype, local, k, m, d, activation):
    """Gradients to positions, of a message twice differentiated, from numbers kept (from the third evaluation on) and from those computed anew."""
    with tf.Graph().as_default(), tf.Session() as session:
        values, rng = arrays(dtype, local, k, m, d)
        inputs = [tf.placeholder(dtype, v.shape) for v in values.values()]
        feed = dict(zip(inputs, values.values()))
        kept = [tf.constant(rng.normal(size=d).astype(dtype)) for _ in range(2)] if d else None
        g_out = tf.constant(rng.normal(size=(values["u"].shape[0], m)).astype(dtype))
        g_y = tf.constant(rng.normal(size=(values["x"].shape[0], d)).astype(dtype))
        results = []
        for keep in (False, True):
            edges = build(keep=keep)
            step = edges.angle_message if local else edges.edge_message
            out, y = step(*inputs, activation=activation, kept=kept)
            energies = [
                tf.reduce_sum(out * g_out) + (tf.reduce_sum(y * y * g_y) if d else 0.0),
                tf.reduce_sum(out * out),
            ]
            x, _, *others = inputs
            with geometry_only():
                slopes = [g for energy in energies for g in gradients(energy, [x, *others])]
            had = out.op.outputs[2:]
            fetch = [tf.size(had[0]) if keep else tf.zeros([], tf.int32), out, *([y] if d else []), *slopes]
            results.append([session.run(fetch, feed) for _ in range(3)][-1])
        (_, *new), (size, *old) = results
        assert size == (values["x"].size // k * (m + d) if k >= 8 else 0)
        for a, b in zip(new, old):  # the order of the sums is the same
            assert np.abs(a - b).max(initial=0) <= 4 * np.finfo(dtype).eps * np.abs(a).max(initial=0)


def test_message_is_deterministic_over_threads():
    results = []
    for threads in (1, 2):
        with tf.Graph().as_default():
            values, _ = arrays(np.float32, True, 32, 64, 32)
            inputs = [tf.constant(v) for v in values.values()]
            kept = [tf.ones(32), tf.ones(32)]
            out, y = build().angle_message(*inputs, activation="silu", kept=kept)
            grads = gradients(tf.reduce_sum(out * out) + tf.reduce_sum(y * y), inputs)
            with tf.Session(config=tf.ConfigProto(intra_op_parallelism_threads=threads)) as session:
                results.append(session.run([out, y, *grads]))
    for a, b in zip(*results):
        assert np.array_equal(a, b)


def test_linear_maps_equal_plain_ops():
    """Moments, cosines, taking and putting rows, twice differentiated."""
    rng = np.random.default_rng(3)
    with tf.Graph().as_default(), tf.Session() as session:
        sizes = run(build())
        n_edge, n_angle_edge = len(sizes["center"]), len(sizes["a_edge"])
        w, e, n, u, t = (
            tf.constant(rng.normal(size=s)) for s in ((n_edge, 3), (n_edge, 5), (9, 4), (n_angle_edge, 3), (9, 2))
        )
        mix = [tf.constant(rng.normal(size=s)) for s in ((5, 1), (n_edge, 2))]
        results = []
        for fused in (True, False):
            edges = build(fused=fused)
            h = tf.concat([edges.moments(w, e, of_neighbors=False), edges.moments(w, n, of_neighbors=True)], 2)
            taken = edges.of_angle_edges(e)
            put = edges.from_angle_edges(tf.square(taken))
            spread = edges.centers_to_angle_edges(t)
            cos = edges.cosines(u)
            scalar = tf.reduce_sum(h**3) + tf.reduce_sum(put @ mix[0]) + tf.reduce_sum(spread**3 * taken[:, :2])
            added = edges.add_angle_edges(2.0 * e, tf.sin(taken))
            same, part = edges.share_angle_edges(tf.sin(e), 3)
            scalar += tf.reduce_sum(cos**3) + tf.reduce_sum(added**3 * e)
            scalar += tf.reduce_sum(same**2 * e) + tf.reduce_sum(part**3 * taken[:, :3])
            every = [w, e, n, u, t]
            first = gradients(scalar, every)
            second = gradients(tf.add_n([tf.reduce_sum(tf.sin(g)) for g in first]), every)
            results.append(session.run([h, taken, put, spread, cos, added, same, part, *first, *second]))
        for a, b in zip(*results):
            assert np.abs(a - b).max() <= 1e-12 * np.abs(b).max()


@pytest.mark.parametrize("heads, width", [(1, 5), (4, 1), (3, 7)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_sums_with_weights_of_parts(heads, width, dtype):
    """Against NumPy; all three are one trilinear form, so each derivative is known from the others."""
    rng = np.random.default_rng(5)
    with tf.Graph().as_default(), tf.Session() as session:
        edges = build()
        sizes = run(edges)
        center, neighbor = sizes["center"], sizes["neighbor"]
        w = rng.normal(size=(len(center), heads)).astype(dtype)
        u, x = (rng.normal(size=(9, heads, width)).astype(dtype) for _ in range(2))
        want_u, want_x = np.zeros_like(u), np.zeros_like(x)
        np.add.at(want_u, center, w[:, :, None] * x[neighbor])
        np.add.at(want_x, neighbor, w[:, :, None] * u[center])
        want = [want_u, want_x, (u[center] * x[neighbor]).sum(2)]
        tw, tu, tx = tf.constant(w), tf.constant(u.reshape(9, -1)), tf.constant(x.reshape(9, -1))
        rows = edges.start, edges.neighbor, edges.in_start, edges.in_edge
        values = [
            op_module.dptf_head_sums(tw, tx, *rows, heads=heads), op_module.dptf_head_sums_to_x(tw, tu, *rows, heads=heads),
            op_module.dptf_head_sums_to_w(tu, tx, *rows, heads=heads),
        ]  # fmt: skip
        form = [tf.reduce_sum(a * b) for a, b in zip(values, (tu, tx, tw))]
        slopes = [gradients(f, [tu, tx, tw]) for f in form]
        # d/dw of the square of d/du and so on: second derivatives.
        bent = [
            gradients(tf.reduce_sum(tf.square(s[0])) + tf.reduce_sum(tf.square(s[2])), [tu, tx, tw]) for s in slopes
        ]
        got, slopes, bent = session.run([values, slopes, bent])
    tolerance = 1e-12 if dtype == np.float64 else 1e-4
    for a, b in zip(got, want):
        np.testing.assert_allclose(a, b.reshape(a.shape), atol=tolerance)
    for s, t in zip(slopes, bent):
        for a, b in zip(s, want):
            np.testing.assert_allclose(a, b.reshape(a.shape), atol=10 * tolerance)
        for a, b in zip(t, bent[0]):
            np.testing.assert_allclose(a, b, atol=100 * tolerance, rtol=100 * tolerance)


def test_force_and_virial():
    """Adjoint of the map from edge derivatives to forces and virials, and the sum over atoms."""
    rng = np.random.default_rng(8)
    coord = np.stack([COORD, COORD + 0.1])
    with tf.Graph().as_default(), tf.Session() as session:
        edges = build(coord=coord)
        sizes = session.run({n: getattr(edges, n) for n in Edges.NAMES})
        g = tf.constant(rng.normal(size=sizes["vec"].shape))
        tail = edges.vec, edges.start, edges.atom, edges.natoms
        force, virial = op_module.dptf_edge_force(g, *tail)
        want = np.zeros((18, 3))
        gv = session.run(g)
        np.add.at(want, sizes["center"], gv)
        np.add.at(want, sizes["atom"], -gv)
        got_f, got_v = session.run([force, virial])
        np.testing.assert_allclose(got_f.reshape(18, 3), want, atol=1e-12)
        per = -np.einsum("ea,eb->eab", gv, sizes["vec"]).reshape(-1, 9)
        np.testing.assert_allclose(got_v, [per[sizes["center"] // 9 == f].sum(0) for f in range(2)], atol=1e-12)
        cf, cv = rng.normal(size=got_f.shape), rng.normal(size=got_v.shape)
        back = gradients(tf.reduce_sum(force * cf) + tf.reduce_sum(virial * cv), g)[0]
        np.testing.assert_allclose((session.run(back) * gv).sum(), (cf * got_f).sum() + (cv * got_v).sum(), rtol=1e-12)
        moment = tf.constant(rng.normal(size=(*gv.shape, 3)))
        atomic = op_module.dptf_edge_atom_virial(g, tf.reshape(moment, [-1, 9]), edges.local, *tail)
        np.testing.assert_allclose(session.run(atomic).reshape(2, 9, 9).sum(1), got_v, atol=1e-11)
