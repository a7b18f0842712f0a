"""DPA models: files of other backends as graphs and back, against their reference numbers."""

import numpy as np
import pytest

from dptf.cli.main import main
from dptf.errors import UserError
from dptf.exchange.dpa1 import write
from dptf.exchange.tree import read_tree
from dptf.infer import DeepPot

KEYS = ("energy", "force", "virial", "atom_energy", "atom_virial")


def check(model, case):
    """All outputs of a model against a reference case, periodic and open."""
    types = case["atype"] if case["atype"].ndim == 1 else case["atype"][0]
    with DeepPot(model) as dp:
        for tag, box in (("pbc", case["box"]), ("nopbc", None)):
            for key, value in zip(KEYS, dp.eval(case["coord"], box, types, atomic=True)):
                want = case[f"{tag}_{key}"]
                np.testing.assert_allclose(value.reshape(want.shape), want, atol=1e-10, err_msg=f"{tag} {key}")


def flat(tree, path=""):
    """Leaves of a tree by path."""
    if isinstance(tree, dict):
        return {k: v for key, value in tree.items() for k, v in flat(value, f"{path}/{key}").items()}
    if isinstance(tree, list) and any(isinstance(x, (dict, list, np.ndarray)) for x in tree):
        return {k: v for n, value in enumerate(tree) for k, v in flat(value, f"{path}/{n}").items()}
    return {path: tree}


@pytest.mark.parametrize("name", ["dpa1", "dpa1_no_attn", "dpa1_strip", "dpa1_strip_attn", "dpa2", "dpa2_three_body"])
def test_golden_round_trip(name, golden, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = golden / "dp" / f"{name}.dp"
    assert main(["convert-backend", str(source), "m.pb"]) == 0
    check("m.pb", np.load(source.with_suffix(".npz")))
    assert main(["convert-backend", "m.pb", "again.dp"]) == 0
    a, b = (flat(read_tree(path)["model"]["descriptor"]) for path in (source, "again.dp"))
    assert set(a) == set(b)
    for key, value in a.items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(b[key], value, err_msg=key)
        else:
            assert b[key] == value, key


@pytest.mark.parametrize("name", ["se_atten_no_attn", "se_atten_strip", "se_atten_v2", "se_e2_a_tebd"])
def test_graphs_as_files(name, golden, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = golden / "pb" / f"{name}.pb"
    assert main(["convert-backend", str(source), "m.dp"]) == 0
    assert main(["convert-backend", "m.dp", "m.pb"]) == 0
    check("m.pb", np.load(source.with_suffix(".npz")))


def test_what_files_cannot_say():
    section = {"type": "se_atten", "attn_layer": 1, "attn_dotr": True, "neuron": [2]}
    values = {"descrpt_attr/t_avg": np.zeros((1, 8))}
    for changes, davg, key in (
        ({"smooth_type_embedding": True}, 0.0, "smooth_type_embedding"),
        ({"attn_mask": True}, 0.0, "attn_mask"),
        ({}, 0.1, "set_davg_zero"),
    ):
        with pytest.raises(UserError, match=key):
            write(section | changes, {k: v + davg for k, v in values.items()}, 1, ["A"])
