"""Models made of models and of tables: pair tables, switched tables, sums, frozen members."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from model_cases import BOX, COORD, FITTING, HYBRID, SE_A, SE_R, TYPES, Case, check_derivatives
from toy import write_input, write_system

from dptf.cli.main import main
from dptf.errors import UserError
from dptf.graph.freeze import frozen_graph
from dptf.graph.load import write_graph_def
from dptf.model.linear import LinearModel
from dptf.model.pair_table import PairTable
from dptf.train.checkpoint import Checkpoint

SWITCH = {"smin_alpha": 0.3, "sw_rmin": 0.5, "sw_rmax": 2.5}
STANDARD = {"type": "standard", "descriptor": SE_A, "fitting_net": FITTING}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A file with smooth energies that differ between the pairs and vanish at 3.5 Å."""
    r = np.arange(1, 71) * 0.05
    u = (1 - r / 3.5) ** 3
    path = tmp_path_factory.mktemp("table") / "pairs.txt"
    np.savetxt(path, np.column_stack([r, 3 * u, 2 * u, -u / r]))
    return str(path)


def pair_energies(table, coord, box, types, rcut):
    """Half the spline energies of all pairs within the cutoff, images included."""
    tab = PairTable.read(table, 2, rcut, "tab")
    pieces = tab.data.reshape(2, 2, -1, 4)
    out = np.zeros(len(coord))
    for shift in np.ndindex(3, 3, 3):
        d = coord[None] + (np.array(shift) - 1) @ box - coord[:, None]
        r = np.linalg.norm(d, axis=-1)
        for i, j in zip(*np.nonzero((r > 1e-9) & (r < rcut))):
            u = (r[i, j] - tab.info[0]) / tab.info[1]
            if u < tab.info[2]:
                out[i] += 0.5 * np.polyval(pieces[types[i], types[j], int(u)], u - int(u))
    return out


def test_table_of_a_file(table, tmp_path):
    rows = np.loadtxt(table)
    tab = PairTable.read(table, 2, 3.5, "tab")
    np.testing.assert_array_equal(tab.rows[: len(rows)], rows)
    again = PairTable.of_pieces(tab.info, tab.data)
    np.testing.assert_allclose(again.rows, tab.rows, atol=1e-14)
    longer = PairTable.read(table, 2, 5.0, "tab")
    assert np.all(longer.rows[len(rows) :, 1:] == 0)
    for text, words in (
        ("1 2\n2 3\n", "columns"),
        ("a b\n", "not a table"),
        ("1 2 3 4\n2 3 4 5\n4 1 1 1\n", "uniform"),
    ):
        (tmp_path / "bad").write_text(text)
        with pytest.raises(UserError, match=words):
            PairTable.read(tmp_path / "bad", 2, 5.0, "tab")


def test_table_that_ends_too_early(tmp_path):
    """Energies that are not zero at the end go to zero at the cutoff, with the value and slope of the table at its end."""
    r = np.arange(1, 31) * 0.1
    np.savetxt(tmp_path / "t", np.column_stack([r, *[1 / r] * 3]))
    rows = PairTable.read(tmp_path / "t", 2, 4.0, "tab").rows
    assert rows[-1, 0] == pytest.approx(3.9) and np.all(rows[-1, 1:] == 0)
    assert np.all(np.diff(rows[:, 1]) < 0)


