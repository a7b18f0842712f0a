"""Changes to the environment matrix that the public op does not know: protected distances, pairs that do not interact.

Made of ordinary TensorFlow ops, so graphs with them run in every runtime.
"""

from dptf.descriptor.pairs import pair_table
from dptf.ops import op_module, tf


def adjusted_env_mat_a(
    coord, atype, natoms, box, mesh, davg, dstd, *, rcut, rcut_smth, sel, protection=0.0, excluded=(), zeroed=()
):
    """Environment matrix with 1/(r + p) instead of 1/r, and without the neighbors of some pairs of types.

    The op gives the raw matrix; with f = r / (r + p) its components are multiplied by (f, f², f², f²). Slots of excluded
    pairs become empty, so that their normalised row is -davg/dstd; the normalised rows of neighbors of zeroed pairs are
    zero. Normalisation comes in between.

    Parameters
    ----------
    coord, atype, natoms, box, mesh, davg, dstd
        Inputs of ``ProdEnvMatA``.
    rcut, rcut_smth, protection : float
        Å.
    sel : list of int
    excluded, zeroed : iterable of (int, int)
        (center type, neighbor type), both orders.

    Returns
    -------
    em, deriv, rij, nlist
        Outputs of ``ProdEnvMatA``.
    """
    ntypes, nnei = len(sel), sum(sel)
    shape, fp = [ntypes, 4 * nnei], davg.dtype
    em, deriv, rij, nlist = op_module.prod_env_mat_a(
        coord, atype, natoms, box, mesh, tf.zeros(shape, fp), tf.ones(shape, fp), rcut_a=-1.0, rcut_r=rcut,
        rcut_r_smth=rcut_smth, sel_a=sel, sel_r=[0] * ntypes, name="ProdEnvMatA",
    )  # fmt: skip
    em_shape, deriv_shape, nlist_shape = tf.shape(em), tf.shape(deriv), tf.shape(nlist)
    em = tf.reshape(em, [-1, nnei, 4])
    deriv = tf.reshape(deriv, [-1, nnei, 4, 3])
    if protection:
        em, deriv = _protect(em, deriv, tf.reshape(rij, [-1, nnei, 3]), protection)
    center = tf.reshape(atype[:, : natoms[0]], [-1])
    real, center = center >= 0, tf.maximum(center, 0)
    if excluded:
        keep = tf.gather(tf.constant(pair_table(ntypes, sel, excluded)), center)
        nlist = tf.where(keep, tf.reshape(nlist, [-1, nnei]), -tf.ones_like(keep, tf.int32))
        nlist = tf.reshape(nlist, nlist_shape)
        factor = tf.cast(keep, fp)
        em, deriv = em * factor[:, :, None], deriv * factor[:, :, None, None]
    avg = tf.reshape(tf.gather(davg, center), [-1, nnei, 4])
    std = tf.reshape(tf.gather(dstd, center), [-1, nnei, 4])
    em = (em - avg) / std * tf.cast(real, fp)[:, None, None]
    deriv /= std[..., None]
    if zeroed:
        keep = tf.gather(tf.constant(pair_table(ntypes, sel, zeroed)), center)
        factor = tf.cast(tf.logical_or(keep, tf.reshape(nlist, [-1, nnei]) < 0), fp)
        em, deriv = em * factor[:, :, None], deriv * factor[:, :, None, None]
    return tf.reshape(em, em_shape), tf.reshape(deriv, deriv_shape), rij, nlist


def _protect(em, deriv, rij, protection):
    """Multiply by powers of f = r / (r + p); ``deriv`` is the derivative to the center, which moves r by -rij / r."""
    square = tf.reduce_sum(rij * rij, axis=2)
    r = tf.sqrt(tf.where(square > 0, square, tf.ones_like(square)))
    f = r / (r + protection)
    df = protection / (r + protection) ** 2
    powers = tf.stack([f, f * f, f * f, f * f], axis=2)
    slopes = tf.stack([df, 2 * f * df, 2 * f * df, 2 * f * df], axis=2)
    toward = -rij / r[:, :, None]
    return em * powers, deriv * powers[..., None] + (em * slopes)[..., None] * toward[:, :, None, :]
