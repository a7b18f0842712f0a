"""The files of ``dp test -d``: data and prediction side by side."""

from pathlib import Path

import numpy as np

from dptf.errors import UserError


class DetailFiles:
    """Writer of files ``<prefix>.<suffix>``; ``None`` as prefix writes nothing.

    Parameters
    ----------
    prefix : str or None
        The folder is created, and must be writable: this is known before anything is computed.
    """

    def __init__(self, prefix):
        self.prefix = prefix
        self._seen = {}
        if prefix is None:
            return
        path = Path(prefix)
        if str(prefix).endswith("/") or path.is_dir():
            self.prefix = path / "detail"
            path = self.prefix
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            probe = path.with_name(f".{path.name}.probe")
            probe.touch()
            probe.unlink()
        except OSError as err:
            raise UserError(f"cannot be written ({err.strerror})", str(path.parent), "choose another -d") from None

    def write(self, suffix, header, data, predicted):
        """Append rows of data and prediction.

        The file is new the first time; the header is repeated whenever it changes (a new system).

        Parameters
        ----------
        suffix : str
        header : str
        data, predicted : (rows, columns) arrays
        """
        if self.prefix is None:
            return
        rows = np.column_stack([data, predicted])
        first = suffix not in self._seen
        with open(f"{self.prefix}.{suffix}", "w" if first else "a", encoding="utf-8") as file:
            if self._seen.get(suffix) != header:
                file.write(f"# {header}\n")
            np.savetxt(file, rows)
        self._seen[suffix] = header


class Outputs:
    """Passes what a comparison found to several writers."""

    def __init__(self, *writers):
        self._writers = writers

    def write(self, suffix, header, data, predicted):
        """See `DetailFiles.write`."""
        for writer in self._writers:
            writer.write(suffix, header, data, predicted)
