"""Stored tables of a net of one number and a few classes (pairs of types): one table in which every class has a segment.

A segment covers [lower, upper) with fine intervals and [upper, top) with intervals ten times as wide, which in the table are as wide as
the others: arguments above ``upper`` are squeezed. That of products of two neighbors has such a part below ``lower`` too. The ops for tables get the argument plus the begin of its segment, so
graphs need no other ops than those of ordinary compressed models. Beyond both ends values stay constant, and so
do energies: forces and energies belong together everywhere.
"""

import math
from dataclasses import dataclass

import numpy as np

from dptf.nn.table import Run, StoredNet, hermite_table, net_jets, put_source, table_names
from dptf.ops import tf

#: How much wider the coarse intervals are.
SQUEEZE = 10.0


@dataclass(frozen=True)
class Segment:
    """Grid of one class; all lengths are multiples of ``stride``, a power of two, so that interval numbers are exact.

    Attributes
    ----------
    lower, upper, stride : float
    fine, coarse, below : int
        Numbers of intervals; ``below`` are coarse ones under ``lower``.
    """

    lower: float
    upper: float
    stride: float
    fine: int
    coarse: int
    below: int = 0

    @classmethod
    def covering(cls, lower, upper, top, step, *, symmetric=False):
        """A segment over [lower, upper), and coarsely to `top` (on both sides if symmetric), with intervals of at most `step`."""
        stride = 2.0 ** math.floor(math.log2(step) + 1e-9)
        lower = math.floor(lower / stride) * stride
        fine = max(1, math.ceil((upper - lower) / stride - 1e-9))
        upper = lower + fine * stride
        coarse = max(1, math.ceil((top - upper) / (SQUEEZE * stride) - 1e-9))
        return cls(lower, upper, stride, fine, coarse, coarse if symmetric else 0)

    @property
    def length(self):
        """Of the segment in the table."""
        return (self.below + self.fine + self.coarse) * self.stride

    def table(self, jets):
        """Coefficients (intervals, 6 M) of a function given by its jets: ``jets(x)`` are value, first and second derivative."""
        parts = []
        for run in self.runs():
            v, d, s = jets(run.nodes)
            scale = run.spacing / run.width
            parts.append(hermite_table(v, scale * d, scale**2 * s, np.full(run.count, run.width)))
        return np.concatenate(parts)

    def runs(self, number=0):
        """Runs of intervals of the class of a number."""
        wide = SQUEEZE * self.stride
        top, bottom = self.upper + wide * self.coarse, self.lower - wide * self.below
        below = [Run(bottom, wide, self.below, self.lower, self.stride, number)] if self.below else []
        return [
            *below,
            Run(self.lower, self.stride, self.fine, self.upper, self.stride, number),
            Run(self.upper, wide, self.coarse, top, self.stride, number),
        ]


def store_classes(values, scope, tail, segment, functions, dtype):
    """Put the tables of all classes among the arrays of a model.

    Parameters
    ----------
    values : dict
    scope, tail : str
    segment : Segment
    functions : list of callable
        See :meth:`Segment.table`, one per class.
    dtype : type
    """
    tables = [segment.table(jets).astype(dtype) for jets in functions]
    # The ops want a coarse part; nothing ever reaches it.
    tables.append(tables[-1][-1:])
    values[table_names(scope, tail)[0]] = np.concatenate(tables)
    _put_grid(values, scope, tail, segment, len(functions), dtype)


def store_net_classes(values, scope, tail, segment, layers, activation, rests, dtype, at_load):
    """The same for an embedding net whose further inputs have fixed values, a row of `rests` for every class.

    With `at_load` the net is put there, from which the tables are made.
    """
    if not at_load:
        return store_classes(values, scope, tail, segment, pair_jets(layers, activation, rests), dtype)
    runs = [run for number in range(len(rests)) for run in segment.runs(number)]
    last = runs[-1]
    runs.append(last._replace(begin=last.begin + (last.count - 1) * last.spacing, count=1))
    put_source(values, scope, tail, layers, activation, runs, dtype, rests)
    _put_grid(values, scope, tail, segment, len(rests), dtype)


def _put_grid(values, scope, tail, segment, classes, dtype):
    end = classes * segment.length
    # Strides above the whole length leave no coarse part on the left to the op for products of two neighbors.
    wide = 2 * (end + segment.stride) if segment.below else segment.stride
    values[table_names(scope, tail)[1]] = np.array([0.0, end, end + segment.stride, segment.stride, wide, -1.0], dtype)
    place = [segment.lower, segment.upper, segment.length]
    if segment.below:
        place.append(segment.below * segment.stride)
    values[_map_name(scope, tail)] = np.array(place, dtype)


def pair_jets(layers, activation, constants):
    """The jets of an embedding net whose further inputs have fixed values, one function per row of `constants`."""
    return [lambda x, c=row: net_jets(x, layers, activation, c) for row in constants]


def _map_name(scope, tail):
    return f"{scope}/table_map{tail}"


class StoredClasses(StoredNet):
    """Stored tables in a graph; parameters as of the base."""

    def __init__(self, params, scope, tail, dtype):
        super().__init__(params, scope, tail, dtype)
        size = len(params.values[_map_name(scope, tail)])
        place = params.get(_map_name(scope, tail), [size], np.zeros(size), dtype, trainable=False)
        self._lower, self._upper, self._length, *below = tf.unstack(place)
        self._below = below[0] if below else None
        self._stride = self._inputs[1][3]
        known = np.asarray(params.values[table_names(scope, tail)[1]], np.float64)
        self.count = round(known[1] / float(np.asarray(params.values[_map_name(scope, tail)])[2]))

    @staticmethod
    def stored(params, scope, tail):
        """Whether the values hold tables of classes under this name."""
        return params.has(_map_name(scope, tail))

    def arguments(self, x, index):
        """What the ops for tables get for arguments x of the classes `index` (same shape)."""
        x = tf.where(x > self._upper, self._upper + (x - self._upper) / SQUEEZE, x) - self._lower
        if self._below is not None:
            x = tf.where(x < 0, x / SQUEEZE, x) + self._below
        x = tf.clip_by_value(x, tf.zeros_like(self._length), self._length - self._stride / 1024)
        return x + tf.cast(index, x.dtype) * self._length

    def contract_classes(self, rows, index, keep=None):
        """Sum over slots of row (x) G(first of row), shape (n, 4, M); rows (n, slots, 4), index and keep (n, slots).

        Rows of False in `keep` are zeros.
        """
        x = self.arguments(rows[:, :, 0], index)
        if keep is not None:
            # The op ends a list at the first row that equals its last one: rows that count nothing must not look like that.
            slots = tf.shape(x)[1]
            apart = self._stride * (0.25 + 0.5 * tf.cast(tf.range(slots), x.dtype) / tf.cast(slots, x.dtype))
            x = tf.where(keep, x, tf.broadcast_to(apart[None, :], tf.shape(x)))
        x = tf.reshape(x, [-1, 1])
        return tf.reshape(self._call("se_a", x, rows), [-1, 4, self.width])

    def sum_products(self, c, index):
        """Sum over pairs of c G(c), shape (n, M); c and index (n, slots, slots)."""
        return self.contract_angles(c, self.arguments(c, index))

    def of_classes(self, x, index):
        """G (n, slots, M) of x and index (n, slots)."""
        return self.rows(self.arguments(x, index))
