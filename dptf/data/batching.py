"""Rules for batch sizes and for the probability of drawing a system."""

import re

import numpy as np

from dptf.errors import UserError


def batch_sizes(rule, natoms, where="batch_size"):
    """Frames per batch for every system.

    Parameters
    ----------
    rule : int, list of int or str
        ``"auto"`` (= ``"auto:32"``), ``"auto:N"`` (at least N atoms a batch), ``"max:N"`` (at most N atoms),
        ``"filter:N"`` (as max; systems with more than N atoms are dropped), ``"mixed:N"`` (N frames of random systems).
    natoms : list of int
        Atoms of the systems.

    Returns
    -------
    list of int or None
        None marks a dropped system.
    int
        Frames of different systems that are merged into a batch (``"mixed:N"``), 0 otherwise.
    """
    if isinstance(rule, (int, np.integer)):
        rule = [int(rule)] * len(natoms)
    if isinstance(rule, list):
        if len(rule) != len(natoms):
            raise UserError(f"lists {len(rule)} sizes for {len(natoms)} systems", where)
        if any(b < 1 for b in rule):
            raise UserError(f"is {rule}; every size must be at least 1", where)
        return list(rule), 0
    match = re.fullmatch(r"(auto|max|filter|mixed)(?::\s*(\d+))?", str(rule).strip())
    if not match or (match[1] != "auto" and not match[2]) or match[2] == "0":
        raise UserError(
            f"'{rule}' is not a rule", where, "use a number, a list, 'auto', 'auto:N', 'max:N', 'filter:N' or 'mixed:N'"
        )
    limit = int(match[2] or 32)
    if match[1] == "auto":
        return [-(-limit // n) for n in natoms], 0
    if match[1] == "max":
        return [max(1, limit // n) for n in natoms], 0
    if match[1] == "mixed":
        return [1] * len(natoms), limit
    sizes = [max(1, limit // n) if n <= limit else None for n in natoms]
    if not any(sizes):
        raise UserError(f"'{rule}' leaves no system (the smallest has {min(natoms)} atoms)", where)
    return sizes, 0


def _blocks(rule, nbatches, where):
    """``prob_sys_size;begin:end:weight;...``"""
    nsys = len(nbatches)
    p = np.zeros(nsys)
    for part in rule.split(";")[1:]:
        if not part.strip():
            continue
        try:
            begin, end, weight = part.split(":")
            begin, end, weight = int(begin), int(end), float(weight)
        except ValueError:
            raise UserError(f"'{part.strip()}' is not begin:end:weight", where) from None
        if not 0 <= begin <= end <= nsys or weight < 0:
            raise UserError(f"block {part.strip()} does not fit {nsys} systems", where)
        if begin == end:
            continue
        share = np.asarray(nbatches[begin:end], float)
        p[begin:end] += weight * share / share.sum()
    if p.sum() <= 0:
        raise UserError("the weights of the blocks sum to zero", where)
    return p / p.sum()


def system_probabilities(nbatches, auto_prob="prob_sys_size", sys_probs=None, where="training_data"):
    """Probability of each system; see the input reference for the rules."""
    nbatches = np.asarray(nbatches, float)
    if sys_probs is not None:
        p = np.asarray(sys_probs, float)
        if len(p) != len(nbatches):
            raise UserError(
                f"lists {len(p)} probabilities for {len(nbatches)} systems (after expansion)", f"{where}/sys_probs"
            )
        free, assigned = p < 0, p[p >= 0].sum()
        if assigned > 1 + 1e-10 or (not free.any() and abs(assigned - 1) > 1e-6):
            raise UserError(
                f"sum to {assigned:g}; they must sum to 1 (negative entries share the rest)", f"{where}/sys_probs"
            )
        if free.any():
            p = np.where(free, (1 - assigned) * nbatches / nbatches[free].sum(), p)
        return p / p.sum()
    rule = str(auto_prob).strip()
    if rule == "prob_uniform":
        return np.full(len(nbatches), 1 / len(nbatches))
    if rule == "prob_sys_size":
        return nbatches / nbatches.sum()
    if rule.startswith("prob_sys_size;"):
        return _blocks(rule, nbatches, f"{where}/auto_prob")
    raise UserError(
        f"'{rule}' is not known", f"{where}/auto_prob", "use prob_uniform, prob_sys_size or prob_sys_size;b:e:w;..."
    )
