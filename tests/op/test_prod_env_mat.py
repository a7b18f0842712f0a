"""ProdEnvMatA, ProdEnvMatR and ProdEnvMatAMix against NumPy, on hard geometries and with every form of neighbor list."""

import numpy as np
import pytest

from dptf.ops import op_module, sel_overflow, tf
from tests.op import env_reference as ref

RCUT, RCUT_SMTH = 3.3, 0.7  # not representable in float32: the ops form the switch with the rounded values
CASES = ref.geometries()
OPEN, PERIODIC = np.zeros(0, np.int32), np.array([0, 0, 0, 2, 2, 2], np.int32)


def run_op(kind, coord, types, box, natoms, mesh, sel, davg, dstd, dtype=np.float64):
    """One call of an op on frames; outputs as arrays."""
    with tf.Graph().as_default(), tf.Session() as session:
        inputs = [
            np.asarray(coord, dtype), np.asarray(types, np.int32), np.asarray(natoms, np.int32), np.asarray(box, dtype),
            np.asarray(mesh, np.int32), np.asarray(davg, dtype), np.asarray(dstd, dtype),
        ]  # fmt: skip
        if kind == "r":
            out = op_module.prod_env_mat_r(*inputs, rcut=RCUT, rcut_smth=RCUT_SMTH, sel=sel)
        else:
            op = op_module.prod_env_mat_a_mix if kind == "mix" else op_module.prod_env_mat_a
            out = op(*inputs, rcut_a=-1, rcut_r=RCUT, rcut_r_smth=RCUT_SMTH, sel_a=sel, sel_r=[0] * len(sel))
        return session.run(list(out))


def frame_inputs(coord, types, box):
    """One frame without ghosts, as Python evaluation feeds it."""
    n = len(coord)
    natoms = [n, n, *(int((types == t).sum()) for t in range(2))]
    cell = np.eye(3) if box is None else box
    return coord.reshape(1, -1), types.reshape(1, -1), cell.reshape(1, 9), natoms, OPEN if box is None else PERIODIC


def statistics(name, sel, ncomp):
    return ref.statistics(2, sel, ncomp, per_slot=name not in ref.WITH_TIES)


def compare(out, expected, tolerance, sel, ties=False):
    found = {key: x.reshape(expected[key].shape) for key, x in zip(("em", "deriv", "rij", "nlist"), out)}
    if ties:
        rows = np.arange(len(expected["nlist"]))[:, None]
        order = ref.canonical_order(found["rij"], found["nlist"], sel)
        found = {key: x[rows, order] for key, x in found.items()}
        order = ref.canonical_order(expected["rij"], expected["nlist"], sel)
        expected = {key: expected[key][rows, order] for key in found}
    np.testing.assert_array_equal(found["nlist"], expected["nlist"])
    for key, factor in (("em", 1), ("deriv", 10), ("rij", 100)):
        np.testing.assert_allclose(found[key], expected[key], rtol=0, atol=factor * tolerance, err_msg=key)


@pytest.mark.parametrize("kind,ncomp", [("a", 4), ("r", 1)])
@pytest.mark.parametrize("name", CASES)
def test_typed_list(name, kind, ncomp):
    coord, types, box, sel = CASES[name]
    davg, dstd = statistics(name, sel, ncomp)
    expected = ref.environment(coord, types, box, sel, davg, dstd, RCUT, RCUT_SMTH, ncomp)
    sel_overflow()
    out = run_op(kind, *frame_inputs(coord, types, box), sel, davg, dstd)
    compare(out, expected, 1e-12, sel, name in ref.WITH_TIES)
    assert sel_overflow() == expected["lost"]


def test_overflow_cases_overflow():
    lost = {}
    for name, (coord, types, box, sel) in CASES.items():
        davg, dstd = ref.statistics(2, sel, 1)
        lost[name] = ref.environment(coord, types, box, sel, davg, dstd, RCUT, RCUT_SMTH, 1)["lost"]
    assert lost["sel overflows"] > 20 and lost["sel overflows in one block"] > 0 and lost["sel exactly full"] == 0


@pytest.mark.parametrize("name", CASES)
def test_mixed_list(name):
    coord, types, box, sel = CASES[name]
    sel = [sum(sel)]
    davg, dstd = statistics(name, sel, 4)
    expected = ref.environment(coord, types, box, sel, davg, dstd, RCUT, RCUT_SMTH, 4, mixed=True)
    out = run_op("mix", *frame_inputs(coord, types, box), sel, davg, dstd)
    compare(out, expected, 1e-12, sel, name in ref.WITH_TIES)
    if name in ref.WITH_TIES:
        return
    np.testing.assert_array_equal(out[4].reshape(expected["ntype"].shape), expected["ntype"])
    np.testing.assert_array_equal(out[5].reshape(expected["ntype"].shape), expected["nlist"] >= 0)


