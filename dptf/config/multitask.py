"""Inputs with several tasks: one input per task, and which parts the tasks share.

``model/model_dict`` names the tasks. A task's ``type_map``, ``descriptor`` or ``fitting_net`` may be the name of an entry of
``model/shared_dict`` (``"name"`` or ``"name:level"``), and so may the members of a hybrid descriptor; what else stands in ``model`` is
a default for all tasks.
"""

import re
from copy import deepcopy

from dptf.errors import UserError

_TRAINING = ("data_dict", "model_prob", "num_epoch_dict")
SHARED = ("type_map", "type_embedding", "descriptor", "fitting_net")
#: Descriptors that can also share the type embedding alone (level 1).
_TYPED = ("se_atten", "dpa1", "se_atten_v2", "se_e3_tebd", "dpa2", "dpa3")


def is_multitask(data):
    """Whether an input has several tasks."""
    model = data.get("model") if isinstance(data, dict) else None
    return isinstance(model, dict) and "model_dict" in model


def tasks_of(data):
    """Names of the tasks, in the order of the input."""
    return list(data["model"]["model_dict"])


def _reference(value, where, shared):
    """Name and level of a reference."""
    name, _, level = value.partition(":")
    if name not in shared:
        raise UserError(f"'{name}' is not in model/shared_dict", where, f"known: {', '.join(shared) or 'nothing'}")
    if not re.fullmatch(r"\d*", level):
        raise UserError(f"'{value}' is not NAME or NAME:LEVEL", where)
    return name, int(level or 0)


def links(data):
    """``{task: {part: (shared name, level)}}``; the members of a hybrid descriptor are parts ``descriptor/list/<k>``."""
    model, out = data["model"], {}
    shared, defaults = model.get("shared_dict", {}), _defaults(model)
    for task, section in model["model_dict"].items():
        section = {**defaults, **section}
        out[task] = {
            k: _reference(section[k], f"model/model_dict/{task}/{k}", shared)
            for k in SHARED
            if isinstance(section.get(k), str)
        }
        for k, member in enumerate(_members(section.get("descriptor"))):
            if isinstance(member, str):
                where = f"model/model_dict/{task}/descriptor/list/{k}"
                out[task][f"descriptor/list/{k}"] = _reference(member, where, shared)
    return out


def _members(descriptor):
    """The list of a hybrid descriptor, empty for others."""
    members = descriptor.get("list") if isinstance(descriptor, dict) else None
    return members if isinstance(members, list) else []


def member_of(part):
    """Place in the hybrid descriptor that a part stands for, None for other parts."""
    return int(part.rpartition("/")[2]) if part.startswith("descriptor/list/") else None


def _defaults(model):
    return {k: v for k, v in model.items() if k not in ("shared_dict", "model_dict")}


def check(data):
    """Refuse what no task could have alone: names, lists that do not agree, levels that do not exist."""
    model, training = data["model"], data.get("training")
    if not isinstance(model["model_dict"], dict) or not model["model_dict"]:
        raise UserError("must name at least one task", "model/model_dict")
    tasks = tasks_of(data)
    for task in tasks:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", task):
            raise UserError(f"'{task}' is not a name of a task (letters, digits, _ . -)", "model/model_dict")
    if not isinstance(training, dict):
        raise UserError("is missing", "training")
    for name, section in (("loss_dict", data.get("loss_dict")), ("training/data_dict", training.get("data_dict"))):
        if not isinstance(section, dict) or sorted(section) != sorted(tasks):
            raise UserError(f"must have one entry for each of {', '.join(tasks)}", name)
    if "loss" in data:
        raise UserError("belongs into loss_dict, by task", "loss")
    for name in ("model_prob", "num_epoch_dict"):
        weights = training.get(name)
        if weights is None:
            continue
        if sorted(weights) != sorted(tasks):
            raise UserError(f"must list every task: {', '.join(tasks)}", f"training/{name}")
        low = min(weights.values())
        if low < 0 or sum(weights.values()) <= 0 or (name == "num_epoch_dict" and low <= 0):
            raise UserError("must be positive", f"training/{name}")
    if "num_epoch_dict" in training and ("numb_steps" in training or "model_prob" in training):
        raise UserError("decides the number of steps and the probabilities: remove numb_steps and model_prob",
                        "training/num_epoch_dict")  # fmt: skip
    shared, users = model.get("shared_dict", {}), {}
    for task, parts in links(data).items():
        for part, (name, level) in parts.items():
            where = f"model/model_dict/{task}/{part}"
            kind = part if member_of(part) is None else "member of a hybrid descriptor"
            users.setdefault(name, kind)
            if users[name] != kind:
                raise UserError(f"'{name}' is used as {users[name]} and as {kind}", where)
            if kind != part and shared[name].get("type") in _TYPED:
                raise UserError(f"members of type '{shared[name]['type']}' cannot be shared one by one: they have a type embedding",
                                where, "share the whole descriptor")  # fmt: skip
            typed = part == "descriptor" and shared[name].get("type") in _TYPED
            if level > (1 if typed else 0):
                raise UserError(f"level {level} does not exist here", where, "use level 0: everything is shared")
    maps = {str(_task_model(data, t).get("type_map")) for t in tasks}
    if len(maps) > 1 and any(p for p in links(data).values() if set(p) - {"type_map"}):
        raise UserError("tasks that share parts need the same type_map", "model/model_dict",
                        "put one type_map into shared_dict and refer to it in every task")  # fmt: skip


