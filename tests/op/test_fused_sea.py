"""The fused se_e2_a model against the graph that it replaces, on hard geometries and for every option of the model."""

import json

import numpy as np
import pytest

from dptf.graph.freeze import frozen_graph
from dptf.graph.rewrite import rewrite_graph
from dptf.infer import DeepPot
from dptf.model import build_model
from dptf.nn.table import TableSettings
from dptf.ops import sel_overflow, tf
from tests.op import env_reference as ref
from tests.op.test_prod_env_mat import list_of_engine, mesh_by_pointer, mesh_by_value

GEOMETRIES = ref.geometries()
OUTPUTS = ["o_energy", "o_force", "o_virial", "o_atom_energy", "o_atom_virial"]


def make_model(
    sel=(20, 20), one_side=True, resnet_dt=False, exclude=(), activation="tanh", fparam=0, aparam=0, precision="float64",
    width=(6, 12, 24), axis=5, hidden=(14, 14, 14), seed=0, step=None, tebd=0, case=0, at_load=False,
):  # fmt: skip
    """Frozen graph with random weights; averages and deviations differ between blocks. With a step it is compressed; `tebd` is the length of vectors of types."""
    rng = np.random.default_rng(seed)
    nnei = sum(sel)
    section = {
        "type_map": ["A", "B"],
        "descriptor": {
            "type": "se_e2_a", "rcut": 3.3, "rcut_smth": 0.7, "sel": list(sel), "neuron": list(width), "axis_neuron": axis,
            "resnet_dt": resnet_dt, "type_one_side": one_side, "activation_function": activation, "precision": precision,
            "trainable": True, "seed": 1, "set_davg_zero": False, "exclude_types": [list(p) for p in exclude],
        },
        "fitting_net": {
            "type": "ener", "neuron": list(hidden), "numb_fparam": fparam, "numb_aparam": aparam,
            "activation_function": activation, "resnet_dt": resnet_dt, "precision": precision, "seed": 1, "dim_case_embd": case,
        },
    }  # fmt: skip
    if tebd:
        section["type_embedding"] = {"neuron": [tebd], "seed": 1}
    davg, dstd = ref.statistics(2, sel, 4, per_slot=False)
    davg = davg.reshape(2, nnei, 4) * [1, 0, 0, 0]
    values = {"descrpt_attr/t_avg": davg.reshape(2, -1), "descrpt_attr/t_std": dstd}

    def layer(scope, at, n, m):
        values[f"{scope}/matrix{at}"] = rng.normal(size=(n, m)) / np.sqrt(n + m)
        values[f"{scope}/bias{at}"] = rng.normal(scale=0.3, size=m)
        values[f"{scope}/idt{at}"] = rng.normal(1.0, 0.2, size=m)

    if tebd:
        values["type_embed_net/matrix_1"] = rng.normal(size=(2, tebd))
    nets = [
        (f"filter_type_{'all' if one_side else ti}", f"_{tj}") for ti in range(1 if one_side else 2) for tj in range(2)
    ]
    for scope, tail in [("filter_type_all", "")] if tebd else nets:
        for k, (n, m) in enumerate(zip((1 + tebd * (1 if one_side else 2), *width), width)):
            layer(scope, f"_{k + 1}{tail}", n, m)
    for tail in [""] if tebd else ["_type_0", "_type_1"]:
        sizes = (width[-1] * axis + tebd + fparam + aparam + case, *hidden)
        for k, (n, m) in enumerate(zip(sizes, hidden)):
            layer(f"layer_{k}{tail}", "", n, m)
        layer(f"final_layer{tail}", "", hidden[-1], 1)
    if case:
        values["fitting_attr/t_case_embd"] = np.eye(case)[0]
    for key, dim in (("fparam", fparam), ("aparam", aparam)):
        if dim:
            values[f"fitting_attr/t_{key}_avg"] = rng.normal(size=dim)
            values[f"fitting_attr/t_{key}_istd"] = rng.uniform(0.5, 2, size=dim)
    values["fitting_attr/t_bias_atom_e"] = np.array([-1.5, 0.75])
    if step is not None:
        build_model(section).compress(values, TableSettings(step, min_distance=1.0, at_load=at_load))
    return frozen_graph({"model": section}, values)


