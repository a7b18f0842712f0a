"""``dp train``: from an input file to a trained checkpoint."""

import json
import logging
import os
import threading
import time
from pathlib import Path

import numpy as np

from dptf.errors import UserError
from dptf.parallel.supervise import noted_failure
from dptf.parallel.world import start

log = logging.getLogger(__name__)


def train(
    input_file,
    *,
    init_model=None,
    restart=None,
    init_frz_model=None,
    use_pretrain_script=False,
    output="out.json",
    skip_neighbor_stat=False,
):
    """Train a model.

    Parameters
    ----------
    input_file : str
        JSON or YAML input.
    init_model, restart : str, optional
        Checkpoint prefix: start from its variables at step 0, or continue it exactly.
    init_frz_model : str, optional
        Frozen model whose weights and statistics are the starting point.
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
    with noted_failure():
        _run(input_file, init_model, restart, init_frz_model, use_pretrain_script, output, skip_neighbor_stat)
    log.info("finished training")
    log.info("wall time: %.3f s", time.time() - begin)


def _run(input_file, init_model, restart, init_frz_model, use_pretrain_script, output, skip_neighbor_stat):
    from dptf.config.load import normalize_input, read_input

    source = read_input(input_file)
    config = normalize_input(source)
    world = start()
    options = config["training"]
    # TensorFlow takes seconds to import; the data are checked and scanned meanwhile.
    loader = threading.Thread(target=_import_tensorflow, daemon=True)
    loader.start()
    from dptf.data import expand_systems
    from dptf.data.sel import needs_statistics

    section = options["training_data"]
    paths = expand_systems(section["systems"], section.get("rglob_patterns"), "training/training_data/systems")
    if use_pretrain_script:
        config["model"] = _pretrained_section(init_model or restart, init_frz_model)
    model_section = config["model"]
    distance = None
    if skip_neighbor_stat:
        automatic = needs_statistics(model_section)
        if automatic:
            raise UserError(
                "an automatic sel needs the neighbor statistics", automatic[0],
                "leave out --skip-neighbor-stat, or give numbers",
            )  # fmt: skip
    else:
        distance = _neighbor_statistics(paths, model_section, world)
    if world.chief and source.converted:
        write_atomic("input_v2_compat.json", json.dumps(source.data, indent=4) + "\n")
        log.info("the input has an old layout; its current form is in input_v2_compat.json")
    if world.chief:
        write_atomic(output, json.dumps(config, indent=4) + "\n")
    loader.join()
    _train(config, init_model, restart, init_frz_model, distance, world)


def _import_tensorflow():
    try:
        import dptf.ops  # noqa: F401
    except ImportError:
        pass  # raised again, with its message, where the module is used


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

    def stat(rcut, one_type):
        distance, counts = spread_neighbor_stat(world, paths, rcut, model_section.get("type_map"), one_type=one_type)
        log.info("Neighbor statistics: training data with minimal neighbor distance: %f", distance)
        log.info("Neighbor statistics: training data with maximum neighbor size: %s (cutoff radius: %f)", counts, rcut)
        return distance, counts

    return update_sel(model_section, stat)


def _pretrained_section(checkpoint, frozen):
    if checkpoint:
        from dptf.train.checkpoint import Checkpoint

        return Checkpoint(checkpoint).training_script()["model"]
    if frozen:
        section = json.loads(_frozen_constants(frozen)["train_attr/training_script"].item())["model"]
        section.pop("compress", None)  # how a compressed graph was made
        return section
    raise UserError("--use-pretrain-script needs --init-model, --restart or --init-frz-model")


def _frozen_constants(path):
    """All constants of a frozen graph by node name."""
    from dptf.graph.load import load_graph_def
    from dptf.ops import tf

    return {n.name: tf.make_ndarray(n.attr["value"].tensor) for n in load_graph_def(path).node if n.op == "Const"}


def _frozen_values(path, model):
    """Arrays of a frozen graph; those of tables under their own names."""
    values = _frozen_constants(path)
    if values.get("model_type", np.array(b"")).item() == b"compressed_model":
        from dptf.graph.compress import read_tables
        from dptf.graph.load import load_graph_def

        values |= read_tables(load_graph_def(path), model.descriptor.stored_names())
        log.info("the frozen model is compressed: its descriptor stays as it is")
    return values


def _stored_nets(checkpoint):
    """Tables of a checkpoint of compressed training; None for other checkpoints."""
    if checkpoint is None:
        return None
    from dptf.nn.table import is_compressed

    values = checkpoint.values()
    return {k: v for k, v in values.items() if "/table" in k} if is_compressed(values) else None


def _train(config, init_model, restart, init_frz_model, distance, world):
    from dptf.loss import make_loss
    from dptf.model import build_model
    from dptf.nn.table import is_compressed
    from dptf.train.branch import Branch
    from dptf.train.checkpoint import Checkpoint
    from dptf.train.schedule import Schedule
    from dptf.train.stat_file import StatFile
    from dptf.train.trainer import Trainer

    options = config["training"]
    checkpoint = Checkpoint(restart or init_model) if restart or init_model else None
    if distance is None and checkpoint is not None:
        # Compression needs the smallest distance; a continued run must not lose it.
        known = checkpoint.constants().get("train_attr/min_nbor_dist")
        distance = None if known is None else float(known)
    if options.get("seed") is None:
        options["seed"] = world.broadcast(None if world.size == 1 else int.from_bytes(os.urandom(4), "little"))
    model = build_model(config["model"], min_nbor_dist=distance)
    values = _frozen_values(init_frz_model, model) if init_frz_model else _stored_nets(checkpoint)
    model.compressed = values is not None and is_compressed(values)
    loss = make_loss(config.get("loss") or {}, float(config["learning_rate"]["start_lr"]), model)
    training, validation = _data(options, model, loss, world)
    branch = Branch("", model, loss, training, validation, options)
    n = getattr(model.fitting, "numb_fparam", 0)
    log.info("training with %d frame parameter(s)", n) if n else log.info("training without frame parameter")
    if options.get("numb_steps") is None:
        import math

        options["numb_steps"] = math.ceil(options["numb_epoch"] * training.total_batches)
    schedule = Schedule(config["learning_rate"], options["numb_steps"])
    if not (checkpoint or values):
        log.info("data stating... (this step may take long time)")
        batches = training.stat_batches(config["model"].get("data_stat_nbatch", 10))
        stat = StatFile(options["stat_file"], model.type_map) if options.get("stat_file") and world.chief else None
        model.statistics(batches, stat)
    trainer = Trainer(config, [branch], schedule, values, world)
    log.info("built training%s", "" if branch.spacing is None else " (embedding nets tabulated in every step)")
    if checkpoint:
        trainer.restore(checkpoint, keep_step=restart is not None)
        log.info("%s from model %s", "restart" if restart else "initialize", restart or init_model)
    elif values:
        log.info("initialize from frozen model %s", init_frz_model)
    else:
        log.info("initialize model from scratch")
    trainer.synchronise()
    trainer.run(append=restart is not None)
    if options.get("change_bias_after_training") and world.chief:
        from dptf.train.bias import change_bias_after_training

        change_bias_after_training(trainer)


def _data(options, model, loss, world):
    """Training and validation data of a model; the validation data are for rank 0 alone."""
    from dptf.data import DataSystems

    requirements = loss.label_requirements() + model.data_requirements()
    common = {
        "type_map": model.type_map or None, "ntypes": model.ntypes, "requirements": requirements,
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
