"""Several processes of a command that works through systems: ``mpirun -np 4 dp test ...``, by mpi4py."""

import contextlib
import sys

from dptf.errors import UserError
from dptf.parallel.affinity import bind
from dptf.parallel.launcher import launched


class Ranks:
    """The processes of this command; one where no launcher started it."""

    def __init__(self):
        self.rank, self.size, self._comm = 0, 1, None
        if launched()[1] > 1:
            try:
                from mpi4py import MPI
            except ImportError:
                raise UserError(
                    "several processes need mpi4py", None, "pip install mpi4py, or start one process"
                ) from None
            bind()
            self._comm = MPI.COMM_WORLD
            self.rank, self.size = self._comm.Get_rank(), self._comm.Get_size()
            if self.size != launched()[1]:
                raise UserError(
                    f"the launcher started {launched()[1]} processes, but mpi4py sees {self.size}", None,
                    "use the mpirun that belongs to mpi4py",
                )  # fmt: skip

    @property
    def chief(self):
        """Whether this is the process that writes."""
        return self.rank == 0

    def owns(self, index):
        """Whether an item is the work of this process."""
        return index % self.size == self.rank

    def collect(self, items):
        """Items ``(index, ...)`` of all processes in order, on the chief; an empty list on the others."""
        if self._comm is None:
            return sorted(items, key=lambda item: item[0])
        parts = self._comm.gather(items, root=0)
        return sorted((item for part in parts for item in part), key=lambda item: item[0]) if self.chief else []

    @contextlib.contextmanager
    def together(self):
        """An error in the block ends all processes; the others would wait for this one."""
        try:
            yield
        except Exception as err:
            if self._comm is None:
                raise
            print(f"Error: {err}" + (f" (rank {self.rank})" if not self.chief else ""), file=sys.stderr, flush=True)
            self._comm.Abort(1)
