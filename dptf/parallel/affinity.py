"""The cores of a machine, shared out to the ranks that run on it. No TensorFlow, no NumPy."""

import os

from dptf.parallel.launcher import local_rank, local_size


def cores():
    """Cores on which this process may run, those of one physical core side by side."""
    if not hasattr(os, "sched_getaffinity"):
        return list(range(os.cpu_count() or 1))
    return sorted(os.sched_getaffinity(0), key=_place)


def _place(cpu):
    """Socket, physical core and number of a logical core."""
    try:
        folder = f"/sys/devices/system/cpu/cpu{cpu}/topology"
        with open(f"{folder}/physical_package_id") as package, open(f"{folder}/core_id") as core:
            return int(package.read()), int(core.read()), cpu
    except (OSError, ValueError):
        return 0, cpu, cpu


def _launcher_cores():
    """Number of cores of the process that started this one, 0 when it cannot be told."""
    try:
        return len(os.sched_getaffinity(os.getppid()))
    except (AttributeError, OSError):
        return 0


def cores_per_rank():
    """Cores for every rank of this machine, at least one.

    A launcher that binds its ranks has given this one a part of its own cores already.
    """
    own = len(cores())
    return max(1, min(own, max(own, _launcher_cores()) // local_size()))


def bind():
    """Keep this rank on its own share of the cores, where the launcher has not bound it.

    Ranks of equal speed wait for the slowest one in every step, and a rank that shares a core for a while is slow.
    Threads inherit this, so it comes first. ``DPTF_BIND=0`` leaves the ranks where the system puts them.

    Returns
    -------
    list of int
        The cores, empty when nothing was changed.
    """
    ranks, all_cores = local_size(), cores()
    bound = len(all_cores) < _launcher_cores()
    if ranks == 1 or ranks > len(all_cores) or bound or os.environ.get("DPTF_BIND", "1") == "0":
        return []
    share = len(all_cores) // ranks
    mine = all_cores[local_rank() * share : (local_rank() + 1) * share]
    try:
        os.sched_setaffinity(0, mine)
    except (AttributeError, OSError):
        return []
    return mine
