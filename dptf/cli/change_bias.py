"""``dp change-bias``: fit the bias of a frozen model or checkpoint to other data, or set it."""


def add_parser(subparsers):
    """Add the subcommand."""
    parser = subparsers.add_parser("change-bias", help="fit the bias of a model to data, or set it")
    parser.add_argument("INPUT", help="frozen model (.pb), checkpoint prefix, or folder with a file 'checkpoint'")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("-s", "--system", default=".", help="system, or folder that is searched for systems")
    group.add_argument("-f", "--datafile", help="text file with one system on each line")
    group.add_argument(
        "-b", "--bias-value", type=float, nargs="+", help="energies per type (eV), in the order of the type map"
    )
    parser.add_argument("-n", "--numb-batch", type=int, default=0, help="frames per system; 0 for all")
    parser.add_argument(
        "-m", "--mode", choices=("change", "set"), default="change",
        help="change: correct the errors of the model; set: fit the labels themselves",
    )  # fmt: skip
    parser.add_argument("-o", "--output", help="frozen model to write (default: after the name of the input)")
    parser.add_argument("--model-branch", help="branch of a multi-task model; graphs have none")
    return parser


def run(args):
    """Fit or set, and write."""
    from dptf.errors import UserError

    if args.model_branch:
        raise UserError("graphs have no branches", "--model-branch", "leave it out")
    if args.numb_batch < 0:
        raise UserError(f"is {args.numb_batch}", "-n/--numb-batch", "give a number of frames, or 0 for all")

    from dptf.graph.change_bias import change_checkpoint, change_frozen

    work = change_frozen if args.INPUT.lower().endswith(".pb") else change_checkpoint
    work(
        args.INPUT, args.output, values=args.bias_value, system=args.system, datafile=args.datafile, mode=args.mode,
        number=args.numb_batch,
    )  # fmt: skip
