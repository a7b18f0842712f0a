"""``dp show``: what a frozen model is."""

import logging

log = logging.getLogger(__name__)

_ATTRIBUTES = (
    "model-branch",
    "type-map",
    "descriptor",
    "fitting-net",
    "size",
    "observed-type",
    "memory",
    "tables",
    "serialization-tree",
)


def add_parser(subparsers):
    """Add the subcommand."""
    parser = subparsers.add_parser("show", help="tell what a frozen model is")
    parser.add_argument("INPUT", help="frozen model, .dp or .yaml file")
    parser.add_argument("ATTRIBUTES", nargs="*", help=f"what to tell: {', '.join(_ATTRIBUTES)}")
    parser.add_argument(
        "--runtime",
        action="store_true",
        help="also tell which kernels run the model here, and why none of the fast ones if so",
    )
    return parser


def run(args):
    """Log one line (or a tree) for each attribute."""
    from dptf.errors import UserError

    unknown = [name for name in args.ATTRIBUTES if name not in _ATTRIBUTES]
    if unknown or not (args.ATTRIBUTES or args.runtime):
        raise UserError(
            f"'{unknown[0]}' is nothing that can be told" if unknown else "nothing is asked for", "dp show",
            f"name some of {', '.join(_ATTRIBUTES)}, or give --runtime",
        )  # fmt: skip
    if "model-branch" in args.ATTRIBUTES:
        raise UserError("only multi-task models have branches", "model-branch", "leave it out")
    if args.INPUT.lower().endswith((".dp", ".yaml", ".yml")):
        describe = _describe_tree(args.INPUT)
    else:
        describe = _describe_graph(args.INPUT)
    log.info("This is a singletask model")
    for name in args.ATTRIBUTES:
        for line in describe[name]().splitlines():
            log.info("%s", line)
    if args.runtime:
        log.info("Runtime: %s", _runtime(args.INPUT))


def _runtime(name):
    from dptf.cli.model_files import model_file
    from dptf.graph.load import load_graph_def
    from dptf.graph.rewrite import rewrite_graph

    return rewrite_graph(load_graph_def(model_file(name)))[1]


def _describe_graph(name):
    import json

    from dptf.cli.model_files import model_file
    from dptf.graph.info import model_size, observed_types
    from dptf.graph.load import constants, load_graph_def, text_constant

    path = model_file(name)
    graph_def = load_graph_def(path)
    const = constants(graph_def)
    script = json.loads(text_constant(graph_def, "train_attr/training_script") or "{}")

    def tree():
        from dptf.exchange.from_graph import serialize_graph

        return serialize_graph(const, script, path)["model"]

    type_map = text_constant(graph_def, "model_attr/tmap").split()
    compressed = text_constant(graph_def, "model_type") == "compressed_model"
    lines = _lines(
        type_map, script.get("model") or {}, path, lambda: model_size(const), lambda: observed_types(const), tree, compressed
    )  # fmt: skip
    return lines | {"tables": lambda: _tables(graph_def)}


def _describe_tree(path):
    from dptf.exchange.tree import read_tree
    from dptf.graph.info import model_size, observed_types

    tree = read_tree(path)
    model = tree["model"]

    def values():
        from dptf.exchange.to_graph import read_model

        return read_model(tree)[1]

    def observed():
        import numpy as np

        return observed_types(
            values()
            | {
                "descrpt_attr/ntypes": np.int32(len(model["type_map"])),
                "descrpt_attr/rcut": np.float64(model["descriptor"]["rcut"]),
                "model_attr/tmap": np.array(" ".join(model["type_map"]).encode(), object),
            }
        )

    script = tree.get("model_def_script") or {}
    return _lines(model.get("type_map", []), script, path, lambda: model_size(values()), observed, lambda: model)


def _lines(type_map, section, path, size, observed, tree, compressed=False):
    from dptf.errors import UserError

    def part(key):
        if key not in section:
            raise UserError(f"does not store its {key}", path)
        return section[key]

    def sizes():
        n = size()
        return (
            f"The total number of parameters is {n['total']}\n"
            f"The number of parameters in the descriptor is {n['descriptor']}\n"
            f"The number of parameters in the fitting_net is {n['fitting-net']}"
        )

    def observed_line():
        found = observed()
        return f"The number of observed types is {found['type_num']}: {found['observed_type']}"

    return {
        "type-map": lambda: f"The type_map is {list(type_map)}",
        "descriptor": lambda: f"The descriptor parameter is {part('descriptor')}",
        "fitting-net": lambda: f"The fitting_net parameter is {part('fitting_net')}",
        "size": sizes,
        "observed-type": observed_line,
        "memory": lambda: _memory(part("descriptor"), len(type_map), path, compressed),
        "tables": lambda: "The model holds no tables",
        "serialization-tree": lambda: "Model serialization tree:\n" + "\n".join(_tree(tree(), "model", 0)),
    }


def _tables(graph_def):
    """Lines that say where the tables of a compressed model are."""
    from dptf.graph.info import tables

    where = {"file": "in the file", "load": "made from the nets when the model is loaded (by dptf alone)"}
    found = tables(graph_def)
    lines = [f"Tables {where[k]}: {n}, {size / 1e6:.4g} MB" for k, (n, size) in found.items() if n]
    return "\n".join(lines) or "The model holds no tables"


def _memory(section, ntypes, path, compressed=False):
    """Lines of the forecast for evaluations on this machine."""
    from dptf.check.memory import free_memory
    from dptf.descriptor import make_descriptor
    from dptf.errors import UserError

    kind, need, relayed = section.get("type"), None, 0
    if kind in ("se_atten", "dpa1", "se_atten_v2", "dpa2", "dpa3", "hybrid"):
        descriptor = make_descriptor(section, ntypes)
        need, relayed = descriptor.memory(compressed), descriptor.relayed * descriptor.precision.size
    if need is None:
        raise UserError(f"there is no memory forecast for '{kind}'", path, "models with dpa1, dpa2 or dpa3 have one")
    size, lists = need
    line = f"Energies and forces need about {size / 1e6:.3g} MB per atom ({lists})"
    free = free_memory()
    if free is not None:
        line += f"\nAbout {float(f'{free / size:.2g}'):.0f} atoms fit in the {free / 1e9:.1f} GB that are free here"
    if relayed:
        line += f"\nLarger frames are evaluated in blocks of atoms, in several times the time, and need {relayed / 1e3:.3g} KB per atom"
        line += "" if free is None else f": about {float(f'{max(free - size, 0) / relayed:.2g}'):.0f} atoms"
    if kind in ("se_atten", "dpa1", "se_atten_v2") and not section.get("attn_layer"):
        line += "\nThis is for the graph run as it is; fused kernels, where they run the model (--runtime), need little"
    return line


def _tree(node, name, depth):
    """Indented names of a model tree; arrays as shapes."""
    pad = "  " * depth
    if isinstance(node, dict):
        kind = node.get("@class") or node.get("type")
        yield f"{pad}{name}" + (f" ({kind})" if kind else "")
        for key, value in node.items():
            if key not in ("@class", "@version"):
                yield from _tree(value, key, depth + 1)
    elif isinstance(node, list) and any(isinstance(v, dict) for v in node):
        yield f"{pad}{name}"
        for k, value in enumerate(node):
            yield from _tree(value, str(k), depth + 1)
    elif hasattr(node, "shape"):
        yield f"{pad}{name} {node.dtype} {tuple(node.shape)}"
    else:
        yield f"{pad}{name}: {node}"
