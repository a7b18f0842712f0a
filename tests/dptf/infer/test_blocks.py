"""Frames evaluated in blocks of atoms are the same as whole ones."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from dpa3_cases import REPFLOW, write_model
from model_cases import FITTING, random_graph
from test_dpa1 import ATTEN, SMOOTH, STRIP

from dptf.cli.main import main
from dptf.descriptor.repflow import RepFlowOptions
from dptf.descriptor.repflow_memory import coefficients
from dptf.errors import UserError
from dptf.graph.load import write_graph_def
from dptf.infer import DeepPot, blocks

RNG = np.random.default_rng(3)
CELL = np.array([[9.0, 0, 0], [3.0, 8.0, 0], [-2.0, 1.5, 10.0]])
COORD = RNG.uniform(-3, 14, (2, 60, 3))
TYPES = RNG.integers(0, 2, 60)
KEYS = ("energy", "force", "virial", "atom_energy", "atom_virial")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("dpa1") / "m.pb"
    descriptor = ATTEN | STRIP | SMOOTH | {"sel": 40, "set_davg_zero": True}
    section = {"descriptor": descriptor, "fitting_net": FITTING | {"numb_fparam": 1, "numb_aparam": 1}}
    write_graph_def(random_graph({"type": "standard", "type_map": ["A", "B"], **section}), path)
    return path


@pytest.mark.parametrize("box", [CELL, None], ids=["periodic", "open"])
def test_blocks_are_the_whole(model, box, monkeypatch):
    """Energies, forces, virials, atomic ones, with parameters and in the caller's order; a cell thinner than the cutoff too."""
    box = None if box is None else np.tile(box.ravel(), (2, 1))
    extra = {"fparam": [[0.1], [0.4]], "aparam": RNG.normal(size=(2, 60, 1))}
    with DeepPot(model) as dp:
        need = float(dp.deep_eval.constant("memory_attr/bytes_per_atom"))
        whole = dp.eval(COORD, box, TYPES, atomic=True, **extra)
        features = dp.eval_descriptor(COORD, box, TYPES, **extra)
        for size in (7,) if box is not None else (25, 1):
            monkeypatch.setenv("DPTF_MEMORY", str(1.01 * size * need))
            parts = dp.eval(COORD, box, TYPES, atomic=True, **extra)
            for key, a, b in zip(KEYS, whole, parts):
                np.testing.assert_allclose(b, a, atol=1e-12, err_msg=key)
            np.testing.assert_allclose(dp.eval_descriptor(COORD, box, TYPES, **extra), features, atol=1e-13)


def test_blocks_cover_every_atom():
    found = []
    for block in blocks.Frame(COORD[0], CELL, TYPES, 3.5).blocks(9):
        assert len(block.centers) <= 9 and (np.diff(TYPES[block.centers]) >= 0).all()
        shift = (block.coord - COORD[0][block.owner]) @ np.linalg.inv(CELL)
        np.testing.assert_allclose(shift, np.rint(shift), atol=1e-9)
        found += block.centers.tolist()
    assert sorted(found) == list(range(60))


def test_budgets(monkeypatch):
    for text, value in (("500M", 500 * 2**20), ("4g", 4 * 2**30), ("2GB", 2 * 2**31), ("1e6", 1e6)):
        monkeypatch.setenv("DPTF_MEMORY", text)
        assert blocks.budget() == (value if text != "2GB" else 2 * 2**30)
    monkeypatch.setenv("DPTF_MEMORY", "much")
    with pytest.raises(UserError, match="4G or 500M"):
        blocks.budget()


@pytest.mark.slow
def test_message_passing_counts_its_memory(monkeypatch, tmp_path):
    """What neighbors and angles need is compared with the budget before it is allocated; fewer frames at once may fit."""
    from ase.neighborlist import NewPrimitiveNeighborList

    path = write_model(tmp_path / "m.pb", repflow={"nlayers": 2})
    options = RepFlowOptions.read(REPFLOW | {"nlayers": 2}, "repflow")
    counts = []
    for coord in COORD:
        distance = np.linalg.norm(coord[:, None] - coord, axis=-1) + 9 * np.eye(60)
        short = (distance < options.a_rcut).sum(1)
        counts.append([60, 0, (distance < options.e_rcut).sum(), short.sum(), (short**2).sum()])
    need = np.array(counts) @ coefficients(options, 8)
    with DeepPot(path) as dp:
        whole = dp.eval(COORD, None, TYPES)
    with DeepPot(path) as dp:
        monkeypatch.setenv("DPTF_MEMORY", str(1.01 * need.max()))
        for a, b in zip(whole, dp.eval(COORD, None, TYPES)):
            np.testing.assert_allclose(b, a, atol=1e-12)
    # Lists of others are not cut into blocks.
    neighbors = NewPrimitiveNeighborList(60 * [options.e_rcut / 2], skin=0)
    with DeepPot(path, neighbor_list=neighbors) as dp:
        monkeypatch.setenv("DPTF_MEMORY", str(0.99 * need[0]))
        text = f"with {counts[0][2]} neighbors and {counts[0][4]} angles need about {need[0] / 1e6:.3g} MB.*DPTF_MEMORY allows"
        with pytest.raises(UserError, match=text):
            dp.eval(COORD[:1], None, TYPES)
        monkeypatch.setenv("DPTF_MEMORY", "some")
        with pytest.raises(UserError, match="4G or 500M"):
            dp.eval(COORD[:1], None, TYPES)


def test_forecast_is_shown(model, capsys):
    assert main(["show", str(model), "memory"]) == 0
    assert "MB per atom (40 neighbors within 3.5 Å)" in capsys.readouterr().err
