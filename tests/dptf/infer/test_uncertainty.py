"""Uncertainty from one model: fit, calibration, the node in the graph, dp uncertainty and dp model-devi."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from toy import write_input, write_system

from dptf.cli.main import main
from dptf.errors import UserError
from dptf.infer import DeepPot
from dptf.infer.uncertainty import Errors, calibrate, for_calibration, quality


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A small trained model with and without uncertainties."""
    root = tmp_path_factory.mktemp("uncertainty")
    systems = [write_system(root / "a", nframes=12), write_system(root / "b", seed=1, nframes=12)]
    with pytest.MonkeyPatch.context() as m:
        m.chdir(root)
        config = write_input(root, systems[:1], training__validation_data={"systems": [str(systems[1])]})
        assert main(["train", str(config)]) == 0
        assert main(["freeze", "-o", "plain"]) == 0
        options = ["-t", "input.json", "--json", "u.json", "--plot", "u.png"]
        assert main(["uncertainty", "-m", "plain", "-o", "sure", *options]) == 0
    return root


def frames(system):
    return (np.load(f"{system}/set.000/coord.npy"), np.load(f"{system}/set.000/box.npy"),
            np.loadtxt(f"{system}/type.raw", dtype=int))  # fmt: skip


def test_energies_and_forces_stay(run):
    with DeepPot(run / "plain.pb") as a, DeepPot(run / "sure.pb") as b:
        assert not a.has_uncertainty and b.has_uncertainty
        both = b.eval(*frames(run / "b"), uncertainty=True)
        assert len(both) == 4
        np.testing.assert_array_equal(both[3], b.eval_uncertainty(*frames(run / "b")))
        for x, y in zip(a.eval(*frames(run / "b")), b.eval(*frames(run / "b"))):
            np.testing.assert_allclose(x, y, rtol=0, atol=1e-12)
        with pytest.raises(UserError, match="dp uncertainty"):
            a.eval_uncertainty(*frames(run / "b"))


def test_the_definition(run):
    """The node against NumPy: features from a graph that gives them, covariance, neighbors, calibration."""
    from dptf.graph.load import load_graph_def, write_graph_def
    from dptf.graph.uncertainty import FEATURES, with_features

    write_graph_def(with_features(load_graph_def(run / "plain.pb")), run / "phi.pb")
    train = frames(run / "a")
    coord, box, types = frames(run / "b")
    result = json.loads((run / "u.json").read_text())
    with DeepPot(run / "phi.pb", plain=True) as m:
        known, phi = m.eval_output(FEATURES, *train), m.eval_output(FEATURES, coord, box, types)
    variance = np.zeros(phi.shape[:2])
    for t in range(2):
        rows = known[:, train[2] == t].reshape(-1, phi.shape[-1])
        c = rows.T @ rows
        inverse = np.linalg.inv(c + result["ridge"] * np.trace(c) * np.eye(len(c)))
        variance[:, types == t] = np.einsum("fni,ij,fnj->fn", phi[:, types == t], inverse, phi[:, types == t])
    images = np.array(list(np.ndindex(3, 3, 3))) - 1
    wanted = np.zeros_like(variance)
    for f in range(len(coord)):
        x, cell = coord[f].reshape(-1, 3), box[f].reshape(3, 3)
        d = x[None, :, None] + (images @ cell)[None, None] - x[:, None, None]
        r = np.linalg.norm(d, axis=-1)
        reach = max(result["cutoff"], 1e-3)
        w = np.where((r > 1e-9) & (r < reach), np.abs(1 - (r / reach) ** 2) ** result["exponent"], 0.0).sum(axis=-1)
        wanted[f] = (variance[f] + w @ variance[f]) / (1 + w.sum(axis=1))
    with DeepPot(run / "sure.pb") as m:
        force = np.linalg.norm(m.eval(coord, box, types)[1], axis=-1)
        wanted = np.sqrt(result["scale"] ** 2 * wanted + result["floor"] ** 2 + (result["share"] * force) ** 2)
        # C is nearly singular: the last digits of the features matter.
        np.testing.assert_allclose(m.eval_uncertainty(coord, box, types), wanted, rtol=1e-4)


