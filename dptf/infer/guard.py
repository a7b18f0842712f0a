"""Checks of what a caller hands to an evaluator: cheap (one pass over the arrays), and each with its own sentence."""

import numpy as np

from dptf.errors import UserError

#: More ghost images than this cannot be meant (a cell in nanometres, a scaled box).
MAX_IMAGES = 50_000_000


def as_coords(coords, natoms):
    """Coordinates as (nframes, natoms, 3) float64; finite.

    Parameters
    ----------
    coords : array_like
        nframes * natoms * 3 numbers [Å], of any shape.
    natoms : int
    """
    coords = np.asarray(coords, dtype=np.float64)
    if natoms == 0:
        nframes = coords.shape[0] if coords.ndim > 1 else 1
        return np.zeros((nframes, 0, 3))
    if coords.size % (3 * natoms):
        raise UserError(
            f"{coords.size} coordinates do not make whole frames of {natoms} atoms",
            "coords",
            "give nframes*natoms*3 numbers",
        )
    coords = coords.reshape(-1, natoms, 3)
    finite = np.isfinite(coords)
    if not finite.all():
        frame, atom, axis = np.argwhere(~finite)[0]
        raise UserError(
            f"is {coords[frame, atom, axis]}", f"coords: frame {frame}, atom {atom}, component {'xyz'[axis]}"
        )
    return coords


def as_cells(cells, nframes, natoms=0, rcut=None):
    """Cells as (nframes, 9) float64, or ``None`` for open boundaries; finite and not singular.

    Parameters
    ----------
    cells : array_like or None
        nframes * 9 numbers [Å], rows are the lattice vectors.
    nframes, natoms : int
    rcut : float, optional
        Cutoff [Å]; with it, cells so small that the images would fill the memory are refused.
    """
    if cells is None:
        return None
    cells = np.asarray(cells, dtype=np.float64)
    if cells.size != nframes * 9:
        raise UserError(
            f"{cells.size} numbers for {nframes} frames",
            "cells",
            "give 9 numbers per frame, or None for open boundaries",
        )
    cells = cells.reshape(nframes, 9)
    finite = np.isfinite(cells).all(axis=1)
    if not finite.all():
        raise UserError("holds a number that is not finite", f"cells: frame {np.argmin(finite)}")
    rows = cells.reshape(nframes, 3, 3)
    volume = np.abs(np.linalg.det(rows))
    areas = np.linalg.norm(np.cross(rows[:, [1, 2, 0]], rows[:, [2, 0, 1]]), axis=2)
    flat = volume <= 1e-10 * np.prod(np.maximum(np.linalg.norm(rows, axis=2), 1e-30), axis=1)
    flat |= volume < 1e-12
    if flat.any():
        frame = int(np.argmax(flat))
        raise UserError(
            f"the cell is singular (volume {volume[frame]:g} Å^3)",
            f"cells: frame {frame}",
            "give three independent lattice vectors, or None (file 'nopbc') for open boundaries",
        )
    if rcut is not None and rcut > 0:
        heights = volume[:, None] / areas
        images = natoms * np.prod(2.0 * np.ceil(rcut / heights) + 1.0, axis=1)
        if (images > MAX_IMAGES).any():
            frame = int(np.argmax(images))
            raise UserError(
                f"the cell is only {heights[frame].min():g} Å thick: a cutoff of {rcut:g} Å needs {images[frame]:.0f} image atoms",
                f"cells: frame {frame}",
                "check the unit of the cell (Å)",
            )
    return cells


def as_types(atom_types, ntypes, type_map=()):
    """Atom types as an int32 array of unchanged shape; whole numbers from -1 (absent atom) to ntypes - 1."""
    types = np.asarray(atom_types)
    if types.size == 0:
        return types.astype(np.int32)
    if not np.issubdtype(types.dtype, np.integer):
        whole = types.astype(np.float64)
        if not np.array_equal(whole, np.rint(whole)):
            raise UserError("types must be whole numbers", "atom_types")
        types = whole
    types = types.astype(np.int64)
    bad = (types < -1) | (types >= ntypes)
    if bad.any():
        where = np.argwhere(bad)[0]
        known = f" ({', '.join(type_map)})" if len(type_map) else ""
        frame = f"frame {where[0]}, " if types.ndim == 2 else ""
        raise UserError(
            f"type {types[tuple(where)]} does not exist: the model has {ntypes} types{known}",
            f"atom_types: {frame}atom {where[-1]}",
            f"use 0..{ntypes - 1}, or -1 for an atom that is not there",
        )
    return types.astype(np.int32)


def as_parameters(values, key, width, nframes, natoms=None):
    """Frame or atomic parameters as (nframes, width) or (nframes, natoms*width).

    Parameters
    ----------
    values : array_like or None
        Full size, or one set of ``width`` (or natoms*width) numbers for all.
    key : str
        ``fparam`` or ``aparam``, for messages.
    width : int
        Numbers that the model takes; 0 if it takes none.
    natoms : int, optional
        For atomic parameters.
    """
    if width == 0:
        if values is not None and np.size(values):
            raise UserError(f"{key} is given, but the model takes none", key, f"leave {key} out")
        return None
    if values is None:
        per = "atom" if natoms is not None else "frame"
        raise UserError(f"the model needs {width} {key} number(s) per {per}, none were given", key)
    values = np.asarray(values, dtype=np.float64).ravel()
    row = width if natoms is None else natoms * width
    if values.size == nframes * row:
        result = values.reshape(nframes, row)
    elif values.size == row:
        result = np.tile(values, (nframes, 1))
    elif natoms is not None and values.size == width:
        result = np.tile(values, (nframes, natoms))
    else:
        wanted = f"{nframes}*{width}" if natoms is None else f"{nframes}*{natoms}*{width}"
        raise UserError(f"{values.size} numbers given, {wanted} (or {width}, used for all) expected", key)
    finite = np.isfinite(result).all(axis=1)
    if not finite.all():
        raise UserError("holds a number that is not finite", f"{key}: frame {np.argmin(finite)}")
    return result