def fuse(graph, **options):
    fused, report = rewrite_graph(graph, **options)
    assert report.startswith("fused se_e2_a kernels"), report
    assert any(n.op == "DptfFusedSea" for n in fused.node)
    return fused, report


class Runner:
    """A graph in a session."""

    def __init__(self, graph_def):
        self.graph = tf.Graph()
        with self.graph.as_default():
            tf.import_graph_def(graph_def, name="")
        self.session = tf.Session(graph=self.graph)

    def run(self, feeds, outputs=OUTPUTS):
        """Outputs by name."""
        return dict(
            zip(outputs, self.session.run([f"{o}:0" for o in outputs], {f"t_{k}:0": v for k, v in feeds.items()}))
        )


def feeds_of(coord, types, box, nf=1, seed=0):
    """Frames with the atoms sorted by type, virtual ones last; the frames differ by a rattle."""
    order = np.argsort(np.where(types < 0, 9, types), kind="stable")
    coord, types = coord[order], types[order]
    frames = np.stack([coord + 0.02 * k * np.random.default_rng(seed + k).normal(size=coord.shape) for k in range(nf)])
    n = len(coord)
    return {
        "coord": frames.ravel(),
        "type": np.tile(types, nf).astype(np.int32),
        "natoms": np.array([n, n, int((types == 0).sum()), int((types == 1).sum())], np.int32),
        "box": np.tile((np.eye(3) if box is None else box).ravel(), nf),
        "mesh": np.zeros(0 if box is None else 6, np.int32),
    }


def without_virtual_atoms(feeds):
    """The same frames without their virtual atoms, which stand last, and the numbers of the atoms that are left."""
    real = feeds["type"].reshape(-1, feeds["natoms"][0])[0] >= 0
    nf, n = len(feeds["type"]) // len(real), int(real.sum())
    coord = feeds["coord"].reshape(nf, -1, 3)[:, real].ravel()
    natoms = feeds["natoms"].copy()
    natoms[:2] = n
    return {**feeds, "coord": coord, "type": feeds["type"].reshape(nf, -1)[:, real].ravel(), "natoms": natoms}, n


def agree(fused, plain, tolerance=1e-10):
    assert fused.keys() == plain.keys()
    for key, expected in plain.items():
        assert fused[key].shape == expected.shape and fused[key].dtype == expected.dtype, key
        atol = tolerance * max(1.0, np.abs(expected).max() if expected.size else 0)
        np.testing.assert_allclose(fused[key], expected, rtol=0, atol=atol, err_msg=key)


@pytest.fixture(scope="module")
def runners():
    """Plain and fused session of the models, by sel: the rest of the model is the same."""
    kept = {}

    def get(sel):
        if sel not in kept:
            graph = make_model(sel, one_side=False, resnet_dt=True)
            kept[sel] = Runner(graph), Runner(fuse(graph)[0])
        return kept[sel]

    return get


@pytest.mark.parametrize("nf", [1, 7])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_geometries(name, nf, runners):
    coord, types, box, sel = GEOMETRIES[name]
    plain, fused = runners(tuple(sel))
    feeds = feeds_of(coord, types, box, nf)
    real, n = without_virtual_atoms(feeds)
    if n == 0:
        for key, value in fused.run(feeds).items():
            assert not value.any(), key
        return
    sel_overflow()
    expected = plain.run(real)
    lost = sel_overflow()
    found = fused.run(feeds)
    assert sel_overflow() == lost
    for key in ("o_force", "o_atom_energy", "o_atom_virial"):
        rows = found[key].reshape(nf, len(types), -1)
        assert not rows[:, n:].any()
        found[key] = rows[:, :n].reshape(nf, -1)
    agree(found, expected)