def test_symmetries_and_distance(run):
    coord, box, types = frames(run / "b")
    with DeepPot(run / "sure.pb") as m:
        u = m.eval_uncertainty(coord[:1], box[:1], types)
        p = np.random.default_rng(0).permutation(len(types))
        moved = (coord[0].reshape(-1, 3)[p] + [1.0, -8.0, 3.0]).reshape(1, -1)
        np.testing.assert_allclose(m.eval_uncertainty(moved, box[:1], types[p])[0], u[0, p], rtol=1e-5)
        strange = coord[0].reshape(-1, 3).copy()
        strange[3] = strange[4] + [0.6, 0.2, 0.0]  # two atoms where no training frame has them
        found = m.eval_uncertainty(strange.reshape(1, -1), box[:1], types)
    floor = json.loads((run / "u.json").read_text())["floor"]
    assert found[0, 3] ** 2 - floor**2 > 10 * (u[0, 3] ** 2 - floor**2)


def test_fused_kernels_give_what_the_graph_gives(run):
    """With neighbors, with the atom alone, and an exponent that is no power of two; several small frames, and one."""
    from dptf.graph.load import load_graph_def, write_graph_def
    from dptf.graph.uncertainty import MEAN, VARIANCE, Calibration, Rule, model_cutoff, with_uncertainty

    graph, rng = load_graph_def(run / "plain.pb"), np.random.default_rng(0)
    coord, box, types = frames(run / "b")
    for cutoff, exponent in ((1, 4.0), (1, 3.0), (0, 1.0)):
        rows = rng.normal(size=(2, 60, 10))
        rule = Rule(1e-9, cutoff * model_cutoff(graph), exponent)
        sure = with_uncertainty(graph, np.einsum("tni,tnj->tij", rows, rows), rule, Calibration(1.0, 0.1, 0.2))
        write_graph_def(sure, run / "fused.pb")
        with DeepPot(run / "fused.pb") as fused, DeepPot(run / "fused.pb", plain=True) as plain:
            assert "fused" in fused.runtime_report() and "fused" not in plain.runtime_report()
            for name in (VARIANCE, MEAN):
                assert fused.deep_eval.has(name)
            for n in (1, len(coord)):
                wanted = plain.eval_uncertainty(coord[:n], box[:n], types)
                np.testing.assert_allclose(fused.eval_uncertainty(coord[:n], box[:n], types), wanted, rtol=1e-10)


def test_calibration_of_known_errors():
    rng = np.random.default_rng(2)
    root, force = rng.uniform(0.5, 5.0, 4000), rng.uniform(0.1, 2.0, 4000)
    std = np.sqrt((0.02 * root) ** 2 + 0.03**2)
    errors = rng.normal(size=(4000, 3)) * std[:, None]
    [found], _ = calibrate(Errors(root, force, errors))
    assert abs(found.scale / 0.02 - 1) < 0.05 and abs(found.floor / 0.03 - 1) < 0.1 and found.share == 0
    more = rng.normal(size=(4000, 3)) * np.hypot(std, 0.05 * force)[:, None]
    [with_share], _ = calibrate(Errors(root, force, more))
    assert abs(with_share.share / 0.05 - 1) < 0.1 and abs(with_share.scale / 0.02 - 1) < 0.1
    found = quality(found.std(root, force), errors)
    assert found["nll"] < found["nll_constant"] and found["spearman"] > 0.3
    assert all(abs(p / o - 1) < 0.15 for p, o in found["bins"])


def test_report_and_model_devi(run, monkeypatch, capsys):
    monkeypatch.chdir(run)
    result = json.loads((run / "u.json").read_text())
    types, part = frames(run / "b")[2], for_calibration(range(12), 12)
    assert part.any() and not part.all()
    assert (
        (result["atoms"], result["atoms_held_out"]) == (len(types) * part.sum(), len(types) * (~part).sum())
        and len(result["bins"]) == 10
        and (run / "u.png").stat().st_size > 5000
    )
    assert main(["model-devi", "-m", "sure", "-s", str(run / "b"), "-o", "devi.out", "--atomic"]) == 0
    rows = np.loadtxt("devi.out")
    with DeepPot("sure.pb") as m:
        u = np.sqrt(3) * m.eval_uncertainty(*frames(run / "b"))
    np.testing.assert_allclose(rows[:, 4], u.max(axis=1), rtol=1e-5)
    np.testing.assert_allclose(rows[:, 8:], u, rtol=1e-5)
    assert np.isnan(rows[:, 1]).all()
    assert main(["model-devi", "-m", "plain", "-s", str(run / "b")]) == 1
    assert "one model deviates from nothing" in capsys.readouterr().err
    assert main(["uncertainty", "-m", "sure", "-t", "input.json"]) == 1
    assert "has uncertainties already" in capsys.readouterr().err
