"""Neighbor statistics of the training data: smallest distance and largest neighbor counts."""

import os

import numpy as np

from dptf.data.fragments import most_neighbors
from dptf.data.requirement import DataRequirement
from dptf.data.sources import open_source
from dptf.data.system import System
from dptf.errors import UserError

_CHUNK_ATOMS = 200_000
_FAR = 10.0  # Å


def neighbor_stat(paths, rcut, type_map=None, *, one_type=False, part=None):
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
    part : {"qm", "qmmm"}, optional
        Count within the fragments of QM/MM frames alone, see :mod:`dptf.data.fragments`.

    Returns
    -------
    float
        Smallest distance in Å (10 if no two atoms are closer, or within the cutoff).
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
                        coord.reshape(len(frames), -1, 3),
                        types,
                        box if s.periodic else None,
                        ntypes,
                        rcut,
                        one_type,
                        threads,
                    )
                except ValueError as err:
                    raise UserError(
                        str(err), f"{s.source.locate(set_name, 'coord')} (frames counted from {start})"
                    ) from None
                if distance < 1e-6:
                    raise UserError(
                        f"atoms {s.order[i]} and {s.order[j]} of frame {start + frame} overlap (counted from 0)",
                        s.source.locate(set_name, "coord"), "remove or repair the frame",
                    )  # fmt: skip
                smallest = min(smallest, distance)
                if part:
                    counts = _in_fragments(s, iset, frames, rcut, ntypes, part == "qmmm", one_type)
                largest = np.maximum(largest, counts)
    return min(float(smallest), _FAR), [int(c) for c in largest]


def _in_fragments(system, iset, frames, rcut, ntypes, pairs, one_type):
    """Largest numbers of neighbors in the fragments of some frames."""
    coord, _, types = system.coordinates(iset, frames)
    ids = system.load(iset, frames, DataRequirement("aparam", 1, atomic=True, must=True))[0]
    rows = zip(coord.reshape(len(frames), -1, 3), types, np.rint(ids).astype(int).reshape(len(frames), -1))
    found = [most_neighbors(x, t, own, rcut, ntypes, pairs, one_type) for x, t, own in rows]
    return np.max(found, axis=0)


def spread_neighbor_stat(world, paths, rcut, type_map=None, *, one_type=False, part=None):
    """:func:`neighbor_stat` with the systems dealt out to the ranks; every rank gets the whole result."""
    own = paths[world.rank :: world.size]
    found = (_FAR, []) if not own else neighbor_stat(own, rcut, type_map, one_type=one_type, part=part)
    parts = world.gather(found)
    longest = max(len(counts) for _, counts in parts)
    counts = [c + [0] * (longest - len(c)) for _, c in parts]
    return min(d for d, _ in parts), np.max(counts, axis=0).tolist()
