"""Log set-up of the ``dp`` command: standard error, an optional file, and one voice among parallel processes."""

import logging
import os
from pathlib import Path

from dptf.parallel.launcher import launched

LEVELS = {
    "DEBUG": logging.DEBUG, "3": logging.DEBUG, "INFO": logging.INFO, "2": logging.INFO,
    "WARNING": logging.WARNING, "1": logging.WARNING, "ERROR": logging.ERROR, "0": logging.ERROR,
}  # fmt: skip


class _AppendHandler(logging.Handler):
    """One write call a record on a file opened for appending, so that lines of several processes never mix."""

    def __init__(self, path):
        super().__init__()
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)

    def emit(self, record):
        os.write(self._fd, (self.format(record) + "\n").encode())

    def close(self):
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        super().close()


def setup(level="INFO", path=None, mpi_log="master"):
    """Install the handlers of the package's logger.

    Parameters
    ----------
    level : str
        One of :data:`LEVELS`.
    path : str, optional
        Write the log to this file too; folders are created.
    mpi_log : {"master", "collect", "workers"}
        With several processes: only rank 0 logs; all ranks append to one file; every rank has its own file.
    """
    level = LEVELS[level]
    rank, size = launched()
    log = logging.getLogger("dptf")
    for handler in list(log.handlers):
        log.removeHandler(handler)
        handler.close()
    log.propagate = False
    log.setLevel(level)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "0" if level <= logging.DEBUG else "2")
    if size > 1 and mpi_log == "master" and rank != 0:
        log.addHandler(logging.NullHandler())
        return
    tag = f" rank:{rank}" if size > 1 and mpi_log != "master" else ""
    console = logging.StreamHandler()
    console.setFormatter(logging.Formatter(f"[%(asctime)s] DEEPMD{tag} %(levelname)-7s %(message)s"))
    log.addHandler(console)
    if path is None:
        return
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if size > 1 and mpi_log == "workers":
        path = path.with_name(f"{path.stem}_{rank}{path.suffix}" if path.suffix else f"{path.name}.{rank}")
    shared = size > 1 and mpi_log == "collect"
    # A run that is continued under supervision goes on in its file.
    if (not shared or rank == 0) and not os.environ.get("DPTF_CONTINUED"):
        path.write_text("")
    file = _AppendHandler(path)
    file.setFormatter(logging.Formatter(f"[%(asctime)s] DEEPMD{tag} %(levelname)-7s %(name)-45s %(message)s"))
    log.addHandler(file)
