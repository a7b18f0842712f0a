"""``dp test``: compare a frozen model with labelled data."""

import logging

log = logging.getLogger(__name__)


def add_parser(subparsers):
    """Add the subcommand."""
    parser = subparsers.add_parser("test", help="compare a frozen model with labelled data")
    parser.add_argument("-m", "--model", default="frozen_model", help="frozen model")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("-s", "--system", default=".", help="system, or folder that is searched for systems")
    group.add_argument("-f", "--datafile", help="text file with one system on each line")
    group.add_argument("--train-data", metavar="JSON", help="test on the training systems of this input")
    group.add_argument("--valid-data", metavar="JSON", help="test on the validation systems of this input")
    parser.add_argument("-S", "--set-prefix", help="deprecated, has no effect: all folders set.* are used")
    parser.add_argument("-n", "--numb-test", type=int, default=0, help="frames per system at most; 0 for all")
    parser.add_argument("-r", "--rand-seed", type=int, help="seed for --shuffle-test")
    parser.add_argument("--shuffle-test", action="store_true", help="take frames in random order")
    parser.add_argument("-d", "--detail-file", help="write data and predictions to files with this prefix")
    parser.add_argument("-a", "--atomic", action="store_true", help="compare atomic quantities")
    parser.add_argument("--head", "--model-branch", help="branch of a multi-task model; graphs have none")
    parser.add_argument(
        "--plot", metavar="FILE", help="draw predictions against data, and the errors (.png, .pdf, .svg)"
    )
    parser.add_argument("--json", metavar="FILE", help="write all errors to this file as JSON too")
    return parser


def run(args):
    """Evaluate every system, report each and the average."""
    from dptf.cli.model_files import model_file
    from dptf.errors import UserError
    from dptf.graph.load import read_bytes

    if args.head:
        raise UserError("graphs have no branches", "--head", "leave it out")
    if args.numb_test < 0:
        raise UserError(f"is {args.numb_test}", "-n/--numb-test", "give a number of frames, or 0 for all")
    if args.set_prefix is not None:
        log.warning("-S/--set-prefix is deprecated and has no effect: all folders set.* are used")
    if args.json:
        _check_target(args.json)
    model_path = model_file(args.model)
    read_bytes(model_path)  # a missing file is told before anything heavy starts

    from dptf.infer.detail import DetailFiles, Outputs
    from dptf.infer.labelled import LabelledSystem, find_systems
    from dptf.parallel.ranks import Ranks
    from dptf.plot.parity import ParityPlot

    paths = find_systems(args.system, args.datafile, args.train_data, args.valid_data)
    plot = ParityPlot(args.plot)
    files = Outputs(DetailFiles(args.detail_file), plot)

    from dptf.infer import DeepPotential
    from dptf.infer.comparison import comparison_for

    ranks = Ranks()
    if ranks.size > 1 and (args.detail_file or args.plot):
        raise UserError(
            "is written by one process", "--detail-file" if args.detail_file else "--plot", "start one process"
        )
    with ranks.together(), DeepPotential(model_path) as model:
        comparison = comparison_for(model, args.atomic)
        systems = [LabelledSystem(path, model.data_type_map) for path in paths]
        _test_systems(args, comparison, systems, files, ranks)
    if args.plot and ranks.chief:
        log.info("wrote %s" if plot.close() else "%s is not written: no labels to compare", args.plot)


def _test_systems(args, comparison, systems, files, ranks):
    import os

    import numpy as np

    from dptf.infer.errors_table import ErrorSums

    limit = int(os.environ.get("DP_TEST_CHUNK_ATOMS", "1000000"))
    rng = np.random.RandomState(None if args.rand_seed is None else args.rand_seed % 2**32)
    total, reports, mine = ErrorSums(), [], []

    def report(isys, frames, sums):
        system = systems[isys]
        if ranks.size > 1:
            _log_title(system)
        log.info("# number of test data : %d ", frames)
        lines = _log_lines(comparison.lines, sums)
        if not lines:
            log.warning("%s has none of the labels %s: nothing to compare", system.name, ", ".join(comparison.labels))
        _log_unit(comparison)
        log.info("# ----------------------------------------------- ")
        reports.append({"system": system.name, "frames": frames, "atoms": system.natoms, "errors": lines})
        total.merge(sums)

    for isys, system in enumerate(systems):
        # Every process draws for every system, so that all see the same random numbers.
        index = system.select(args.numb_test, rng if args.shuffle_test else None)
        if not ranks.owns(isys):
            continue
        if ranks.size == 1:
            _log_title(system)
        sums = ErrorSums()
        for part in system.chunks(index, limit):
            sums.merge(comparison.run(system, part, isys, files))
        if ranks.size == 1:
            report(isys, len(index), sums)
        mine.append((isys, len(index), sums))
    if ranks.size > 1:
        for row in ranks.collect(mine):
            report(*row)
        if not ranks.chief:
            return
    log.info("# ----------weighted average of errors----------- ")
    log.info("# number of systems : %d", len(systems))
    average = _log_lines([line for line in comparison.lines if line.in_average], total)
    _log_unit(comparison)
    log.info("# ----------------------------------------------- ")
    if args.json:
        _write_json(args.json, {"model": args.model, "systems": reports, "average": average})


def _log_title(system):
    log.info("# ---------------output of dp test--------------- ")
    log.info("# testing system : %s", system.name)


def _log_lines(lines, sums):
    report = {}
    for line in lines:
        value = line.value(sums)
        if value is not None:
            log.info("%s", line.format(value))
            report[line.key] = value
    return report


def _log_unit(comparison):
    if not any(line.unit for line in comparison.lines):
        log.info("The unit of error is the same as the unit of provided label.")


def _check_target(path):
    from pathlib import Path

    from dptf.errors import UserError

    if Path(path).is_dir():
        raise UserError("is a folder", f"--json {path}", "give the name of a file")
    if not Path(path).parent.is_dir():
        raise UserError("no such folder", f"--json {Path(path).parent}", "create it first")


def _write_json(path, content):
    import json

    with open(path, "w") as file:
        json.dump(content, file, indent=1, ensure_ascii=False)
        file.write("\n")
