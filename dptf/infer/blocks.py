"""Large frames in blocks of atoms, so that memory stays within a budget.

A block is a compact group of atoms. The graph gets them as local atoms, their neighbors as ghosts with a list, and gives their energies and the
forces of these on all; the sums over blocks are those of the frame. With message passing the features of neighbors come from other blocks:
see :mod:`dptf.infer.block_run`.
"""

import os

import numpy as np

from dptf.check.memory import free_memory
from dptf.errors import UserError
from dptf.kernels import compact_groups

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


def memory_limit(share=_SHARE):
    """Bytes of the budget, or of a share of the free memory; None where the system does not tell."""
    limit = budget()
    if limit is None:
        free = free_memory()
        limit = None if free is None else share * free
    return limit


def atoms_per_block(natoms, bytes_per_atom, share=_SHARE):
    """Atoms that fit in the budget, or in a share of the free memory; None if the frame fits as a whole."""
    limit = memory_limit(share) if bytes_per_atom else None
    if limit is None:
        return None
    size = max(1, int(limit / bytes_per_atom))
    return None if size >= natoms else size


def check_whole(natoms, bytes_per_atom, path, why):
    """Refuse a frame that is not evaluated in blocks and does not fit in a given budget."""
    limit = budget()
    if limit is not None and natoms * bytes_per_atom > limit:
        raise UserError(
            f"{natoms} atoms need about {natoms * bytes_per_atom / 1e9:.2g} GB with {path}, {VARIABLE} allows {limit / 1e9:.2g} GB",
            VARIABLE, f"{why} there are no blocks of atoms: use smaller frames, or LAMMPS with ranks on more machines",
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

    @property
    def nbytes(self):
        """Bytes of the arrays."""
        return sum(a.nbytes for a in (self.centers, self.owner, self.coord, self.mesh))


class Frame:
    """A frame with the images of its atoms, to be cut into blocks.

    Parameters
    ----------
    coord : array, shape (n, 3), Å
    cell : array, shape (3, 3), or None
    types : int array, shape (n,)
    rcut : float
    """

    def __init__(self, coord, cell, types, rcut):
        from scipy.spatial import cKDTree

        coord = np.array(coord, float)
        self._natoms, self._types = len(coord), types
        self._coord, self._owner = (coord, np.arange(len(coord))) if cell is None else _with_images(coord, cell, rcut)
        self._tree = cKDTree(self._coord)
        self._place = np.full(len(self._coord), -1, np.int32)
        # A little more than the cutoff: the graph decides who is a neighbor.
        self._reach = rcut * (1 + 1e-6) + 1e-6

    def blocks(self, size, within=None):
        """Yield blocks of at most `size` atoms: all atoms of the frame, or those of the block `within`."""
        atoms = np.arange(self._natoms) if within is None else within.centers
        for group in compact_groups(self._coord[atoms], size):
            yield self._block(atoms[group])

    def _block(self, centers):
        centers = centers[np.argsort(self._types[centers], kind="stable")]
        place = self._place
        found = self._tree.query_ball_point(self._coord[centers], self._reach, return_sorted=True)
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
        place[all_atoms] = -1
        return Block(centers, self._owner[all_atoms], self._coord[all_atoms], mesh)


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