def _task_model(data, task):
    model = data["model"]
    shared = model.get("shared_dict", {})
    section = deepcopy({**_defaults(model), **model["model_dict"][task]})
    for part, (name, _) in links(data)[task].items():
        k = member_of(part)
        if k is None:
            section[part] = deepcopy(shared[name])
        else:
            section["descriptor"]["list"][k] = deepcopy(shared[name])
    if any(isinstance(m, str) for m in _members(section.get("descriptor"))):
        raise UserError("a shared hybrid descriptor is shared as a whole: its members have no names of their own",
                        f"model/model_dict/{task}/descriptor/list", "write the members into shared_dict")  # fmt: skip
    return section


def tie(section, shared, parts):
    """Put references in place of the shared parts of a task's model section, and the parts into `shared`."""
    for part, (name, level) in parts.items():
        k = member_of(part)
        place, key = (section, part) if k is None else (section["descriptor"]["list"], k)
        shared.setdefault(name, place[key])
        place[key] = f"{name}:{level}" if level else name


def split(data):
    """One ordinary input per task, as ``{task: input}``."""
    out, training = {}, data["training"]
    for task in tasks_of(data):
        own = {k: deepcopy(v) for k, v in training.items() if k not in _TRAINING}
        own.update(deepcopy(training["data_dict"][task]))
        if "num_epoch_dict" in training:
            own["numb_epoch"] = training["num_epoch_dict"][task]
        rest = {k: deepcopy(v) for k, v in data.items() if k not in ("model", "loss_dict", "training")}
        out[task] = {
            "model": _task_model(data, task),
            "loss": deepcopy(data["loss_dict"][task]),
            "training": own,
            **rest,
        }
    return out


def line_map(lines, task):
    """Lines of a file for the input of one task."""
    out = dict(lines)
    for path, line in lines.items():
        for prefix, new in (
            (("model", "model_dict", task), ("model",)), (("loss_dict", task), ("loss",)),
            (("training", "data_dict", task), ("training",)),
        ):  # fmt: skip
            if path[: len(prefix)] == prefix:
                out[(*new, *path[len(prefix) :])] = line
    return out


def join(data, parts):
    """The whole input again, complete, from the normalised inputs of the tasks; references stay references."""
    first, tied = next(iter(parts.values())), links(data)
    model = {"shared_dict": {}, "model_dict": {}}
    for task, part in parts.items():
        section = deepcopy(part["model"])
        tie(section, model["shared_dict"], tied[task])
        model["model_dict"][task] = section
    own = set().union(*(d for d in data["training"]["data_dict"].values())) | {"training_data", "validation_data"}
    training = {k: v for k, v in first["training"].items() if k not in own}
    if "num_epoch_dict" in data["training"]:
        training.pop("numb_epoch", None)
    training |= {k: deepcopy(data["training"][k]) for k in _TRAINING if k in data["training"]}
    training["data_dict"] = {t: {k: v for k, v in p["training"].items() if k in own} for t, p in parts.items()}
    out = {k: v for k, v in first.items() if k not in ("model", "loss", "training")}
    return {"model": model, **out, "loss_dict": {t: p.get("loss", {}) for t, p in parts.items()}, "training": training}
