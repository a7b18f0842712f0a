"""Neighbor statistics of the training data: smallest distance, largest neighbor counts, and ``sel`` derived from them."""

import os

import numpy as np

from dptf.data.sources import open_source
from dptf.data.system import System
from dptf.errors import UserError

_CHUNK_ATOMS = 200_000


def neighbor_stat(paths, rcut, type_map=None, *, one_type=False):
    """Scan all frames of all systems with a cell list; frames are streamed, so memory does not grow with the data.

    Parameters
    ----------
    paths : list of str
        Systems (already expanded).
    rcut : float
        Cutoff in Å.
    type_map : list of str, optional
        Names of the model's types; default: the types as they are numbered in the data.
    one_type : bool
        Count all neighbors together (descriptors with one list for all types).

    Returns
    -------
    float
        Smallest distance in Å (infinity if no two atoms are within the cutoff).
    list of int
        Largest number of neighbors with r < rcut, per type.

    Raises
    ------
    UserError
        When two atoms of a frame coincide.
    """
    from dptf import kernels

    systems = [System(open_source(p), type_map) for p in paths]
    ntypes = len(type_map) if type_map else max(max(int(s.types.max()) + 1, len(s.data_map or [])) for s in systems)
    smallest, largest = np.inf, np.zeros(1 if one_type else ntypes, int)
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for s in systems:
        chunk = max(1, _CHUNK_ATOMS // s.natoms)
        for iset, set_name in enumerate(s.set_names):
            for start in range(0, s.set_frames(iset), chunk):
                frames = np.arange(start, min(start + chunk, s.set_frames(iset)))
                coord, box, types = s.coordinates(iset, frames)
                try:
                    distance, counts, (frame, i, j) = kernels.neighbor_stat(
                        coord.reshape(len(frames), -1, 3), types, box if s.periodic else None, ntypes, rcut, one_type, threads
                    )
                except ValueError as err:
                    raise UserError(str(err), f"{s.name}/{set_name} (frames counted from {start})") from None
                if distance < 1e-6:
                    raise UserError(
                        f"atoms {s.order[i]} and {s.order[j]} of frame {start + frame} coincide (overlapping atoms)",
                        s.source.locate(set_name, "coord"), "remove the frame",
                    )  # fmt: skip
                smallest = min(smallest, distance)
                largest = np.maximum(largest, counts)
    return float(smallest), [int(c) for c in largest]


def _auto_ratio(sel, where):
    """Ratio of an automatic sel ('auto', 'auto:F'), None for explicit numbers."""
    if not isinstance(sel, str):
        return None
    head, _, tail = sel.partition(":")
    try:
        ratio = float(tail) if tail else 1.1
    except ValueError:
        ratio = 0.0
    if head != "auto" or ratio < 1:
        raise UserError(f"'{sel}' is not a list of numbers, 'auto' or 'auto:ratio' (ratio >= 1)", where)
    return ratio


def auto_sel(count, ratio):
    """Slots for an observed largest count: ratio applied, rounded up to a multiple of 4 (0 stays 0)."""
    return 4 * ((int(count * ratio) + 3) // 4)


def resolve_sel(sel, counts, type_map=None, where="model/descriptor/sel"):
    """Explicit numbers for ``sel``.

    Returns
    -------
    list of int
    list of str
        Warnings: types whose observed neighbors exceed an explicit sel.
    """
    ratio = _auto_ratio(sel, where)
    if ratio is not None:
        return [auto_sel(c, ratio) for c in counts], []
    names = type_map or range(len(sel))
    warnings = [
        f"{where}: sel of type {name} is {s}, the data have up to {c} neighbors; the farther ones are cut off"
        for name, s, c in zip(names, sel, counts)
        if 0 < s < c
    ]
    return list(sel), warnings
