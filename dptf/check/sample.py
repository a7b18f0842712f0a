"""Configurations for a model to try: atoms of its types at reasonable distances."""

import logging

import numpy as np


def sample(model, natoms=None, seed=0):
    """A slightly triclinic cell of a perturbed lattice, as dense as the model's neighbor slots allow.

    Parameters
    ----------
    model : DeepEval
    natoms : int, optional
        By default some sixty.
    seed : int

    Returns
    -------
    coord : array, shape (n, 3)
        Å.
    cell : array, shape (3, 3)
        Å.
    types : array, shape (n,)
    """
    nearest = model.deep_eval.constant("train_attr/min_nbor_dist")
    distance = max(1.0, float(nearest)) * 1.35 if nearest is not None else 2.2
    n = natoms or 64
    for _ in range(6):
        coord, cell, types = _lattice(n, distance, int(model.get_ntypes()), seed)
        if not _overflows(model, coord, cell, types):
            break
        distance *= 1.15
    return coord, cell, types


def _lattice(n, distance, ntypes, seed):
    rng = np.random.default_rng(seed)
    per_side = int(np.ceil(n ** (1 / 3)))
    cell = per_side * distance * np.array([[1.0, 0, 0], [0.08, 1.0, 0], [-0.05, 0.06, 1.0]])
    grid = np.stack(np.meshgrid(*[np.arange(per_side)] * 3, indexing="ij"), -1).reshape(-1, 3)
    grid = grid[rng.permutation(len(grid))[:n]] / per_side
    coord = grid @ cell + rng.uniform(-0.12, 0.12, (n, 3)) * distance
    return coord, cell, rng.permutation(np.arange(n) % ntypes)


def _overflows(model, coord, cell, types):
    """Whether neighbors find no slot; the evaluator's warning about that is for users' own frames."""
    evaluator, log = model.deep_eval, logging.getLogger("dptf.infer.evaluator")
    muted, log.disabled, evaluator._warned_sel = log.disabled, True, False
    try:
        model.eval(coord.reshape(1, -1), cell.reshape(1, 9), types, **parameters(model, len(types)))
        return evaluator._warned_sel
    finally:
        log.disabled, evaluator._warned_sel = muted, False


def parameters(model, natoms):
    """Frame and atomic parameters of the right size, all 0.1, as keyword arguments."""
    out = {}
    if model.get_dim_fparam():
        out["fparam"] = np.full(int(model.get_dim_fparam()), 0.1)
    if model.get_dim_aparam():
        out["aparam"] = np.full((natoms, int(model.get_dim_aparam())), 0.1)
    return out
