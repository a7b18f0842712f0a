"""``dp train``: from an input file to a trained checkpoint."""

import json
import logging
import math
import os
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from dptf.config import multitask
from dptf.errors import UserError
from dptf.parallel.supervise import noted_failure
from dptf.parallel.world import start, told_once

log = logging.getLogger(__name__)


def train(
    input_file,
    *,
    init_model=None,
    restart=None,
    init_frz_model=None,
    finetune=None,
    model_branch="",
    use_pretrain_script=False,
    output="out.json",
    skip_neighbor_stat=False,
):
    """Train a model, or several that share parts.

    Parameters
    ----------
    input_file : str
        JSON or YAML input.
    init_model, restart : str, optional
        Checkpoint prefix: start from its variables at step 0, or continue it exactly.
    init_frz_model : str, optional
        Frozen model whose weights and statistics are the starting point.
    finetune : str, optional
        Frozen model or checkpoint to fine-tune: its nets are taken over and the energy bias follows the new data.
    model_branch : str
        Branch of the model to fine-tune; ``RANDOM`` for a new fitting net.
    use_pretrain_script : bool
        Take the model section from the checkpoint or frozen model.
    output : str
        Where the completed input is written.
    skip_neighbor_stat : bool
        Do not scan the data; ``sel`` must then be given as numbers.

    Raises
    ------
    UserError
        For every mistake in input, data or files.
    """
    begin = time.time()
    origin = _Origin(init_model, restart, init_frz_model, finetune, model_branch, use_pretrain_script)
    with noted_failure():
        _run(input_file, origin, output, skip_neighbor_stat)
    log.info("finished training")
    log.info("wall time: %.3f s", time.time() - begin)


class _Origin:
    """Where a run starts from."""

    def __init__(self, init_model=None, restart=None, frozen=None, finetune=None, branch="", use_script=False):
        self.prefix, self.restart = restart or init_model, restart is not None
        self.frozen, self.finetune, self.branch, self.use_script = frozen, finetune, branch, use_script
        self.pretrained, self.plans, self.checkpoint = None, {}, None

    def look(self):
        """Miss a file before anything is done or written."""
        for path, kind, fix in (
            (self.prefix, "checkpoint", "check the path; a checkpoint has the files PREFIX.index and PREFIX.data-…"),
            (self.frozen, "model file", "check the path, or freeze a model with 'dp freeze'"),
            (self.finetune, "model file or checkpoint", "check the path"),
        ):  # fmt: skip
            if path and not any(os.path.exists(str(path) + end) for end in ("", ".index", ".pb")):
                raise UserError(f"no such {kind}", f"{path}.index" if path == self.prefix else str(path), fix)

    def rewrite(self, data):
        """Input with the model section that the origin prescribes."""
        from dptf.train.start import Pretrained, adopt

        if self.finetune:
            self.pretrained = Pretrained(self.finetune)
            data, self.plans = adopt(data, self.pretrained, self.branch)
        elif self.use_script:
            if not (self.prefix or self.frozen):
                raise UserError("--use-pretrain-script needs --init-model, --restart, --init-frz-model or --finetune")
            config = Pretrained(self.prefix or self.frozen).config
            model = {k: v for k, v in config["model"].items() if k != "compress"}
            data = {**data, "model": model}
        return data

    def values(self, model):
        """Arrays that the graph is built with, for a run of one model; None to begin with fresh ones."""
        from dptf.nn.table import is_compressed, stored_arrays
        from dptf.train.start import frozen_values

        if self.frozen:
            return frozen_values(self.frozen, model)
        if self.pretrained is not None and not self.pretrained.heads:
            values = self.pretrained.values(model=model)
            return values if is_compressed(values) else None
        values = self.checkpoint.values() if self.checkpoint is not None else {}
        return stored_arrays(values) if is_compressed(values) else None


def _run(input_file, origin, output, skip_neighbor_stat):
    from dptf.config.load import read_input

    with told_once():
        source = read_input(input_file)
    world = start()
    with world.together():
        _run_together(source, origin, output, skip_neighbor_stat, world)


def _run_together(source, origin, output, skip_neighbor_stat, world):
    origin.look()
    loader = _TensorFlowLoader()
    if origin.finetune or origin.use_script:
        loader.start()
        loader.join()
        source = replace(source, data=origin.rewrite(source.data))
    parts = _normalise(source)
    paths = {task: _find_systems(part["training"]) for task, part in parts.items()}
    # TensorFlow takes seconds to import; the data are scanned meanwhile.
    loader.start()
    distances = {}
    for task, part in parts.items():
        if task:
            log.info("task %s", task)
        distances[task] = _sel(part, paths[task], world, skip_neighbor_stat)
    multi = multitask.is_multitask(source.data)
    if multi:
        _agree_on_sel(source.data, parts)
    config = multitask.join(source.data, parts) if multi else parts[""]
    if world.chief and source.converted:
        write_atomic("input_v2_compat.json", json.dumps(source.data, indent=4) + "\n")
        log.info("the input has an old layout; its current form is in input_v2_compat.json")
    if world.chief:
        write_atomic(output, json.dumps(config, indent=4) + "\n")
    loader.join()
    _train(config, parts, origin, distances, world)


