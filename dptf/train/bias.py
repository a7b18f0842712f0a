"""Shift of the energy bias of a trained model by least squares on the training data."""

import logging

import numpy as np

from dptf.fitting.base import solve_bias

log = logging.getLogger(__name__)


def change_bias_after_training(trainer):
    """Add the least-squares correction of the energy errors to the bias, and save the checkpoint again."""
    session = trainer.session
    for branch in trainer.branches:
        model = branch.model
        counts, errors = [], []
        per_system = int(model.section.get("data_bias_nsample", 10)) or None
        for isys in range(len(branch.training.systems)):
            batch = branch.training.all_frames(isys, per_system)
            if not batch["find_energy"]:
                continue
            errors += list(np.ravel(batch["energy"]) - session.run(branch.outputs["energy"], branch.feed(batch)))
            counts += [np.bincount(t[t >= 0], minlength=model.ntypes) for t in batch["type"]]
        delta = solve_bias(np.array(counts, float), np.array(errors, float))
        name = branch.variable_name("fitting_attr/t_bias_atom_e")
        variable = next(v for v in trainer.variables if v.op.name == name)
        variable.load(session.run(variable) + delta, session)
        log.info("changed the energy bias after training by %s eV", dict(zip(model.type_map, delta.tolist())))
    trainer.save()
