"""``dp doctor``: is everything in place?"""


def add_parser(subparsers):
    """Add the subcommand."""
    parser = subparsers.add_parser("doctor", help="look at the installation and say what to fix")
    parser.add_argument("PART", nargs="*", help="parts to look at; by default all")
    return parser


def run(args):
    """Print one line per part; 1 if one fails."""
    from dptf.check.doctor import BAD, PARTS, examine
    from dptf.errors import UserError

    unknown = [p for p in args.PART if p not in PARTS]
    if unknown:
        raise UserError(f"no part '{unknown[0]}'", "PART", f"choose from {', '.join(PARTS)}")
    worst = 0
    for name, state, text, fix in examine(args.PART):
        print(f"{state:4s} {name:11s} {text}" + (f"\n     {'':11s} fix: {fix}" if fix else ""), flush=True)
        worst = max(worst, int(state == BAD))
    return worst
