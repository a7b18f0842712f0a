"""Judges uncertainties of forces on labelled frames: uncertainty_worker.py FRAMES.npz WITH_UNCERTAINTY.pb MEMBER.pb..."""

import json
import sys
import time

import numpy as np
from scipy.stats import spearmanr

from dptf.infer import DeepPot

TIMED, REPEATS = 10, 30

frames, sure, *members = sys.argv[1:]
data = np.load(frames)
coord, box = data["coord"].reshape(len(data["coord"]), -1), data["box"].reshape(-1, 9)
types = np.zeros(data["coord"].shape[1], int)
one, several = DeepPot(sure), [DeepPot(m) for m in members]


def alone(c, b):
    """Energies, forces and deviations of one model."""
    return one.eval(c, b, types, uncertainty=True)[-1]


def together(c, b):
    """Deviation of the forces of several models."""
    forces = np.array([m.eval(c, b, types)[1] for m in several])
    return np.sqrt(((forces - forces.mean(0)) ** 2).sum(-1).mean(0))


def milliseconds(call):
    """Median processor time for a few frames."""
    call(coord[:TIMED], box[:TIMED])
    spent = []
    for _ in range(REPEATS):
        start = time.process_time()
        call(coord[:TIMED], box[:TIMED])
        spent.append(1e3 * (time.process_time() - start))
    return float(np.median(spent))


error = several[0].eval(coord, box, types)[1] - data["force"]
size = np.linalg.norm(error, axis=-1).ravel()
print(
    "RESULT "
    + json.dumps(
        {
            "rmse": float(np.sqrt(np.mean(error**2))),
            "spearman_one": float(spearmanr(alone(coord, box).ravel(), size)[0]),
            "spearman_members": float(spearmanr(together(coord, box).ravel(), size)[0]),
            "ms_one": milliseconds(alone),
            "ms_members": milliseconds(together),
        }
    )
)
