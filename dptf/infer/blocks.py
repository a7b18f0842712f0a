"""Large frames in blocks of atoms, so that memory stays within a budget.

A block is a compact group of atoms. The graph gets them as local atoms, their neighbors as ghosts with a list, and gives their energies and the
forces of these on all; the sums over blocks are those of the frame. This needs energies that depend on nothing beyond the cutoff: it is
exact for every descriptor without message passing. With message passing the features of the neighbors would be needed too.
"""

import os

import numpy as np

from dptf.check.memory import free_memory
from dptf.errors import UserError

#: Environment variable: bytes that an evaluation may take, with a unit (K, M, G) if wanted.
VARIABLE = "DPTF_MEMORY"
#: Part of the free memory that is used when nothing is said.
_SHARE = 0.5
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def budget():
    """Bytes from the environment, or None."""
    text = os.environ.get(VARIABLE, "").strip().upper().removesuffix("B")
    if not text:
        return None
    number, unit = (text[:-1], text[-1]) if text[-1] in _UNITS else (text, "")
    try:
        value = float(number) * _UNITS[unit]
    except ValueError:
        value = 0.0
    if not value > 0:
        raise UserError(f"is '{os.environ[VARIABLE]}'", VARIABLE, "give bytes, for instance 4G or 500M")
    return value


def atoms_per_block(natoms, bytes_per_atom):
    """Atoms that fit in the budget, or in half of the free memory; None if the frame fits as a whole."""
    if not bytes_per_atom:
        return None
    limit = budget()
    if limit is None:
        free = free_memory()
        if free is None:
            return None
        limit = _SHARE * free
    size = max(1, int(limit / bytes_per_atom))
    return None if size >= natoms else size


def check_whole(natoms, bytes_per_atom, path):
    """Refuse a frame of a model with message passing that does not fit in a given budget."""
    limit = budget()
    if limit is not None and bytes_per_atom and natoms * bytes_per_atom > limit:
        raise UserError(
            f"{natoms} atoms need about {natoms * bytes_per_atom / 1e9:.2g} GB with {path}, {VARIABLE} allows {limit / 1e9:.2g} GB",
            VARIABLE, "models with message passing are not evaluated in blocks: use smaller frames, or LAMMPS with ranks on more machines",
        )  # fmt: skip


class Block:
    """Some atoms of a frame with their neighbors.

    Attributes
    ----------
    centers : int array, shape (m,)
        Atoms of the frame.
    owner : int array, shape (m + g,)
        The same, then the atoms whose images the ghosts are.
    coord : array, shape (m + g, 3), Å
    mesh : int32 array
        List in the form of :func:`dptf.infer.neighbor_mesh.ghosts_and_mesh`.
    """

    def __init__(self, centers, owner, coord, mesh):
        self.centers, self.owner, self.coord, self.mesh = centers, owner, coord, mesh


def blocks(coord, cell, types, rcut, size):
    """Yield the blocks of a frame.

    Parameters
    ----------
    coord : array, shape (n, 3), Å
    cell : array, shape (3, 3), or None
    types : int array, shape (n,)
    rcut : float
    size : int
        Atoms per block.
    """
    from scipy.spatial import cKDTree

    coord = np.array(coord, float)
    everyone, owner = (coord, np.arange(len(coord))) if cell is None else _with_images(coord, cell, rcut)
    tree = cKDTree(everyone)
    place = np.full(len(everyone), -1, np.int32)
    for centers in _compact_groups(everyone[: len(coord)], size):
        centers = centers[np.argsort(types[centers], kind="stable")]
        # A little more than the cutoff: the graph decides who is a neighbor.
        found = tree.query_ball_point(everyone[centers], rcut * (1 + 1e-6) + 1e-6, return_sorted=True)
        counts = np.array([len(f) for f in found])
        flat = np.concatenate([np.asarray(f, np.int64) for f in found])
        other = flat != np.repeat(centers, counts)
        counts = counts - 1
        flat = flat[other]
        place[centers] = np.arange(len(centers))
        ghosts = np.unique(flat[place[flat] < 0])
        place[ghosts] = len(centers) + np.arange(len(ghosts))
        header = np.zeros(16, np.int32)
        header[0] = len(centers)
        mesh = np.concatenate([header, np.arange(len(centers)), counts, place[flat]]).astype(np.int32)
        all_atoms = np.concatenate([centers, ghosts])
        yield Block(centers, owner[all_atoms], everyone[all_atoms], mesh)
        place[all_atoms] = -1


def _with_images(coord, cell, rcut):
    """Atoms moved into the cell, then their images within the cutoff of it; and the atom of each."""
    fraction = coord @ np.linalg.inv(cell)
    fraction -= np.floor(fraction)
    volume = abs(np.linalg.det(cell))
    area = np.array([np.linalg.norm(np.cross(cell[(k + 1) % 3], cell[(k + 2) % 3])) for k in range(3)])
    margin = (rcut * (1 + 1e-6) + 1e-6) * area / volume
    reach = np.ceil(margin).astype(int)
    positions, owners = [fraction @ cell], [np.arange(len(coord))]
    for shift in np.ndindex(*(2 * reach + 1)):
        shift = np.array(shift) - reach
        if not shift.any():
            continue
        moved = fraction + shift
        near = ((moved >= -margin) & (moved <= 1 + margin)).all(axis=1)
        positions.append(moved[near] @ cell)
        owners.append(np.flatnonzero(near))
    return np.concatenate(positions), np.concatenate(owners)


def _compact_groups(coord, size):
    """Split atoms into groups of at most `size` that are close to each other: halves along the longest side, again and again."""
    todo = [np.arange(len(coord))]
    while todo:
        group = todo.pop()
        if len(group) <= size:
            yield group
            continue
        axis = np.argmax(np.ptp(coord[group], axis=0))
        # Whole blocks on the left side, so that few are small.
        left = max(1, round(len(group) / size / 2)) * size
        order = np.argpartition(coord[group, axis], min(left, len(group) - 1))
        todo += [group[order[left:]], group[order[:left]]]
