"""Slow NumPy form of the environment matrix, and geometries that are hard for a neighbor search."""

import itertools

import numpy as np

EPS = 1e-200
"""Step of the complex-step derivative: exact to rounding, and independent of any formula for the derivative."""


def switch(r, rs, rc, span):
    """Weight of the smooth edition; takes complex r (branches look at the real part)."""
    if r.real < rs:
        return 1.0
    if r.real >= rc:
        return 0.0
    u = (r - rs) / span
    return u**3 * (-6 * u**2 + 15 * u - 10) + 1


def row(d, rs, rc, span, ncomp):
    """Environment row of the vector d (may be complex) from center to neighbor."""
    r = np.sqrt(d @ d)
    w = switch(r, rs, rc, span)
    return np.array([w / r, *(w * d / r**2)])[:ncomp]


def row_and_derivative(d, rs, rc, span, ncomp):
    """Row, and its derivative in the position of the center, (ncomp, 3)."""
    e = row(d + 0j, rs, rc, span, ncomp).real
    de = np.zeros((ncomp, 3))
    for x in range(3):
        step = d + 0j
        step[x] -= 1j * EPS  # moving the center shortens the vector
        de[:, x] = row(step, rs, rc, span, ncomp).imag / EPS
    return e, de


def images(coord, types, box, rcut):
    """Atoms wrapped into the cell, followed by every periodic image that could be a neighbor.

    Returns
    -------
    coord : (nall, 3) array
    types : (nall,) array
    owner : (nall,) array
    """
    n = len(coord)
    if box is None:
        return coord, types, np.arange(n)
    frac = coord @ np.linalg.inv(box)
    coord = coord - np.floor(frac) @ box
    heights = 1 / np.linalg.norm(np.linalg.inv(box), axis=0)
    reach = [range(-k, k + 1) for k in np.ceil(rcut / heights).astype(int)]
    parts, owner = [coord], [np.arange(n)]
    for shift in itertools.product(*reach):
        if not any(shift):
            continue
        moved = coord + np.array(shift) @ box
        near = [i for i in range(n) if (np.linalg.norm(moved[i] - coord, axis=1) < rcut + 1e-3).any()]
        parts.append(moved[near])
        owner.append(np.array(near, int))
    owner = np.concatenate(owner)
    return np.concatenate(parts), types[owner], owner


def environment(coord, types, box, sel, davg, dstd, rcut, rcut_smth, ncomp=4, mixed=False):
    """Environment matrix of one frame.

    Returns
    -------
    dict
        em (nloc, nnei, ncomp), deriv (nloc, nnei, ncomp, 3), rij (nloc, nnei, 3), nlist (nloc, nnei) on owners, ntype,
        lost: number of neighbors without a slot.
    """
    rc, rs = np.float32(rcut), np.float32(rcut_smth)
    span = float(rc - rs)
    rc, rs = float(rc), float(rs)
    all_coord, all_types, owner = images(coord, types, box, rc)
    n, nnei, ntypes = len(coord), sum(sel), len(davg)
    out = {
        "em": np.zeros((n, nnei, ncomp)),
        "deriv": np.zeros((n, nnei, ncomp, 3)),
        "rij": np.zeros((n, nnei, 3)),
        "nlist": np.full((n, nnei), -1),
        "ntype": np.full((n, nnei), ntypes),
        "lost": 0,
    }
    starts = np.cumsum([0, *sel])
    for i in range(n):
        if types[i] < 0:
            continue
        avg, std = davg[types[i]].reshape(nnei, ncomp), dstd[types[i]].reshape(nnei, ncomp)
        out["em"][i] = -avg / std
        d = all_coord - all_coord[i]
        r = np.linalg.norm(d, axis=1)
        for block, size in enumerate(sel):
            kind = all_types >= 0 if mixed else all_types == block
            near = [j for j in np.argsort(r, kind="stable") if j != i and kind[j] and r[j] <= rc]
            out["lost"] += max(0, len(near) - size)
            for k, j in enumerate(near[:size], start=starts[block]):
                e, de = row_and_derivative(d[j], rs, rc, span, ncomp)
                out["em"][i, k] = (e - avg[k]) / std[k]
                out["deriv"][i, k] = de / std[k][:, None]
                out["rij"][i, k] = d[j]
                out["nlist"][i, k] = owner[j]
                out["ntype"][i, k] = all_types[j]
    return out


