"""Models of several parts in model files: numbers of other backends, and both ways."""

import copy

import numpy as np
import pytest

from dptf.cli.main import main
from dptf.errors import UserError
from dptf.exchange.from_graph import serialize_graph
from dptf.exchange.to_graph import graph_from_tree
from dptf.exchange.tree import read_tree
from dptf.graph.load import constants, write_graph_def
from dptf.infer import DeepPot
from dptf.model.pair_table import PairTable
from tests.dptf.exchange.test_exchange import DATA, check_golden
from tests.dptf.exchange.trees import same_tree

KEYS = ("energy", "force", "virial", "atom_energy", "atom_virial")
ONES = np.ones((1, 2, 1))


@pytest.fixture(scope="module")
def standard():
    """An energy model with output bias, and nothing excluded."""
    return read_tree(DATA / "exchange/se_e2_a_exclude.dp")["model"]


@pytest.fixture(scope="module")
def pairs():
    r = np.arange(1, 70) * 0.05
    table = PairTable.of_rows(np.column_stack([r, *[c * (1 - r / 3.5) ** 3 for c in (4.0, 2.0, 1.0)]]), 2)
    tab = {
        "@class": "PairTab", "@version": 1, "rmin": 0.05, "rmax": 3.45, "hh": 0.05, "ntypes": 2, "rcut": 4.0, "nspline": 68,
        "@variables": {"vdata": table.rows, "tab_info": table.info, "tab_data": table.data},
    }  # fmt: skip
    return common("pairtab", [0.3, -0.2]) | {"tab": tab, "rcut": 4.0, "sel": 80}


def common(kind, bias, **more):
    return {
        "type_map": ["O", "H"], "atom_exclude_types": [], "pair_exclude_types": [], "rcond": None, "preset_out_bias": None,
        "@variables": {"out_bias": np.reshape(bias, (1, 2, 1)), "out_std": ONES}, "@class": "Model", "@version": 2,
        "type": kind, **more,
    }  # fmt: skip


def both_ways(model, tmp_path):
    """Evaluate a model as a graph, demand that going back gives every number, and return the outputs."""
    tree = {"model": copy.deepcopy(model), "backend": "x", "model_def_script": {}}
    graph = graph_from_tree(tree)
    known = constants(graph)
    import json

    back = serialize_graph(known, json.loads(known["train_attr/training_script"].item()), "graph")["model"]
    same_tree(back, model)
    write_graph_def(graph, tmp_path / "m.pb")
    data = np.load(DATA / "exchange/se_e2_a_exclude.npz")
    with DeepPot(tmp_path / "m.pb") as dp:
        return dict(zip(KEYS, dp.eval(data["coord"], data["box"], data["atype"], atomic=True, mixed_type=True)))


def test_sum_and_pair_table(standard, pairs, tmp_path):
    net, tab = both_ways(standard, tmp_path), both_ways(pairs, tmp_path)
    whole = common("linear", [0.5, 0.25], models=[standard, pairs], weights=[0.5, 2.0]) | {"@version": 3}
    out = both_ways(whole, tmp_path)
    types = np.load(DATA / "exchange/se_e2_a_exclude.npz")["atype"]
    bias = np.where(types == 0, 0.5, 0.25)
    for key in ("force", "virial", "atom_virial"):
        np.testing.assert_allclose(out[key], 0.5 * net[key] + 2 * tab[key], atol=1e-10, err_msg=key)
    expected = 0.5 * net["atom_energy"] + 2 * tab["atom_energy"] + bias[..., None]
    np.testing.assert_allclose(out["atom_energy"], expected, atol=1e-10)
    np.testing.assert_allclose(out["energy"], expected.sum(1), atol=1e-10)


def test_switched_table(standard, pairs, tmp_path):
    """Where the switch is 0 the net counts alone, where it is 1 the table does; biases of parts and whole stay apart."""
    net = {**standard, "atom_exclude_types": [], "pair_exclude_types": []}
    net["fitting"] = {**net["fitting"], "exclude_types": []}

    def zbl(rmin, rmax):
        numbers = {"sw_rmin": rmin, "sw_rmax": rmax, "smin_alpha": 0.1}
        return both_ways(common("zbl", [0.5, 0.25], models=[net, pairs], weights="mean", **numbers), tmp_path)

    bias = np.where(np.load(DATA / "exchange/se_e2_a_exclude.npz")["atype"] == 0, 0.5, 0.25)[..., None]
    for part, out in ((net, zbl(1e-3, 2e-3)), (pairs, zbl(9.0, 9.1))):
        alone = both_ways(part, tmp_path)
        np.testing.assert_allclose(out["atom_energy"], alone["atom_energy"] + bias, atol=1e-10)
        for key in ("force", "virial", "atom_virial"):
            np.testing.assert_allclose(out[key], alone[key], atol=1e-10, err_msg=key)
    refused = common("zbl", [0, 0], models=[{**net, "pair_exclude_types": [[0, 1]]}, pairs], weights="mean")
    refused |= {"sw_rmin": 0.1, "sw_rmax": 1.0, "smin_alpha": 0.1}
    with pytest.raises(UserError, match="excluded types"):
        graph_from_tree({"model": refused})


def test_golden_zbl(golden, tmp_path):
    """A reference case with a net for mixed types."""
    out = tmp_path / "m.pb"
    assert main(["convert-backend", str(golden / "dp/zbl.dp"), str(out)]) == 0
    check_golden(out, np.load(golden / "dp/zbl.npz"))
