"""``dp convert-from``."""

from pathlib import Path

import numpy as np
import pytest

from dptf.cli.main import main
from dptf.graph import load

DATA = Path(__file__).resolve().parents[2] / "data" / "infer"
MODEL = DATA / "se_e2_a.pb"


def energy(path):
    from dptf.infer import DeepPot

    frames = np.load(DATA / "se_e2_a.npz")
    with DeepPot(path) as dp:
        return dp.eval(frames["coord"], frames["box"], frames["atype"])[0] - frames["pbc_energy"]


@pytest.fixture
def old(tmp_path, monkeypatch, as_old_release):
    monkeypatch.chdir(tmp_path)

    def make(release, name="frozen_model.pb"):
        load.write_graph_def(as_old_release(load.parse_graph_def(MODEL.read_bytes(), "x"), release), tmp_path / name)

    return make


@pytest.mark.parametrize(
    "release, claim", [("0.12", "0.12"), ("1.0", "1.0"), ("1.2", "1.1"), ("1.3", "auto"), ("2.0", "2.0")]
)
def test_releases(old, tmp_path, release, claim):
    old(release)
    (tmp_path / "frozen_model.pbtxt").write_text("mine")
    assert main(["convert-from", claim]) == 0
    new = load.load_graph_def("convert_out.pb", upgrade=False)
    assert load.text_constant(new, "model_attr/model_version") == "1.1"
    assert np.abs(energy("convert_out.pb")).max() < 1e-12
    assert (tmp_path / "frozen_model.pbtxt").read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["convert_out.pb", "frozen_model.pb", "frozen_model.pbtxt"]


def test_text_form_round_trip(tmp_path):
    text, back = tmp_path / "m.pbtxt", tmp_path / "back.pb"
    assert main(["convert-from", "-i", str(MODEL), "-o", str(text)]) == 0
    assert text.read_text().startswith("node {")
    assert main(["convert-from", "pbtxt", "-i", str(text), "-o", str(back)]) == 0
    assert np.abs(energy(back)).max() < 1e-12


def test_another_release_is_found_out(old, capfd):
    old("1.3")
    assert main(["convert-from", "1.0"]) == 0
    assert "frozen_model.pb has the layout of release 1.3, not 1.0" in capfd.readouterr().err
    assert np.abs(energy("convert_out.pb")).max() < 1e-12
    Path("convert_out.pb").unlink()


def test_mistakes(old, tmp_path, capsys):
    old("1.3")
    assert main(["convert-from", "pbtxt", "-i", "frozen_model.pb"]) == 1
    assert "is not a text file" in capsys.readouterr().err
    (tmp_path / "a.pbtxt").write_text("node { nonsense: 3 }")
    assert main(["convert-from", "pbtxt", "-i", "a.pbtxt"]) == 1
    assert "a.pbtxt: is not a graph in text form" in capsys.readouterr().err
    assert main(["convert-from", "-i", "a.pbtxt", "-o", "b.pbtxt"]) == 1
    assert "both text" in capsys.readouterr().err
    assert not (tmp_path / "convert_out.pb").exists()
