"""``dp bench``: speed and memory of a model."""


def add_parser(subparsers):
    """Add the subcommand."""
    parser = subparsers.add_parser("bench", help="time per atom and step, and memory, of a frozen model")
    parser.add_argument("MODEL", help="frozen model")
    parser.add_argument("-n", "--natoms", type=int, nargs="+", default=[64, 512, 4096], help="sizes of the systems")
    parser.add_argument("-t", "--seconds", type=float, default=2.0, help="time for each size")
    parser.add_argument("--json", metavar="FILE", help="write the numbers to this file too")
    return parser


def run(args):
    """Print a table."""
    import json

    from dptf.check.bench import bench
    from dptf.cli.model_files import model_file

    rows = []
    for row in bench(model_file(args.MODEL), args.natoms, args.seconds):
        if not rows:
            print(f"{'atoms':>8s} {'us/atom/step':>13s} {'steps/s':>9s} {'memory [MB]':>12s} {'per atom [kB]':>14s}")
        rows.append(row)
        print(f"{row['atoms']:8d} {row['us_per_atom']:13.2f} {row['steps_per_s']:9.2f} {row['memory_mb']:12.0f} "
              f"{row['kb_per_atom']:14.1f}", flush=True)  # fmt: skip
    if args.json:
        with open(args.json, "w") as file:
            json.dump({"model": args.MODEL, "rows": rows}, file, indent=1)
