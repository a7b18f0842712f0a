"""From an input file to the normalised input: read, convert old layouts, check against the schema, check the meaning."""

import json
import logging
import os
from copy import deepcopy
from dataclasses import dataclass, field

from dptf.config.checks import DEFAULT_STOP_LR, check_meaning, default_loss
from dptf.config.convert import convert
from dptf.config.normalize import Normalizer
from dptf.config.paths import check_paths
from dptf.config.problems import Problems
from dptf.config.schema.model import model as model_schema
from dptf.config.schema.root import root
from dptf.config.support import check_support, sub_models
from dptf.config.text import read
from dptf.errors import UserError

log = logging.getLogger(__name__)


@dataclass
class Input:
    """An input as the user wrote it, in the layout of version 2.

    Attributes
    ----------
    data : dict
        The content; still with the user's spelling and without defaults.
    path : str
        Name of the file.
    lines : dict
        Line of every key, by path.
    converted : list of str
        What the conversion of an old layout changed; empty for files of version 2.
    """

    data: dict
    path: str = "input"
    lines: dict = field(default_factory=dict)
    converted: list = field(default_factory=list)


def read_input(path):
    """Read a JSON or YAML file and convert old layouts; returns an :class:`Input`."""
    data, lines = read(path)
    data, notes = convert(data, str(path))
    return Input(data, str(path), lines, notes)


def _refuse_other_packages(data, where):
    model = data.get("model")
    if isinstance(model, dict) and "model_dict" in model:
        raise UserError("holds several tasks (model/model_dict); here one model is expected", where)
    if "nvnmd" in data:
        raise UserError("training for fixed-point hardware (nvnmd) is not available", where, "remove the section")


def normalize_input(source, *, paths=True):
    """Check an input and fill in aliases and defaults.

    Parameters
    ----------
    source : Input or dict
        Input in the layout of version 2.
    paths : bool
        Also check that systems exist and outputs can be written.

    Returns
    -------
    dict
        The input as it is written to ``out.json``.

    Raises
    ------
    UserError
        Names every mistake with its line and key path.
    """
    source = source if isinstance(source, Input) else Input(source)
    _refuse_other_packages(source.data, source.path)
    problems = Problems(source.path, source.lines)
    data = deepcopy(source.data)
    loss = data.setdefault("loss", {})
    if isinstance(loss, dict) and "type" not in loss:
        data["loss"] = {**loss, "type": default_loss(data.get("model"))}
        if data["loss"]["type"] == "tensor" and not loss:
            del data["loss"]
            problems.add(
                ("loss",), 'is missing; tensor fitting needs {"type": "tensor", "pref": ..., "pref_atomic": ...}'
            )
    normalizer = Normalizer(problems)
    config = normalizer.section(data, root(), ())
    if not problems.items:
        _sub_models(config["model"], ("model",), normalizer)
    problems.raise_if_any()
    warnings = check_support(config, problems)
    problems.raise_if_any()
    check_meaning(config, problems)
    if paths:
        check_paths(config, problems)
    problems.raise_if_any()
    rate = config.get("learning_rate")
    if rate and rate["stop_lr"] is None and rate["stop_lr_ratio"] is None:
        rate["stop_lr"] = DEFAULT_STOP_LR
    for warning in warnings:
        log.warning(warning)
    return config


def _sub_models(model, path, normalizer):
    """Bring the models inside a composed model to normal form, in place."""
    shared = model.get("shared_dict") or {}
    for key, sub in list(sub_models(model)):
        if isinstance(sub, dict):
            sub = {k: _shared(v, shared, (*path, *key, k), normalizer.problems) for k, v in sub.items()}
        if not isinstance(sub, dict):
            normalizer.problems.add((*path, *key), "is not a model section {...}")
            continue
        normal = normalizer.section(sub, model_schema(), (*path, *key))
        if len(key) == 1:
            model[key[0]] = normal
        else:
            model["models"][key[1] if isinstance(model["models"], dict) else int(key[1])] = normal
        if not normalizer.problems.items:
            _sub_models(normal, (*path, *key), normalizer)


def _shared(value, shared, path, problems):
    """The value, or the part of ``shared_dict`` that it names."""
    if path[-1] not in ("type_map", "descriptor", "fitting_net", "type_embedding") or not isinstance(value, str):
        return value
    name = value.partition(":")[0]
    if name not in shared:
        problems.add(path, f"'{value}' is not in shared_dict")
    return deepcopy(shared.get(name, {}))


def normalize_model(section, where="model"):
    """Normal form of a model section alone (of a frozen graph or a model file)."""
    problems = Problems(where)
    normalizer = Normalizer(problems)
    model = normalizer.section(section, model_schema(), ("model",))
    if not problems.items:
        _sub_models(model, ("model",), normalizer)
    problems.raise_if_any()
    return model


def load_input(path, *, paths=True):
    """Read, convert and normalise an input file; old layouts and keys without effect are logged as warnings."""
    source = read_input(path)
    for note in source.converted:
        log.warning("%s: %s", path, note)
    return normalize_input(source, paths=paths)


def write_json(data, path):
    """Write JSON with indentation so that the file is either the old one or the whole new one."""
    temporary = f"{path}.tmp{os.getpid()}"
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(data, file, indent=4, ensure_ascii=False)
            file.write("\n")
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
