"""DPA-3 models of another backend: numbers, and the way back."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from test_exchange import check_golden
from trees import same_tree

from dptf.cli.main import main
from dptf.exchange.tree import read_tree

NAMES = [
    "dpa3", "dpa3_dynamic_sel", "dpa3_compress2", "dpa3_env_edge", "dpa3_multi_edge", "dpa3_no_angle", "dpa3_norm_init",
    "dpa3_res_avg", "dpa3_res_incr",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_golden(golden, tmp_path, name):
    """Energies, forces, virials and atomic virials; and the graph turned back is the same model."""
    source, graph, back = golden / "dp" / f"{name}.dp", tmp_path / "model.pb", tmp_path / "back.dp"
    assert main(["convert-backend", str(source), str(graph)]) == 0
    check_golden(graph, np.load(golden / "dp" / f"{name}.npz"))
    assert main(["convert-backend", str(graph), str(back)]) == 0
    same_tree(read_tree(source)["model"], read_tree(back)["model"])
