"""How many frames go into one run of the graph."""

import logging
import os

from dptf.errors import UserError

log = logging.getLogger(__name__)


class AutoBatchSize:
    """Number of atoms (frames times atoms) per run; found by trying on GPUs.

    Parameters
    ----------
    initial : int, optional
        Atoms per run at the start. ``DP_INFER_BATCH_SIZE`` > 0 in the environment replaces it and fixes it.
    grow : bool, optional
        Double after a full batch succeeded (sensible with a GPU only).
    """

    def __init__(self, initial=1024, grow=False):
        text = os.environ.get("DP_INFER_BATCH_SIZE", "0") or "0"
        try:
            fixed = int(text)
        except ValueError:
            raise UserError(f"is '{text}', not a whole number", "environment variable DP_INFER_BATCH_SIZE") from None
        self.current = fixed if fixed > 0 else initial
        self.grow = grow and fixed <= 0
        self._too_large = None

    def chunks(self, nframes, natoms, run):
        """Call ``run(start, stop)`` over all frames; halve when memory is exhausted.

        Parameters
        ----------
        nframes, natoms : int
        run : callable
            Evaluates frames ``start:stop``; its results are returned as a list.
        """
        from tensorflow.python.framework.errors_impl import ResourceExhaustedError

        results, start = [], 0
        while start < nframes:
            step = max(1, self.current // max(natoms, 1))
            stop = min(nframes, start + step)
            try:
                results.append(run(start, stop))
            except ResourceExhaustedError as err:
                if stop - start == 1:
                    detail = err.message.split("\n\t [[")[0].splitlines()[-1]  # below the node's name and place
                    raise UserError(
                        f"memory does not suffice for one frame of {natoms} atoms: {detail}",
                        fix="use a machine with more memory",
                    ) from err
                self._too_large = step
                self.current = max(natoms, (stop - start) * natoms // 2)
                log.warning("memory exhausted with %d atoms per run, going on with %d", step * natoms, self.current)
                continue
            full = stop - start == step
            if self.grow and full and (self._too_large is None or 2 * step < self._too_large):
                self.current *= 2
            start = stop
        return results


def make_batch_size(auto_batch_size, has_gpu):
    """Turn the constructor argument ``auto_batch_size`` (bool, int or AutoBatchSize) into an AutoBatchSize or None."""
    if isinstance(auto_batch_size, AutoBatchSize):
        return auto_batch_size
    if auto_batch_size is False or auto_batch_size is None:
        return None
    if auto_batch_size is True:
        return AutoBatchSize(grow=has_gpu)
    return AutoBatchSize(int(auto_batch_size), grow=has_gpu)