def test_pairs_closer_than_the_table(runners):
    coord, types, box, sel = GEOMETRIES["liquid"]
    plain, fused = runners(tuple(sel))
    coord = coord.copy()
    for k, r in enumerate((0.49, 0.3, 0.1, 0.02)):
        coord[2 * k + 1] = coord[2 * k] + r * np.array([0.6, 0.0, 0.8])
    feeds = feeds_of(coord, types, box)
    agree(fused.run(feeds), plain.run(feeds))


@pytest.mark.parametrize("form", ["pointers", "values"])
@pytest.mark.parametrize("name", ["liquid", "triclinic", "sel overflows", "cell smaller than the cutoff"])
def test_list_of_an_engine(name, form, runners):
    """Ghosts behind the local atoms, any order of rows, list beyond the cutoff; forces of ghosts stay on the ghosts."""
    coord, types, box, sel = GEOMETRIES[name]
    order = np.argsort(np.where(types < 0, 9, types), kind="stable")
    coord, types = coord[order], types[order]
    plain, fused = runners(tuple(sel))
    all_coord, all_types, _, rows_of, rows = list_of_engine(coord, types, box, skin=0.8)
    mesh, _alive = mesh_by_pointer(rows_of, rows) if form == "pointers" else (mesh_by_value(rows_of, rows), None)
    feeds = {
        "coord": all_coord.ravel(), "type": all_types.astype(np.int32), "box": box.ravel(), "mesh": mesh,
        "natoms": np.array([len(coord), len(all_coord), (types == 0).sum(), (types == 1).sum()], np.int32),
    }  # fmt: skip
    found = fused.run(feeds)
    agree(found, plain.run(feeds))
    assert np.abs(found["o_force"].reshape(-1, 3)[len(coord) :]).max() > 0