@pytest.mark.parametrize("name", ["liquid", "triclinic", "sel overflows", "virtual atoms"])
def test_float32(name):
    coord, types, box, sel = CASES[name]
    davg, dstd = ref.statistics(2, sel, 4)
    # Rounded positions decide which neighbors there are; the reference sees the same.
    coord = coord.astype(np.float32).astype(np.float64)
    box = box.astype(np.float32).astype(np.float64)
    expected = ref.environment(coord, types, box, sel, davg, dstd, RCUT, RCUT_SMTH, 4)
    out = run_op("a", *frame_inputs(coord, types, box), sel, davg, dstd, np.float32)
    assert out[0].dtype == np.float32
    compare(out, expected, 2e-5, sel)


@pytest.mark.parametrize("kind,ncomp", [("a", 4), ("r", 1), ("mix", 4)])
def test_frames_are_independent(kind, ncomp):
    """Frames of one batch give what they give alone, below and above the number at which frames share a task."""
    rng = np.random.default_rng(0)
    coord, types, box, sel = CASES["liquid"]
    sel = [sum(sel)] if kind == "mix" else sel
    davg, dstd = ref.statistics(2, sel, ncomp)
    frames = coord + rng.normal(scale=0.1, size=(6, 24, 3))
    boxes = np.stack([(box * s).ravel() for s in rng.uniform(0.95, 1.05, size=6)])
    natoms = [24, 24, 12, 12]
    for nf in (2, 6):
        batch = run_op(
            kind, frames[:nf].reshape(nf, -1), np.tile(types, (nf, 1)), boxes[:nf], natoms, PERIODIC, sel, davg, dstd
        )
        for f in range(nf):
            one = run_op(
                kind, frames[f : f + 1].reshape(1, -1), types[None], boxes[f : f + 1], natoms, PERIODIC, sel, davg, dstd
            )
            for a, b in zip(batch, one):
                np.testing.assert_array_equal(a[f], b[0])


def list_of_engine(coord, types, box, skin, seed=0):
    """What an MD engine has: ghosts behind the local atoms, a full list that reaches beyond the cutoff, rows in any order."""
    rng = np.random.default_rng(seed)
    all_coord, all_types, owner = ref.images(coord, types, box, RCUT + skin)
    n = len(coord)
    rows = []
    for i in range(n):
        near = np.flatnonzero(np.linalg.norm(all_coord - all_coord[i], axis=1) < RCUT + skin)
        rows.append(rng.permutation(near[near != i]).astype(np.int32))
    order = rng.permutation(n).astype(np.int32)
    return all_coord, all_types, owner, order, [rows[i] for i in order]


def mesh_by_value(order, rows):
    head = np.zeros(16, np.int32)
    head[0] = len(order)
    return np.concatenate([head, order, np.array([len(r) for r in rows], np.int32), *rows]).astype(np.int32)


def mesh_by_pointer(order, rows):
    """The mesh, and the arrays that have to outlive it."""
    counts = np.array([len(r) for r in rows], np.int32)
    first = np.array([r.ctypes.data for r in rows], np.int64)
    mesh = np.zeros(16, np.int32)
    mesh[1] = len(order)
    for at, array in ((4, order), (8, counts), (12, first)):
        mesh[at : at + 2] = np.array([array.ctypes.data], np.int64).view(np.int32)
    return mesh, (order, rows, counts, first)


@pytest.mark.parametrize("form", ["pointers", "values"])
@pytest.mark.parametrize(
    "name", ["liquid", "triclinic", "sel overflows", "virtual atoms", "cell smaller than the cutoff"]
)
def test_list_of_an_engine(name, form):
    coord, types, box, sel = CASES[name]
    davg, dstd = statistics(name, sel, 4)
    expected = ref.environment(coord, types, box, sel, davg, dstd, RCUT, RCUT_SMTH, 4)
    all_coord, all_types, owner, order, rows = list_of_engine(coord, types, box, skin=0.8)
    nall, n = len(all_coord), len(coord)
    mesh, _alive = mesh_by_pointer(order, rows) if form == "pointers" else (mesh_by_value(order, rows), None)
    natoms = [n, nall, *(int((types == t).sum()) for t in range(2))]
    sel_overflow()
    out = run_op("a", all_coord.reshape(1, -1), all_types[None], box.reshape(1, 9), natoms, mesh, sel, davg, dstd)
    assert sel_overflow() == expected["lost"]
    ghosts = out[3].reshape(n, -1)
    assert (ghosts < nall).all()
    out[3] = np.where(ghosts >= 0, owner[ghosts], -1)
    # What a virtual center lists is open, since its derivatives are zero.
    virtual = types < 0
    out[2] = np.where(virtual[:, None], 0, out[2].reshape(n, -1))
    out[3] = np.where(virtual[:, None], -1, out[3])
    compare(out, expected, 1e-12, sel, name in ref.WITH_TIES)


