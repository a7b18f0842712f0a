"""Shift of the energy bias of a trained model by least squares on the training data."""

import logging

import numpy as np

from dptf.fitting.base import solve_bias
from dptf.ops import tf

log = logging.getLogger(__name__)


def change_bias_after_training(trainer):
    """Add the least-squares correction of the energy errors to the bias, and save the checkpoint again."""
    model, graph, session = trainer.model, trainer.graph, trainer.session
    counts, errors = [], []
    per_system = int(model.section.get("data_bias_nsample", 10)) or None
    energy = graph.get_tensor_by_name("o_energy:0")
    inputs = {k: graph.get_tensor_by_name(f"t_{k}:0") for k in ("coord", "box", "type", "mesh")}
    for isys in range(len(trainer.training.systems)):
        batch = trainer.training.all_frames(isys, per_system)
        if not batch["find_energy"]:
            continue
        feed = {p: np.ravel(batch[k]) for k, p in inputs.items()}
        feed[graph.get_tensor_by_name("t_natoms:0")] = batch["natoms_vec"]
        for key in ("fparam", "aparam"):
            if key in batch:
                feed[graph.get_tensor_by_name(f"t_{key}:0")] = np.ravel(batch[key])
        if trainer.spacing is not None:
            feed[graph.get_tensor_by_name("embedding_spacing:0")] = trainer.spacing
        errors += list(np.ravel(batch["energy"]) - session.run(energy, feed))
        counts += [np.bincount(t[t >= 0], minlength=model.ntypes) for t in batch["type"]]
    delta = solve_bias(np.array(counts, float), np.array(errors, float))
    with graph.as_default():
        variable = next(v for v in tf.global_variables() if v.op.name == "fitting_attr/t_bias_atom_e")
    variable.load(session.run(variable) + delta, session)
    log.info("changed the energy bias after training by %s eV", dict(zip(model.type_map, delta.tolist())))
    trainer.writer.save(session, trainer.step, trainer._state(trainer.training.state()))
