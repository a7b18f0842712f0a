"""What a training run shows: the learning-curve file, a progress line on terminals, TensorBoard scalars."""

import shutil
import time
from pathlib import Path


class Lcurve:
    """``lcurve.out`` in the layout that scripts parse.

    Parameters
    ----------
    path : str
    metrics : list of str
    with_validation : bool
    append : bool
        Continue a file (the header is repeated).
    """

    def __init__(self, path, metrics, with_validation, append):
        self._metrics, self._val = metrics, with_validation
        self._file = open(path, "a" if append else "w", buffering=1)
        head = f"# {'step':5s}"
        for m in metrics:
            head += f"   {m + '_val':>11s} {m + '_trn':>11s}" if with_validation else f"   {m + '_trn':>11s}"
        self._file.write(head + f"   {'lr':8s}\n")
        self._file.write("# If there is no available reference data, rmse_*_{val,trn} will print nan\n")

    def row(self, step, train, valid, lr):
        """One line; values in the units of the loss (eV per atom, eV/Å)."""
        line = f"{step:7d}"
        for m in self._metrics:
            line += f"   {valid[m]:11.2e} {train[m]:11.2e}" if self._val else f"   {train[m]:11.2e}"
        self._file.write(line + f"   {lr:8.1e}\n")

    def close(self):
        self._file.close()


class Progress:
    """A line that overwrites itself, on terminals only."""

    def __init__(self, stop, stream):
        self._stop, self._stream = stop, stream
        self._on = stream.isatty()
        self._last, self._begin, self._first = 0.0, time.time(), None

    def update(self, step, loss):
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
        width = 24
        done = width * step // max(self._stop, 1)
        self._stream.write(
            f"\r[{'#' * done}{'.' * (width - done)}] {step}/{self._stop}  {rate:.1f} steps/s  loss {loss:.3e}  "
            f"eta {left // 3600}:{left // 60 % 60:02d}:{left % 60:02d} "
        )
        self._stream.flush()

    def clear(self):
        if self._on:
            self._stream.write("\r" + " " * 100 + "\r")
            self._stream.flush()


class TensorBoard:
    """Scalars of training and validation."""

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

    def scalars(self, where, values, step):
        summary = self._tf.Summary(
            value=[self._tf.Summary.Value(tag=k, simple_value=float(v)) for k, v in values.items()]
        )
        self._writers[where].add_summary(summary, step)
        self._writers[where].flush()
