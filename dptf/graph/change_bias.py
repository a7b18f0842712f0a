"""Other biases in a frozen graph or a checkpoint."""

import json
import logging
import os
import tempfile
from pathlib import Path

import numpy as np

from dptf.errors import UserError
from dptf.graph.load import constants, load_graph_def, set_constant, write_graph_def

log = logging.getLogger(__name__)


def change_frozen(path, output=None, **how):
    """Write a frozen model with another bias; returns its path.

    Parameters
    ----------
    path : str
    output : str, optional
        By default ``<name>_updated.pb``.
    **how
        ``values`` (per type), or ``system``, ``datafile``, ``mode`` and ``number`` as :func:`dptf.infer.bias.fit_bias` has them.
    """
    output = output or f"{path[:-3]}_updated.pb"
    graph = load_graph_def(path)
    name, new = _new_bias(path, graph, **how)
    set_constant(graph, name, new)
    write_graph_def(graph, output)
    log.info("wrote %s", output)
    return output


def change_checkpoint(path, output=None, **how):
    """Write a checkpoint with another bias into ``<prefix>_updated/``, and its frozen model; returns the path of the latter.

    Parameters
    ----------
    path : str
        Prefix, or folder with a ``checkpoint`` file.
    output : str, optional
        Frozen model; by default after the prefix, ``model.pb`` for ``model.ckpt``.
    """
    from dptf.graph.freeze import freeze
    from dptf.train.checkpoint import Checkpoint, write_values

    source = Checkpoint(path)
    folder, base = os.path.split(source.prefix)
    stem = base.rsplit("-", 1)[0] if base.rsplit("-", 1)[-1].isdigit() else base
    output = output or os.path.join(folder, f"{stem.removesuffix('.ckpt')}.pb")
    with tempfile.TemporaryDirectory() as scratch:
        frozen = freeze(source.prefix, str(Path(scratch) / "model.pb"))
        name, new = _new_bias(frozen, load_graph_def(frozen), shown=path, **how)
    values = source.values()
    if name not in values:
        raise UserError(f"the checkpoint has no variable {name}", source.prefix)
    values[name] = new.astype(values[name].dtype).reshape(values[name].shape)
    target = os.path.join(folder, f"{stem}_updated", stem)
    write_values(source, values, target)
    freeze(target, output)
    log.info("wrote the checkpoint %s and the frozen model %s", target, output)
    return output


def _new_bias(path, graph, *, values=None, system=None, datafile=None, mode="change", number=0, shown=None):
    """Name and new value of the bias of a frozen model."""
    from dptf.infer.bias import BIAS_ARRAYS, bias_array, fit_bias

    known = constants(graph)
    kind = known["model_attr/model_type"].item().decode() if "model_attr/model_type" in known else "ener"
    script = known.get("train_attr/training_script")
    section = json.loads(script.item()).get("model", {}) if script is not None else {}
    name, share = bias_array(known, kind, shown or path, section)
    old = known[name]
    composed = name != BIAS_ARRAYS[kind]
    if composed and (values is not None or mode == "set"):
        raise UserError(
            "the parts of a model have biases of their own, so that of the whole can be changed only", shown or path,
            "use --mode change",
        )  # fmt: skip
    ntypes = len(old) if composed else int(known["descrpt_attr/ntypes"])
    table = old.reshape(ntypes, -1)
    if values is not None:
        if table.shape != (len(values), 1) or kind != "ener":
            wanted = f"{len(table)} values, one per type" if kind == "ener" else "data: values are for energies only"
            raise UserError(f"gives {len(values)} values; the model needs {wanted}", "-b/--bias-value")
        new = np.array(values, float)[:, None]
    else:
        from dptf.infer import DeepPotential
        from dptf.infer.labelled import LabelledSystem, find_systems

        with DeepPotential(path) as model:
            systems = [LabelledSystem(p, model.data_type_map) for p in find_systems(system, datafile)]
            new = fit_bias(model, systems, mode, table, number, share)
    types = known["model_attr/tmap"].item().decode().split() if "model_attr/tmap" in known else []
    if new.shape[1] == 1:
        for t, (a, b) in enumerate(zip(table[:, 0], new[:, 0])):
            log.info("bias of %s: %.6g -> %.6g", types[t] if t < len(types) else f"type {t}", a, b)
    return name, new.reshape(old.shape)
