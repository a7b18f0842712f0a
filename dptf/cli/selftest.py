"""``dp selftest``: does a model fulfil what every potential must?"""


def add_parser(subparsers):
    """Add the subcommand."""
    parser = subparsers.add_parser("selftest", help="symmetries, forces, smoothness of a frozen model")
    parser.add_argument("MODEL", help="frozen model")
    parser.add_argument("-r", "--rand-seed", type=int, default=0, help="seed of the configuration")
    return parser


def run(args):
    """Print one line per check; 1 if one fails."""
    from dptf.check.selftest import SelfTest
    from dptf.cli.model_files import model_file

    test = SelfTest(model_file(args.MODEL), args.rand_seed)
    print(f"{args.MODEL}: {len(test.types)} atoms of {' '.join(test.model.get_type_map())}, energy {test.energy:.6f} eV, "
          f"largest force {test.scale:.3g} eV/Å, {'single' if test.single else 'double'} precision")  # fmt: skip
    print("largest deviation in eV/atom, eV/Å (forces), eV/atom (virials)")
    failed = 0
    for name, meaning, worst, tolerance in test.run():
        good = worst <= tolerance
        failed += not good
        print(f"{'ok  ' if good else 'FAIL'} {name:12s} {worst:8.1e}  (limit {tolerance:.0e})  {meaning}", flush=True)
    test.close()
    print("all checks passed" if not failed else f"{failed} checks failed")
    return int(failed > 0)
