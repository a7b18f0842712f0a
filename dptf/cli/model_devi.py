"""``dp model-devi``: deviation between models on frames."""

import logging

log = logging.getLogger(__name__)


def add_parser(subparsers):
    """Add the subcommand."""
    parser = subparsers.add_parser("model-devi", help="deviation between models on frames")
    parser.add_argument(
        "-m", "--models", nargs="+", default=["graph.000", "graph.001", "graph.002", "graph.003"], help="frozen models"
    )
    parser.add_argument("-s", "--system", default=".", help="system, or folder that is searched for systems")
    parser.add_argument("-S", "--set-prefix", help="deprecated, has no effect: all folders set.* are used")
    parser.add_argument("-o", "--output", default="model_devi.out", help="file to write")
    parser.add_argument("-f", "--frequency", type=int, default=1, help="steps between frames, for the first column")
    parser.add_argument("--real_error", action="store_true", help="root mean square errors against the labels instead")
    parser.add_argument("--atomic", action="store_true", help="also write the force deviation of every atom")
    parser.add_argument(
        "--relative", type=float, metavar="LEVEL", help="relative force deviation with this level [eV/Å]"
    )
    parser.add_argument(
        "--relative_v", type=float, metavar="LEVEL", help="relative virial deviation with this level [eV]"
    )
    return parser


def run(args):
    """Write one block per system; the file appears only when all is computed."""
    from dptf.cli.model_files import model_file
    from dptf.errors import UserError
    from dptf.graph.load import read_bytes

    if args.set_prefix is not None:
        log.warning("-S/--set-prefix is deprecated and has no effect: all folders set.* are used")
    paths = [model_file(name) for name in args.models]
    for path in paths:
        read_bytes(path)

    from dptf.infer.labelled import LabelledSystem, find_systems
    from dptf.parallel.ranks import Ranks

    systems = find_systems(args.system)

    from dptf.infer import DeepPot
    from dptf.infer.model_devi import check_type_maps

    models = [DeepPot(path) for path in paths]
    check_type_maps(models)
    if len(models) < 2 and not args.real_error and not models[0].has_uncertainty:
        raise UserError(
            "one model deviates from nothing",
            "-m/--models",
            "give two or more, use --real_error, or a model of dp uncertainty",
        )
    ranks, mine = Ranks(), []
    with ranks.together():
        for k, path in enumerate(systems):
            if ranks.owns(k):
                system = LabelledSystem(path, models[0].data_type_map)
                mine.append((k, system.name, _system(args, models, system)))
        blocks = [(name, rows) for _, name, rows in ranks.collect(mine)]
        if ranks.chief:
            _write(args.output, blocks, args.atomic)
    for model in models:
        model.close()


def _system(args, models, system):
    import numpy as np

    from dptf.errors import UserError
    from dptf.infer.model_devi import calc_model_devi, calc_uncertainty_devi

    rows = []
    for index in system.chunks(system.select(), 1_000_000):
        frame = system.arguments(models[0], index)
        if len(models) < 2 and not args.real_error:
            rows.append(calc_uncertainty_devi(models[0], frame, atomic=args.atomic))
            continue
        real = None
        if args.real_error:
            real = {}
            for key, width, atomic in (("energy", 1, False), ("force", 3, True), ("virial", 9, False)):
                real[key], present = system.label(key, index, width, atomic=atomic)
                if not present.all():
                    raise UserError(f"--real_error needs the label '{key}'", system.name, f"add {key}.npy")
        rows.append(
            calc_model_devi(
                frame["coords"],
                frame["cells"],
                frame["atom_types"],
                models,
                mixed_type=system.mixed,
                fparam=frame.get("fparam"),
                aparam=frame.get("aparam"),
                spin=frame.get("spin"),
                real_data=real,
                atomic=args.atomic,
                relative=args.relative,
                relative_v=args.relative_v,
            )
        )
    devi = np.concatenate(rows)
    devi[:, 0] = np.arange(len(devi)) * args.frequency
    return devi


def _write(path, blocks, atomic):
    import os
    from pathlib import Path

    from dptf.infer.model_devi import write_model_devi_out

    scratch = Path(path).with_name(f".{Path(path).name}.{os.getpid()}.tmp")
    try:
        for name, devi in blocks:
            write_model_devi_out(devi, scratch, header=name, atomic=atomic)
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)
