"""Checks of stored numbers: finite everywhere, cells with a sane volume. Messages name file, frame and atom."""

import numpy as np

from dptf.errors import UserError

#: Whole numbers that models with ``add_chg_spin_ebd`` know: total charge and spin multiplicity.
CHARGE_SPIN_LIMITS = ((-100, 99), (0, 99))
_CHUNK_NUMBERS = 1 << 20
_MIN_HEIGHT = 0.5  # Å between opposite faces of a cell
_MAX_DENSITY = 2.0  # atoms per Å^3; diamond has 0.18


def check_finite(flat, where, per_atom):
    """Look at every number of a stored array, a piece at a time.

    Parameters
    ----------
    flat : array, shape (frames, numbers)
        May be memory-mapped.
    where : str
        File, for the message.
    per_atom : int
        Numbers per atom, 0 for quantities of a frame.
    """
    rows = max(1, _CHUNK_NUMBERS // max(1, flat.shape[1]))
    for start in range(0, len(flat), rows):
        part = flat[start : start + rows]
        # A sum is finite only if all terms are (overflow aside, which the exact look then clears).
        with np.errstate(over="ignore", invalid="ignore"):
            if np.isfinite(np.sum(part, dtype=np.float64)):
                continue
        bad = np.argwhere(~np.isfinite(np.asarray(part, np.float64)))
        if len(bad):
            frame, column = int(bad[0][0]) + start, int(bad[0][1])
            atom = f", atom {column // per_atom}" if per_atom else ""
            raise UserError(
                f"frame {frame}{atom} holds {part[bad[0][0], column]}",
                where,
                "remove or repair the frame (counted from 0)",
            )


def check_limits(flat, where, limits):
    """Refuse numbers (frames, n) whose whole part is outside of the ranges [(smallest, largest)] of their columns."""
    whole = np.trunc(np.asarray(flat, np.float64))
    for k, (low, high) in enumerate(limits):
        bad = np.flatnonzero((whole[:, k] < low) | (whole[:, k] > high))
        if len(bad):
            frame = int(bad[0])
            raise UserError(
                f"number {k} of frame {frame} is {flat[frame, k]:g}, models know {low} to {high}",
                where,
                "check the data",
            )


def check_cells(box, natoms, where):
    """Refuse cells without volume, thinner than half an Å, or too small for their atoms.

    Parameters
    ----------
    box : array, shape (frames, 9)
        Rows of each cell are the lattice vectors (Å). Left-handed cells are fine.
    natoms : int
    where : str
    """
    cell = np.asarray(box, np.float64).reshape(-1, 3, 3)
    volume = np.abs(np.linalg.det(cell))
    area = np.linalg.norm(np.cross(cell, np.roll(cell, -1, axis=1)), axis=2).max(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        height = np.where(area > 0, volume / area, 0.0)
    thin = np.flatnonzero(height < _MIN_HEIGHT)
    if len(thin):
        frame = int(thin[0])
        what = "no volume" if height[frame] < 1e-6 else f"opposite faces only {height[frame]:.3g} Å apart"
        raise UserError(
            f"the cell of frame {frame} has {what}: {np.array2string(cell[frame].ravel(), precision=4, max_line_width=200)}",
            where,
            "the nine numbers are xx xy xz yx yy yz zx zy zz in Å; without a cell put an empty file 'nopbc' beside type.raw",
        )
    crowded = np.flatnonzero(natoms > _MAX_DENSITY * np.maximum(volume, 1.0))
    if len(crowded):
        frame = int(crowded[0])
        raise UserError(
            f"the cell of frame {frame} has {volume[frame]:.3g} Å^3 for {natoms} atoms", where, "check the units (Å)"
        )
