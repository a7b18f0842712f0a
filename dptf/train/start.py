"""Trained models as starting points: frozen graphs and checkpoints, of one model or several, and fine-tuning from them."""

import json
import logging
from copy import deepcopy

import numpy as np

from dptf.config.multitask import is_multitask, links, member_of, split, tasks_of, tie
from dptf.errors import UserError
from dptf.train.sharing import Sharing, part_of

log = logging.getLogger(__name__)

_ADOPTED = ("type_embedding", "descriptor", "fitting_net")


class Pretrained:
    """A trained model on disk.

    Parameters
    ----------
    path : str
        ``.pb`` file, or prefix or folder of a checkpoint.

    Attributes
    ----------
    config : dict
        Input that it was trained with.
    """

    def __init__(self, path):
        self.path, self._frozen = str(path), str(path).lower().endswith(".pb")
        if self._frozen:
            self._values = frozen_constants(path)
            script = self._values.get("train_attr/training_script")
            if script is None:
                raise UserError("does not hold its training script", self.path, "use --init-frz-model")
            self.config = json.loads(script.item())
        else:
            from dptf.train.checkpoint import Checkpoint

            checkpoint = Checkpoint(path)
            self._values, self.config = checkpoint.values(), checkpoint.training_script()
        self._sharing = Sharing(self.config)

    @property
    def heads(self):
        """Names of the branches; empty for a model without."""
        return tasks_of(self.config) if is_multitask(self.config) else []

    def head(self, name):
        """The branch of a name or alias; an error when there is none."""
        if name in self.heads:
            return name
        for task in self.heads:
            if name in (self.section(task).get("model_branch_alias") or []):
                return task
        raise UserError(f"has no branch '{name}'", self.path, f"branches: {', '.join(self.heads) or 'none'}")

    def section(self, head=""):
        """``model`` section of a branch."""
        section = split(self.config)[head]["model"] if self.heads else self.config["model"]
        return {k: v for k, v in section.items() if k != "compress"}  # how a compressed graph was made

    def values(self, head="", model=None):
        """Arrays of a branch by the names that it has alone; `model` names the tables of a compressed one."""
        if self._frozen and model is not None:
            return frozen_values(self.path, model)
        return self._sharing.view(self._values, head)


def frozen_constants(path):
    """All constants of a frozen graph by node name."""
    from dptf.graph.load import load_graph_def
    from dptf.ops import tf

    return {n.name: tf.make_ndarray(n.attr["value"].tensor) for n in load_graph_def(path).node if n.op == "Const"}


def frozen_values(path, model):
    """Arrays of a frozen graph; those of tables under their own names."""
    values = frozen_constants(path)
    if values.get("model_type", np.array(b"")).item() == b"compressed_model":
        from dptf.graph.compress import read_tables
        from dptf.graph.load import load_graph_def
        from dptf.nn.table import table_names

        unnamed = [name for name in model.descriptor.stored_names() if table_names(*name)[1] not in values]
        if unnamed:
            values |= read_tables(load_graph_def(path), unnamed)
        if model.descriptor.message_width:
            log.info("the frozen model is compressed: its tables stay as they are, its messages are trained")
        else:
            log.info("the frozen model is compressed: its descriptor stays as it is")
    return values


class Plan:
    """What one task takes from a trained model.

    Attributes
    ----------
    head : str
        Branch of the trained model.
    random : bool
        The fitting net starts anew.
    bias : str or None
        ``change`` or ``set``: how the energy bias follows the new data.
    """

    def __init__(self, head, random, bias):
        self.head, self.random, self.bias = head, random, bias


def plan(pretrained, task, section, model_branch=""):
    """The rule for a task of the new input (empty name: the only one) with its ``model`` section."""
    wish = section.get("finetune_head") or model_branch or ""
    if task and model_branch:
        raise UserError("cannot choose for several tasks", "--model-branch", "use finetune_head in each task")
    if not pretrained.heads:
        if wish not in ("", "Default", "RANDOM"):
            raise UserError(
                f"has no branches, so none is named '{wish}'", pretrained.path, "leave it out, or use RANDOM"
            )
        if task and not wish:
            return Plan("", True, "set")
        return Plan("", wish == "RANDOM", "set" if wish == "RANDOM" else "change")
    if wish and wish != "RANDOM":
        return Plan(pretrained.head(wish), False, "change")
    if task in pretrained.heads and not wish:
        return Plan(task, False, None)
    return Plan(pretrained.heads[0], True, "set")


