"""Embedding nets of one number as stored tables: what ``dp compress`` makes of them, and the ops that read them.

A table covers [lower, upper) with fine intervals and [upper, extrapolate * upper) with coarse ones; every interval is a
polynomial of degree five that has the value and two derivatives of the net at both ends. Beyond both ends the ops go on with
straight lines. For three-body angles the coarse intervals lie on both sides.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dptf.errors import UserError
from dptf.nn.activation import activation_code
from dptf.ops import op_module, tf

_GELU = math.sqrt(2.0 / math.pi)


def _tanh(z):
    y = np.tanh(z)
    d = 1 - y * y
    return y, d, -2 * y * d


def _sigmoid(z):
    y = 0.5 * (1 + np.tanh(0.5 * z))
    d = y * (1 - y)
    return y, d, d * (1 - 2 * y)


def _softplus(z):
    s, d, _ = _sigmoid(z)
    return np.logaddexp(0, z), s, d


def _silu(z):
    s, d, dd = _sigmoid(z)
    return z * s, s + z * d, 2 * d + z * dd


def _gelu(z):
    t, d, dd = _tanh(_GELU * (z + 0.044715 * z**3))
    u, v = _GELU * (1 + 3 * 0.044715 * z**2), _GELU * 6 * 0.044715 * z
    first, second = d * u, dd * u**2 + d * v
    return 0.5 * z * (1 + t), 0.5 * (1 + t) + 0.5 * z * first, first + 0.5 * z * second


def _relu(z):
    on = (z > 0).astype(z.dtype)
    return z * on, on, np.zeros_like(z)


def _relu6(z):
    on = ((z > 0) & (z < 6)).astype(z.dtype)
    return np.clip(z, 0, 6), on, np.zeros_like(z)


def _identity(z):
    return z, np.ones_like(z), np.zeros_like(z)


_JETS = {
    "tanh": _tanh, "sigmoid": _sigmoid, "softplus": _softplus, "silu": _silu, "gelu": _gelu, "gelu_tf": _gelu, "relu": _relu,
    "relu6": _relu6, "none": _identity, "linear": _identity,
}  # fmt: skip


def _silut(threshold):
    s = 1 / (1 + math.exp(-threshold))
    slope, value = s * (1 + threshold * (1 - s)), threshold * s

    def jets(z):
        below, (t, d, dd) = _silu(np.minimum(z, threshold)), _tanh(slope * (z - threshold))
        above = t + value, slope * d, slope**2 * dd
        return tuple(np.where(z < threshold, a, b) for a, b in zip(below, above))

    return jets


def activation_jets(activation):
    """The function that gives an activation with its two derivatives, or None."""
    name, _, threshold = str(activation).lower().partition(":")
    if name in ("silut", "custom_silu"):
        return _silut(float(threshold or 3.0))
    return _JETS.get(name)


def can_store(activation):
    """Whether nets with this activation can be stored as tables."""
    return activation_jets(activation) is not None


def net_jets(x, layers, activation, rest=()):
    """Value, first and second derivative of an embedding net of one number, or of several of which only the first varies.

    Parameters
    ----------
    x : array, shape (n,)
    layers : list of (matrix, bias, idt)
        Shapes (n_in, n_out), (n_out,) and (n_out,) or None.
    activation : str
    rest : array, shape (n_in - 1,)
        The other inputs.

    Returns
    -------
    three arrays, shape (n, M), float64
    """
    phi = activation_jets(activation)
    x = np.asarray(x, np.float64)[:, None]
    y = np.concatenate([x, np.tile(np.asarray(rest, np.float64), (len(x), 1))], axis=1)
    d, dd = np.zeros_like(y), np.zeros_like(y)
    d[:, 0] = 1.0
    for w, b, idt in layers:
        w = np.asarray(w, np.float64)
        n_in, n_out = w.shape
        value, first, second = phi(y @ w + np.asarray(b, np.float64).ravel())
        dz, ddz = d @ w, dd @ w
        new = [value, first * dz, second * dz**2 + first * ddz]
        if n_out in (n_in, 2 * n_in):
            step = 1.0 if idt is None else np.asarray(idt, np.float64).ravel()
            copies = n_out // n_in
            new = [h * step + np.tile(old, (1, copies)) for h, old in zip(new, (y, d, dd))]
        y, d, dd = new
    return y, d, dd


def fit_stride(length, step, dtype=np.float64):
    """The stride next to `step` (at most as large) that divides `length`, and the number of intervals.

    The ops find interval numbers by division and truncation in `dtype`; the stride is such that this gives the exact number.
    """
    count = length / step
    count = max(1, round(count) if abs(count - round(count)) < 1e-6 * count else math.ceil(count))
    stride, span = dtype(length / count), dtype(length)
    while int(span / stride) < count:
        stride = np.nextafter(stride, dtype(0))
    return stride, count


class Run(NamedTuple):
    """Consecutive intervals of a table: `count` of length `spacing` from `begin` on, the last one to `end`.

    In the table they are as long as `width`, and they belong to the class (see ``dptf.nn.pair_table``) of a number.
    """

    begin: float
    spacing: float
    count: int
    end: float
    width: float
    number: int = 0

    @property
    def nodes(self):
        """Edges of the intervals, shape (count + 1,)."""
        return np.append(self.begin + np.arange(self.count) * np.float64(self.spacing), self.end)


class Grid(NamedTuple):
    """Ends widened to integers, as ``table_info`` [6], the runs of intervals, and whether the table is made at load."""

    info: np.ndarray
    runs: list
    at_load: bool

    @property
    def edges(self):
        """Edges of all intervals, shape (rows + 1,)."""
        return np.concatenate([run.nodes[:-1] for run in self.runs] + [[self.runs[-1].end]])


#: Steps of tables of products of two neighbors over those of a distance: products reach much further.
PRODUCT_SCALE = 10.0


@dataclass(frozen=True)
class TableSettings:
    """Options of ``dp compress``.

    Attributes
    ----------
    step : float
        Fine stride, in units of the normalised s(r); the coarse one is ten times as large.
    extrapolate : float
        The coarse part reaches to this multiple of the upper end.
    frequency : int
        Stored with the table; not used.
    min_distance : float
        Smallest distance in the training data, Å: the fine part reaches to it.
    at_load : bool
        Keep the nets, with what is needed to make the tables when the graph is loaded.
    """

    step: float = 0.01
    extrapolate: float = 5
    frequency: int = -1
    min_distance: float = 1.0
    at_load: bool = False

    def grid(self, lower, upper, dtype=np.float64, *, symmetric=False):
        """The :class:`Grid` over these ends."""
        scale = PRODUCT_SCALE if symmetric else 1.0
        lower, upper = math.floor(lower), math.ceil(upper)
        upper = max(upper, lower + 1, 1)
        if symmetric:
            lower = -upper
        top = self.extrapolate * upper
        fine, n_fine = fit_stride(upper - lower, scale * self.step, dtype)
        coarse, n_coarse = fit_stride(top - upper, 10 * scale * self.step, dtype)
        info = np.array([lower, upper, top, fine, coarse, self.frequency], dtype)
        fine, coarse = float(fine), float(coarse)
        runs = [Run(lower, fine, n_fine, upper, fine), Run(upper, coarse, n_coarse, top, coarse)]
        if symmetric:
            runs.insert(0, Run(-top, coarse, n_coarse, lower, coarse))
        return Grid(info, runs, self.at_load)


def make_table(layers, activation, edges, dtype=np.float64, rest=()):
    """Coefficients of all intervals, shape (len(edges) - 1, 6 * M): those of a channel side by side."""
    return hermite_table(*net_jets(edges, layers, activation, rest), np.diff(edges)).astype(dtype)


def hermite_table(v, d, s, widths):
    """Coefficients (intervals, 6 * M) of the polynomials between nodes with these values and derivatives (nodes, M)."""
    t = widths[:, None]
    (v0, v1), (d0, d1), (s0, s1) = ((a[:-1], a[1:]) for a in (v, d, s))
    h = v1 - v0
    parts = [
        v0,
        d0,
        0.5 * s0,
        (20 * h - (8 * d1 + 12 * d0) * t - (3 * s0 - s1) * t**2) / (2 * t**3),
        (-30 * h + (14 * d1 + 16 * d0) * t + (3 * s0 - 2 * s1) * t**2) / (2 * t**4),
        (12 * h - 6 * (d1 + d0) * t + (s1 - s0) * t**2) / (2 * t**5),
    ]
    return np.stack(parts, axis=2).reshape(len(t), -1)


def check_storable(activation, precision, where):
    """Refuse nets that no table can stand for."""
    if not can_store(activation):
        raise UserError(
            f"nets with activation '{activation}' cannot be stored as tables", f"{where}/activation_function",
            "the model runs as it is",
        )  # fmt: skip
    if precision not in (tf.float32, tf.float64):
        raise UserError(f"nets of precision {precision.name} cannot be stored as tables", f"{where}/precision")


def take_layers(values, scope, tail, depth, resnet_dt):
    """Remove the layers of a net from the arrays of a model; returns them as `net_jets` takes them."""
    layers = []
    for k in range(1, depth + 1):
        try:
            w, b = (values.pop(f"{scope}/{name}_{k}{tail}") for name in ("matrix", "bias"))
        except KeyError as err:
            raise UserError("is missing in the graph", err.args[0]) from None
        idt = values.pop(f"{scope}/idt_{k}{tail}", None)
        layers.append((w, b, idt if resnet_dt else None))
    return layers


def put_table(values, scope, tail, layers, activation, grid, dtype, rest=()):
    """Add the table of a net to the arrays of a model; `grid` as of `TableSettings`."""
    name, info = table_names(scope, tail)
    values[info] = grid.info
    if grid.at_load:
        put_source(values, scope, tail, layers, activation, grid.runs, dtype, [rest])
    else:
        values[name] = make_table(layers, activation, grid.edges, dtype, rest)


def put_source(values, scope, tail, layers, activation, runs, dtype, rests):
    """Add a net from which tables are made when the graph is loaded.

    Parameters
    ----------
    values : dict
    scope, tail : str
    layers, activation
        As of `net_jets`.
    runs : list of Run
    dtype : type
        Of the tables.
    rests : list of array, shape (n_in - 1,)
        The other inputs of the net, per class.
    """
    names = source_names(scope, tail)
    code, threshold = activation_code(activation)
    parts, widths = [], [np.shape(layers[0][0])[0]]
    for w, b, idt in layers:
        n_in, n_out = np.shape(w)
        step = np.ones(n_out) if idt is None or n_out not in (n_in, 2 * n_in) else idt
        parts += [np.ravel(w), np.ravel(b), np.ravel(step)]
        widths.append(n_out)
    values[names["form"]] = np.array([code, sum(threshold), *widths], np.float64)
    values[names["runs"]] = np.array([[run.number, *run[:5]] for run in runs], np.float64)
    values[names["rest"]] = np.asarray(rests, np.float64).reshape(len(rests), widths[0] - 1)
    values[names["weights"]] = np.concatenate(parts).astype(dtype)


def source_names(scope, tail):
    """Names of the arrays of a net from which tables are made at load, by what they are."""
    return {key: f"{scope}/table_{key}{tail}" for key in ("form", "runs", "rest", "weights")}


def table_bytes(values):
    """Size of the tables among the arrays of a model that stand there, and of those that are made at load."""
    stored = made = 0
    for name in values:
        scope, _, tail = name.rpartition("/table_info")
        if not scope:
            continue
        if (table := values.get(table_names(scope, tail)[0])) is not None:
            stored += table.nbytes
        else:
            names = source_names(scope, tail)
            form, rows = values[names["form"]], values[names["runs"]][:, 3].sum()
            made += int(rows * 6 * form[-1] * values[names["weights"]].itemsize)
    return stored, made


def store_net(values, scope, tail, depth, activation, resnet_dt, grid, dtype):
    """Replace the layers of a net among the arrays of a model by its table, in place; `grid` as of `TableSettings`."""
    put_table(values, scope, tail, take_layers(values, scope, tail, depth, resnet_dt), activation, grid, dtype)


def table_names(scope, tail):
    """Names of the two arrays of a stored net."""
    return f"{scope}/table{tail}", f"{scope}/table_info{tail}"


def factor_name(scope):
    """Name of the array that stands for the net of the types in strip form, in graphs that the public package compressed."""
    return f"{scope}/type_factor"


def stored_arrays(values):
    """Those of the arrays of a model that stand for nets."""
    return {k: v for k, v in values.items() if "/table" in k or k.endswith("/type_factor")}


def is_compressed(values):
    """Whether the arrays of a model (by name) hold stored nets."""
    return any("/table_info" in name for name in values)


class StoredNet:
    """A stored net in a graph.

    Parameters
    ----------
    params : Parameters
    scope, tail : str
        Where it is among the values.
    dtype : tf.DType
        float32 or float64.
    """

    def __init__(self, params, scope, tail, dtype):
        if dtype not in (tf.float32, tf.float64):
            raise UserError(f"a compressed model cannot have precision {dtype.name}", "model/descriptor/precision")
        self.scope = scope
        name, info = table_names(scope, tail)
        if params.has(name):
            shape = np.shape(params.values[name])
            self.width = shape[1] // 6
            table = params.get(name, list(shape), np.zeros(shape), dtype, trainable=False)
        else:
            table = self._made(params, scope, tail, dtype)
        self._inputs = table, params.get(info, [6], np.zeros(6), dtype, trainable=False)

    def _made(self, params, scope, tail, dtype):
        """The table of a net that is made at load."""
        arrays = {}
        for key, name in source_names(scope, tail).items():
            kind = dtype if key == "weights" else tf.float64
            shape = np.shape(params.values[name])
            arrays[key] = params.get(name, list(shape), np.zeros(shape), kind, trainable=False)
        code, threshold, *widths = np.ravel(params.values[source_names(scope, tail)["form"]]).tolist()
        self.width = int(widths[-1])
        high = float(np.float32(threshold))
        return op_module.dptf_net_table(
            arrays["runs"], arrays["rest"], arrays["weights"], widths=[int(w) for w in widths], activation=int(code),
            threshold=[high, threshold - high], name=table_names(scope, tail)[0],
        )  # fmt: skip

    @staticmethod
    def stored(params, scope, tail):
        """Whether the values hold this net as a table."""
        return params.has(table_names(scope, tail)[1])

    def _call(self, form, *inputs, **attrs):
        op = getattr(op_module, f"tabulate_fusion_{form.lower()}")
        name = f"{self.scope}/TabulateFusion{form.title().replace('_', '')}"
        return op(*self._inputs, *inputs, last_layer_size=self.width, name=name, **attrs)

    def contract(self, rows):
        """Sum over slots of row (x) G(first of row), shape (n, 4, M); rows (n, slots, 4)."""
        out = self._call("se_a", tf.reshape(rows[:, :, :1], [-1, 1]), rows)
        return tf.reshape(out, [-1, 4, self.width])

    def contract_stripped(self, rows, factor, *, is_sorted=True):
        """The same with G (1 + factor); factor (n * slots, M)."""
        out = self._call("se_atten", tf.reshape(rows[:, :, :1], [-1, 1]), rows, factor, is_sorted=is_sorted)
        return tf.reshape(out, [-1, 4, self.width])

    def contract_angles(self, products, arguments=None):
        """Sum over pairs of e G(e), shape (n, M); products e (n, slots a, slots b), and what G takes in place of them."""
        x = products if arguments is None else arguments
        out = self._call("se_t", tf.reshape(x, [-1, int(products.shape[2])]), products)
        return tf.reshape(out, [-1, self.width])

    def rows(self, s):
        """G (n, slots, M) of s (n, slots)."""
        return tf.reshape(self._call("se_r", s), tf.concat([tf.shape(s), [self.width]], 0))

    def sum(self, s):
        """Sum of G over the slots, shape (n, M); s (n, slots)."""
        out = self._call("se_r", s)
        return tf.reduce_sum(tf.reshape(out, [-1, int(s.shape[1]), self.width]), axis=1)
