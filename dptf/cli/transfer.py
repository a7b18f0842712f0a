"""``dp transfer``: put the weights of one frozen model into another of the same structure."""


def add_parser(subparsers):
    """Add the subcommand."""
    parser = subparsers.add_parser("transfer", help="put the weights of one frozen model into another")
    parser.add_argument("-r", "--raw-model", default="raw_frozen_model.pb", help="model that receives weights")
    parser.add_argument("-O", "--old-model", default="old_frozen_model.pb", help="model that gives weights")
    parser.add_argument("-o", "--output", default="frozen_model.pb", help="file to write")
    return parser


def run(args):
    """Transfer."""
    import logging

    from dptf.cli.model_files import model_file
    from dptf.graph.transfer import transfer

    output = model_file(args.output)
    names = transfer(model_file(args.raw_model), model_file(args.old_model), output)
    logging.getLogger(__name__).info("wrote %s with %d arrays of %s", output, len(names), args.old_model)
