"""Figures without a window system, written in one piece."""

import os
from pathlib import Path

from dptf.errors import UserError

FORMATS = (".png", ".pdf", ".svg")
#: One colour per role (training, validation) and the ones after it for further curves; distinct for all kinds of sight.
COLORS = ("#9aa5b1", "#0b6e99", "#d1603d", "#4b7f52", "#7b4b94", "#c2a83e", "#5c5c5c", "#c7528a")
_STYLE = {
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25, "grid.linewidth": 0.5,
    "font.size": 9, "axes.titlesize": 10, "legend.frameon": False, "savefig.dpi": 150,
}  # fmt: skip


def check_target(path, where):
    """Find out before any work whether a picture can be written.

    Parameters
    ----------
    path : str
    where : str
        Option, for messages.

    Raises
    ------
    UserError
        Unknown format, no matplotlib, or a folder that does not exist or cannot be written.
    """
    import importlib.util

    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"'{path.suffix}' is no format of pictures", f"{where} {path}", f"use {', '.join(FORMATS)}")
    if importlib.util.find_spec("matplotlib") is None:
        raise UserError("pictures need matplotlib, which is not installed", where, "pip install matplotlib")
    if path.is_dir():
        raise UserError("is a folder", f"{where} {path}", "give the name of a file")
    if not path.parent.is_dir():
        raise UserError("no such folder", f"{where} {path.parent}", "create it first")
    if not os.access(path.parent, os.W_OK):
        raise UserError("the folder cannot be written", f"{where} {path.parent}")


def figure(columns, rows=1, *, width=3.4, heights=(2.8,)):
    """A figure and its axes, shape (rows, columns); sizes of one panel in inches."""
    import matplotlib

    matplotlib.rcParams.update(_STYLE)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    fig = Figure(figsize=(width * columns, sum(heights)), layout="constrained")
    FigureCanvasAgg(fig)
    return fig, fig.subplots(rows, columns, squeeze=False, height_ratios=heights)


def save(fig, path):
    """Write a figure under a temporary name, then rename it."""
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.tmp{path.suffix}")
    try:
        fig.savefig(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
