"""From a frozen graph to the model tree."""

import numpy as np

from dptf.errors import UserError
from dptf.exchange import kinds


def serialize_graph(constants, script, path):
    """Translate the constants of a frozen graph.

    Parameters
    ----------
    constants : dict
        Name -> array, of all Const nodes.
    script : dict
        The input stored in the graph (``train_attr/training_script``).
    path : str
        File, for messages.

    Returns
    -------
    dict
        Top level of a model file: ``backend``, ``model``, ``model_def_script`` and maybe ``@variables``.
    """
    section = script.get("model")
    if not section:
        raise UserError("the graph does not store the input it was trained with, so its model cannot be exported", path)
    kind = section.get("type", "standard")
    if kind != "standard":
        raise UserError(f"model type '{kind}' cannot be exported by this version", path)
    if "model_type" in constants and constants["model_type"].item() == b"compressed_model":
        raise UserError("a compressed graph has no embedding nets any more", path, "export the graph it was made from")
    for key in ("type_embedding", "spin", "modifier", "use_srtab"):
        if section.get(key):
            raise UserError(f"models with '{key}' cannot be exported by this version", path)
    ntypes = int(constants["descrpt_attr/ntypes"])
    type_map = constants["model_attr/tmap"].item().decode().split() or [f"Type_{t}" for t in range(ntypes)]
    descriptor_kind = section["descriptor"].get("type")
    fitting_kind = section["fitting_net"].get("type", "ener")
    try:
        descriptor = kinds.descriptor(descriptor_kind, f"{path}: model/descriptor/type").write(
            section["descriptor"], constants, ntypes, type_map
        )
        fitting = kinds.fitting(fitting_kind, f"{path}: model/fitting_net/type").write(
            section["fitting_net"], constants, ntypes, type_map
        )
    except KeyError as err:
        raise UserError(
            f"the graph has no constant {err}", path, "it was not written for the input it stores"
        ) from None
    width = {"dipole": 3, "polar": 9}.get(fitting["type"]) or fitting["dim_out"]
    out_bias, out_std = (
        _out_stat(constants, key, (1, ntypes, width), default) for key, default in (("bias", 0.0), ("std", 1.0))
    )
    exclude = [int(t) for t in section.get("atom_exclude_types") or []]
    fitting["exclude_types"] = sorted({*exclude, *fitting["exclude_types"]})
    tree = {
        "backend": "TensorFlow",
        "model": {
            "type_map": type_map,
            "atom_exclude_types": exclude,
            "pair_exclude_types": [list(map(int, p)) for p in section.get("pair_exclude_types") or []],
            "rcond": None,
            "preset_out_bias": None,
            "@variables": {"out_bias": out_bias, "out_std": out_std},
            "@class": "Model",
            "@version": 2,
            "type": "standard",
            "descriptor": descriptor,
            "fitting": fitting,
        },
        "model_def_script": section,
    }
    if "train_attr/min_nbor_dist" in constants:
        tree["@variables"] = {"min_nbor_dist": np.float64(constants["train_attr/min_nbor_dist"])}
    return tree


def _out_stat(constants, key, shape, default):
    """Output bias or deviation, shape (1, ntypes, width); the scope is doubled in files of 3.1 and later."""
    for scope in ("model_attr/model_attr", "model_attr"):
        value = constants.get(f"{scope}/t_out_{key}")
        if value is not None:
            return value.reshape(shape)
    return np.full(shape, default)
