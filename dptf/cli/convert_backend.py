"""``dp convert-backend``: between frozen graphs (.pb) and backend-neutral files (.dp, .yaml)."""

import logging
from pathlib import Path

from dptf.errors import UserError

log = logging.getLogger(__name__)


def add_parser(subparsers):
    """Add the subcommand."""
    parser = subparsers.add_parser("convert-backend", help="convert a model between .pb, .dp and .yaml")
    parser.add_argument("INPUT", help="model file: .pb, .dp, .yaml or .yml")
    parser.add_argument("OUTPUT", help="model file to write; the suffix decides the form")
    parser.add_argument(
        "--atomic-virial", action="store_true", help="accepted for other backends; graphs always give atomic virials"
    )
    return parser


def run(args):
    """Convert; the output is written only when everything worked."""
    from dptf.exchange.tree import SUFFIXES

    source, target = Path(args.INPUT), Path(args.OUTPUT)
    for path in (source, target):
        if path.suffix not in (".pb", *SUFFIXES):
            raise UserError(
                f"suffix '{path.suffix}' belongs to no form that this package knows", str(path),
                "use .pb (frozen graph), .dp or .yaml (backend-neutral)",
            )  # fmt: skip
    if not target.parent.is_dir():
        raise UserError("no such directory", str(target.parent))
    if source.suffix == ".pb":
        _from_graph(source, target)
    else:
        _from_tree(source, target)
    log.info("converted %s to %s", source, target)


def _from_graph(source, target):
    from dptf.graph.load import constants, load_graph_def, text_constant, write_graph_def

    graph_def = load_graph_def(source)
    if target.suffix == ".pb":
        write_graph_def(graph_def, target)
        return
    import json

    from dptf.exchange.from_graph import serialize_graph
    from dptf.exchange.tree import write_tree

    script = json.loads(text_constant(graph_def, "train_attr/training_script") or "{}")
    write_tree(serialize_graph(constants(graph_def), script, str(source)), target)


def _from_tree(source, target):
    from dptf.exchange.tree import read_tree, write_tree

    tree = read_tree(source)
    if target.suffix != ".pb":
        write_tree(tree, target)
        return
    from dptf.exchange.to_graph import graph_from_tree
    from dptf.graph.load import write_graph_def

    try:
        graph_def = graph_from_tree(tree)
    except UserError as err:
        raise UserError(err.what, f"{source}: {err.where}" if err.where else str(source), err.fix) from None
    write_graph_def(graph_def, target)
