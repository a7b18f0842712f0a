"""``dp convert-from``: bring a frozen graph of an old release to the current layout."""

import logging
from pathlib import Path

from dptf.errors import UserError

log = logging.getLogger(__name__)

_CHOICES = ("auto", "0.12", "1.0", "1.1", "1.2", "1.3", "2.0", "pbtxt")


def add_parser(subparsers):
    """Add the subcommand."""
    parser = subparsers.add_parser("convert-from", help="convert the frozen graph of an old release")
    parser.add_argument(
        "FROM", nargs="?", default="auto", choices=_CHOICES, help="release that wrote the graph, or pbtxt"
    )
    parser.add_argument("-i", "--input-model", default="frozen_model.pb", help="input graph")
    parser.add_argument("-o", "--output-model", default="convert_out.pb", help="output graph, .pb or .pbtxt")
    return parser


def run(args):
    """Convert; nothing is written unless everything worked."""
    from dptf.graph.load import parse_graph_def, read_bytes, write_graph_def
    from dptf.graph.upgrade import detect_version, upgrade_graph_def

    source, target = Path(args.input_model), Path(args.output_model)
    if target.suffix == ".pbtxt":
        if source.suffix == ".pbtxt":
            raise UserError("input and output are both text", str(source), "give a .pb file on one side")
        write_graph_def(parse_graph_def(read_bytes(source), source), target)
        log.info("wrote %s as text", target)
        return
    if args.FROM == "pbtxt" or source.suffix == ".pbtxt":
        write_graph_def(_parse_text(source), target)
        log.info("wrote %s", target)
        return
    graph_def = parse_graph_def(read_bytes(source), source)
    found = detect_version(graph_def)
    # 1.1 and 1.2 look the same, and so does 1.0 where no node tells the number of frame parameters.
    alike = {"1.2": ("1.0", "1.1", "1.2")}.get(found, (found,))
    if args.FROM not in ("auto", *alike):
        log.warning("%s has the layout of release %s, not %s, and is converted from that", source, found, args.FROM)
    upgrade_graph_def(graph_def, str(source))
    write_graph_def(graph_def, target)
    if found == "2.1":
        log.info("%s has the current layout already; copied to %s", source, target)
    else:
        log.info("converted %s (release %s) to %s", source, found, target)


def _parse_text(path):
    data = read_text(path)
    from dptf.env import import_tensorflow

    import_tensorflow()
    from google.protobuf import text_format
    from tensorflow.core.framework import graph_pb2

    try:
        return text_format.Parse(data, graph_pb2.GraphDef())
    except text_format.ParseError as err:
        raise UserError(f"is not a graph in text form (line:column {err})", str(path)) from None


def read_text(path):
    """Text of a ``.pbtxt`` file; `UserError` if it is missing or binary."""
    from dptf.graph.load import read_bytes

    try:
        return read_bytes(path).decode()
    except UnicodeDecodeError:
        raise UserError("is not a text file", str(path), "leave 'pbtxt' out for binary graphs") from None