def _normalise(source):
    """Complete inputs by task; the only one of an ordinary input has an empty name."""
    from dptf.config.load import Input, normalize_input

    if not multitask.is_multitask(source.data):
        return {"": normalize_input(source)}
    multitask.check(source.data)
    return {
        task: normalize_input(Input(data, f"{source.path} (task {task})", multitask.line_map(source.lines, task)))
        for task, data in multitask.split(source.data).items()
    }


def _find_systems(options):
    """Paths of the training systems; lists with an entry per system must fit their number, in every data section."""
    from dptf.data.systems import expand_systems

    found = {}
    for name in ("training_data", "validation_data"):
        section, where = options.get(name), f"training/{name}"
        if not section:
            continue
        found[name] = expand_systems(section["systems"], section.get("rglob_patterns"), f"{where}/systems")
        for key in ("sys_probs", "batch_size"):
            if isinstance(section.get(key), list) and len(section[key]) != len(found[name]):
                raise UserError(
                    f"lists {len(section[key])} numbers for {len(found[name])} systems (after expansion)",
                    f"{where}/{key}",
                )
    return found["training_data"]


def _sel(config, paths, world, skip):
    """Resolve automatic ``sel`` in place; returns the smallest distance in the data, None when it is not looked for."""
    from dptf.data.sel import needs_statistics

    spin = bool(config["model"].get("spin"))  # virtual atoms are no neighbors to count
    if not (skip or spin):
        return _neighbor_statistics(paths, config["model"], world)
    automatic = needs_statistics(config["model"])
    if automatic:
        raise UserError(
            "an automatic sel needs the neighbor statistics", automatic[0],
            "give numbers" if spin else "leave out --skip-neighbor-stat, or give numbers",
        )  # fmt: skip
    return None


def _agree_on_sel(data, parts):
    """A shared descriptor has the slots that the most crowded of its tasks needs."""
    tied = multitask.links(data)
    for name in data["model"].get("shared_dict", {}):
        users = [t for t in parts if tied[t].get("descriptor", ("",))[0] == name]
        for task in users[1:]:
            _largest_sel(parts[users[0]]["model"]["descriptor"], parts[task]["model"]["descriptor"])
        for task in users[1:]:
            _largest_sel(parts[task]["model"]["descriptor"], parts[users[0]]["model"]["descriptor"])
        members = [
            parts[t]["model"]["descriptor"]["list"][multitask.member_of(part)]
            for t in parts for part, (used, _) in tied[t].items() if used == name and multitask.member_of(part) is not None
        ]  # fmt: skip
        for other in members[1:]:
            _largest_sel(members[0], other)
        for other in members[1:]:
            _largest_sel(other, members[0])


def _largest_sel(into, other):
    for key, value in into.items():
        if isinstance(value, dict):
            _largest_sel(value, other[key])
        elif key == "list":
            for a, b in zip(value, other[key]):
                _largest_sel(a, b)
        elif key.endswith("sel"):
            into[key] = np.maximum(value, other[key]).tolist()


class _TensorFlowLoader(threading.Thread):
    """Imports TensorFlow and the ops once; `join` raises what went wrong."""

    def __init__(self):
        super().__init__(daemon=True)
        self._error = None

    def start(self):
        if self.ident is None:
            super().start()

    def run(self):
        try:
            import dptf.ops  # noqa: F401
        except BaseException as err:
            self._error = err

    def join(self, timeout=None):
        super().join(timeout)
        if self._error is not None:
            raise self._error


def write_atomic(path, text):
    """Write a text file in one piece."""
    temporary = Path(f"{path}.tmp")
    try:
        temporary.write_text(text)
        os.replace(temporary, path)
    except OSError as err:
        raise UserError(f"cannot be written ({err.strerror})", str(path)) from None