OPTIONS = {
    "one-sided": {},
    "two-sided": {"one_side": False},
    "time step": {"resnet_dt": True},
    "excluded, one-sided": {"exclude": [(0, 1)]},
    "excluded, two-sided": {"exclude": [(0, 0)], "one_side": False},
    "all excluded": {"exclude": [(0, 0), (0, 1), (1, 1)]},
    "parameters": {"fparam": 2, "aparam": 3},
    "frame parameter": {"fparam": 1},
    "atom parameter": {"aparam": 1, "one_side": False},
    "no doubling": {"width": (7, 9)},
    "one layer": {"width": (11,), "hidden": (13,)},
    "axis as wide as the net": {"axis": 24},
    "one axis": {"axis": 1},
    "kinks, two-sided": {"activation": "relu6", "one_side": False, "exclude": [(0, 0)], "fparam": 1},
    "widths of whole vectors": {"width": (8, 16, 32), "axis": 8, "hidden": (24, 48, 48)},
    **{
        a: {"activation": a, "resnet_dt": True}
        for a in (
            "softplus",
            "sigmoid",
            "gelu",
            "gelu_tf",
            "silu",
            "none",
            "linear",
            "relu",
            "relu6",
            "silut",
            "silut:0.7",
        )
    },
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options(name):
    options = OPTIONS[name]
    graph = make_model(seed=len(name), **options)
    fused, plain = Runner(fuse(graph)[0]), Runner(graph)
    rng = np.random.default_rng(1)
    for case in ("liquid", "open", "absent type"):
        coord, types, box, _ = GEOMETRIES[case]
        feeds = feeds_of(coord, types, box, nf=2)
        if options.get("fparam"):
            feeds["fparam"] = rng.normal(size=2 * options["fparam"])
        if options.get("aparam"):
            feeds["aparam"] = rng.normal(size=2 * len(coord) * options["aparam"])
        agree(fused.run(feeds), plain.run(feeds))


VECTORS = {
    "one-sided": {},
    "two-sided": {"one_side": False, "resnet_dt": True, "activation": "gelu"},
    "excluded": {"exclude": [(0, 1)], "activation": "relu"},
    "parameters": {"fparam": 2, "aparam": 1, "one_side": False, "exclude": [(1, 1)]},
    "case, one layer": {"case": 3, "width": (11,), "activation": "silu"},
    "compressed": {"step": 0.05, "one_side": False},
    "tables at load": {"step": 0.05, "one_side": False, "at_load": True},
}


@pytest.mark.parametrize("name", VECTORS)
def test_vectors_of_types(name):
    """Nets that take the types as inputs; atoms may come in any order, virtual ones among them."""
    options = VECTORS[name]
    graph = make_model(tebd=3, seed=len(name), **options)
    fused, plain = Runner(fuse(graph)[0]), Runner(graph)
    rng = np.random.default_rng(1)
    for case in ("liquid", "open", "absent type"):
        coord, types, box, _ = GEOMETRIES[case]
        feeds = feeds_of(coord, types, box)
        n = len(coord)
        feeds |= {"fparam": rng.normal(size=2), "aparam": rng.normal(size=n)} if "fparam" in options else {}
        agree(fused.run(feeds), plain.run(feeds))
        if "fparam" not in options:
            order = rng.permutation(n)
            feeds |= {"coord": feeds["coord"].reshape(-1, 3)[order].ravel(), "type": feeds["type"][order]}
            agree(fused.run(feeds), plain.run(feeds))


def test_outputs_one_by_one(runners):
    """What is not fetched is not computed; what is fetched does not depend on the rest."""
    coord, types, box, sel = GEOMETRIES["liquid"]
    _, fused = runners(tuple(sel))
    feeds = feeds_of(coord, types, box, 3)
    together = fused.run(feeds)
    for name in OUTPUTS:
        np.testing.assert_array_equal(fused.run(feeds, [name])[name], together[name])


def test_same_bits_in_every_run(runners):
    coord, types, box, sel = GEOMETRIES["liquid"]
    _, fused = runners(tuple(sel))
    for nf in (1, 9):
        feeds = feeds_of(coord, types, box, nf)
        first = fused.run(feeds)
        for _ in range(4):
            for key, value in fused.run(feeds).items():
                np.testing.assert_array_equal(value, first[key])


def test_many_atoms(runners):
    """More blocks than threads: several parts, and a last block that is not full."""
    coord, types, box, sel = GEOMETRIES["liquid"]
    plain, fused = runners(tuple(sel))
    shifts = np.array([[i, j, k] for i in range(3) for j in range(2) for k in range(2)])
    coord = (coord[None] + (shifts @ box)[:, None]).reshape(-1, 3)
    coord += np.random.default_rng(2).normal(scale=0.02, size=coord.shape)
    feeds = feeds_of(coord, np.tile(types, 12), box * np.array([[3], [2], [2]]))
    agree(fused.run(feeds), plain.run(feeds))


def test_finite_differences_of_the_fused_model(runners):
    coord, types, box, sel = GEOMETRIES["triclinic"]
    _, fused = runners(tuple(sel))
    feeds = feeds_of(coord, types, box)
    force = fused.run(feeds)["o_force"].ravel()
    for k in (0, 17, 44):
        energy = []
        for h in (1e-5, -1e-5):
            moved = feeds["coord"].copy()
            moved[k] += h
            energy.append(fused.run({**feeds, "coord": moved}, ["o_energy"])["o_energy"][0])
        assert -(energy[0] - energy[1]) / 2e-5 == pytest.approx(force[k], abs=1e-8)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_single_precision(precision):
    """Graphs of single precision, and graphs of double precision that are computed in single on request."""
    graph = make_model(precision=precision, resnet_dt=True)
    fused, report = fuse(graph, precision="float32" if precision == "float64" else None)
    assert "(float32," in report
    assert ("errors of float32 on a test configuration: energy" in report) == (precision == "float64")
    plain, fused = Runner(graph), Runner(fused)
    for name in ("liquid", "triclinic", "sel overflows"):
        coord, types, box, _ = GEOMETRIES[name]
        feeds = feeds_of(coord, types, box)
        found, expected = fused.run(feeds), plain.run(feeds)
        agree(found, expected, 3e-6)
        if precision == "float64":
            assert np.abs(found["o_force"] - expected["o_force"]).max() > 1e-9


COMPRESSED = {
    "one side": {},
    "two sides": {"one_side": False},
    "time steps": {"resnet_dt": True, "width": (6, 6, 12)},
    "exclusions": {"exclude": [(0, 1)]},
    "exclusions, two sides": {"one_side": False, "exclude": [(0, 0)]},
    "a type without slots": {"sel": (0, 30), "one_side": False},
    "coarse": {"step": 0.1},
    "float32": {"precision": "float32"},
    "parameters": {"fparam": 2, "aparam": 1},
}


@pytest.mark.parametrize("name", COMPRESSED)
def test_compressed(name):
    """Stored tables are read as the public ops read them, within their fine part, beyond it, and beyond their end."""
    options = {"step": 0.02} | COMPRESSED[name]
    graph = make_model(**options)
    assert any(n.op == "TabulateFusionSeA" for n in graph.node)
    plain, fused = Runner(graph), Runner(fuse(graph)[0])
    for geometry in ("liquid", "triclinic"):
        coord, types, box, _ = GEOMETRIES[geometry]
        coord = coord.copy()
        for k, r in enumerate((0.9, 0.5, 0.2, 0.05)):
            coord[2 * k + 1] = coord[2 * k] + r * np.array([0.6, 0.0, 0.8])
        feeds = feeds_of(coord, types, box)
        n = feeds["natoms"][0]
        rng = np.random.default_rng(3)
        feeds |= {"fparam": rng.normal(size=2), "aparam": rng.normal(size=n)} if "fparam" in options else {}
        agree(fused.run(feeds), plain.run(feeds), 1e-4 if "precision" in options else 1e-10)


@pytest.mark.parametrize(
    "options", [{}, {"step": 0.02}, {"step": 0.1}, {"activation": "relu"}, {"activation": "silut:0.7"}], ids=str
)
def test_every_distance(options):
    """Pairs at distances through all pieces of the tables and their joints, to both ends and beyond."""
    graph = make_model(resnet_dt=True, **options)
    plain, fused = Runner(graph), Runner(fuse(graph)[0])
    r = np.concatenate([np.linspace(0.02, 3.4, 700), 3.3 - 10.0 ** -np.arange(1, 9)])
    direction = np.array([0.36, 0.48, -0.8])
    for types in ([0, 0], [0, 1], [1, 1]):
        coord = np.zeros((len(r), 2, 3))
        coord[:, 1] = r[:, None] * direction
        feeds = {
            "coord": coord.ravel(), "type": np.tile(np.array(types, np.int32), len(r)), "box": np.tile(np.eye(3).ravel(), len(r)),
            "natoms": np.array([2, 2, types.count(0), types.count(1)], np.int32), "mesh": np.zeros(0, np.int32),
        }  # fmt: skip
        found, expected = fused.run(feeds), plain.run(feeds)
        # Forces grow without bound where atoms meet: each frame has a scale of its own.
        for key, value in expected.items():
            a, b = found[key].reshape(len(r), -1), value.reshape(len(r), -1)
            scale = np.maximum(1, np.abs(b).max(axis=1, keepdims=True))
            np.testing.assert_allclose(a / scale, b / scale, rtol=0, atol=1e-10, err_msg=key)


def test_a_graph_that_does_more_is_kept():
    """The self-check sees what recognition does not: here the energy is doubled behind the fitting net."""
    graph = make_model()
    for node in graph.node:
        if node.name == "o_energy":
            node.name = "inner_energy"
    with tf.Graph().as_default() as g:
        tf.import_graph_def(graph, name="")
        inner = g.get_tensor_by_name("inner_energy:0")
        tf.add(inner, inner, name="o_energy")
        graph = g.as_graph_def()
    kept, report = rewrite_graph(graph)
    assert kept is graph
    assert report.startswith("graph run as it is: the fused kernels deviate from the graph by")


def test_nets_that_no_table_can_hold():
    graph = make_model(resnet_dt=True)
    for node in graph.node:
        if node.name == "filter_type_all/matrix_1_0":
            steep = tf.make_ndarray(node.attr["value"].tensor) * 1e5
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(steep))
    kept, report = rewrite_graph(graph)
    assert kept is graph and "cannot be tabulated" in report


