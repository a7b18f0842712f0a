"""Sums of errors, and the lines in which ``dp test`` reports them."""

import numpy as np


class ErrorSums:
    """Absolute and squared errors of named quantities, summed over frames and systems."""

    def __init__(self):
        self._sums = {}

    def add(self, name, difference, weight=None):
        """Add errors of ``name``; ``weight`` broadcasts against ``difference``."""
        difference = np.asarray(difference, dtype=np.float64)
        weight = np.ones_like(difference) if weight is None else np.broadcast_to(weight, difference.shape)
        new = np.array([(weight * np.abs(difference)).sum(), (weight * difference**2).sum(), weight.sum()])
        self._sums[name] = self._sums.get(name, 0.0) + new

    def merge(self, other):
        """Add the sums of another object: the result weighs every number the same."""
        for name, sums in other._sums.items():
            self._sums[name] = self._sums.get(name, 0.0) + sums

    def __contains__(self, name):
        return name in self._sums and self._sums[name][2] > 0

    def mae(self, name):
        """Mean absolute error."""
        absolute, _, weight = self._sums[name]
        return absolute / weight

    def rmse(self, name):
        """Root mean square error."""
        _, square, weight = self._sums[name]
        return np.sqrt(square / weight)


class Line:
    """One reported number.

    Parameters
    ----------
    text : str
        Label in front of the colon, padding included.
    kind : {"mae", "rmse"}
    name : str
        Quantity in `ErrorSums`.
    unit : str, optional
    in_average : bool, optional
        Report it for the average over systems too.
    """

    def __init__(self, text, kind, name, unit="", in_average=True):
        self.text, self.kind, self.name, self.unit, self.in_average = text, kind, name, unit, in_average

    def value(self, sums):
        """The number, or None if nothing was added."""
        return float(getattr(sums, self.kind)(self.name)) if self.name in sums else None

    def format(self, value):
        """The text of the line."""
        return f"{self.text}: {value:e} {self.unit}".rstrip()

    @property
    def key(self):
        """Name in machine-readable output."""
        return " ".join(self.text.split())


def both(label, name, unit, width=19, **kwargs):
    """The MAE and the RMSE line of a quantity; ``label`` has a placeholder for the kind."""
    return [Line(label.format(kind).ljust(width), kind.lower(), name, unit, **kwargs) for kind in ("MAE", "RMSE")]
