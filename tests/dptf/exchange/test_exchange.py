"""Backend-neutral files: read, write, and translation to graphs and back."""

import json
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))
from trees import same_tree

from dptf.cli.main import main
from dptf.errors import UserError
from dptf.exchange.tree import read_tree, write_tree

DATA = Path(__file__).resolve().parents[2] / "data"
NAMES = [
    "se_e2_a", "se_e2_a_two_side", "se_e2_a_exclude", "se_e2_a_fparam_aparam", "se_e2_a_pair_atom_exclude", "se_e2_r",
    "se_e3", "hybrid_a_r",
]  # fmt: skip
KEYS = ("energy", "force", "virial", "atom_energy", "atom_virial")


def evaluate(path, data, box):
    from dptf.infer import DeepPot

    params = {key: data[key] for key in ("fparam", "aparam") if key in data}
    with DeepPot(path) as dp:
        return dict(zip(KEYS, dp.eval(data["coord"], box, data["atype"], atomic=True, mixed_type=True, **params)))


def check_golden(path, data):
    for prefix, box in (("pbc_", data["box"]), ("nopbc_", None)):
        found = evaluate(path, data, box)
        for key in KEYS:
            np.testing.assert_allclose(found[key], data[prefix + key], rtol=0, atol=1e-10, err_msg=prefix + key)


@pytest.mark.parametrize("name", NAMES)
def test_golden(golden, tmp_path, name):
    """Weights of another backend in a graph give that backend's numbers."""
    out = tmp_path / "model.pb"
    assert main(["convert-backend", str(golden / "dp" / f"{name}.dp"), str(out)]) == 0
    check_golden(out, np.load(golden / "dp" / f"{name}.npz"))


def test_golden_copy(tmp_path):
    """One of the cases above, for checkouts without the reference cases: exclusion, protected distances, output bias."""
    out = tmp_path / "model.pb"
    assert main(["convert-backend", str(DATA / "exchange/se_e2_a_exclude.dp"), str(out)]) == 0
    check_golden(out, np.load(DATA / "exchange/se_e2_a_exclude.npz"))


@pytest.mark.parametrize("suffix", [".dp", ".yaml", ".yml"])
def test_tree_round_trip(tmp_path, suffix):
    tree = read_tree(DATA / "exchange/se_e2_a_exclude.dp")
    write_tree(tree, tmp_path / f"copy{suffix}")
    copy = read_tree(tmp_path / f"copy{suffix}")
    assert copy["software"] == "dptf"
    same_tree(tree["model"], copy["model"])
    same_tree(tree["model_def_script"], copy["model_def_script"])
    assert [p.name for p in tmp_path.iterdir()] == [f"copy{suffix}"]


def test_file_layout(tmp_path):
    """The layout that other readers rely on: one variable-length attribute, plain root datasets in depth-first order."""
    tree = {
        "model": {"a": {"@variables": {"x": np.arange(3.0), "n": None, "s": 2.5, "l": [np.eye(2)]}}, "k": np.int64(3)}
    }
    write_tree(tree, tmp_path / "m.dp")
    with h5py.File(tmp_path / "m.dp") as file:
        meta = json.loads(file.attrs["json"])
        assert isinstance(file.attrs["json"], str)
        assert list(meta)[:3] == ["software", "version", "time"]
        assert meta["model"]["a"]["@variables"] == {
            "x": "/variable_0000", "n": None, "s": "/variable_0001", "l": ["/variable_0002"],
        }  # fmt: skip
        assert meta["model"]["k"] == 3
        assert file["variable_0001"].shape == () and file["variable_0002"].chunks is None
    write_tree(tree, tmp_path / "m.yaml")
    text = yaml.safe_load((tmp_path / "m.yaml").read_text())
    array = text["model"]["a"]["@variables"]["x"]
    assert array == {
        "@class": "np.ndarray",
        "@is_variable": True,
        "@version": 1,
        "dtype": "float64",
        "value": [0, 1, 2],
    }


def test_import_and_export_are_inverse(tmp_path):
    """Bias terms are not merged and nothing is rounded: .dp -> .pb -> .dp gives the same arrays."""
    source = DATA / "exchange/se_e2_a_exclude.dp"
    for a, b in ((source, "m.pb"), ("m.pb", "m.dp"), ("m.dp", "again.pb")):
        assert main(["convert-backend", str(tmp_path / a), str(tmp_path / b)]) == 0
    before, after = (read_tree(path)["model"] for path in (source, tmp_path / "m.dp"))
    same_tree(before["descriptor"] | {"env_mat": 0}, after["descriptor"] | {"env_mat": 0})
    same_tree(before["fitting"], after["fitting"])
    same_tree(before["@variables"], after["@variables"])
    check_golden(tmp_path / "again.pb", np.load(DATA / "exchange/se_e2_a_exclude.npz"))