def test_gelu_of_tensorflow(monkeypatch):
    """tf.nn.gelu has a factor of single precision, which graphs of the public package hold."""
    from dptf.nn import activation

    def gelu(x):
        factor = tf.cast(tf.constant(0.044715, tf.float32), x.dtype)
        return 0.5 * x * (1.0 + tf.tanh(0.7978845608028654 * (x + factor * tf.pow(x, 3))))

    monkeypatch.setitem(activation._FUNCTIONS, "gelu_tf", gelu)
    graph = make_model(activation="gelu_tf", sel=(12, 12))
    feeds, _ = without_virtual_atoms(feeds_of(*GEOMETRIES["triclinic"][:3]))
    agree(Runner(fuse(graph)[0]).run(feeds), Runner(graph).run(feeds), 1e-11)


def test_other_models_are_kept(golden):
    graph = tf.GraphDef()
    for name in ("se_e3", "se_e2_r"):
        graph.ParseFromString((golden / "pb" / f"{name}.pb").read_bytes())
        kept, report = rewrite_graph(graph)
        assert kept is graph and report.startswith("graph run as it is: ")


def test_switches(monkeypatch, tmp_path):
    graph = make_model()
    path = tmp_path / "model.pb"
    path.write_bytes(graph.SerializeToString())
    assert DeepPot(path).runtime_report().startswith("fused se_e2_a kernels (float64,")
    assert DeepPot(path, precision="float32").runtime_report().startswith("fused se_e2_a kernels (float32,")
    assert DeepPot(path, plain=True).runtime_report() == "graph run as it is (on request)"
    monkeypatch.setenv("DPTF_PRECISION", "float32")
    assert DeepPot(path).runtime_report().startswith("fused se_e2_a kernels (float32,")
    assert DeepPot(path, precision="float64").runtime_report().startswith("fused se_e2_a kernels (float64,")
    monkeypatch.setenv("DPTF_PLAIN", "1")
    assert DeepPot(path).runtime_report() == "graph run as it is (DPTF_PLAIN is set)"
    monkeypatch.setenv("DPTF_PLAIN", "0")
    monkeypatch.setenv("DPTF_PRECISION", "half")
    with pytest.raises(Exception, match="'half' is not a precision"):
        DeepPot(path)


