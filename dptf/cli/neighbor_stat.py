"""``dp neighbor-stat``: smallest distance and largest neighbor counts of data."""

import logging

log = logging.getLogger(__name__)


def add_parser(subparsers):
    parser = subparsers.add_parser(
        "neighbor-stat",
        help="smallest distance and largest numbers of neighbors in the data",
        description="Find the smallest distance between two atoms and the largest number of neighbors within a cutoff; "
        "the numbers from which 'sel' is chosen.",
    )
    parser.add_argument("-s", "--system", nargs="+", default=["."], help="folders (searched for systems) or HDF5 files")
    parser.add_argument("-r", "--rcut", type=float, required=True, help="cutoff radius in Å")
    parser.add_argument(
        "-t", "--type-map", nargs="+", metavar="NAME", help="names of the types, in the order to report"
    )
    parser.add_argument(
        "--mixed-type", "--one-type", action="store_true", help="count the neighbors of all types together"
    )


def run(args):
    import numpy as np

    from dptf.data.neighbor_stat import neighbor_stat
    from dptf.data.sources import expand_systems
    from dptf.errors import UserError

    if not args.rcut > 0:
        raise UserError(f"--rcut is {args.rcut}; it must be positive (Å)")
    paths = expand_systems(args.system, where="--system")
    distance, counts = neighbor_stat(paths, args.rcut, args.type_map, one_type=args.mixed_type)
    shown = np.array(counts)
    log.info("Neighbor statistics: training data with minimal neighbor distance: %f", distance)
    log.info("Neighbor statistics: training data with maximum neighbor size: %s (cutoff radius: %f)", shown, args.rcut)
    log.info("min_nbor_dist: %f", distance)
    log.info("max_nbor_size: %s", shown)
