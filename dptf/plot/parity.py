"""Parity pictures: predictions against data, and the distribution of the errors."""

import numpy as np

from dptf.plot.canvas import COLORS, check_target, figure, save

#: numbers kept per quantity; of more every second is dropped again and again, which keeps the distribution
_LIMIT = 400_000
#: detail file: (title, factor from the unit of the file, unit, show relative to the mean of the data)
_PANELS = {
    "e_peratom": ("energy", 1e3, "meV/atom", True),
    "f": ("force", 1.0, "eV/Å", False),
    "v_peratom": ("virial", 1.0, "eV/atom", False),
    "dos": ("density of states", 1.0, "1/eV", False),
    "ados": ("atomic density of states", 1.0, "1/eV", False),
    "": ("tensor", 1.0, "", False),
}


class _Quantity:
    """Pairs of data and prediction, thinned evenly, and exact sums of the errors."""

    def __init__(self):
        self._parts, self._stride, self._kept = [], 1, 0
        self.count, self.absolute, self.square = 0, 0.0, 0.0

    def add(self, data, predicted):
        data, predicted = (np.asarray(x, np.float64).ravel() for x in (data, predicted))
        error = predicted - data
        # Kept are the pairs whose index in the whole series is a multiple of the stride.
        picked = np.stack([data, predicted])[:, -self.count % self._stride :: self._stride]
        self.count += error.size
        self.absolute += np.abs(error).sum()
        self.square += np.square(error).sum()
        self._parts.append(picked)
        self._kept += picked.shape[1]
        while self._kept > _LIMIT:
            self._parts = [np.concatenate(self._parts, axis=1)[:, ::2]]
            self._kept = self._parts[0].shape[1]
            self._stride *= 2

    @property
    def pairs(self):
        """(2, kept) array: data, prediction."""
        return np.concatenate(self._parts, axis=1)


class ParityPlot:
    """Collects what ``dp test`` compares, with the interface of `DetailFiles`, and draws it.

    Parameters
    ----------
    path : str or None
        Picture to write; None collects nothing.

    Raises
    ------
    UserError
        If the picture cannot be written.
    """

    def __init__(self, path):
        self.path, self._found = path, {}
        if path is not None:
            check_target(path, "--plot")

    def write(self, suffix, header, data, predicted):
        """Take rows of data and prediction of the quantity that ``suffix`` names."""
        key = suffix.split("out")[0].rstrip(".")
        if self.path is not None and key in _PANELS:
            self._found.setdefault(key, _Quantity()).add(data, predicted)

    def close(self):
        """Draw; returns the path, or None if there was nothing to draw."""
        if self.path is None or not self._found:
            return None
        found = sorted(self._found.items(), key=lambda item: list(_PANELS).index(item[0]))
        fig, axes = figure(len(found), 2, heights=(3.3, 1.9))
        for (key, quantity), (top, bottom) in zip(found, axes.T):
            _draw(top, bottom, quantity, *_PANELS[key])
        save(fig, self.path)
        return self.path


def _draw(top, bottom, quantity, title, scale, unit, centered):
    pairs = quantity.pairs * scale
    label = title
    if centered:
        pairs = pairs - pairs[0].mean()
        label = f"{title} − mean"
    low, high = pairs.min(), pairs.max()
    margin = 0.03 * (high - low) or 1.0
    ends = [low - margin, high + margin]
    top.plot(ends, ends, color=COLORS[0], lw=1, zorder=0)
    if pairs.shape[1] > 5000:
        # A cloud of points hides how many there are; cells coloured by the logarithm of the count do not.
        top.hexbin(*pairs, gridsize=70, bins="log", mincnt=1, cmap="viridis", linewidths=0.1, extent=(*ends, *ends))
    else:
        top.plot(*pairs, ".", ms=3, color=COLORS[1], alpha=0.7)
    units = f" ({unit})" if unit else ""
    top.set(xlim=ends, ylim=ends, aspect="equal", xlabel=f"data{units}", ylabel=f"prediction{units}", title=label)
    mae, rmse = quantity.absolute / quantity.count * scale, np.sqrt(quantity.square / quantity.count) * scale
    text = f"MAE {mae:.3g}\nRMSE {rmse:.3g}\n{quantity.count} values"
    top.text(0.04, 0.96, text, transform=top.transAxes, va="top", fontsize=8)
    error = pairs[1] - pairs[0]
    bottom.hist(error, bins=min(100, max(10, int(np.sqrt(error.size)))), color=COLORS[1])
    bottom.set(yscale="log" if error.size > 1000 else "linear", xlabel=f"prediction − data{units}", ylabel="count")