def _neighbor_statistics(paths, model_section, world):
    """Resolve automatic sel in place; returns the smallest distance."""
    from dptf.data.neighbor_stat import spread_neighbor_stat
    from dptf.data.sel import update_sel

    log.info("Calculate neighbor statistics... (add --skip-neighbor-stat to skip this step)")

    def stat(rcut, one_type, part=None):
        distance, counts = spread_neighbor_stat(
            world, paths, rcut, model_section.get("type_map"), one_type=one_type, part=part
        )
        log.info("Neighbor statistics: training data with minimal neighbor distance: %f", distance)
        log.info("Neighbor statistics: training data with maximum neighbor size: %s (cutoff radius: %f)", counts, rcut)
        return distance, counts

    return update_sel(model_section, stat)


def _train(config, parts, origin, distances, world):
    from dptf.kernels import one_heap
    from dptf.train.bias import change_bias
    from dptf.train.checkpoint import Checkpoint
    from dptf.train.schedule import Schedule
    from dptf.train.sharing import Sharing
    from dptf.train.start import transplant
    from dptf.train.trainer import Trainer, of_large_ops

    options = config["training"]
    if origin.prefix:
        origin.checkpoint = Checkpoint(origin.prefix)
    if options.get("seed") is None:
        options["seed"] = world.broadcast(None if world.size == 1 else int.from_bytes(os.urandom(4), "little"))
    sharing, values, branches = Sharing(config), None, []
    for task, part in parts.items():
        part["training"]["seed"] = options["seed"]
        branch, known = _branch(task, part, origin, distances[task], world)
        branch.sharing = sharing
        branches.append(branch)
        values = known or values
    _number_cases(branches)
    if of_large_ops(branches):
        # A few arrays are most of the memory: TensorFlow's pool leaves larger gaps between them than the system's. It reads this
        # once, for the first session, which may be that of the statistics.
        os.environ.setdefault("TF_ONEDNN_USE_SYSTEM_ALLOCATOR", "1")
        one_heap()
    probs = _steps_and_probabilities(options, branches)
    schedule = Schedule(config["learning_rate"], options["numb_steps"])
    if not (origin.checkpoint or values):
        _statistics(branches, parts, sharing, world)
    if len(branches) == 1:
        _follow_public_draws(branches[0])
    trainer = Trainer(config, branches, schedule, values, world, probs)
    tabulated = any(b.spacing is not None for b in branches)
    log.info("built training%s", " (embedding nets tabulated in every step)" if tabulated else "")
    if origin.checkpoint:
        trainer.restore(origin.checkpoint, keep_step=origin.restart)
        log.info("%s from model %s", "restart" if origin.restart else "initialize", origin.prefix)
    elif origin.pretrained:
        for branch in branches:
            transplant(trainer, branch, origin.pretrained, origin.plans[branch.name])
        for branch in branches:
            if origin.plans[branch.name].bias and world.chief:
                change_bias(trainer, branch, origin.plans[branch.name].bias)
        trainer.average_from_here()
    elif origin.frozen:
        log.info("initialize from frozen model %s", origin.frozen)
    else:
        log.info("initialize model from scratch")
    trainer.synchronise()
    trainer.run(append=origin.restart)
    if options.get("change_bias_after_training"):
        for branch in branches if world.chief else []:
            change_bias(trainer, branch, "change")
        trainer.synchronise()
        trainer.save()


def _follow_public_draws(branch):
    """Make the same seed give the batches of the public package, training and validation, in every row of the learning curve."""
    branch.training.skip_batch()
    if branch.validation is not None:
        branch.validation.rng = branch.training.rng


def _branch(task, config, origin, distance, world):
    """A branch with its data, and the arrays that it starts with (or None)."""
    from dptf.loss import make_loss
    from dptf.model import build_model
    from dptf.nn.table import is_compressed
    from dptf.train.branch import Branch

    options = config["training"]
    if distance is None and origin.checkpoint is not None:
        # Compression needs the smallest distance; a continued run must not lose it.
        known = origin.checkpoint.constants().get((f"{task}/" if task else "") + "train_attr/min_nbor_dist")
        distance = None if known is None else float(known)
    model = build_model(
        config["model"], min_nbor_dist=distance, mixed_precision=options.get("mixed_precision")
    )  # fmt: skip
    values = None if task else origin.values(model)
    model.compressed = values is not None and is_compressed(values)
    loss = make_loss(config.get("loss") or {}, float(config["learning_rate"]["start_lr"]), model)
    training, validation = _data(options, model, loss, world)
    n = getattr(getattr(model, "fitting", None), "numb_fparam", 0)
    log.info("training with %d frame parameter(s)", n) if n else log.info("training without frame parameter")
    return Branch(task, model, loss, training, validation, options), values