def _liquid(rng, n, box, closest=0.9):
    """Points in a cell with a smallest distance, images included."""
    out = np.zeros((0, 3))
    shifts = np.array(list(itertools.product((-1, 0, 1), repeat=3))) @ box
    while len(out) < n:
        x = rng.uniform(size=3) @ box
        if not len(out) or np.linalg.norm((out[:, None] + shifts) - x, axis=-1).min() > closest:
            out = np.vstack([out, x])
    return out


def geometries():
    """Name: (coord (n, 3), types (n,), box (3, 3) or None, sel) for a cutoff of about 3.3 Å."""
    rng = np.random.default_rng(11)
    cubic = np.eye(3) * 7.0
    sheared = np.array([[6.0, 0, 0], [5.5, 5.0, 0], [-4.0, 3.5, 5.5]])
    tiny = np.array([[2.1, 0, 0], [0.3, 2.3, 0], [0.1, -0.2, 1.9]])
    flat = np.diag([9.0, 8.0, 1.7])
    types = np.array([0, 1] * 12)
    liquid = _liquid(rng, 24, cubic)
    many = {"sel": [20, 20]}
    cases = {
        "liquid": (liquid, types, cubic, many["sel"]),
        "open": (liquid, types, None, many["sel"]),
        "sel overflows": (liquid, types, cubic, [2, 3]),
        "sel overflows in one block": (liquid, types, cubic, [30, 1]),
        "block without slots": (liquid, types, cubic, [0, 20]),
        "triclinic": (_liquid(rng, 20, sheared), types[:20], sheared, many["sel"]),
        "cell smaller than the cutoff": (np.array([[0.2, 0.1, 0.4], [1.2, 1.3, 1.0]]), np.array([0, 1]), tiny, [40, 40]),
        "one atom and its images": (np.array([[0.3, 0.2, 0.1]]), np.array([1]), tiny, [4, 60]),
        "flat cell": (_liquid(rng, 16, flat, 0.8), types[:16], flat, [30, 30]),
        "no neighbors": (np.array([[0.0, 0, 0], [20, 0, 0], [0, 20, 20]]), np.array([0, 1, 0]), np.eye(3) * 40, [4, 4]),
        "absent type": (liquid, np.zeros(24, int), cubic, [40, 5]),
        "virtual atoms": (liquid, np.where(np.arange(24) % 5 == 2, -1, types), cubic, many["sel"]),
        "only virtual atoms": (liquid[:3], np.array([-1, -1, -1]), cubic, [3, 3]),
        "far outside the cell": (
            liquid + rng.integers(-40, 40, size=(24, 3)) @ cubic, types, cubic, many["sel"],
        ),
        "single open atom": (np.array([[1.0, 2.0, 3.0]]), np.array([0]), None, [3, 3]),
    }  # fmt: skip
    # Exactly full: as many slots as the fullest atom needs, so that not one neighbor is lost and none of them is spare.
    full = environment(liquid, types, cubic, [40, 40], np.zeros((2, 320)), np.ones((2, 320)), 3.3, 0.5)["nlist"]
    cases["sel exactly full"] = (liquid, types, cubic, [int((full[:, :40] >= 0).sum(1).max()), int((full[:, 40:] >= 0).sum(1).max())])  # fmt: skip
    return cases


WITH_TIES = ("cell smaller than the cutoff", "one atom and its images", "flat cell")
"""Geometries in which an atom sees its own images in pairs of equal distance: their order is open."""


def statistics(ntypes, sel, ncomp, per_slot=True, seed=3):
    """Averages and deviations, (ntypes, nnei * ncomp) each; they differ in every slot, or only in every block of sel."""
    rng = np.random.default_rng(seed)
    shape = (ntypes, sum(sel) if per_slot else len(sel), ncomp)
    davg, dstd = rng.normal(scale=0.3, size=shape), rng.uniform(0.3, 2.0, size=shape)
    if not per_slot:
        davg, dstd = np.repeat(davg, sel, axis=1), np.repeat(dstd, sel, axis=1)
    return davg.reshape(ntypes, -1), dstd.reshape(ntypes, -1)


def canonical_order(rij, nlist, sel):
    """Slots of every row (nloc, nnei), each block ordered by atom and place, for comparisons that ignore ties."""
    order = np.tile(np.arange(nlist.shape[1]), (len(nlist), 1))
    for begin, end in zip(np.cumsum([0, *sel]), np.cumsum(sel)):
        for i in range(len(nlist)):
            keys = [*np.round(rij[i, begin:end], 5).T + 0.0, nlist[i, begin:end] < 0]
            order[i, begin:end] = begin + np.lexsort(keys)
    return order
