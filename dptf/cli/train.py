"""``dp train``."""


def add_parser(subparsers):
    """Add the subcommand."""
    parser = subparsers.add_parser("train", help="train a model")
    parser.add_argument("INPUT", help="input file, .json or .yaml")
    start = parser.add_mutually_exclusive_group()
    start.add_argument(
        "-i", "--init-model", metavar="PREFIX", help="start at step 0 from the variables of a checkpoint"
    )
    start.add_argument("-r", "--restart", metavar="PREFIX", help="continue a run from its checkpoint")
    start.add_argument("-f", "--init-frz-model", metavar="PB", help="start from the weights of a frozen model")
    start.add_argument("-t", "--finetune", metavar="MODEL", help="fine-tune a frozen model or checkpoint on other data")
    parser.add_argument(
        "--use-pretrain-script", action="store_true", help="take the model section from the checkpoint or model"
    )
    parser.add_argument("-o", "--output", default="out.json", help="file for the completed input")
    parser.add_argument("--skip-neighbor-stat", action="store_true", help="do not scan the data for neighbors")
    parser.add_argument(
        "--launcher",
        metavar="COMMAND",
        help="start the processes of the run with this, e.g. 'mpirun -np 4', and watch them",
    )
    parser.add_argument(
        "--retries", type=int, default=0, metavar="N",
        help="when a process is lost (killed, out of memory, a node gone), go on from the last checkpoint, N times at most",
    )  # fmt: skip
    parser.add_argument(
        "--model-branch", "--head", default="", metavar="NAME", help="branch to fine-tune; RANDOM for a new fitting net"
    )
    parser.add_argument("--force-load", action="store_true", help="not used by this backend")


def run(args):
    """Train."""

    if args.launcher or args.retries:
        from dptf.parallel.supervise import supervise

        return supervise(args)
    from dptf.train.run import train

    train(
        args.INPUT, init_model=args.init_model, restart=args.restart, init_frz_model=args.init_frz_model,
        finetune=args.finetune, model_branch=args.model_branch, use_pretrain_script=args.use_pretrain_script, output=args.output, skip_neighbor_stat=args.skip_neighbor_stat,
    )  # fmt: skip
