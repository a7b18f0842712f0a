"""Learning curves: ``lcurve.out`` read and drawn."""

from dataclasses import dataclass

import numpy as np

from dptf.errors import UserError
from dptf.plot.canvas import COLORS, figure, save

#: metric: (title, factor from the unit of the file, unit)
_TITLES = {
    "rmse": ("square root of the loss", 1.0, ""),
    "rmse_e": ("energy", 1e3, "meV/atom"),
    "rmse_f": ("force", 1e3, "meV/Å"),
    "rmse_v": ("virial", 1e3, "meV/atom"),
    "rmse_ae": ("atomic energy", 1e3, "meV"),
    "rmse_pf": ("weighted force", 1e3, "meV/Å"),
    "rmse_gf": ("generalized force", 1.0, ""),
    "rmse_lc": ("tensor of atoms", 1.0, ""),
    "rmse_gl": ("tensor of frames, per atom", 1.0, ""),
    "rmse_dos": ("density of states, per atom", 1.0, ""),
    "rmse_ados": ("atomic density of states", 1.0, ""),
    "rmse_cdf": ("running sum of the density of states, per atom", 1.0, ""),
    "rmse_acdf": ("running sum of atomic densities of states", 1.0, ""),
    "mae": ("property, mean absolute error", 1.0, ""),
    "mse": ("property, mean square error", 1.0, ""),
    "rmse_prop": ("property, root mean square error", 1.0, ""),
    "mape": ("property, mean relative error", 1.0, ""),
}


@dataclass
class Curve:
    """One training run.

    Attributes
    ----------
    path : str
    step : (n,) int array
    columns : dict of (n,) arrays
        By the names in the header of the file, without ``step``.
    """

    path: str
    step: np.ndarray
    columns: dict

    @property
    def metrics(self):
        """Names of the errors that hold a number, without the total."""
        names = [name[: -len("_trn")] for name in self.columns if name.endswith("_trn")]
        return [m for m in names if m != "rmse" and any(np.isfinite(v).any() for v in self.of(m))] or names[:1]

    def of(self, metric):
        """Training and validation values; the latter are None without validation data."""
        valid = self.columns.get(f"{metric}_val")
        return tuple(v for v in (self.columns[f"{metric}_trn"], valid) if v is not None)


def read_lcurve(path):
    """Read a learning curve.

    A restart appends a second header and repeats the step it starts from: of a step that occurs twice the later row
    counts, and rows after it that belong to the abandoned end of the earlier run are left out.

    Parameters
    ----------
    path : str

    Returns
    -------
    Curve

    Raises
    ------
    UserError
        Not such a file, a line that cannot be read, or headers that differ.
    """
    names, rows = None, []
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            where = f"{path}, line {number}"
            words = line.lstrip("# ").split()
            if line.startswith("#"):
                if words[:1] == ["step"]:
                    if names not in (None, words):
                        raise UserError(
                            "the columns change here: the file holds different runs", where, "plot each run by itself"
                        )
                    names = words
                continue
            if not words:
                continue
            if names is None:
                raise UserError("has no header '# step ...'", path, "give the lcurve.out that dp train wrote")
            try:
                values = [float(word) for word in words]
            except ValueError:
                values = []
            if len(values) != len(names):
                if not line.endswith("\n"):
                    break  # the line that a running or killed training was writing
                raise UserError(f"{len(names)} numbers are expected", where)
            while rows and rows[-1][0] >= values[0]:
                rows.pop()
            rows.append(values)
    if names is None:
        raise UserError("has no header '# step ...'", path, "give the lcurve.out that dp train wrote")
    if not rows:
        raise UserError("holds no step yet", path)
    table = np.array(rows)
    return Curve(str(path), table[:, 0].astype(int), dict(zip(names[1:], table[:, 1:].T)))


def draw_lcurve(curves, output):
    """Draw errors against the step.

    Of one run training and validation errors are shown, of several the validation errors (training errors where a run
    has no validation data).

    Parameters
    ----------
    curves : list of Curve
    output : str
    """
    metrics = list(dict.fromkeys(m for c in curves for m in c.metrics))
    fig, axes = figure(len(metrics) + 1)
    for ax, metric in zip(axes[0], metrics):
        title, scale, unit = _TITLES.get(metric, (metric, 1.0, ""))
        for k, curve in enumerate(curves):
            if metric not in curve.metrics:
                continue
            lines = curve.of(metric)
            if len(curves) == 1:
                for name, values, color in zip(("training", "validation"), lines, COLORS):
                    label = f"{name}  {_last(values) * scale:.3g}"
                    ax.plot(curve.step, values * scale, color=color, lw=1.3, label=label)
            else:
                color = COLORS[(k + 1) % len(COLORS)]
                ax.plot(curve.step, lines[-1] * scale, color=color, lw=1.3, label=f"{_last(lines[-1]) * scale:.3g}")
        ax.set_title(f"{title} RMSE" + (f" ({unit})" if unit else ""))
        _axis(ax, curves)
        ax.legend(fontsize=8)
    for k, curve in enumerate(curves):
        color = COLORS[1] if len(curves) == 1 else COLORS[(k + 1) % len(COLORS)]
        if "lr" in curve.columns:
            axes[0, -1].plot(curve.step, curve.columns["lr"], color=color, lw=1.3, label=curve.path)
    axes[0, -1].set_title("learning rate")
    _axis(axes[0, -1], curves)
    if len(curves) > 1:
        axes[0, -1].legend(fontsize=7)
    save(fig, output)


def _last(values):
    """Last finite value, NaN if there is none."""
    finite = values[np.isfinite(values)]
    return finite[-1] if len(finite) else np.nan


def _axis(ax, curves):
    from matplotlib.ticker import LogFormatter

    positive = [c.step[c.step > 0] for c in curves]
    first, last = min((int(s[0]) for s in positive if len(s)), default=1), max(int(c.step[-1]) for c in curves)
    if last > 10 * first:
        # Logarithmic from the first step shown; the start of the run sits left of it.
        ax.set_xscale("symlog", linthresh=first, linscale=0.3)
        ax.set_xticks([0] + [10**k for k in range(12) if 2 * first <= 10**k <= last])
    ax.set_yscale("log")
    for axis_ticks, label in ((ax.yaxis.set_major_formatter, True), (ax.yaxis.set_minor_formatter, False)):
        axis_ticks(LogFormatter(labelOnlyBase=label, minor_thresholds=(1.5, 0.5)))
    ax.set_xlabel("step")
