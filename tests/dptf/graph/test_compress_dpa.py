"""Compressed DPA models and their three-body kin against the reference numbers of the full ones."""

import json

import numpy as np
import pytest

from dptf.cli.main import main
from dptf.descriptor.repflow import RepFlowOptions
from dptf.descriptor.repflow_table import edge_jets
from dptf.errors import UserError
from dptf.graph.compress import compress
from dptf.graph.freeze import frozen_graph
from dptf.graph.load import constants, load_graph_def, text_constant, write_graph_def
from dptf.infer import DeepPot
from dptf.nn.pair_table import SQUEEZE, Segment
from dptf.nn.table import activation_jets
from tests.dptf.dpa3_cases import REPFLOW, write_model

#: Steps at which tables are as good as the nets, and what is asked of energies [eV] and forces [eV/Å] then.
STEP, TOLERANCE = 0.002, 2e-9
NAMES = ["dpa1", "dpa1_no_attn", "dpa1_strip", "dpa1_strip_attn", "se_e3_tebd"]


@pytest.fixture()
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def with_distance(source, target, distance):
    """A graph that knows the smallest distance of its training data."""
    graph = load_graph_def(source)
    script = json.loads(text_constant(graph, "train_attr/training_script"))
    write_graph_def(frozen_graph(script, constants(graph), min_nbor_dist=distance), target)


def closest(coord, box):
    """Smallest distance in frames, Å."""
    shifts = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), -1).reshape(-1, 3)
    best = np.inf
    for x, b in zip(coord.reshape(len(coord), -1, 3), box.reshape(-1, 3, 3)):
        d = np.linalg.norm(x[None, None] + (shifts @ b)[:, None, None] - x[None, :, None], axis=-1)
        best = min(best, d[d > 1e-6].min())
    return best


@pytest.mark.parametrize(
    "name", [*NAMES, *(pytest.param(n, marks=pytest.mark.slow) for n in ("dpa2_three_body", "dpa3"))]
)
def test_families(golden, name, folder):
    source = golden / "dp" / f"{name}.dp"
    case = np.load(source.with_suffix(".npz"))
    assert main(["convert-backend", str(source), "m.pb"]) == 0
    with_distance("m.pb", "known.pb", closest(case["coord"], case["box"]))
    compress("known.pb", "c.pb", step=STEP, frames=0)
    assert text_constant(load_graph_def("c.pb"), "model_type") == "compressed_model"
    types = case["atype"] if case["atype"].ndim == 1 else case["atype"][0]
    with DeepPot("c.pb") as dp:
        for tag, box in (("pbc", case["box"]), ("nopbc", None)):
            out = dp.eval(case["coord"], box, types, atomic=True)
            for key, value in zip(("energy", "force", "virial", "atom_energy", "atom_virial"), out):
                want = case[f"{tag}_{key}"]
                np.testing.assert_allclose(value.reshape(want.shape), want, atol=TOLERANCE, err_msg=f"{tag} {key}")


@pytest.mark.parametrize(
    "more", [{"set_davg_zero": False, "exclude_types": [[0, 1]]}, {"smooth": False}, {"smooth": True}]
)
def test_angles_with_types(more, folder, monkeypatch):
    """se_e3_tebd by concatenation and in strip form; tables in the file and made at load, atoms closer than in the data too."""
    from tests.feature_table import BOX, COORD, DESCRIPTORS, FITTINGS, TYPES, frozen

    section = DESCRIPTORS["se_e3_tebd"] | {"tebd_input_mode": "strip" if "smooth" in more else "concat"} | more
    path = frozen("e3", section, FITTINGS["energy"], folder)[-1]
    compress(path, "c.pb", frames=0)
    monkeypatch.setattr("dptf.graph.compress._MAX_TABLE_BYTES", 1)
    compress(path, "n.pb", frames=0)
    coord = np.stack([COORD, COORD])
    coord[1, 1] = coord[1, 0] + [0.3, 0.3, 0.4]  # the tables know 0.8 Å
    coord[1, 2] = coord[1, 0] - [0.4, 0.3, 0.3]
    out = []
    for name in (path, "c.pb", "n.pb"):
        with DeepPot(name) as dp:
            out.append(dp.eval(coord, np.stack([BOX, BOX]), TYPES))
    for full, table, made in zip(*out):
        np.testing.assert_allclose(table[0], full[0], rtol=0, atol=1e-12)
        np.testing.assert_allclose(table, full, rtol=0, atol=3e-6 * np.abs(full).max())
        np.testing.assert_allclose(made, table, rtol=0, atol=1e-12)


