"""Sub-systems of QM/MM frames: the QM region, and the QM region with each residue.

Fragments are numbered by ``aparam``; the lowest number that is not negative is the QM region, negative ones are ignored.
"""

import numpy as np

from dptf.data.stat_batches import StatBatch


def members(ids, pairs):
    """Atoms of every sub-system of a frame.

    Parameters
    ----------
    ids : int array, shape (n,)
    pairs : bool
        The QM region with each residue, instead of the QM region alone.

    Returns
    -------
    list of int arrays
        Sorted atom indices.
    """
    kinds = np.unique(ids[ids >= 0])
    if not len(kinds):
        return []
    core = ids == kinds[0]
    chosen = [core | (ids == k) for k in kinds[1:]] if pairs else [core]
    return [np.flatnonzero(c) for c in chosen]


def fragment_batches(batch, pairs, ntypes):
    """The sub-systems of a batch as one batch of open frames, filled up with virtual atoms (type -1).

    Parameters
    ----------
    batch : dict
        Of :class:`dptf.data.systems.DataSystems`.
    pairs : bool
        See :func:`members`.
    ntypes : int

    Returns
    -------
    dict
        With the energy of the frame for every sub-system where there is one.
    """
    ids = np.rint(batch["aparam"]).astype(int).reshape(len(batch["type"]), -1)
    found = [(f, atoms) for f, row in enumerate(ids) for atoms in members(row, pairs)]
    width = max((len(atoms) for _, atoms in found), default=1) or 1
    types = np.full((len(found), width), -1, np.int32)
    for k, (f, atoms) in enumerate(found):
        types[k, : len(atoms)] = batch["type"][f, atoms]
    frames = [f for f, _ in found]
    natoms = [width] * 3 + [0] * (ntypes - 1)
    out = StatBatch(
        {
            "type": types, "mesh": np.zeros(0, np.int32), "natoms_vec": np.array(natoms, np.int32), "system": batch["system"],
            "find_energy": batch.get("find_energy", np.float32(0)),
        }
    )  # fmt: skip
    out.world, out.here = getattr(batch, "world", None), getattr(batch, "here", True)
    if "coord" in batch:  # this rank holds it
        coord, whole = np.zeros((len(found), width, 3), batch["coord"].dtype), batch["coord"].reshape(len(ids), -1, 3)
        for k, (f, atoms) in enumerate(found):
            coord[k, : len(atoms)] = whole[f, atoms]
        out |= {"coord": coord.reshape(len(found), -1), "box": np.zeros((len(found), 9), batch["box"].dtype)}
    if "energy" in batch:
        out["energy"] = np.ravel(batch["energy"])[frames]
    return out


def most_neighbors(coord, types, ids, rcut, ntypes, pairs, one_type):
    """Largest numbers of neighbors in the sub-systems of a frame, per type or in total."""
    largest = np.zeros(1 if one_type else ntypes, int)
    for atoms in members(ids, pairs):
        x, t = coord[atoms], types[atoms]
        near = np.linalg.norm(x[:, None] - x[None], axis=-1) < rcut
        np.fill_diagonal(near, False)
        kinds = np.ones((len(t), 1), int) if one_type else (t[:, None] == np.arange(ntypes)).astype(int)
        largest = np.maximum(largest, (near @ kinds).max(axis=0, initial=0))
    return largest
