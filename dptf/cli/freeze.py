"""``dp freeze``."""


def add_parser(subparsers):
    """Add the subcommand."""
    parser = subparsers.add_parser("freeze", help="write the model of a checkpoint as one .pb file")
    parser.add_argument(
        "-c",
        "--checkpoint-folder",
        "--checkpoint",
        default=".",
        help="checkpoint prefix, or folder with a file 'checkpoint'",
    )
    parser.add_argument("-o", "--output", default="frozen_model", help="output file; .pb is added if missing")
    parser.add_argument(
        "--head", "--model-branch", default="", metavar="NAME", help="task of a checkpoint with several"
    )
    parser.add_argument("--ema", action="store_true", help="take the moving average of the weights")
    parser.add_argument("-n", "--node-names", help="comma-separated output nodes instead of those of the model type")


def run(args):
    """Freeze."""
    import logging

    from dptf.graph.freeze import freeze

    output = args.output if args.output.lower().endswith(".pb") else args.output + ".pb"
    nodes = args.node_names.split(",") if args.node_names else None
    freeze(args.checkpoint_folder, output, nodes, head=args.head, averaged=args.ema)
    logging.getLogger(__name__).info("wrote %s", output)
