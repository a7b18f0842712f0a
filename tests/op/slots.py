"""Neighbor slots for the tests of ops that work on them."""

import numpy as np

from tests.op import env_reference as ref

RCUT = 3.3
GEOMETRIES = ref.geometries()


def neighbor_slots(name, coord=None, strain=None):
    """Slots of a geometry of `env_reference`, found by brute force.

    Returns
    -------
    dict
        rij (nloc, nnei, 3), nlist (nloc, nnei), types (nloc,), natoms, sel.
    """
    x, types, box, sel = GEOMETRIES[name]
    x = x if coord is None else coord
    if strain is not None:
        x, box = x @ strain, None if box is None else box @ strain
    ones = np.ones((2, sum(sel)))
    env = ref.environment(x, types, box, sel, 0 * ones, ones, RCUT, 0.5, ncomp=1)
    n = len(x)
    natoms = np.array([n, n, int((types == 0).sum()), int((types == 1).sum())], np.int32)
    return {"rij": env["rij"], "nlist": env["nlist"].astype(np.int32), "types": types, "natoms": natoms, "sel": sel}


def with_ghosts(slots, extra=5, seed=0):
    """The same slots with every second entry of the list moved to a ghost."""
    n, out = len(slots["types"]), dict(slots)
    nlist = slots["nlist"].copy()
    filled = np.flatnonzero(nlist.ravel() >= 0)[::2]
    nlist.ravel()[filled] = n + np.random.default_rng(seed).integers(0, extra, size=len(filled))
    out["nlist"] = nlist
    out["natoms"] = np.array([n, n + extra, *slots["natoms"][2:]], np.int32)
    return out


def filled(slots):
    """Yields (center, slot, neighbor, vector) of the slots in use."""
    for i, k in zip(*np.nonzero(slots["nlist"] >= 0)):
        yield i, k, slots["nlist"][i, k], slots["rij"][i, k]
