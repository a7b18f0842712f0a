"""Pairs of types that do not interact."""

import numpy as np


def symmetric(pairs):
    """Both orders of the given pairs, as a set."""
    return {p for a, b in pairs or () for p in ((a, b), (b, a))}


def pair_table(ntypes, sel, pairs):
    """Which slots interact, (ntypes, sum(sel)): false where (center type, neighbor type) is one of ``pairs``."""
    keep = np.ones((ntypes, sum(sel)), bool)
    for ti, tj in pairs:
        keep[ti, sum(sel[:tj]) : sum(sel[: tj + 1])] = False
    return keep