def _merged_map(wanted, known, section, path):
    """Type map of the new model: the known types, then new ones."""
    if not wanted:
        return list(known)
    new = [t for t in wanted if t not in known]
    if not new:
        return list(known)
    if not section.get("type_embedding") and section["descriptor"]["type"] not in (
        "se_atten", "dpa1", "se_atten_v2", "se_e3_tebd", "dpa2", "dpa3",
    ):  # fmt: skip
        raise UserError(
            f"has no nets for {', '.join(new)}", path,
            "types can be added to models with a type embedding only; leave them out, or train anew",
        )  # fmt: skip
    log.info("new types: %s", ", ".join(new))
    return list(known) + new


def _adopt(section, source, random, path):
    """A user's model section with the parts of a trained one; of the user's parts `trainable` survives."""
    out = dict(section)
    for part in _ADOPTED:
        if part not in source or (part == "fitting_net" and random and section.get(part)):
            continue
        mine = out.get(part) if isinstance(out.get(part), dict) else {}
        out[part] = dict(source[part])
        if "trainable" in mine:
            out[part]["trainable"] = mine["trainable"]
    out["type_map"] = _merged_map(section.get("type_map"), source["type_map"], source, path)
    return out


def adopt(data, pretrained, model_branch=""):
    """Put the trained parts into an input that is not normalised yet; returns the new input and the plans by task."""
    if not is_multitask(data):
        chosen = plan(pretrained, "", data.get("model", {}), model_branch)
        section = _adopt(data.get("model", {}), pretrained.section(chosen.head), chosen.random, pretrained.path)
        return {**data, "model": section}, {"": chosen}
    model = {**data["model"], "shared_dict": dict(data["model"].get("shared_dict", {}))}
    model["model_dict"], plans, tied = dict(model["model_dict"]), {}, links(data)
    for task, part in split(data).items():
        plans[task] = chosen = plan(pretrained, task, part["model"], model_branch)
        section = _adopt(part["model"], pretrained.section(chosen.head), chosen.random, pretrained.path)
        own = dict(model["model_dict"][task])
        for key in (*_ADOPTED, "type_map"):
            if key in tied[task]:
                model["shared_dict"][tied[task][key][0]] = section[key]
            elif key in section:
                own[key] = deepcopy(section[key])
        # A shared member of a hybrid descriptor is that of the task that brings it last, as any shared part is.
        members = {p: link for p, link in tied[task].items() if member_of(p) is not None}
        for part, (name, _level) in members.items():
            if member_of(part) >= len(own["descriptor"].get("list", [])):
                raise UserError(
                    f"has no member {member_of(part)} of a hybrid descriptor to share as '{name}'", pretrained.path
                )
            model["shared_dict"].pop(name, None)
        tie(own, model["shared_dict"], members)
        model["model_dict"][task] = own
    return {**data, "model": model}, plans


def _fit(value, fresh, rows, where):
    """A trained array in the shape of a fresh one, which has more types: old rows go to their places, the others stay."""
    value = np.asarray(value)
    if value.size == fresh.size:
        return value.reshape(fresh.shape)
    axes = [
        k for k, (a, b) in enumerate(zip(value.shape, fresh.shape)) if a != b and a == rows[0] and b == rows[1]
    ]  # fmt: skip
    if value.ndim != fresh.ndim or len(axes) != 1 or value.size // rows[0] * rows[1] != fresh.size:
        raise UserError(f"has shape {list(value.shape)}, the model needs {list(fresh.shape)}", where)
    out = np.moveaxis(np.array(fresh), axes[0], 0)
    out[: rows[0]] = np.moveaxis(value, axes[0], 0)
    return np.moveaxis(out, 0, axes[0])


def transplant(trainer, branch, pretrained, chosen):
    """Load the trained arrays of a plan into the variables of a branch; what is new keeps its fresh values."""
    values = pretrained.values(chosen.head)
    rows = len(pretrained.section(chosen.head)["type_map"]), branch.model.ntypes
    by_name = {v.op.name: v for v in trainer.variables}
    missing = []
    for name in branch.names():
        variable = by_name[branch.variable_name(name)]
        if chosen.random and part_of(name) not in ("descriptor", "type_embedding"):
            continue
        if name not in values:
            missing.append(name)
            continue
        fresh = trainer.session.run(variable)
        variable.load(_fit(values[name], fresh, rows, name), trainer.session)
    if missing:
        raise UserError(
            f"lacks {missing[0]}" + (f" and {len(missing) - 1} more" if missing[1:] else ""), pretrained.path
        )
    log.info(
        "%sfine-tuned from %s%s%s", f"{branch.name}: " if branch.name else "", pretrained.path,
        f", branch {chosen.head}" if chosen.head else "", ", with a new fitting net" if chosen.random else "",
    )  # fmt: skip
