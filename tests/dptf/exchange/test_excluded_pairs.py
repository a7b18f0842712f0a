"""Models of the PyTorch backend of the public package whose descriptor leaves pairs of types out: its numbers, and both ways."""

import json

import numpy as np
import pytest

from dptf.exchange.from_graph import serialize_graph
from dptf.exchange.to_graph import graph_from_tree
from dptf.exchange.tree import read_tree
from dptf.graph.load import constants, write_graph_def
from dptf.infer import DeepPot
from tests.dptf.exchange.test_exchange import DATA
from tests.dptf.exchange.trees import same_tree


@pytest.mark.parametrize("name", ["se_e2_r_excluded", "se_e2_r_masked", "se_e3_excluded"])
def test_rows_of_excluded_pairs(name, tmp_path):
    """Their rows are zero before the net; ``masked`` has atomic parameters that only mark atoms, and excluded atoms."""
    tree = read_tree(DATA / f"exchange/{name}.dp")
    graph = graph_from_tree(tree)
    write_graph_def(graph, tmp_path / "m.pb")
    data = np.load(DATA / "exchange/excluded.npz")
    with DeepPot(tmp_path / "m.pb") as dp:
        params = {k: data[k] for k in ("fparam", "aparam") if getattr(dp, f"get_dim_{k}")()}
        found = dp.eval(data["coord"], data["box"], data["atype"], atomic=True, **params)
    wanted = [data[f"{name}_{k}"] for k in range(5) if f"{name}_{k}" in data]
    assert len(wanted) >= 3
    for a, b in zip(found, wanted):
        np.testing.assert_allclose(a, b, atol=1e-12, rtol=1e-11)
    if name != "se_e2_r_excluded":
        return  # these files hold nets and options that have no effect and are not kept
    known = constants(graph)
    back = serialize_graph(known, json.loads(known["train_attr/training_script"].item()), "graph")
    same_tree(back["model"], tree["model"])
