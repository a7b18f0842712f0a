"""Tabulated pair energies: the file, its spline, and the sum over neighbor slots in a graph.

A file has one row per distance: r, then the energies of the type pairs (0,0), (0,1) ... (1,1) ... in eV, on a uniform grid.
"""

import logging
import math
from dataclasses import dataclass

import numpy as np

from dptf.errors import UserError
from dptf.ops import op_module, tf

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PairTable:
    """Cubic pieces of all pairs of types.

    Attributes
    ----------
    rows : array, shape (n, 1 + ntypes * (ntypes + 1) / 2)
        The table after it was continued to the cutoff.
    info : array, shape (4,)
        Start and step of the grid in Å, number of pieces, number of types.
    data : array, shape (ntypes * ntypes * pieces * 4,)
        Coefficients a3, a2, a1, a0 of every piece, in the distance from its start in steps.
    """

    rows: np.ndarray
    info: np.ndarray
    data: np.ndarray

    @classmethod
    def read(cls, path, ntypes, rcut, where):
        """The table of a file, continued to `rcut` (Å)."""
        try:
            rows = np.loadtxt(path, ndmin=2)
        except (OSError, ValueError) as err:
            raise UserError(f"{path} is not a table of numbers ({str(err).splitlines()[0]})", where) from None
        columns = 1 + ntypes * (ntypes + 1) // 2
        if rows.shape[1] != columns or len(rows) < 3:
            raise UserError(
                f"{path} has {rows.shape[1]} columns and {len(rows)} rows", where,
                f"{ntypes} types need {columns} columns (r and one energy per pair of types) and at least 3 rows",
            )  # fmt: skip
        steps = np.diff(rows[:, 0])
        if not np.isfinite(rows).all() or steps[0] <= 0 or np.abs(steps - steps[0]).max() > 1e-4 * steps[0]:
            raise UserError(f"the distances in {path} are not a uniform, rising grid of finite numbers", where)
        rows = _continued(rows, rcut, path)
        return cls(rows, *_pieces(rows, ntypes))

    @classmethod
    def of_rows(cls, rows, ntypes):
        """The table of rows that already reach the cutoff."""
        return cls(np.asarray(rows, float), *_pieces(np.asarray(rows, float), ntypes))

    @classmethod
    def of_pieces(cls, info, data):
        """The table of given pieces; the rows are their values at the grid points."""
        info = np.asarray(info, float).ravel()
        pieces, ntypes = int(info[2] + 0.1), int(info[3] + 0.1)
        c = np.asarray(data, float).reshape(ntypes, ntypes, pieces, 4)
        values = np.concatenate([c[..., 3], c[..., -1, :].sum(-1)[..., None]], axis=-1)
        upper = [(i, j) for i in range(ntypes) for j in range(i, ntypes)]
        r = info[0] + info[1] * np.arange(pieces + 1)
        return cls(np.column_stack([r, *[values[p] for p in upper]]), info, np.asarray(data, float).ravel())


def _continued(rows, rcut, path):
    """The table with rows up to the cutoff, going to zero there."""
    r, step, last = rows[:, 0], rows[1, 0] - rows[0, 0], rows[-1]
    # Rounded, so that a cutoff on the grid is one.
    end = math.ceil(round(rcut / step - r[0] / step, 9))
    missing = end - (len(rows) - 1)
    if np.all(last[1:] == 0):
        if missing < 0 and np.abs(rows[max(end - 1, 0), 1:]).max() > 1e-8:
            log.warning("%s: the pair energies are not zero at the cutoff of %g Å, where they are cut off", path, rcut)
        if missing <= 1:
            return rows
        more = np.zeros((missing - 1, rows.shape[1]))
        more[:, 0] = r[-1] + step * np.arange(1, missing)
        return np.vstack([rows, more])
    if missing <= 0:
        if np.abs(last[1:]).max() > 1e-8:
            log.warning("%s: the pair energies are not zero at the cutoff of %g Å, where they are cut off", path, rcut)
        return rows
    log.warning("%s ends at %g Å with energies that are not zero; it is continued smoothly to zero at the cutoff of %g Å",
                path, r[-1], rcut)  # fmt: skip
    count = max(missing - 1, 1)
    x = step * np.arange(1, count + 1)
    s = x / x[-1]
    more = np.zeros((count, rows.shape[1]))
    more[:, 0] = r[-1] + x
    # The start slope is the last difference as such, not per Å, as in every released version.
    slope = (last - rows[-2])[None, 1:] * x[-1]
    more[:, 1:] = ((2 * s - 3) * s**2 + 1)[:, None] * last[1:] + (s * (s - 1) ** 2)[:, None] * slope
    more[-1, 1:] = 0.0
    return np.vstack([rows, more])


