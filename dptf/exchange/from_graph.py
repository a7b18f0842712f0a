"""From a frozen graph to the model tree."""

import numpy as np

from dptf.errors import UserError
from dptf.exchange import models


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
    if "model_type" in constants and constants["model_type"].item() == b"compressed_model":
        raise UserError("a compressed graph has no embedding nets any more", path, "export the graph it was made from")
    ntypes = int(constants["descrpt_attr/ntypes"])
    type_map = constants["model_attr/tmap"].item().decode().split() or [f"Type_{t}" for t in range(ntypes)]
    tree = {
        "backend": "TensorFlow",
        "model": models.write(section, constants, type_map, path),
        "model_def_script": section,
    }
    if "train_attr/min_nbor_dist" in constants:
        tree["@variables"] = {"min_nbor_dist": np.float64(constants["train_attr/min_nbor_dist"])}
    return tree