@pytest.mark.parametrize(
    "name", ["se_e2_a", "se_e2_a_two_side", "se_e2_a_exclude", "se_e2_a_fp32", "se_e2_r", "se_e3", "hybrid"]
)
def test_graph_of_the_public_package(golden, tmp_path, name):
    """.pb of the public package -> .dp -> our .pb: the same energies."""
    source, data = golden / "pb" / f"{name}.pb", dict(np.load(golden / "pb" / f"{name}.npz"))
    for a, b in ((source, "m.yaml"), ("m.yaml", "m.pb")):
        assert main(["convert-backend", str(tmp_path / a), str(tmp_path / b)]) == 0
    data["atype"] = np.tile(data["atype"], (3, 1))
    found, expected = (
        evaluate(path, {k: data[k] for k in ("coord", "atype")}, data["box"]) for path in (tmp_path / "m.pb", source)
    )
    for key in KEYS:
        np.testing.assert_allclose(found[key], expected[key], atol=1e-5 if "fp32" in name else 1e-12)
    from dptf.graph.load import load_graph_def, text_constant

    script = json.loads(text_constant(load_graph_def(tmp_path / "m.pb"), "train_attr/training_script"))
    assert name.startswith(script["model"]["descriptor"]["type"])


def test_min_nbor_dist_survives(tmp_path):
    from dptf.graph.load import constant, load_graph_def

    source = DATA / "infer/se_e2_a.pb"
    for a, b in ((source, "m.dp"), ("m.dp", "m.pb")):
        assert main(["convert-backend", str(tmp_path / a), str(tmp_path / b)]) == 0
    expected = constant(load_graph_def(source), "train_attr/min_nbor_dist")
    assert constant(load_graph_def(tmp_path / "m.pb"), "train_attr/min_nbor_dist") == expected


def change(path, value):
    def edit(tree):
        node, *rest = tree, *path
        for key in rest[:-1]:
            node = node[key]
        node[rest[-1]] = value

    return edit


@pytest.mark.parametrize(
    "edit, words",
    [
        (change(["model", "type"], "inner_potential"), "model type 'inner_potential'"),
        (change(["model", "descriptor", "type"], "dpa9"), "descriptor 'dpa9' cannot be exchanged"),
        (change(["model", "descriptor", "@version"], 9), "model/descriptor: @version is 9"),
        (change(["model", "descriptor", "new_physics"], 1), "unknown key 'new_physics'"),
        (change(["model", "fitting", "tot_ener_zero"], True), "model/fitting/tot_ener_zero: is True"),
        (
            change(["model", "fitting", "nets", "networks", 0, "layers", 1, "resnet"], False),
            "nets/1: its layers add their inputs elsewhere",
        ),
        (
            change(["model", "descriptor", "embeddings", "networks", 0, "layers", 1, "activation_function"], "relu"),
            "activation is 'relu'",
        ),
        (change(["model", "descriptor", "embeddings", "networks", 1], None), "the net is missing"),
    ],
)
def test_what_graphs_cannot_express_is_refused(tmp_path, capsys, edit, words):
    tree = read_tree(DATA / "exchange/se_e2_a_exclude.dp")
    edit(tree)
    write_tree(tree, tmp_path / "m.dp")
    assert main(["convert-backend", str(tmp_path / "m.dp"), str(tmp_path / "m.pb")]) == 1
    error = capsys.readouterr().err
    import re

    assert re.search(words, error) and "m.dp" in error and "Traceback" not in error
    assert not (tmp_path / "m.pb").exists()


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("no.dp", None, "no such model file"),
        ("empty.dp", b"", "empty"),
        ("text.dp", b"hello", "not a readable model file"),
        ("bad.yaml", b"a: [1, 2", "not a readable YAML"),
        ("other.yaml", b"a: 1", "holds no model"),
    ],
)
def test_bad_files(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=words):
        read_tree(tmp_path / name)


def test_command_mistakes(tmp_path, capsys):
    source = str(DATA / "infer/se_e2_a.pb")
    assert main(["convert-backend", source, str(tmp_path / "m.pth")]) == 1
    assert "suffix '.pth'" in capsys.readouterr().err
    assert main(["convert-backend", source, str(tmp_path / "nowhere/m.dp")]) == 1
    assert "no such directory" in capsys.readouterr().err


def test_compressed_graph(golden, tmp_path, capsys):
    assert main(["convert-backend", str(golden / "pb/se_e2_a.compressed.pb"), str(tmp_path / "m.dp")]) == 1
    assert "compressed graph has no embedding nets" in capsys.readouterr().err
