"""``dp compress``: replace embedding nets by tables."""

import logging

log = logging.getLogger(__name__)


def add_parser(subparsers):
    """Add the subcommand."""
    parser = subparsers.add_parser("compress", help="replace the embedding nets of a frozen model by tables")
    parser.add_argument("-i", "--input", default="frozen_model", help="frozen model; .pb is added if missing")
    parser.add_argument("-o", "--output", default="frozen_model_compressed", help="output; .pb is added if missing")
    parser.add_argument(
        "-s", "--step", type=float, default=0.01, help="stride of the fine part of the tables; that of the coarse part is 10 times as large",
    )  # fmt: skip
    parser.add_argument(
        "-e", "--extrapolate", type=int, default=5,
        help="the coarse part reaches to this multiple of the largest argument in the training data; beyond it tables go on linearly",
    )  # fmt: skip
    parser.add_argument(
        "-f", "--frequency", type=int, default=-1,
        help="stored in the file for readers that check how often arguments leave the table",
    )  # fmt: skip
    parser.add_argument(
        "-c", "--checkpoint-folder", default="model-compression",
        help="for old command lines; no checkpoint is needed and none is written",
    )  # fmt: skip
    parser.add_argument(
        "-t", "--training-script",
        help="input file, for models that do not store theirs or the smallest distance in the training data",
    )  # fmt: skip
    parser.add_argument(
        "--tolerance", type=float, metavar="ERROR",
        help="choose the step: the largest of 0.2, 0.1, 0.05, ... for which the error of energies [eV/atom], forces [eV/Å] and "
        "virials [eV/atom] stays below ERROR",
    )  # fmt: skip
    parser.add_argument(
        "--precision", choices=("float32", "float64"),
        help="precision of the nets in the result, by default that of the model; float32 is faster and the error is measured",
    )  # fmt: skip
    parser.add_argument(
        "--frames",
        type=int,
        default=3,
        help="frames of the training data on which the error is measured; 0: do not measure",
    )


def run(args):
    """Compress, measure, write."""
    from dptf.cli.model_files import model_file
    from dptf.graph.compress import compress

    output = args.output if args.output.lower().endswith(".pb") else args.output + ".pb"
    compress(
        model_file(args.input), output, step=args.step, extrapolate=args.extrapolate, frequency=args.frequency,
        training_script=args.training_script, tolerance=args.tolerance, frames=args.frames, precision=args.precision,
    )  # fmt: skip
    log.info("wrote %s", output)
