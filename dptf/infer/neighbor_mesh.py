"""Neighbor lists made by somebody else (ASE), in the form the graph takes: ghosts and the in-tensor mesh."""

import numpy as np

#: Header numbers of a list by value, as in ``lib/include/dptf/list_extras.h``.
_OWNERS_APPENDED, _EXCHANGES_FED, _RESERVED_AT = 1, 2, 4


def ghosts_and_mesh(neighbor_list, coords, cell):
    """Build the list of one frame.

    Parameters
    ----------
    neighbor_list : object
        Like ASE's ``NewPrimitiveNeighborList``: ``update(pbc, cell, positions)``, then ``first_neigh``,
        ``pair_second``, ``offset_vec``.
    coords : (n, 3) array
        In the order fed to the graph [Å].
    cell : (3, 3) array or None

    Returns
    -------
    coords : (nall, 3) array
        Atoms, then ghosts.
    owner : (nghost,) int array
        Atom whose image a ghost is.
    mesh : int32 array
        16 header numbers, the atoms, their neighbor counts, the neighbors.
    """
    natoms = len(coords)
    neighbor_list.bothways = True
    neighbor_list.self_interaction = False
    periodic = cell is not None
    neighbor_list.update([periodic] * 3, cell if periodic else np.zeros((3, 3)), coords)
    first = np.asarray(neighbor_list.first_neigh)
    second = np.asarray(neighbor_list.pair_second)
    shift = np.asarray(neighbor_list.offset_vec)
    moved = np.any(shift != 0, axis=1)
    images, which = np.unique(np.column_stack([second[moved], shift[moved]]), axis=0, return_inverse=True)
    images = images.astype(np.int64).reshape(-1, 4)
    neighbors = second.astype(np.int32).copy()
    neighbors[moved] = natoms + which.ravel()
    owner = images[:, 0]
    if len(owner):
        coords = np.concatenate([coords, coords[owner] + images[:, 1:] @ cell])
    header = np.zeros(16, np.int32)
    header[0] = natoms
    mesh = np.concatenate([header, np.arange(natoms), np.diff(first[: natoms + 1]), neighbors]).astype(np.int32)
    return coords, owner, mesh


def with_owners(mesh, natoms, owner):
    """Append the owners of all atoms to a mesh, for models whose ghosts have features."""
    owners = np.concatenate([np.arange(natoms), owner]).astype(np.int32)
    mesh = np.concatenate([mesh, owners])
    mesh[1:3] = _OWNERS_APPENDED, len(owners)
    return mesh


def with_fed_exchanges(mesh, reserved):
    """Mark the list of a block: ghosts have features of their own, which are fed; these take so many bytes for the whole frame."""
    mesh = mesh.copy()
    mesh[1] = _EXCHANGES_FED
    mesh[_RESERVED_AT : _RESERVED_AT + 2] = np.array([reserved], np.float64).view(np.int32)
    return mesh