def test_segments():
    """Both parts of a segment reproduce a function, across the joint and in the second class."""
    segment = Segment.covering(-0.3, 2.0, 7.0, 0.02)
    assert segment.stride == 1 / 64 and segment.lower <= -0.3
    assert segment.upper + SQUEEZE * segment.coarse * segment.stride >= 7.0
    jets = lambda x: (np.sin(x)[:, None], np.cos(x)[:, None], -np.sin(x)[:, None])  # noqa: E731
    table = segment.table(jets)
    assert table.shape == (segment.fine + segment.coarse, 6)
    t = 0.4 * segment.stride
    powers = t ** np.arange(6)
    for row, start, scale in ((3, segment.lower, 1.0), (segment.fine + 2, segment.upper, SQUEEZE)):
        place = start + scale * ((row - (segment.fine if scale > 1 else 0)) * segment.stride + t)
        np.testing.assert_allclose(table[row] @ powers, np.sin(place), atol=1e-9)


@pytest.mark.slow
def test_choice_of_precision(folder, caplog):
    """float32 nets of a float64 model, with the measured error and speed; a tolerance below their rounding is refused."""
    caplog.set_level("INFO")
    small = {k: REPFLOW[k] for k in ("n_dim", "e_dim", "a_dim")}
    write_model("m.pb", repflow=small | {"nlayers": 1, "e_sel": 400, "a_sel": 200})
    with_distance("m.pb", "known.pb", 1.4)
    errors = compress("known.pb", "c.pb", precision="float32", frames=1)
    assert 1e-9 < errors["force"] < 1e-4
    assert "times as fast" in caplog.text
    assert constants(load_graph_def("c.pb"))["repflow/first_messages/table"].dtype == np.float32
    with pytest.raises(UserError, match="rounding"):
        compress("known.pb", "d.pb", precision="float32", frames=1, tolerance=1e-10)


@pytest.mark.parametrize("exponential", [True, False])
def test_first_edges(exponential):
    """Jets of the first edges against differences, with the switch in them."""
    o = RepFlowOptions(**REPFLOW | {"edge_init_use_dist": False, "use_exp_switch": exponential})
    rng = np.random.default_rng(1)
    arrays = {f"s/edge_embd/{k}": rng.normal(size=(1, 8)) for k in ("matrix", "bias")}
    jets = edge_jets(o, arrays, "s", activation_jets("silut:3.0"), 0.1, 0.05, 0.3)
    r, h = np.array([0.7, 2.9, 3.4, 3.9]), 1e-4
    (v, d, s), up, down = jets(r), jets(r + h), jets(r - h)
    np.testing.assert_allclose(d, (up[0] - down[0]) / (2 * h), atol=1e-5)
    np.testing.assert_allclose(s, (up[1] - down[1]) / (2 * h), atol=1e-4)
    w = (
        np.exp(-np.exp(20 / 3.0 * (r - 3.0)))
        if exponential
        else 1 - np.clip(r - 3, 0, 1) ** 3 * (10 - 15 * np.clip(r - 3, 0, 1) + 6 * np.clip(r - 3, 0, 1) ** 2)
    )
    z = np.outer((w / (r + 0.1) - 0.05) / 0.3, arrays["s/edge_embd/matrix"]) + arrays["s/edge_embd/bias"]
    below = z < 3.0
    np.testing.assert_allclose(v[below], (z / (1 + np.exp(-z)))[below], atol=1e-12)


@pytest.mark.slow
def test_what_stays_whole(folder, golden):
    source = golden / "dp" / "dpa3_env_edge.dp"
    assert main(["convert-backend", str(source), "e.pb"]) == 0
    with_distance("e.pb", "e.known.pb", 1.4)
    with pytest.raises(UserError, match="statistics differ"):
        compress("e.known.pb", "c.pb", frames=0)
    write_model("m.pb", repflow={"sequential_update": True, "nlayers": 1})
    with_distance("m.pb", "known.pb", 1.4)
    with pytest.raises(UserError, match="sequential_update"):
        compress("known.pb", "c.pb", frames=0)
