"""Time per atom and step, and memory, of a frozen model on generated configurations."""

import resource
import sys
import time

import numpy as np

from dptf.check.sample import parameters, sample


def _peak():
    """Largest memory of the process so far, MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def bench(path, sizes, seconds=2.0):
    """Yield one row per size, from small to large.

    Parameters
    ----------
    path : str
        Frozen model.
    sizes : list of int
        Atoms.
    seconds : float
        For each size; two evaluations at least.

    Yields
    ------
    dict
        ``atoms``, ``us_per_atom`` (median microseconds per atom and step), ``steps_per_s``, ``memory_mb`` (peak of the process),
        ``kb_per_atom`` (growth of the peak by this size).
    """
    from dptf.infer import DeepPotential

    with DeepPotential(path) as model:
        before = _peak()
        for n in sorted(sizes):
            coord, cell, types = sample(model, n)
            more, times, end = parameters(model, n), [], None
            while end is None or len(times) < 2 or time.perf_counter() < end:
                moved = coord + 1e-3 * np.random.default_rng(len(times)).normal(size=coord.shape)
                begin = time.perf_counter()
                model.eval(moved.reshape(1, -1), cell.reshape(1, 9), types, **more)
                # The first evaluation traces the graph and is not counted.
                if end is None:
                    end = time.perf_counter() + seconds
                else:
                    times.append(time.perf_counter() - begin)
            peak, step = _peak(), float(np.median(times))
            yield {
                "atoms": n, "us_per_atom": 1e6 * step / n, "steps_per_s": 1.0 / step, "memory_mb": peak,
                "kb_per_atom": max(0.0, peak - before) * 1024 / n,
            }  # fmt: skip
