"""The environment matrix, and changes to it that the public op does not know: protected distances, pairs that do not interact.

The changes are made of ordinary TensorFlow ops, so graphs with them run in every runtime.
"""

import numpy as np

from dptf.descriptor.pairs import pair_table
from dptf.ops import op_module, tf


def env_mat(ncomp, coord, atype, natoms, box, mesh, davg, dstd, *, rcut, rcut_smth, sel):
    """The public op: ``ProdEnvMatA`` for 4 components per row, ``ProdEnvMatR`` for 1.

    Returns
    -------
    em, deriv, rij, nlist
        Normalised rows, their derivatives to the center, relative positions in Å, neighbor indices.
    """
    inputs = coord, atype, natoms, box, mesh, davg, dstd
    if ncomp == 1:
        return op_module.prod_env_mat_r(*inputs, rcut=rcut, rcut_smth=rcut_smth, sel=sel, name="ProdEnvMatR")
    return op_module.prod_env_mat_a(
        *inputs, rcut_a=-1.0, rcut_r=rcut, rcut_r_smth=rcut_smth, sel_a=sel, sel_r=[0] * len(sel), name="ProdEnvMatA"
    )


def adjusted_env_mat(
    ncomp,
    coord,
    atype,
    natoms,
    box,
    mesh,
    davg,
    dstd,
    *,
    rcut,
    rcut_smth,
    sel,
    protection=0.0,
    excluded=(),
    zeroed=(),
    exact=False,
):
    """Environment matrix with 1/(r + p) instead of 1/r, and without the neighbors of some pairs of types.

    The op gives the raw matrix. Slots of excluded pairs become empty, so that their normalised row is -davg/dstd; the
    normalised rows of neighbors of zeroed pairs are zero. Normalisation comes in between.

    Parameters
    ----------
    ncomp : {1, 4}
        Components of a row.
    coord, atype, natoms, box, mesh, davg, dstd
        Inputs of the op.
    rcut, rcut_smth, protection : float
        Å.
    sel : list of int
    excluded, zeroed : iterable of (int, int)
        (center type, neighbor type), both orders.
    exact : bool
        Use the cutoffs in double precision; the attributes of the op, which then only make the list, have single precision.

    Returns
    -------
    em, deriv, rij, nlist
        See :func:`env_mat`.
    """
    ntypes, nnei = len(sel), sum(sel)
    shape, fp = [ntypes, ncomp * nnei], davg.dtype
    em, deriv, rij, nlist = env_mat(
        ncomp, coord, atype, natoms, box, mesh, tf.zeros(shape, fp), tf.ones(shape, fp), rcut=rcut, rcut_smth=rcut_smth,
        sel=sel,
    )  # fmt: skip
    em_shape, deriv_shape, nlist_shape = tf.shape(em), tf.shape(deriv), tf.shape(nlist)
    em = tf.reshape(em, [-1, nnei, ncomp])
    deriv = tf.reshape(deriv, [-1, nnei, ncomp, 3])
    if protection or exact:
        filled = tf.reshape(nlist, [-1, nnei]) >= 0
        em, deriv = _rows(tf.reshape(rij, [-1, nnei, 3]), filled, rcut, rcut_smth, protection, ncomp)
    center = tf.reshape(atype[:, : natoms[0]], [-1])
    real, center = center >= 0, tf.maximum(center, 0)
    if excluded:
        keep = tf.gather(tf.constant(pair_table(ntypes, sel, excluded)), center)
        nlist = tf.where(keep, tf.reshape(nlist, [-1, nnei]), -tf.ones_like(keep, tf.int32))
        nlist = tf.reshape(nlist, nlist_shape)
        factor = tf.cast(keep, fp)
        em, deriv = em * factor[:, :, None], deriv * factor[:, :, None, None]
    avg = tf.reshape(tf.gather(davg, center), [-1, nnei, ncomp])
    std = tf.reshape(tf.gather(dstd, center), [-1, nnei, ncomp])
    em = (em - avg) / std * tf.cast(real, fp)[:, None, None]
    deriv /= std[..., None]
    if zeroed:
        keep = tf.gather(tf.constant(pair_table(ntypes, sel, zeroed)), center)
        factor = tf.cast(tf.logical_or(keep, tf.reshape(nlist, [-1, nnei]) < 0), fp)
        em, deriv = em * factor[:, :, None], deriv * factor[:, :, None, None]
    return tf.reshape(em, em_shape), tf.reshape(deriv, deriv_shape), rij, nlist


def largest_row(distance, rcut, rcut_smth, protection=0.0):
    """First component of the raw row of a neighbor at a distance [Å]; the largest for all neighbors beyond it."""
    u = min(max((distance - rcut_smth) / (rcut - rcut_smth), 0.0), 1.0)
    return (u**3 * (u * (15.0 - 6.0 * u) - 10.0) + 1.0) / (distance + protection)


def largest_product(avg, std, closest):
    """Bound of the products of the angular parts of two normalised rows, from their means and deviations, shape (ntypes, >= 4)."""
    return (((closest + np.abs(avg[:, 1:4])) / std[:, 1:4]) ** 2).max()


def _rows(rij, filled, rcut, rcut_smth, protection, ncomp):
    """Raw rows (w / d, w x / d², w y / d², w z / d²) with d = r + protection, and their derivatives to the center.

    Parameters
    ----------
    rij : tensor, shape (n, nnei, 3), Å
    filled : bool tensor, shape (n, nnei)
    """
    square = tf.reduce_sum(rij * rij, axis=2)
    r = tf.sqrt(tf.where(filled, square, tf.ones_like(square)))
    mask = tf.cast(filled, rij.dtype)
    u = tf.clip_by_value((r - rcut_smth) / (rcut - rcut_smth), 0.0, 1.0)
    w = (u * u * u * (u * (15.0 - 6.0 * u) - 10.0) + 1.0) * mask
    slope = -30.0 * u * u * (u - 1.0) ** 2 / (rcut - rcut_smth) * mask
    inverse = 1.0 / (r + protection)
    radial, d_radial = w * inverse, (slope - w * inverse) * inverse
    unit = rij / tf.maximum(r, np.finfo(rij.dtype.as_numpy_dtype).tiny)[:, :, None]  # protected rows may have r = 0
    em, deriv = radial[:, :, None], -(d_radial[:, :, None] * unit)[:, :, None, :]
    if ncomp == 1:
        return em, deriv
    angular = radial * inverse
    d_angular = (slope - 2.0 * w * inverse) * inverse * inverse
    slopes = angular[..., None, None] * tf.eye(3, dtype=rij.dtype)
    slopes += d_angular[..., None, None] * rij[..., :, None] * unit[..., None, :]
    return tf.concat([em, angular[:, :, None] * rij], axis=2), tf.concat([deriv, -slopes], axis=2)
