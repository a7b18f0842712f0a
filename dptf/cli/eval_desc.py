"""``dp eval-desc``: descriptors of all atoms of systems."""

import logging

log = logging.getLogger(__name__)


def add_parser(subparsers):
    """Add the subcommand."""
    parser = subparsers.add_parser("eval-desc", help="write the descriptors of all atoms of systems")
    parser.add_argument("-m", "--model", default="frozen_model", help="frozen model")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("-s", "--system", default=".", help="system, or folder that is searched for systems")
    group.add_argument("-f", "--datafile", help="text file with one system on each line")
    parser.add_argument("-o", "--output", default="desc", help="folder for the files NAME.npy")
    parser.add_argument("--dtype", choices=("native", "fp32", "fp64"), default="native", help="precision of the files")
    parser.add_argument("--head", "--model-branch", help="branch of a multi-task model; graphs have none")
    return parser


def run(args):
    """Write one file per system, shape (nframes, natoms, ndesc)."""
    from pathlib import Path

    from dptf.cli.model_files import model_file
    from dptf.errors import UserError
    from dptf.graph.load import read_bytes

    if args.head:
        raise UserError("graphs have no branches", "--head", "leave it out")
    path = model_file(args.model)
    read_bytes(path)

    import numpy as np

    from dptf.infer.labelled import LabelledSystem, find_systems

    systems = find_systems(args.system, args.datafile)
    folder = Path(args.output)
    folder.mkdir(parents=True, exist_ok=True)

    from dptf.infer import DeepPotential

    with DeepPotential(path) as model:
        for name, source in zip(file_names(systems), systems):
            system = LabelledSystem(source, model.data_type_map)
            parts = [
                model.eval_descriptor(dtype=args.dtype, **system.arguments(model, index))
                for index in system.chunks(system.select(), 1_000_000)
            ]
            values = np.concatenate(parts)
            np.save(folder / f"{name}.npy", values)
            log.info("%s: descriptors of shape %s saved to %s", system.name, values.shape, folder / f"{name}.npy")


def file_names(systems):
    """Base names of systems, made unique by their parent folders where they collide.

    Parameters
    ----------
    systems : list of str

    Returns
    -------
    list of str
    """
    parts = [[p for p in s.replace("#", "/").split("/") if p not in ("", ".", "..")] or ["system"] for s in systems]
    names = [p[-1] for p in parts]
    depth = 2
    while len(set(names)) < len(names) and depth <= max(map(len, parts)):
        names = [
            name if names.count(name) == 1 else ".".join(p[-depth:]) for name, p in zip(names, parts)
        ]  # longer tails only where needed
        depth += 1
    return names