def _pieces(rows, ntypes):
    """Clamped cubic splines of all columns: ``info`` and ``data``."""
    from scipy.interpolate import CubicSpline

    r, step = rows[:, 0], rows[1, 0] - rows[0, 0]
    data = np.zeros((ntypes, ntypes, len(r) - 1, 4))
    column = 1
    for i in range(ntypes):
        for j in range(i, ntypes):
            v = rows[:, column]
            d = step * CubicSpline(r, v, bc_type="clamped")(r, 1)
            data[i, j] = data[j, i] = np.stack([
                2 * v[:-1] - 2 * v[1:] + d[:-1] + d[1:], -3 * v[:-1] + 3 * v[1:] - 2 * d[:-1] - d[1:], d[:-1], v[:-1],
            ], axis=1)  # fmt: skip
            column += 1
    return np.array([r[0], step, len(r) - 1, ntypes], float), data.ravel()


def table_tensors(params, suffix, section, ntypes, rcut, where):
    """Tensors of the table that the section names; known values are used without the file.

    Parameters
    ----------
    section : dict
        With ``tab_file`` or ``use_srtab``.
    """
    scope, key = f"model_attr{suffix}", "tab_file" if "tab_file" in section else "use_srtab"
    if params.has(f"{scope}/t_tab_info"):
        info, data = (np.ravel(params.values[f"{scope}/t_tab_{k}"]) for k in ("info", "data"))
    else:
        table = PairTable.read(section[key], ntypes, rcut, f"{where}/{key}")
        info, data = table.info, table.data
    return (
        params.get(f"{scope}/t_tab_info", [4], info, tf.float64, False),
        params.get(f"{scope}/t_tab_data", [data.size], data, tf.float64, False),
    )


def pair_sum(table, atype, rij, nlist, natoms):
    """Half the pair energies of every atom, and their slopes on the neighbor slots.

    Parameters
    ----------
    table : (tensor, tensor)
        Of :func:`table_tensors`.
    atype : int32 tensor, shape (nf, nall)
    rij, nlist : tensors
        Of a descriptor.

    Returns
    -------
    tensor, shape (nf, nloc)
        eV.
    tensor, shape (nf, nloc * nnei * 3)
        Derivatives in the relative positions, eV/Å; for :func:`slot_forces`.
    """
    shape = [tf.shape(atype)[0], -1]
    return op_module.dptf_pair_table(
        *table, atype, tf.reshape(rij, shape), tf.reshape(nlist, shape), natoms, name="DptfPairTable"
    )


def slot_forces(weight, slopes, rij, nlist, natoms):
    """Force (nf, nall*3), virial (nf, 9) and atomic virial (nf, nall*9) of weighted sums over slots.

    Parameters
    ----------
    weight : tensor, shape (nf, nloc)
    slopes : tensor, shape (nf, nloc * nnei * 3)
        Derivatives in the relative positions.
    """
    shape = [tf.shape(weight)[0], -1]
    rij, nlist = tf.reshape(rij, shape), tf.reshape(nlist, shape)
    # The ops of the soft minimum do just this sum; n_a_sel is informative only.
    attrs = {"n_a_sel": 0, "n_r_sel": 0}
    force = op_module.soft_min_force(weight, slopes, nlist, natoms, name="SoftMinForce", **attrs)
    virial, atom_virial = op_module.soft_min_virial(weight, slopes, rij, nlist, natoms, name="SoftMinVirial", **attrs)
    return force, virial, atom_virial