def test_golden_models_are_fused(golden):
    names = ["se_e2_a", "se_e2_a_two_side", "se_e2_a_exclude"]
    for name in [*names, "se_e2_a_fparam_aparam", *(f"{n}.compressed" for n in names)]:
        report = DeepPot(golden / "pb" / f"{name}.pb").runtime_report()
        assert report.startswith("fused se_e2_a kernels"), f"{name}: {report}"


def test_errors(runners):
    coord, types, box, sel = GEOMETRIES["liquid"]
    _, fused = runners(tuple(sel))
    good = feeds_of(coord, types, box)
    for change, message in [
        ({"type": np.full(24, 2, np.int32)}, "type 2"),
        ({"mesh": np.zeros(3, np.int32)}, "a mesh of length 3 has no meaning"),
        ({"natoms": np.array([20, 24, 12, 12], np.int32)}, "all 24 atoms must be local"),
        ({"natoms": np.array([24, 25, 12, 12], np.int32)}, "natoms says 24 local of 25 atoms"),
        ({"box": np.zeros(9)}, "frame 0: "),
    ]:
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            fused.run({**good, **change})


def test_names_and_attributes_stay(golden):
    graph = make_model()
    fused, _ = fuse(graph)
    assert {n.name for n in graph.node} <= {n.name for n in fused.node}
    script = next(n for n in fused.node if n.name == "train_attr/training_script")
    assert "descriptor" in json.loads(script.attr["value"].tensor.string_val[0])["model"]