@pytest.mark.parametrize(
    "change,message",
    [
        ({"mesh": np.zeros(3, np.int32)}, "a mesh of length 3 has no meaning"),
        ({"mesh": np.zeros(7, np.int32)}, "mixed types .* are not supported"),
        ({"types": np.full((1, 24), 2)}, "has type 2, the model knows 2 types"),
        ({"natoms": [20, 24, 12, 12]}, "all 24 atoms must be local"),
        ({"natoms": [24, 25, 12, 12]}, "natoms says 24 local of 25 atoms"),
        ({"natoms": [24, 24]}, "natoms needs at least 3 entries"),
        ({"sel": [20]}, "davg and dstd must be"),
        ({"box": np.zeros((1, 9))}, "frame 0: "),
        ({"box": np.zeros((2, 9))}, "box"),
        ({"coord": np.full((1, 72), np.nan)}, "frame 0: "),
    ],
)
def test_errors(change, message):
    coord, types, box, sel = CASES["liquid"]
    davg, dstd = ref.statistics(2, sel, 4)
    keys = ("coord", "types", "box", "natoms", "mesh")
    inputs = {**dict(zip(keys, frame_inputs(coord, types, box))), "sel": sel, "davg": davg, "dstd": dstd, **change}
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        run_op("a", **inputs)


@pytest.mark.parametrize(
    "spoil,message",
    [
        (lambda order, rows: rows[3].__setitem__(0, 10**6), "names an atom outside"),
        (lambda order, rows: order.__setitem__(0, order[1]), "not a permutation"),
    ],
)
def test_damaged_lists(spoil, message):
    coord, types, box, sel = CASES["liquid"]
    davg, dstd = ref.statistics(2, sel, 4)
    all_coord, all_types, _, order, rows = list_of_engine(coord, types, box, skin=0.5)
    spoil(order, rows)
    natoms = [len(coord), len(all_coord), 12, 12]
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        run_op(
            "a",
            all_coord.reshape(1, -1),
            all_types[None],
            box.reshape(1, 9),
            natoms,
            mesh_by_value(order, rows),
            sel,
            davg,
            dstd,
        )
    short = mesh_by_value(*list_of_engine(coord, types, box, skin=0.5)[3:])[:-1]
    with pytest.raises(tf.errors.InvalidArgumentError, match="ends before"):
        run_op("a", all_coord.reshape(1, -1), all_types[None], box.reshape(1, 9), natoms, short, sel, davg, dstd)


def test_rounding_close_to_the_cutoff():
    """Nearly all of the switch cancels there; what is left is rounded as by the public op (cutoff 4 Å, smooth from 0.5 Å)."""
    d = [
        [-0.45074893382655956, 3.7311975108432285, -1.3681833635207683],
        [2.704888665285871, -0.24763947214372498, 2.9356294289704903],
        [-3.803064175645195, 0.9428033389647519, -0.8018845200860187],
        [-2.9137810266476873, -0.21176227893070218, -2.7306658729681774],
    ]
    public = [3.2786360864691028e-12, 9.258737113254222e-12, 1.2643703321659732e-11, 6.997316065847689e-11]
    coord = np.concatenate([np.zeros((4, 3)), d], axis=1)
    with tf.Graph().as_default(), tf.Session() as session:
        em, *_ = op_module.prod_env_mat_a(
            coord, np.zeros((4, 2), np.int32), np.array([2, 2, 2], np.int32), np.tile(np.eye(3).ravel(), (4, 1)), OPEN,
            np.zeros((1, 4)), np.ones((1, 4)), rcut_a=-1, rcut_r=4.0, rcut_r_smth=0.5, sel_a=[1], sel_r=[0],
        )  # fmt: skip
        rows = session.run(em)
    np.testing.assert_allclose(rows.reshape(4, 2, 4)[:, 0, 0], public, rtol=2e-15)


def test_rounding_of_images():
    """Wrapped atoms and their images are rounded as by the public op: inverse cell by a product with 1 / volume, sums from the left."""
    rng = np.random.default_rng(7)
    box = 7.0 * np.eye(3) + rng.normal(0, 0.8, (3, 3))
    coord = rng.uniform(-1.5, 2.5, (9, 3)) @ box
    cross = np.array([np.cross(box[1], box[2]), np.cross(box[2], box[0]), np.cross(box[0], box[1])])
    volume = box[0, 0] * cross[0, 0] + box[0, 1] * cross[0, 1] + box[0, 2] * cross[0, 2]

    def product(rows, matrix):
        return rows[:, :1] * matrix[0] + rows[:, 1:2] * matrix[1] + rows[:, 2:] * matrix[2]

    fractional = product(coord, (cross * (1 / volume)).T)
    wrapped = product(fractional - np.floor(fractional), box)
    zeros, ones = np.zeros((1, 160)), np.ones((1, 160))
    natoms = [9, 9, 9]
    *_, rij, nlist = run_op(
        "a", coord.reshape(1, -1), np.zeros((1, 9)), box.reshape(1, 9), natoms, PERIODIC, [40], zeros, ones
    )
    rij, nlist = rij.reshape(9, 40, 3), nlist.reshape(9, 40)
    i, slot = np.nonzero(nlist >= 0)
    j = nlist[i, slot]
    image = np.rint((rij[i, slot] - (wrapped[j] - wrapped[i])) @ np.linalg.inv(box))
    np.testing.assert_array_equal(rij[i, slot], wrapped[j] + product(image, box) - wrapped[i])
    assert len(i) > 30