def _number_cases(branches):
    """With ``dim_case_embd``, tell every task its number: its place in the sorted list of names."""
    fittings = {b.name: getattr(b.model, "fitting", None) for b in branches}
    widths = {name: getattr(f, "dim_case", 0) for name, f in fittings.items()}
    if len(branches) == 1 or not any(widths.values()):
        return
    where = "fitting_net/dim_case_embd"
    if len(set(widths.values())) > 1:
        raise UserError(f"differs between tasks ({widths})", where, "give all tasks the same number")
    if next(iter(widths.values())) < len(branches):
        raise UserError(f"is {next(iter(widths.values()))} for {len(branches)} tasks", where, f"give {len(branches)}")
    for k, name in enumerate(sorted(fittings)):
        fittings[name].case = k


def _steps_and_probabilities(options, branches):
    """Number of steps where the input gives epochs, and the probability of every task."""
    epochs = options.get("num_epoch_dict")
    if epochs:
        steps = [epochs[b.name] * b.training.total_batches for b in branches]
        options["numb_steps"] = math.ceil(sum(steps))
        return steps
    if options.get("numb_steps") is None:
        total = sum(b.training.total_batches for b in branches)
        options["numb_steps"] = math.ceil(options["numb_epoch"] * total)
    weights = options.get("model_prob")
    return [weights[b.name] if weights else len(b.training.systems) for b in branches]


def _statistics(branches, parts, sharing, world):
    """Statistics of the data, whose systems are dealt out to the ranks; those of a shared part are taken over all tasks that share it."""
    from dptf.train.stat_file import StatFile

    log.info("data stating... (this step may take long time)")

    def draw(branch):
        return branch.training.stat_batches(branch.model.section.get("data_stat_nbatch", 10), world)

    drawn = {b.name: draw(b) for b in branches}
    for branch in branches:
        model, name = branch.model, parts[branch.name]["training"].get("stat_file")
        stat = StatFile(name, model.type_map, world) if name else None
        groups = [sharing.group(branch.name, part) for part in ("descriptor", "fitting_net")]
        members = {k: found for (task, k), found in sharing.members.items() if task == branch.name}
        if members:
            for k, part in enumerate(model.descriptor.parts):
                users = [t for t, _ in members.get(k, [(branch.name, k)])]
                part.statistics([system for t in dict.fromkeys(users) for system in drawn[t]], stat)
            model.fitting.statistics(
                [system for t in groups[1] for system in drawn[t]], stat, model.section.get("data_stat_protect", 0.01)
            )
            model.fitting.output_statistics(drawn[branch.name], stat, model.atom_excluded)
            continue
        if all(len(g) == 1 for g in groups):
            further = {"draw": partial(draw, branch)} if model.draws_by_part else {}
            model.statistics(drawn[branch.name], stat, **further)
            continue
        both = [[system for t in g for system in drawn[t]] for g in groups]
        model.descriptor.statistics(both[0], stat)
        model.fitting.statistics(both[1], stat, model.section.get("data_stat_protect", 0.01))
        model.fitting.output_statistics(drawn[branch.name], stat, model.atom_excluded)


def _data(options, model, loss, world):
    """Training and validation data of a model; the validation data are for rank 0 alone."""
    from dptf.data import DataSystems

    requirements = loss.label_requirements() + model.data_requirements()
    common = {
        "type_map": getattr(model, "data_type_map", model.type_map) or None, "transform": getattr(model, "transform", None), "ntypes": model.ntypes, "requirements": requirements,
        "seed": options.get("seed"),
    }  # fmt: skip
    training = DataSystems(
        options["training_data"], shard=(world.rank, world.size), where="training/training_data", **common
    )
    if training.mixed_type and not getattr(model, "descriptor", model).any_order:
        raise UserError(
            f"'{model.section['descriptor']['type']}' cannot be trained with mixed-type data or batch_size mixed:N",
            "model/descriptor/type", "use a descriptor with type embedding (se_atten, dpa2, dpa3)",
        )  # fmt: skip
    log.info("\n%s", training.summary("Training"))
    validation = None
    if options.get("validation_data"):
        validation = DataSystems(options["validation_data"], where="training/validation_data", **common)
        log.info("\n%s", validation.summary("Validation"))
    _report_missing_labels(loss, training)
    training.check_all(seconds=3)
    return training, validation


def _report_missing_labels(loss, data):
    wanted = loss.wanted_labels()
    for req in loss.label_requirements():
        missing = data.missing_labels(req.key)
        if len(missing) == len(data.names) and req.default == 0.0 and req.key in wanted:
            raise UserError(
                f"no system has {req.key}.npy, but the loss asks for it", "loss",
                f"set the prefactor of {req.key} to 0, or add the labels",
            )  # fmt: skip
        if missing and req.default == 0.0:
            log.warning("%s is missing in %d of %d systems (%s…): the term is skipped there",
                        req.key, len(missing), len(data.names), missing[0])  # fmt: skip
