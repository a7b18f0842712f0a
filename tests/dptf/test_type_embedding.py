"""Types as vectors: the embedding net, se_e2_a with it (concat and strip), se_e3_tebd."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from model_cases import NET, SE_A, Case, check_derivatives
from test_dpa1 import AttentionCase
from toy import write_input, write_system

from dptf.cli.main import main
from dptf.errors import UserError
from dptf.nn.parameters import Parameters
from dptf.nn.type_embedding import TypeEmbedding
from dptf.ops import tf

EMBEDDING = {"neuron": [3, 6], "precision": "default", "seed": 2}
STRIP = SE_A | {"type": "se_a_ebd_v2"}
E3 = NET | {
    "type": "se_e3_tebd", "sel": 12, "rcut": 3.0, "rcut_smth": 1.0, "neuron": [4, 8], "resnet_dt": False,
    "set_davg_zero": False, "exclude_types": [], "tebd_dim": 3, "use_tebd_bias": True,
}  # fmt: skip
CONCAT = {
    "one_side": SE_A,
    "two_side_exclude": SE_A | {"type_one_side": False, "exclude_types": [[0, 1]]},
    "resnet_dt": SE_A | {"resnet_dt": True, "neuron": [4, 4]},
}


def embedding(section, ntypes=3, **kwargs):
    with tf.Graph().as_default(), tf.Session() as session:
        out = TypeEmbedding(section, ntypes, **kwargs).build(Parameters())
        session.run(tf.global_variables_initializer())
        values = {v.op.name: session.run(v) for v in tf.global_variables()}
        return session.run(out), values


def test_embedding_net():
    """Layers as in every embedding net, biases only on demand, a zero row for empty slots."""
    table, values = embedding({"neuron": [3, 6], "resnet_dt": True, "use_tebd_bias": True}, padding=True)
    x = np.eye(3)
    for k, twice in ((1, False), (2, True)):
        h = np.tanh(x @ values[f"type_embed_net/matrix_{k}"] + values[f"type_embed_net/bias_{k}"])
        h = h * values[f"type_embed_net/idt_{k}"]
        x = h + (np.hstack([x, x]) if twice else x)
    np.testing.assert_allclose(table, np.vstack([x, np.zeros(6)]), atol=1e-14)
    table, values = embedding({"neuron": [5], "activation_function": "linear"})
    assert list(values) == ["type_embed_net/matrix_1"]
    np.testing.assert_array_equal(table, values["type_embed_net/matrix_1"])


def test_electronic_configuration():
    """Rows of oxygen and copper by hand: pairs first, then singles; copper takes an electron from 4s."""
    section = {"neuron": [4], "activation_function": "linear", "use_econf_tebd": True}
    table, values = embedding(section, 2, type_map=["O", "Cu"])
    oxygen = [1, 1] * 3 + [-1, 1] * 2 + [-1, -1] * 54
    copper = [1, 1] * 9 + [1, 1] * 5 + [-1, 1] + [-1, -1] * 44
    rows = np.array([oxygen, copper[:18] + copper[18:28] + copper[28:]]) / np.sqrt(118)
    np.testing.assert_allclose(table, rows @ values["type_embed_net/matrix_1"], atol=1e-14)
    with pytest.raises(UserError, match="'X' is not an element"):
        embedding(section, 2, type_map=["O", "X"])


@pytest.mark.parametrize("descriptor", [*CONCAT.values(), STRIP, STRIP | {"type_one_side": False}])
def test_se_a_derivatives(descriptor):
    check_derivatives(Case(descriptor, type_embedding=EMBEDDING), "energy")


@pytest.mark.parametrize("name", CONCAT)
def test_tables_give_what_the_nets_give(name):
    exact, table = (Case(CONCAT[name], type_embedding=EMBEDDING, tabulated=t).run() for t in (None, 1 / 64))
    for key, value in exact.items():
        np.testing.assert_allclose(table[key], value, atol=1e-10, err_msg=key)


def test_types_without_embedding_section():
    """se_a_ebd_v2 brings its own embedding: width 8, linear."""
    model = Case(STRIP).model
    assert model.type_embedding.neuron == [8] and model.fitting.dim_type == 8


def test_descriptors_without_types_refuse():
    with pytest.raises(UserError, match="se_e2_r does not take a type embedding"):
        Case(SE_A | {"type": "se_e2_r"}, type_embedding=EMBEDDING)


@pytest.mark.parametrize(
    "options",
    [{}, {"tebd_input_mode": "strip", "exclude_types": [[0, 1]]}, {"env_protection": 0.1, "concat_output_tebd": False}],
)
def test_se_e3_tebd_derivatives(options):
    check_derivatives(AttentionCase(E3 | options), "energy")


def test_graph_of_the_public_package(golden, tmp_path):
    """The input and the arrays of a graph of the public package give its numbers."""
    from dptf.graph.freeze import frozen_graph
    from dptf.graph.load import constants, load_graph_def, write_graph_def
    from dptf.infer import DeepPot

    known = constants(load_graph_def(golden / "pb/se_e2_a_tebd.pb"))
    script = json.loads(known["train_attr/training_script"].item())
    write_graph_def(frozen_graph(script, known), tmp_path / "m.pb")
    data = np.load(golden / "pb/se_e2_a_tebd.npz")
    with DeepPot(tmp_path / "m.pb") as dp:
        for prefix, box in (("pbc_", data["box"]), ("nopbc_", None)):
            out = dp.eval(data["coord"], box, data["atype"], atomic=True)
            for key, value in zip(("energy", "force", "virial", "atom_energy", "atom_virial"), out):
                np.testing.assert_allclose(value, data[prefix + key].reshape(value.shape), rtol=0, atol=1e-10)


def test_se_e3_tebd_exchange(golden, tmp_path):
    from dptf.exchange.tree import read_tree
    from dptf.infer import DeepPot

    source, data = golden / "dp/se_e3_tebd.dp", np.load(golden / "dp/se_e3_tebd.npz")
    for a, b in ((source, "m.pb"), ("m.pb", "m.dp")):
        assert main(["convert-backend", str(tmp_path / a), str(tmp_path / b)]) == 0
    with DeepPot(tmp_path / "m.pb") as dp:
        for prefix, box in (("pbc_", data["box"]), ("nopbc_", None)):
            out = dp.eval(data["coord"], box, data["atype"], atomic=True, mixed_type=True)
            for key, value in zip(("energy", "force", "virial", "atom_energy", "atom_virial"), out):
                np.testing.assert_allclose(value, data[prefix + key].reshape(value.shape), rtol=0, atol=1e-10)
    before, after = (read_tree(p)["model"]["descriptor"] for p in (source, tmp_path / "m.dp"))
    assert set(before) == set(after)
    for key in ("embeddings", "type_embedding"):
        layer = lambda d: d["networks"][0] if "networks" in d else d["embedding"]  # noqa: E731
        for x, y in zip(layer(before[key])["layers"], layer(after[key])["layers"]):
            np.testing.assert_array_equal(x["@variables"]["w"], y["@variables"]["w"])


@pytest.mark.parametrize(
    "descriptor",
    [
        {"type": "se_e2_a", "rcut": 4.0, "neuron": [4, 8], "axis_neuron": 3, "seed": 1},
        {"type": "se_a_ebd_v2", "rcut": 4.0, "neuron": [4, 8], "axis_neuron": 3, "type_one_side": True, "seed": 1},
        {"type": "se_e3_tebd", "rcut": 3.2, "neuron": [2, 4], "tebd_dim": 3, "seed": 1},
    ],
    ids=lambda d: d["type"],
)
def test_train_and_freeze(descriptor, tmp_path, monkeypatch):
    """A few steps lower the force error, and the frozen graph evaluates."""
    from dptf.infer import DeepPot

    monkeypatch.chdir(tmp_path)
    system = write_system(tmp_path / "a", seed=0)
    embed = {} if descriptor["type"] == "se_e3_tebd" else {"model__type_embedding": {"neuron": [4], "seed": 1}}
    data = {"systems": [str(system)], "batch_size": 6}
    write_input(
        tmp_path, [system], model__descriptor=descriptor, training__numb_steps=40, training__training_data=data, **embed
    )
    assert main(["train", "input.json"]) == 0
    curve = np.genfromtxt("lcurve.out", names=True)
    assert curve["rmse_f_trn"][-1] < curve["rmse_f_trn"][0]
    assert main(["freeze", "-o", "m.pb"]) == 0
    with DeepPot("m.pb") as dp:
        force = dp.eval(np.load(system / "set.000/coord.npy"), np.load(system / "set.000/box.npy"), [0, 1, 1] * 4)[1]
        rows = 3 if descriptor["type"] != "se_e2_a" else 2
        assert dp.eval_typeebd().shape == (rows, 3 if descriptor["type"] == "se_e3_tebd" else 4)
    label = np.load(system / "set.000/force.npy").reshape(force.shape)
    np.testing.assert_allclose(np.sqrt(np.mean((force - label) ** 2)), curve["rmse_f_trn"][-1], rtol=6e-3)
