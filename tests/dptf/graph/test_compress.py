"""dp compress: the same numbers as the original and as the public tables, errors that are told, compressed training."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from model_cases import FITTING, SE_A, random_graph
from toy import write_input, write_system

from dptf.cli.main import main
from dptf.errors import UserError
from dptf.graph import compress as module
from dptf.graph.compress import compress, read_tables
from dptf.graph.load import add_constant, constants, load_graph_def, text_constant, write_graph_def
from dptf.infer import DeepPotential
from dptf.model import build_model
from dptf.nn.table import TableSettings, fit_stride, make_table, net_jets

FAMILIES = {
    "se_e2_a": 0.02, "se_e2_a_two_side": 0.02, "se_e2_a_exclude": 0.02, "se_e2_r": 0.02, "hybrid": 0.02, "se_e3": 0.004,
    "se_atten_strip": 0.01, "se_atten_v2": 0.01, "se_e2_a_tebd": 0.02,
}  # fmt: skip


def add_constant_to(path, name, value):
    graph = load_graph_def(path)
    add_constant(graph, name, value)
    write_graph_def(graph, path)


def evaluate(path, coord, box, types, **kwargs):
    with DeepPotential(path, **kwargs) as model:
        out = model.eval(coord, box, types, atomic=True)
        return out if isinstance(out, tuple) else (out,)


@pytest.mark.parametrize("name", FAMILIES)
def test_families(golden, name, tmp_path):
    """The numbers of the original; for close pairs (outside the tables) forces that belong to the energies."""
    data = np.load(golden / "pb" / f"{name}.npz")
    compress(str(golden / "pb" / f"{name}.pb"), str(tmp_path / "c.pb"), step=FAMILIES[name], frames=0)
    keys = ["energy", "force", "virial", "atom_energy", "atom_virial"]
    for prefix, box in (("pbc_", data["box"]), ("nopbc_", None)):
        for key, value in zip(keys, evaluate(tmp_path / "c.pb", data["coord"], box, data["atype"])):
            expected = data[prefix + key]
            np.testing.assert_allclose(
                value, expected, rtol=0, atol=1e-10 * max(1, np.abs(expected).max()), err_msg=key
            )
    coord, types = data["coord"][:1].copy(), data["atype"].reshape(-1)[: data["coord"].shape[1] // 3]
    coord[0, 3:6] = coord[0, :3] + [0.2, 0.1, 0.0]
    h = 1e-5
    with DeepPotential(tmp_path / "c.pb", plain=True) as model:
        force = model.eval(coord, None, types)[1]
        for axis in range(3):
            step = np.zeros_like(coord)
            step[0, axis] = h
            slope = (model.eval(coord + step, None, types)[0] - model.eval(coord - step, None, types)[0]).item() / (
                2 * h
            )
            np.testing.assert_allclose(force[0, 0, axis], -slope, rtol=1e-5, atol=1e-6)


WITH_TYPES = {
    "concat_two_side": {"type": "se_e2_a", "type_one_side": False, "exclude_types": [[0, 1]]},
    "concat_residual": {"type": "se_e2_a", "neuron": [4, 4], "resnet_dt": True},
    "strip": {"type": "se_a_ebd_v2", "exclude_types": [[0, 0]]},
    "strip_two_side": {"type": "se_a_ebd_v2", "type_one_side": False},
}


@pytest.mark.parametrize("name", WITH_TYPES)
def test_type_embeddings(name, tmp_path):
    """Types in the first layer or as a factor; one table for every pair, or one for all."""
    section = {
        "type": "standard", "type_map": ["A", "B"], "descriptor": {**SE_A, **WITH_TYPES[name]}, "fitting_net": FITTING,
        "type_embedding": {"neuron": [3], "seed": 1},
    }  # fmt: skip
    write_graph_def(random_graph(section), tmp_path / "m.pb")
    add_constant_to(tmp_path / "m.pb", "train_attr/min_nbor_dist", 0.8)
    errors = compress(str(tmp_path / "m.pb"), str(tmp_path / "c.pb"), step=0.02, frames=2)
    assert set(errors) >= {"energy", "force", "virial"} and max(errors.values()) < 1e-9
    tables = [k for k in constants(load_graph_def(tmp_path / "c.pb")) if "/table_" in k and "info" not in k]
    assert len(tables) == {"concat_two_side": 4, "concat_residual": 2}.get(name, 0)


@pytest.mark.parametrize("name", ["dipole", "polar", "dos"])
def test_other_properties(golden, name, tmp_path):
    """The error is measured on generated configurations, since the data of these models are elsewhere."""
    errors = compress(str(golden / "pb" / f"{name}.pb"), str(tmp_path / "c.pb"), step=0.02, frames=1)
    assert {"dipole": "dipole", "polar": "polarizability", "dos": "DOS"}[name] in errors
    assert max(errors.values()) < 1e-11
    data = np.load(golden / "pb" / f"{name}.npz")
    found = evaluate(tmp_path / "c.pb", data["coord"], data["box"], data["atype"])
    for k, value in enumerate(found):
        expected = data[f"pbc_{name}_{k}"]
        np.testing.assert_allclose(value, expected, rtol=0, atol=1e-10 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("name", ["se_e2_a", "se_e2_a_exclude", "se_e2_a_two_side", "se_e2_r"])
def test_tables_are_the_public_ones(golden, name, tmp_path):
    """Ends, strides and coefficients, for the same options."""
    compress(str(golden / "pb" / f"{name}.pb"), str(tmp_path / "c.pb"), step=0.02, frames=0)
    public = load_graph_def(golden / "pb" / f"{name}.compressed.pb")
    script = json.loads(text_constant(public, "train_attr/training_script"))
    script["model"].pop("compress")
    names = build_model(script["model"]).descriptor.stored_names()
    expected, found = read_tables(public, names), read_tables(load_graph_def(tmp_path / "c.pb"), names)
    assert expected.keys() == found.keys() and len(found) >= 4
    for key, value in expected.items():
        if "info" in key:
            np.testing.assert_array_equal(found[key], value)
            continue
        # A rounding error of the nodes counts 1 / stride^p in coefficient p, and nothing in the value.
        weight = np.tile(0.02 ** np.arange(6), value.shape[1] // 6)
        np.testing.assert_allclose(found[key] * weight, value * weight, rtol=0, atol=1e-13 * np.abs(value).max())
    assert text_constant(load_graph_def(tmp_path / "c.pb"), "model_type") == "compressed_model"


def test_jets_and_tables():
    """Derivatives of a net against the complex step, and a table against its net between the nodes."""
    rng = np.random.default_rng(0)
    for activation in ("tanh", "gelu", "sigmoid", "softplus", "silu", "linear"):
        layers, n_in = [], 1
        for n_out in (2, 4, 4, 6):
            layers.append((rng.normal(size=(n_in, n_out)), rng.normal(size=n_out), rng.normal(1, 0.1, n_out)))
            n_in = n_out
        x, h = np.linspace(-2, 3, 11), 1e-5
        _, d, s = net_jets(x, layers, activation)
        up, down = net_jets(x + h, layers, activation), net_jets(x - h, layers, activation)
        np.testing.assert_allclose(d, (up[0] - down[0]) / (2 * h), rtol=0, atol=1e-8 * np.abs(d).max())
        np.testing.assert_allclose(s, (up[1] - down[1]) / (2 * h), rtol=0, atol=1e-8 * max(1, np.abs(s).max()))
        grid = TableSettings(0.02, 3).grid(-1.3, 2.2)
        info, edges = grid.info, grid.edges
        table = make_table(layers, activation, edges).reshape(-1, 6, 6)
        assert info.tolist()[:3] == [-2, 3, 9] and len(table) == 250 + 30
        middle = 0.5 * (edges[1:] + edges[:-1])
        t = (middle - edges[:-1])[:, None]
        value = sum(table[:, :, p] * t**p for p in range(6))
        exact = net_jets(middle, layers, activation)[0]
        np.testing.assert_allclose(value[:250], exact[:250], rtol=0, atol=1e-8 * np.abs(exact).max())


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_strides_divide_their_range(dtype):
    """Whatever the user asks for, the op's division finds every interval and no other."""
    for length in (1, 7, 28, 109):
        for step in (0.3, 0.1, 0.03, 0.02, 0.01, 0.007, 0.001):
            stride, count = fit_stride(length, step, dtype)
            assert int(dtype(length) / stride) == count and stride <= step * (1 + 1e-6)
            assert abs(stride * count - length) < 1e-5 * length
    assert fit_stride(7, 0.01) == (0.01, 700)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A frozen toy model with its data."""
    root = tmp_path_factory.mktemp("toy")
    with pytest.MonkeyPatch.context() as m:
        m.chdir(root)
        write_input(root, [write_system(root / "a", seed=0)], training__numb_steps=5)
        assert main(["train", "input.json"]) == 0
        assert main(["freeze"]) == 0
    return root


@pytest.fixture()
def folder(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("frozen_model.pb", "input.json"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    return tmp_path


def test_command_with_defaults(folder, capfd):
    """The road of dpgen: default names, nothing but the output appears; the error is measured on the training data."""
    assert main(["compress"]) == 0
    log = capfd.readouterr().err
    line = next(line for line in log.splitlines() if "largest error" in line)
    assert all(word in line for word in ("step 0.01", "energy", "force", "virial"))
    assert "generated" not in log
    numbers = [float(line.split(f"{key} ")[1].split()[0]) for key in ("energy", "force", "virial")]
    assert max(numbers) < 1e-10
    assert sorted(p.name for p in folder.iterdir()) == ["frozen_model.pb", "frozen_model_compressed.pb", "input.json"]
    assert main(["compress", "-i", "frozen_model_compressed.pb", "-o", "x"]) == 1


def test_tolerance_chooses_the_step(folder, caplog):
    with caplog.at_level("INFO"):
        errors = compress("frozen_model.pb", "c.pb", tolerance=1e-6)
    steps = [r.getMessage().split()[1] for r in caplog.records if "largest error" in r.getMessage()]
    assert max(errors.values()) <= 1e-6 and steps[0] == "0.2"
    assert compress("frozen_model.pb", "d.pb", step=float(steps[-1])) == errors
    a, b = constants(load_graph_def("c.pb")), constants(load_graph_def("d.pb"))
    np.testing.assert_array_equal(a["filter_type_all/table_0"], b["filter_type_all/table_0"])
    with pytest.raises(UserError, match="even with step"):
        compress("frozen_model.pb", "e.pb", tolerance=1e-30)
    assert sorted(p.name for p in folder.glob("*.pb")) == ["c.pb", "d.pb", "frozen_model.pb"]


def test_without_script_or_distance(folder, caplog):
    """Graphs of old releases store neither the input nor the smallest distance."""
    graph_def = load_graph_def("frozen_model.pb")
    for node in list(graph_def.node):
        if node.name.startswith("train_attr/"):
            graph_def.node.remove(node)
    Path("old.pb").write_bytes(graph_def.SerializeToString())
    with pytest.raises(UserError, match="does not store the input"):
        compress("old.pb", "c.pb")
    compress("old.pb", "c.pb", training_script="input.json", frames=0)
    compress("frozen_model.pb", "d.pb", frames=0)
    a, b = constants(load_graph_def("c.pb")), constants(load_graph_def("d.pb"))
    key = "filter_type_all/table_0"
    np.testing.assert_array_equal(a[key], b[key])


@pytest.mark.parametrize("name", ["se_e2_a_two_side", "se_e2_r", "se_e3", "se_atten", "se_atten_strip"])
def test_tables_beyond_a_file(golden, name, tmp_path, monkeypatch, caplog, capfd):
    """Tables that are made when the graph is loaded give the numbers of tables in the file, in plain and fused evaluation."""
    data, source = np.load(golden / "pb" / f"{name}.npz"), str(golden / "pb" / f"{name}.pb")
    inside, made = str(tmp_path / "inside.pb"), str(tmp_path / "made.pb")
    compress(source, inside, step=0.05, frames=0)
    assert not any(node.op == "DptfNetTable" for node in load_graph_def(inside).node)
    monkeypatch.setattr(module, "_MAX_TABLE_BYTES", 1e4)
    compress(source, made, step=0.05, frames=0)
    assert "other runtimes cannot run it" in caplog.text
    assert Path(made).stat().st_size < 0.8 * Path(inside).stat().st_size
    coord, box, types = (
        data["coord"][:1].copy(),
        data["box"][:1],
        data["atype"].reshape(-1)[: data["coord"].shape[1] // 3],
    )
    coord[0, 3:6] = coord[0, :3] + [0.3, 0.1, 0.0]  # beyond the fine part
    reference = evaluate(inside, coord, box, types, plain=True)
    for plain in (True, False) if name == "se_e2_a_two_side" else (True,):
        for value, expected in zip(evaluate(made, coord, box, types, plain=plain), reference):
            np.testing.assert_allclose(value, expected, rtol=0, atol=1e-12 * max(1, np.abs(expected).max()))
    if name == "se_e2_a_two_side":
        assert main(["show", made, "tables", "--runtime"]) == 0
        told = capfd.readouterr().err
        assert "made from the nets when the model is loaded" in told and "fused se_e2_a kernels" in told
        assert main(["show", inside, "tables"]) == 0
        assert "in the file: 4," in capfd.readouterr().err


@pytest.mark.parametrize("activation", ["tanh", "relu6", "softplus", "gelu", "silu", "silut:1.5", "linear"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_made_tables(activation, dtype):
    """The op makes the tables of NumPy, also of nets with further inputs."""
    from dptf.nn.parameters import Parameters
    from dptf.nn.table import StoredNet, put_table
    from dptf.ops import tf

    rng = np.random.default_rng(7)
    layers, n_in, rest = [], 3, rng.normal(size=2)
    for n_out in (3, 6, 5):
        layers.append((rng.normal(size=(n_in, n_out)), rng.normal(size=n_out), rng.normal(1, 0.1, n_out)))
        n_in = n_out
    layers = [tuple(a.astype(dtype) for a in layer) for layer in layers]
    for symmetric in (False, True):
        tables = []
        for at_load in (False, True):
            values, settings = {}, TableSettings(0.05, 3, at_load=at_load)
            put_table(
                values, "s", "_0", layers, activation, settings.grid(-1.3, 2.2, dtype, symmetric=symmetric), dtype, rest
            )
            with tf.Graph().as_default(), tf.Session() as session:
                net = StoredNet(Parameters(values, constant=True), "s", "_0", tf.as_dtype(dtype))
                tables.append(session.run(net._inputs[0]).reshape(-1, 5, 6))
        assert tables[0].shape == tables[1].shape
        # Coefficients of high powers carry rounding of the values divided by powers of the width; the values do not.
        width = 0.05 * (100 if symmetric else 10)
        size = np.abs(tables[0]).max()
        for p in range(6):
            difference = np.abs(tables[0][:, :, p] - tables[1][:, :, p]).max()
            assert difference * min(width, 0.05) ** p < 300 * np.finfo(dtype).eps * size


def test_limits(folder, monkeypatch):
    monkeypatch.setattr(module, "_MAX_TABLE_BYTES", 1e4)
    for options in ({"step": 0}, {"extrapolate": 1}, {"tolerance": 1e-3, "frames": 0}):
        with pytest.raises(UserError):
            compress("frozen_model.pb", "c.pb", **options)
    assert not Path("c.pb").exists()


def test_compressed_training(folder, capfd):
    """The descriptor stays, the fitting net learns, and the result is a compressed model again; restarts included."""
    compress("frozen_model.pb", "c.pb", frames=0)
    assert main(["train", "input.json", "--init-frz-model", "c.pb"]) == 0
    assert "its descriptor stays" in capfd.readouterr().err
    assert main(["freeze", "-o", "after.pb"]) == 0
    before, after = constants(load_graph_def("c.pb")), constants(load_graph_def("after.pb"))
    assert after["model_type"].item() == b"compressed_model"
    np.testing.assert_array_equal(before["filter_type_all/table_1"], after["filter_type_all/table_1"])
    assert np.abs(before["layer_0_type_0/matrix"] - after["layer_0_type_0/matrix"]).max() > 1e-4
    config = json.loads(Path("input.json").read_text())
    config["training"]["numb_steps"] = 7
    Path("input.json").write_text(json.dumps(config))
    assert main(["train", "input.json", "--restart", "model.ckpt"]) == 0
    rows = np.loadtxt("lcurve.out")
    assert rows[-1, 0] >= 5 and np.isfinite(rows).all()
    # One step of the full model from the same weights has the same loss: tables instead of nets change nothing.
    for name, source in (("a", "c.pb"), ("b", "frozen_model.pb")):
        config["training"] |= {"disp_file": f"{name}.out", "numb_steps": 1}
        Path("input.json").write_text(json.dumps(config))
        assert main(["train", "input.json", "--init-frz-model", source]) == 0
    np.testing.assert_allclose(np.loadtxt("a.out", ndmin=2)[0], np.loadtxt("b.out", ndmin=2)[0], rtol=1e-8)


@pytest.mark.parametrize("name", ["se_e2_a", "se_atten_strip", "se_atten_v2"])
def test_training_on_a_public_compressed_graph(golden, tmp_path, monkeypatch, name):
    """Tables are found by the ops that read them, and so are the factors of the types; a restart and a new graph hold them."""
    from dptf.graph.freeze import frozen_graph
    from dptf.train.start import frozen_values

    monkeypatch.chdir(tmp_path)
    public = golden / "pb" / f"{name}.compressed.pb"
    script = json.loads(text_constant(load_graph_def(public), "train_attr/training_script"))
    system = write_system(tmp_path / "a", seed=0)
    (system / "type_map.raw").write_text("O\nH\n")
    write_input(
        tmp_path, [system], model=script["model"] | {"compress": None}, training__numb_steps=1,
        training__disp_freq=1, loss__start_pref_v=0, loss__limit_pref_v=0,
    )  # fmt: skip
    config = json.loads(Path("input.json").read_text())
    kept = ("type_map", "descriptor", "fitting_net", "type_embedding")
    config["model"] = {k: v for k, v in config["model"].items() if k in kept}
    Path("input.json").write_text(json.dumps(config))
    assert main(["train", "input.json", "--init-frz-model", str(public)]) == 0
    plain = np.loadtxt("lcurve.out", ndmin=2)[0]
    if name != "se_e2_a":  # what is trained is the fitting net; the descriptor goes through checkpoints unchanged
        config["training"]["numb_steps"] = 2
        Path("input.json").write_text(json.dumps(config))
        assert main(["train", "input.json", "--restart", "model.ckpt"]) == 0
        script = json.loads(Path("out.json").read_text())
        values = frozen_values(str(public), build_model(script["model"]))
        write_graph_def(frozen_graph(script, values), "again.pb")
        data = np.load(golden / "pb" / f"{name}.compressed.npz")
        out = evaluate("again.pb", data["coord"], data["box"], data["atype"])
        np.testing.assert_allclose(out[1], data["pbc_force"].reshape(out[1].shape), atol=1e-9)
        return
    assert main(["train", "input.json", "--init-frz-model", str(golden / "pb" / f"{name}.pb")]) == 0
    np.testing.assert_allclose(np.loadtxt("lcurve.out", ndmin=2)[0], plain, rtol=1e-6)


def test_what_cannot_be_compressed(folder, golden):
    with pytest.raises(UserError, match="no compressed form"):
        compress(golden / "pb" / "loc_frame.pb", "c.pb", frames=0)
