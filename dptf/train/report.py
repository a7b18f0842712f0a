"""What a training run shows: the learning-curve file, a progress line on terminals, TensorBoard scalars."""

import logging
import os
import shutil
import time
from pathlib import Path

import numpy as np

from dptf.errors import UserError

log = logging.getLogger(__name__)


#: Metrics and what the file says about them.
_UNITS = ((("rmse_e", "mae_e"), "rmse_e and rmse_v eV per atom"), (("rmse_f", "mae_f"), "rmse_f eV/Angstrom"))


class Lcurve:
    """``lcurve.out`` in the layout that scripts parse.

    Parameters
    ----------
    path : str
    columns : list of (str, str, bool)
        Metric, suffix of the branch, and whether there is validation data.
    append : bool
        Continue a file (the header is repeated); rows from `step` on, which a run wrote before it broke off, are dropped.
    step : int
    """

    def __init__(self, path, columns, append, step=0):
        self._columns = columns
        if append:
            _drop_rows(path, step)
        self._file = open(path, "a" if append else "w", buffering=1)
        head = f"# {'step':5s}"
        for m, tail, val in columns:
            head += f"   {m + '_val' + tail:>11s} {m + '_trn' + tail:>11s}" if val else f"   {m + '_trn' + tail:>11s}"
        self._write(head + f"   {'lr':8s}\n")
        # Behind the known sentence: readers take the names from the first line and rows from the third.
        units = [u for names, u in _UNITS if any(m in names for m, *_ in columns)]
        units = f"; units: {', '.join(units)}; rmse alone is the root of the loss" if units else ""
        self._write(f"# If there is no available reference data, rmse_*_{{val,trn}} will print nan{units}\n")

    def _write(self, text):
        try:
            self._file.write(text)
        except OSError as err:
            fix = "free some space; the last checkpoint is whole, go on with --restart"
            raise UserError(f"cannot be written ({err.strerror})", self._file.name, fix) from None

    def row(self, step, train, valid, lr):
        """One line; values in the units of the loss (eV per atom, eV/Å)."""
        line = f"{step:7d}"
        for m, tail, val in self._columns:
            line += f"   {valid[m + tail]:11.2e} {train[m + tail]:11.2e}" if val else f"   {train[m + tail]:11.2e}"
        self._write(line + f"   {lr:8.1e}\n")

    def close(self):
        self._file.close()


def _drop_rows(path, step):
    path = Path(path)
    if not path.exists():
        return
    rows = path.read_text().splitlines(keepends=True)
    kept = [r for r in rows if r.startswith("#") or (r.split()[0].isdigit() and int(r.split()[0]) < step)]
    if len(kept) < len(rows):
        scratch = path.with_name(f".{path.name}.tmp")
        scratch.write_text("".join(kept))
        os.replace(scratch, path)


class Progress:
    """A line that overwrites itself, on terminals only."""

    def __init__(self, stop, stream):
        self._stop, self._stream = stop, stream
        self._on = stream.isatty()
        self._last, self._begin, self._first = 0.0, time.time(), None

    def update(self, step, loss, waited):
        """Show a step; `waited` are the seconds spent waiting for data so far."""
        if not self._on:
            return
        now = time.time()
        if self._first is None:
            self._first = step
        if now - self._last < 0.5:
            return
        self._last = now
        rate = (step - self._first) / max(now - self._begin, 1e-9)
        left = int((self._stop - step) / rate) if rate else 0
        share = 100.0 * waited / max(now - self._begin, 1e-9)
        width = 24
        done = width * step // max(self._stop, 1)
        self._stream.write(
            f"\r[{'#' * done}{'.' * (width - done)}] {step}/{self._stop}  {rate:.1f} steps/s  loss {loss:.3e}  "
            f"data {share:.1f} %  eta {left // 3600}:{left // 60 % 60:02d}:{left % 60:02d} "
        )
        self._stream.flush()

    def clear(self):
        if self._on:
            self._stream.write("\r" + " " * 120 + "\r")
            self._stream.flush()


class TensorBoard:
    """Scalars of training and validation, and distributions of the weights."""

    def __init__(self, folder, every, graph):
        from dptf.ops import tf

        self._tf, self._every = tf, max(1, every)
        shutil.rmtree(folder, ignore_errors=True)
        self._writers = {k: tf.summary.FileWriter(str(Path(folder) / k)) for k in ("train", "test")}
        self._writers["train"].add_graph(graph)

    @classmethod
    def make(cls, options, graph):
        """The board, or None when it is off."""
        if not options.get("tensorboard"):
            return None
        return cls(options.get("tensorboard_log_dir", "log"), options.get("tensorboard_freq", 1), graph)

    def due(self, step):
        return step % self._every == 0

    def histograms(self, values, step):
        """Distributions of arrays by name."""
        tf, rows = self._tf, []
        for name, value in values.items():
            flat = np.asarray(value, np.float64).ravel()
            counts, edges = np.histogram(flat, bins=min(30, max(1, flat.size)))
            histogram = tf.HistogramProto(
                min=flat.min(), max=flat.max(), num=flat.size, sum=flat.sum(), sum_squares=float(flat @ flat),
                bucket_limit=edges[1:].tolist(), bucket=counts.tolist(),
            )  # fmt: skip
            rows.append(tf.Summary.Value(tag=name, histo=histogram))
        self._writers["train"].add_summary(tf.Summary(value=rows), step)
        self._writers["train"].flush()

    def scalars(self, where, values, step):
        summary = self._tf.Summary(
            value=[self._tf.Summary.Value(tag=k, simple_value=float(v)) for k, v in values.items()]
        )
        self._writers[where].add_summary(summary, step)
        self._writers[where].flush()


class Timer:
    """Wall times for the log: per interval, and the average without the first interval."""

    def __init__(self, step):
        self.first = self.last_step = step
        self.begin = time.time()
        self.busy, self.intervals, self._data = 0.0, [], 0.0

    def update(self, seconds):
        """Add the time of a step."""
        self.busy += seconds

    def report(self, step, stop, prefetch, wanted):
        """Log the interval that ends here."""
        now = time.time()
        wall, steps = now - self.begin, step - self.last_step
        share = 100.0 * (prefetch.waited - self._data) / max(wall, 1e-9)
        self.intervals.append((self.busy, steps))
        if wanted:
            left = int((stop - step) * wall / max(steps, 1))
            eta = f"{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d}"
            finish = time.strftime("%Y-%m-%d %H:%M", time.localtime(now + left))
            log.info(
                "Batch %7d: total wall time = %.2f s, eta = %s at %s, data wait %.1f %%", step, wall, eta, finish, share
            )
        self.begin, self.busy, self.last_step, self._data = now, 0.0, step, prefetch.waited

    def summary(self):
        """Log the average."""
        rows = self.intervals[1:] or self.intervals
        steps = sum(n for _, n in rows)
        if steps:
            skipped = self.intervals[0][1] if len(self.intervals) > 1 else 0
            log.info(
                "average training time: %.4f s/batch (exclude first %d batches)",
                sum(b for b, _ in rows) / steps,
                skipped,
            )
