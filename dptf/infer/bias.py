"""New output biases of a model from labelled systems (``dp change-bias``)."""

import logging

import numpy as np

from dptf.errors import UserError
from dptf.fitting.base import solve_bias
from dptf.model.parts import bias_share

log = logging.getLogger(__name__)

#: Array of the bias by model type.
BIAS_ARRAYS = {
    "ener": "fitting_attr/t_bias_atom_e",
    "dos": "fitting_attr/t_bias_dos",
    "property": "model_attr/model_attr/t_out_bias",
}


def bias_array(constants, model_type, path, section=None):
    """Name of the constant that holds the bias of a graph, and how often it counts; `section` is that of the model."""
    if model_type not in BIAS_ARRAYS:
        raise UserError(
            f"is a model of type '{model_type}', which has no bias", path, f"known: {', '.join(BIAS_ARRAYS)}"
        )
    name, share = BIAS_ARRAYS[model_type], 1.0
    if model_type == "ener" and name not in constants and section:
        name, share = bias_share(section) or (name, share)
    if name not in constants:
        raise UserError(
            f"has no array {name}, its bias is part of the nets", path, "train or freeze it with a newer release"
        )
    return name, share


def fit_bias(model, systems, mode, old, number=0, share=1.0):
    """Least-squares bias per type.

    Parameters
    ----------
    model : DeepEval
        An energy, DOS or property model.
    systems : list of LabelledSystem
    mode : {"change", "set"}
        Correct the errors of the model, or fit the labels themselves.
    old : array, shape (ntypes, width)
        Types that the data do not hold keep it.
    number : int
        Frames per system, drawn at random; 0 for all.
    share : float
        How often the bias counts in the labels.

    Returns
    -------
    array, shape (ntypes, width)
    """
    kind = model.deep_eval.model_type
    ntypes, width = old.shape
    key, intensive = {"ener": "energy", "dos": "dos"}.get(kind), False
    if kind == "property":
        key, intensive = model.get_var_name(), model.get_intensive()
    rng = np.random.default_rng(0)
    counts, labels, predicted = [], [], []
    for system in systems:
        index = system.select(number, rng if number else None)
        data, present = system.label(key, index, width)
        if not present.any():
            log.warning("%s has no %s: it is left out", system.name, key)
            continue
        index = index[present]
        args = system.arguments(model, index)
        types = np.broadcast_to(np.asarray(args["atom_types"]), (len(index), system.natoms))
        if "aparam" in args and model.get_model_def_script().get("type") == "pairwise_dprc":
            ids = np.rint(args["aparam"]).reshape(types.shape)  # the QM region has the bias
            types = np.where(ids == np.where(ids < 0, np.inf, ids).min(axis=1, keepdims=True), types, -1)
        counts += [np.bincount(t[t >= 0], minlength=ntypes)[:ntypes] for t in types]
        labels.append(data[present])
        predicted.append(np.asarray(model.eval(**args)[0]).reshape(len(index), width))
    if not labels:
        raise UserError(f"no system has the label '{key}'", "-s/-f", "give labelled systems, or -b with values")
    x, y = np.array(counts, float), np.concatenate(labels)
    natoms = x.sum(axis=1, keepdims=True)
    model_section = model.get_model_def_script()
    x[:, [int(t) for t in model_section.get("atom_exclude_types") or []]] = 0.0
    if intensive:
        x = x / np.maximum(x.sum(axis=1, keepdims=True), 1.0)
    x = share * x
    target = y - np.concatenate(predicted) if mode == "change" else y
    fitting = model_section.get("fitting_net") or {}
    if kind == "property" and not fitting.get("distinguish_types", True):
        total = x.sum(axis=1, keepdims=True)
        found = np.tile(solve_bias(total, target), (ntypes, 1))
        seen = np.ones(ntypes, bool)
    else:
        found, seen = solve_bias(x, target), x.any(axis=0)
    left = (target - x @ found) / (1.0 if intensive else natoms)
    log.info("RMSE of %s per atom after linear regression is: %s", key, np.sqrt(np.mean(left**2)))
    new = np.array(old, float)
    new[seen] = (new[seen] if mode == "change" else 0.0) + found[seen]
    return new
