"""Models with message passing evaluated in blocks of atoms give what whole frames give."""

import logging
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
import dpa3_cases
import test_dpa2
from model_cases import SE_A

from dptf.errors import UserError
from dptf.graph.freeze import frozen_graph
from dptf.graph.load import write_graph_def
from dptf.infer import DeepPot, block_run
from tests.dptf.infer.test_blocks import CELL, KEYS

RNG = np.random.default_rng(3)
COORD = RNG.uniform(-3, 14, (2, 50, 3))
TYPES = RNG.integers(0, 2, 50)
DPA3 = dpa3_cases.section({"nlayers": 2, "e_sel": 70, "a_sel": 30})["descriptor"]
SECTIONS = {
    "dpa3": DPA3,
    "dpa3_dynamic": dpa3_cases.section({"nlayers": 2, "use_dynamic_sel": True})["descriptor"],
    "dpa3_cut_lists": dpa3_cases.section({"nlayers": 2, "e_sel": 12, "a_sel": 5})["descriptor"],
    "dpa2": test_dpa2.section(
        init={"nsel": 60, "rcut": 4.0}, former={"nlayers": 2, "nsel": 30, "rcut": 3.3, "update_h2": True}
    ),
    "hybrid": {"type": "hybrid", "list": [DPA3, SE_A | {"sel": [40, 40]}]},
}


def write(path, descriptor, **fitting):
    section = {"type_map": ["O", "H"], "descriptor": descriptor, "fitting_net": dpa3_cases.FITTING | fitting}
    write_graph_def(frozen_graph({"model": section}, dpa3_cases.random_values(section)), path)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write(tmp_path_factory.mktemp("dpa3") / "m.pb", DPA3, numb_fparam=1, numb_aparam=1)


@pytest.fixture
def runs(monkeypatch):
    """The blocks that frames were evaluated in: a list of numbers of atoms for each."""
    seen, init = [], block_run.BlockRun.__init__

    def spy(self, *args):
        init(self, *args)
        seen.append(self)

    monkeypatch.setattr(block_run.BlockRun, "__init__", spy)
    return lambda: [[len(b.centers) for b in run.blocks] for run in seen]


#: Positions, cell, types: full of images of one atom within the cutoff; larger; open boundaries.
SMALL, WIDE, OPEN = (
    (COORD[:1, :20], CELL / 2.2, TYPES[:20]),
    (COORD[:1], CELL / 1.4, TYPES),
    (0.55 * COORD[:1], None, TYPES),
)


@pytest.mark.parametrize(
    "name, frame, atomic",
    [
        ("dpa3", SMALL, True),
        ("dpa3", OPEN, False),
        ("dpa3_dynamic", WIDE, False),
        ("dpa3_cut_lists", WIDE, False),
        ("hybrid", WIDE, False),
        ("dpa2", WIDE, False),
        pytest.param("dpa2", SMALL, True, marks=pytest.mark.slow),
    ],
)
def test_blocks_are_the_whole(name, frame, atomic, tmp_path, monkeypatch, runs):
    """Energies, forces, virials and atomic ones."""
    path = write(tmp_path / "m.pb", SECTIONS[name])
    coord, box, types = frame
    frame = coord, None if box is None else box[None], types
    with DeepPot(path) as dp:
        whole = dp.eval(*frame, atomic=atomic)
        monkeypatch.setattr(dp.deep_eval, "_block_size", lambda *_: 9)
        for key, a, b in zip(KEYS, whole, dp.eval(*frame, atomic=atomic)):
            np.testing.assert_allclose(b, a, atol=1e-12, rtol=1e-12, err_msg=key)
    (sizes,) = runs()
    assert len(sizes) == (len(types) + 8) // 9 and sum(sizes) == len(types)


def test_every_size(model, monkeypatch, runs, caplog):
    """Parameters of frames and atoms, energies alone, atoms in the caller's order; told once."""
    cells = np.tile(CELL.ravel(), (2, 1))
    extra = {"fparam": [[0.1], [0.4]], "aparam": RNG.normal(size=(2, 50, 1))}
    with DeepPot(model) as dp:
        whole = dp.eval(COORD, cells, TYPES, **extra)
        features = dp.eval_descriptor(COORD, cells, TYPES, **extra)
    monkeypatch.setattr(block_run, "first_size", lambda *_: sizes.pop())
    monkeypatch.setenv("DPTF_MEMORY", "600K")
    sizes = [1, 17, 50]
    with DeepPot(model, auto_batch_size=False) as dp, caplog.at_level(logging.WARNING):
        for _ in range(3):
            for key, a, b in zip(KEYS, whole, dp.eval(COORD, cells, TYPES, **extra)):
                np.testing.assert_allclose(b, a, atol=1e-12, rtol=1e-12, err_msg=key)
        sizes = [8]
        np.testing.assert_allclose(dp.eval_descriptor(COORD, cells, TYPES, **extra), features, atol=1e-13)
    assert sum("in blocks of at most" in r.getMessage() for r in caplog.records) == 1
    found = runs()
    assert [max(s) for s in found[2:4] + found[6:]] == [17, 17, 8, 8] and found[4] == 50 * [1]
    assert 1 < len(found[0]) < 50  # too large blocks were cut


def test_what_does_not_fit(model, monkeypatch):
    extra = {"fparam": [0.1], "aparam": np.zeros((50, 1))}
    for budget, text in (
        ("10K", "features of 50 atoms and the smallest block need 1.44e-05 GB .* 1.02e-05 GB are allowed"),
        ("60K", "one atom of the frame"),
    ):
        monkeypatch.setenv("DPTF_MEMORY", budget)
        with DeepPot(model) as dp, pytest.raises(UserError, match=text):
            dp.eval(*WIDE[:1], CELL[None], TYPES, **extra)