def test_pairtab(table):
    case = Case(type="pairtab", tab_file=table, rcut=3.5, sel=60)
    check_derivatives(case, "energy")
    expected = pair_energies(table, COORD, BOX, TYPES, 3.5)
    np.testing.assert_allclose(case.run()["atom_energy"][0], expected, atol=1e-12)
    case = Case(
        type="pairtab", tab_file=table, rcut=3.5, sel=60, pair_exclude_types=[[0, 1], [1, 1]], atom_exclude_types=[1]
    )
    check_derivatives(case, "energy")
    alone = pair_energies(table, COORD[:2], BOX, TYPES[:2], 3.5)
    np.testing.assert_allclose(case.run()["atom_energy"][0], [*alone, 0, 0, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("descriptor", "exact", "excluded"), [(SE_A, False, []), (SE_A, True, [1]), (SE_R, True, []), (HYBRID, False, [1])]
)
def test_switched_table(table, descriptor, exact, excluded):
    case = Case(descriptor, use_srtab=table, exact_switch=exact, atom_exclude_types=excluded, **SWITCH)
    check_derivatives(case, "energy")


def test_both_forms_of_the_switch(table):
    """The public ops and ours: equal but for the single precision of attributes and the place of the pair virial."""
    a, b = (Case(SE_A, use_srtab=table, exact_switch=exact, **SWITCH).run() for exact in (False, True))
    for key in ("energy", "force", "virial", "atom_energy"):
        np.testing.assert_allclose(a[key], b[key], atol=2e-7, err_msg=key)
    net = Case(SE_A).run()["atom_energy"]
    pairs = pair_energies(table, COORD, BOX, TYPES, 3.5)
    weight = (b["atom_energy"] - net)[0] / (pairs - net[0])
    assert np.all((weight >= 0) & (weight <= 1)) and np.any((weight > 0.01) & (weight < 0.99))


def test_linear(table):
    """Weights act on every output; members keep their own options."""
    excluded = {**STANDARD, "descriptor": SE_R, "pair_exclude_types": [[0, 1]]}
    pairs = {"type": "pairtab", "tab_file": table, "rcut": 3.5, "sel": 60}
    members = [STANDARD, excluded, pairs]
    case = Case(type="linear_ener", models=members, weights=[0.5, 2.0, -1.0])
    check_derivatives(case, "energy")
    parts = [Case(**m).run() for m in members]
    out = case.run()
    # Weights are drawn with equal seeds, so the members are those of the sum.
    for key in out:
        expected = 0.5 * parts[0][key] + 2 * parts[1][key] - parts[2][key]
        np.testing.assert_allclose(out[key], expected, atol=1e-10, err_msg=key)
    for weights, factor in (("mean", 1 / 3), ("sum", 1.0)):
        out = Case(type="linear_ener", models=members, weights=weights).run()
        np.testing.assert_allclose(out["energy"], factor * sum(p["energy"] for p in parts), atol=1e-10)


@pytest.mark.parametrize("order, draws", [("nf", 0), ("fn", 0), ("nn", 1), ("nfn", 1), ("np", 0)])
def test_members_with_statistics_draw_batches(order, draws):
    """A frozen member or a table draws none, wherever it stands, so the batches of a seed are the public ones."""

    class Member:
        def __init__(self, kind):
            self.has_statistics, self.seen = kind == "n", None

        def statistics(self, batches, stat_file=None):
            self.seen = batches

    model = LinearModel.__new__(LinearModel)
    model.models, count = [Member(kind) for kind in order], []
    model.statistics("first", draw=lambda: count.append(0) or "further")
    assert len(count) == draws
    assert [m.seen for m in model.models if m.has_statistics] == ["first", "further"][: draws + 1]


def test_linear_and_frozen_from_input_to_graph(tmp_path, monkeypatch, table):
    """A sum with a trained, a tabulated and a frozen member: trained, frozen, evaluated; the fixed members stay as they are."""
    from dptf.infer import DeepPot

    monkeypatch.chdir(tmp_path)
    system = write_system(tmp_path / "a", nframes=3)
    base = write_input(tmp_path, [system], training__numb_steps=2)
    assert main(["train", str(base)]) == 0
    assert main(["freeze", "-o", "first.pb"]) == 0
    config = json.loads(base.read_text())
    members = [
        {**config["model"], "type": "standard"},
        {"type": "pairtab", "tab_file": table, "rcut": 3.5, "sel": 60},
        {"type": "frozen", "model_file": "first.pb"},
    ]
    config["model"] = {"type": "linear_ener", "type_map": ["A", "B"], "models": members, "weights": [1.0, 0.5, 0.25]}
    (tmp_path / "linear.json").write_text(json.dumps(config))
    assert main(["train", "linear.json", "-o", "linear_out.json"]) == 0
    assert main(["freeze", "-o", "linear.pb"]) == 0
    with DeepPot("linear.pb") as whole, DeepPot("first.pb") as first:
        assert whole.get_rcut() == 4.0
        a, b = (dp.eval(COORD, BOX, TYPES, atomic=True) for dp in (whole, first))
    # The trained member alone, from its weights in the checkpoint.
    values = {k.replace("_model0", ""): v for k, v in Checkpoint("model.ckpt").values().items() if "_model0" in k}
    section = json.loads(Path("linear_out.json").read_text())["model"]["models"][0]
    write_graph_def(frozen_graph({"model": section}, values), "own.pb")
    with DeepPot("own.pb") as dp:
        own = dp.eval(COORD, BOX, TYPES, atomic=True)
    assert abs(own[0] - b[0]).max() > 1e-4
    pairs = Case(**members[1]).run()
    for k, key in enumerate(("energy", "force", "virial", "atom_energy", "atom_virial")):
        expected = own[k].ravel() + 0.5 * pairs[key].ravel() + 0.25 * b[k].ravel()
        np.testing.assert_allclose(a[k].ravel(), expected, atol=1e-10, err_msg=key)
    np.testing.assert_allclose(a[3].sum(), a[0][0, 0], rtol=1e-12)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weights": [1.0]}, "1 entries for 2 models"),
        ({"weights": "average"}, "use mean, sum"),
        ({"models": []}, "at least one"),
        ({"models": [{**STANDARD, "type_map": ["B", "A"]}]}, "that of the whole model"),
    ],
)
def test_mistakes_of_sums(changes, words):
    with pytest.raises(UserError, match=words):
        Case(**{"type": "linear_ener", "models": [STANDARD, STANDARD], "weights": "mean"} | changes)
