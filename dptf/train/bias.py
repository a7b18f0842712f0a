"""Shift of the energy bias of a model by least squares on the training data."""

import logging

import numpy as np

from dptf.fitting.base import solve_bias
from dptf.model.parts import bias_share

log = logging.getLogger(__name__)


def change_bias(trainer, branch, mode):
    """Fit the bias of a branch to the labels of its training data.

    Parameters
    ----------
    trainer : Trainer
    branch : Branch
    mode : {"change", "set"}
        Add the least-squares correction of the energy errors, or replace the bias by that of the labels.
    """
    model, session = branch.model, trainer.session
    own, share = bias_share(model.section) or ("", 1.0)
    name = branch.variable_name(own)
    variable = next((v for v in trainer.variables if v.op.name == name), None)
    if variable is None or "energy" not in branch.outputs:
        log.info("the outputs of this model have no energy bias: it stays as it is")
        return
    counts, labels, predicted = [], [], []
    per_system = max(0, int(model.section.get("data_bias_nsample", 10))) or None
    for isys in range(len(branch.training.systems)):
        batch = branch.training.all_frames(isys, per_system)
        if not batch["find_energy"]:
            continue
        labels += list(np.ravel(batch["energy"]))
        if mode == "change":
            predicted += list(session.run(branch.outputs["energy"], branch.feed(batch)))
        counts += list(model.bias_counts(batch))
    if not labels:
        log.warning("the training data have no energies: the energy bias stays as it is")
        return
    x, y = np.array(counts, float), np.array(labels, float)
    x[:, getattr(model, "atom_excluded", [])] = 0.0
    old = session.run(variable)
    x = share * x[:, : old.size]  # a part may know the first types only
    if mode == "set" and model.section.get("type", "standard") != "standard":
        log.warning("the parts of a model have biases of their own: the bias is changed, not set")
        mode = "change"
    if mode == "change":
        y = y - np.array(predicted)
        new = old + solve_bias(x, y).reshape(old.shape)
        left = y - x @ (new - old).ravel()
    else:
        new = solve_bias(x, y).reshape(old.shape)
        left = y - x @ new.ravel()
    variable.load(new, session)
    rmse = np.sqrt(np.mean((left / np.array(counts).sum(axis=1)) ** 2))
    log.info("RMSE of energy per atom after linear regression is: %s in the unit of energy.", rmse)
    shifts = {t: f"{b:.6g} -> {a:.6g}" for t, b, a in zip(model.type_map, old.ravel().tolist(), new.ravel().tolist())}
    log.info("%s the energy bias by statistic (eV): %s", "changed" if mode == "change" else "set", shifts)
