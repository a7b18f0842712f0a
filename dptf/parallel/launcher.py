"""What a launcher says about the processes it started; no TensorFlow, no NumPy."""

import os

#: rank, size, local rank, local size: Horovod's launcher (Gloo), Open MPI, MPICH and Intel MPI, in the order of trust
_VARIABLES = (
    ("HOROVOD_RANK", "HOROVOD_SIZE", "HOROVOD_LOCAL_RANK", "HOROVOD_LOCAL_SIZE"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"),
    ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"),
)


def _read(names):
    return [int(v) if (v := os.environ.get(n, "")).isdigit() else None for n in names]


def launched():
    """Rank and size that the launcher announced, ``(0, 1)`` without one."""
    for names in _VARIABLES:
        rank, size, *_ = _read(names)
        if size is not None:
            return rank or 0, size
    return 0, 1


def started_by_mpi():
    """Whether an MPI launcher, and not Horovod's over Gloo, started this process."""
    return launched()[1] > 1 and _read(_VARIABLES[0])[1] is None


def _local():
    """Rank among the processes of the run on this machine, and their number."""
    for names in _VARIABLES:
        _, size, rank, local = _read(names)
        if size is not None:
            return rank or 0, local or 1
    return 0, 1


def local_rank():
    """Rank among the processes of the run on this machine, 0 when nobody says."""
    return _local()[0]


def local_size():
    """Processes of the run on this machine, 1 when nobody says."""
    return _local()[1]
