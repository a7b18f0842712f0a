"""Pictures: what is read from learning curves, what is drawn, and what is refused."""

import numpy as np
import pytest

from dptf.cli.main import main
from dptf.errors import UserError
from dptf.plot import lcurve, parity

pytest.importorskip("matplotlib")
HEADER = "#  step      rmse_val    rmse_trn    rmse_e_val  rmse_e_trn    rmse_f_val  rmse_f_trn         lr\n"
NOTE = "# If there is no available reference data, rmse_*_{val,trn} will print nan\n"


def row(step, force=1.0, energy="1.0e-02"):
    return (
        f"{step:7d}      1.0e+00     1.0e+00      {energy}    {energy}      {force:.2e}    {2 * force:.2e}    1.0e-03\n"
    )


def png_size(path):
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and data[-8:-4] == b"IEND"
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def test_restarted_curve(tmp_path):
    path = tmp_path / "lcurve.out"
    # The run went on to 30, was killed while it wrote 40, and was restarted from the checkpoint of step 20.
    old = "".join(row(s, force=9.0) for s in (0, 10, 20, 30))
    path.write_text(HEADER + NOTE + old + HEADER + NOTE + row(20) + row(25) + "     30    1.0")
    curve = lcurve.read_lcurve(path)
    assert curve.step.tolist() == [0, 10, 20, 25]
    np.testing.assert_array_equal(curve.columns["rmse_f_val"], [9, 9, 1, 1])
    assert [v.tolist() for v in curve.of("rmse_f")] == [[18, 18, 2, 2], [9, 9, 1, 1]]


def test_metrics_without_numbers_are_left_out(tmp_path):
    path = tmp_path / "lcurve.out"
    path.write_text(HEADER + row(0, energy="     nan") + row(5, energy="     nan"))
    assert lcurve.read_lcurve(path).metrics == ["rmse_f"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "no header"),
        ("hello\n", "no header"),
        (HEADER, "no step yet"),
        (HEADER + "1 2 3\n" + row(1), "line 2: 8 numbers"),
        (HEADER + "0 a b c d e f g\n", "line 2: 8 numbers"),
        (HEADER + row(0) + HEADER.replace("rmse_f", "rmse_v"), "line 3: the columns change"),
    ],
)
def test_bad_curves(tmp_path, monkeypatch, capsys, text, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.out").write_text(text)
    (tmp_path / "lcurve.png").write_text("old")
    assert main(["plot", "x.out"]) == 1
    err = capsys.readouterr().err
    assert "x.out" in err and message in err and "Traceback" not in err
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["lcurve.png", "x.out"]
    assert (tmp_path / "lcurve.png").read_text() == "old"


def test_pictures_of_curves(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lcurve.out").write_text(HEADER + "".join(row(s, force=1 / (s + 1)) for s in range(0, 200, 10)))
    assert main(["plot"]) == 0
    wide, high = png_size(tmp_path / "lcurve.png")
    assert main(["plot", "lcurve.out", "lcurve.out", "-o", "two.svg"]) == 0
    assert wide > 3 * high  # energy, force, learning rate
    assert "learning rate" in (tmp_path / "two.svg").read_text()
    assert {p.name for p in tmp_path.iterdir()} == {"lcurve.out", "lcurve.png", "two.svg"}


@pytest.mark.parametrize(
    "target, message",
    [("x.bmp", "'.bmp'"), ("no/x.png", "no such folder"), ("picture", "''"), ("d.png", "is a folder")],
)
def test_targets_that_cannot_be_written(tmp_path, monkeypatch, capsys, target, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d.png").mkdir()
    (tmp_path / "lcurve.out").write_text(HEADER + row(0))
    assert main(["plot", "-o", target]) == 1
    err = capsys.readouterr().err
    assert message in err and err.count("\n") <= 2
    with pytest.raises(UserError, match="--plot"):
        parity.ParityPlot(target)


def test_thinning_keeps_the_series_even(monkeypatch):
    monkeypatch.setattr(parity, "_LIMIT", 50)
    quantity, start = parity._Quantity(), 0
    for size in (30, 7, 100, 1, 12):
        values = np.arange(start, start + size, dtype=float)
        quantity.add(values, values + 0.5)
        start += size
    data, predicted = quantity.pairs
    step = data[1] - data[0]
    assert len(data) <= 50 and data[0] == 0
    np.testing.assert_array_equal(np.diff(data), step)
    assert data[-1] + step >= start
    np.testing.assert_array_equal(predicted, data + 0.5)
    assert (quantity.count, quantity.absolute, quantity.square) == (150, 75.0, 37.5)


def test_parity_picture(tmp_path):
    rng = np.random.default_rng(0)
    plot = parity.ParityPlot(tmp_path / "p.png")
    assert plot.close() is None and not (tmp_path / "p.png").exists()
    for n in (1, 3000):  # one frame; more force components than are drawn as points
        energy, force = rng.normal(size=(n, 1)), rng.normal(size=(n, 3))
        plot.write("e.out", "", energy, energy)  # not drawn: the energy per atom is
        plot.write("e_peratom.out", "", energy, energy + 1e-3)
        plot.write("f.out", "", force, force * 1.01)
    plot.close()
    wide, high = png_size(tmp_path / "p.png")
    assert 1.2 < wide / high < 1.4  # two columns
