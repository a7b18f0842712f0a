"""``dp plot``: draw learning curves."""


def add_parser(subparsers):
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "plot",
        help="draw learning curves",
        description="Draw the errors of one training run (training and validation), or of several for comparison.",
    )
    parser.add_argument("LCURVE", nargs="*", default=["lcurve.out"], help="learning curves that dp train wrote")
    parser.add_argument("-o", "--output", default="lcurve.png", help="picture: .png, .pdf or .svg")


def run(args):
    """Read, draw, tell."""
    import logging

    from dptf.plot.canvas import check_target
    from dptf.plot.lcurve import draw_lcurve, read_lcurve

    check_target(args.output, "--output")
    draw_lcurve([read_lcurve(path) for path in args.LCURVE], args.output)
    logging.getLogger(__name__).info("wrote %s", args.output)
