"""The processes of a training run and the collectives on them.

:func:`start` gives a :class:`Solo` world for one process, an :class:`MpiWorld` for several on processors that an MPI launcher
started, and a :class:`HorovodWorld` for others (GPUs, Gloo); the code that trains asks the world and does not know which one it
has. A launched run without a working collective backend stops: the processes would train the same model side by side,
each unaware of the others.
"""

import contextlib
import hashlib
import importlib
import logging
import os
import pickle
import socket
import sys
import time

import numpy as np

from dptf.env import held_back_stderr
from dptf.errors import UserError
from dptf.parallel.affinity import bind
from dptf.parallel.launcher import launched, local_rank, local_size, started_by_mpi

log = logging.getLogger(__name__)


class Solo:
    """One process."""

    rank, size, local_rank, local_size = 0, 1, 0, 1
    chief = True

    def gather(self, value):
        """The values of all ranks, in the order of ranks."""
        return [value]

    def broadcast(self, value):
        """The value of rank 0."""
        return value

    def average(self, tensors):
        """Means over ranks of tensors of a graph."""
        return tensors

    def gpu(self):
        """Index of this rank's GPU, or None to let TensorFlow choose."""
        return None

    def check_equal(self, arrays, what):
        """Stop when the ranks hold different numbers."""

    def together(self):
        """Context in which an error of one process ends all of them."""
        return contextlib.nullcontext()


class _Several(Solo):
    """What all worlds of several processes have in common."""

    #: Tensors with fewer elements travel together.
    _small = np.inf

    def average(self, tensors):
        """Means over ranks; small tensors of a type travel in one message."""
        from dptf.ops import tf

        sizes = [int(np.prod(t.shape.as_list())) for t in tensors]
        places, messages = {}, []
        for i, t in enumerate(tensors):
            if sizes[i] < self._small:
                places.setdefault(t.dtype.base_dtype, []).append(i)
            else:
                messages.append([i])
        messages += [places[k] for k in sorted(places, key=lambda d: d.name)]
        flat = [tf.concat([tf.reshape(tensors[i], [-1]) for i in m], 0) for m in messages]
        out = list(tensors)
        for message, mean in zip(messages, self._means(flat)):
            parts = tf.split(mean, [sizes[i] for i in message]) if len(message) > 1 else [mean]
            for i, part in zip(message, parts):
                out[i] = tf.reshape(part, tensors[i].shape)
        return out

    def check_equal(self, arrays, what):
        sums = self.gather(checksum(arrays))
        odd = [r for r, s in enumerate(sums) if s != sums[0]]
        if odd:
            raise UserError(
                f"rank {odd[0]} holds other numbers than rank 0 ({what})", None,
                "this must not happen: the ranks may run different versions of dptf or of the data",
            )  # fmt: skip
        log.info("%s: %d ranks hold the same numbers (checksum %s)", what, self.size, sums[0][:12])


class MpiWorld(_Several):
    """Several processes on processors, by MPI itself.

    Horovod's thread agrees with the other ranks on what to do every millisecond, and waits for them in a busy loop beside the
    computation. A training step has one message, the same in every rank, so nothing has to be agreed on.
    """

    #: Large tensors go as they are, without a copy into a common message and out of it.
    _small = 1 << 14
    #: How long an error waits for the other ranks to meet it too, seconds.
    _PATIENCE = 3.0

    def __init__(self, mpi):
        from dptf.ops import set_allreduce

        self._comm, self._errors = mpi.COMM_WORLD.Dup(), mpi.COMM_WORLD.Dup()
        self._window = set_allreduce(mpi, self._comm)
        comm = self._comm
        self.rank, self.size = comm.Get_rank(), comm.Get_size()
        self.local_rank, self.local_size = local_rank(), local_size()
        self.chief = self.rank == 0

    def gather(self, value):
        return self._comm.allgather(value)

    def broadcast(self, value):
        return self._comm.bcast(value if self.chief else None)

    def _means(self, flat):
        from dptf.ops import op_module, tf

        # MPI knows no half precision.
        wide = [tf.cast(f, tf.float32) if f.dtype.size < 4 else f for f in flat]
        return [tf.cast(m, f.dtype) for m, f in zip(op_module.dptf_rank_mean(wide), flat)]

    @contextlib.contextmanager
    def together(self):
        """Where all ranks meet an error, rank 0 tells it; a rank that is alone with one ends the others, who wait for it."""
        try:
            yield
        except Exception as err:
            arrived, end = self._errors.Ibarrier(), time.monotonic() + self._PATIENCE
            while not (done := arrived.Test()) and time.monotonic() < end:
                time.sleep(0.01)
            if not done:
                print(f"Error: {err}" + (f" (rank {self.rank})" if not self.chief else ""), file=sys.stderr, flush=True)
                self._comm.Abort(1)
            if str(err) != self._errors.bcast(str(err)):
                raise
            if not self.chief:
                raise SystemExit(1) from None
            raise


class HorovodWorld(_Several):
    """Several processes, by Horovod (over MPI or Gloo, whichever launched them)."""

    def __init__(self, hvd):
        self._hvd = hvd
        self.rank, self.size = hvd.rank(), hvd.size()
        self.local_rank, self.local_size = hvd.local_rank(), hvd.local_size()
        self.chief = self.rank == 0
        self._session = None

    def _bytes(self, data):
        """Byte strings of all ranks; one graph serves all calls."""
        from dptf.ops import tf
        from dptf.session import session_config

        if self._session is None:
            with tf.Graph().as_default() as graph:
                self._length, self._data = tf.placeholder(tf.int64, [1]), tf.placeholder(tf.uint8, [None])
                self._lengths = self._hvd.allgather(self._length, name="dptf_lengths")
                self._all = self._hvd.allgather(self._data, name="dptf_bytes")
                config = session_config()
                config.device_count["GPU"] = 0
                self._session = tf.Session(graph=graph, config=config)
        lengths = self._session.run(self._lengths, {self._length: [len(data)]})
        joined = self._session.run(self._all, {self._data: np.frombuffer(data, np.uint8)}).tobytes()
        ends = np.cumsum(lengths)
        return [joined[end - n : end] for end, n in zip(ends, lengths)]

    def gather(self, value):
        return [pickle.loads(b) for b in self._bytes(pickle.dumps(value))]

    def broadcast(self, value):
        return self.gather(value if self.chief else None)[0]

    def _means(self, flat):
        return [self._hvd.allreduce(f, op=self._hvd.Average, name=f"dptf_mean_{f.dtype.name}") for f in flat]

    def gpu(self):
        count = _cards()
        seen = self.gather((socket.gethostname(), count, os.environ.get("CUDA_VISIBLE_DEVICES", "")))
        if not count:
            return None
        here = [v for host, _, v in seen if host == socket.gethostname()]
        if len(here) > 1 and len(set(here)) == len(here):
            return 0  # the launcher gave every rank its own card
        if self.local_size > count:
            raise UserError(
                f"{self.local_size} ranks on {socket.gethostname()}, which shows {count} GPU(s)", None,
                "start one rank per GPU, or hide the GPUs (CUDA_VISIBLE_DEVICES=)",
            )  # fmt: skip
        return self.local_rank


def _cards():
    """GPUs that this process sees."""
    from dptf.ops import tf

    with held_back_stderr():  # the CUDA library complains on machines without a card
        return len(tf.config.list_physical_devices("GPU"))


def checksum(arrays):
    """SHA-256 over the bytes of arrays, in order."""
    digest = hashlib.sha256()
    for a in arrays:
        digest.update(np.ascontiguousarray(a).tobytes())
    return digest.hexdigest()


def _refuse(message, fix):
    """One line from rank 0, and the end of all ranks."""
    if launched()[0] != 0:
        time.sleep(3)  # a launcher ends all ranks when one ends: rank 0 has to be heard
        raise SystemExit(1)
    raise UserError(message, None, fix)


@contextlib.contextmanager
def told_once():
    """Context for what all ranks do before there is a world: of an error that several meet, only the first of them tells."""
    failure = None
    try:
        yield
    except Exception as err:
        failure = err
    comm = _all_ranks()
    if comm is None:
        if failure is not None and launched()[0] != 0:
            time.sleep(3)  # the launcher ends all ranks when rank 0 ends
    else:
        mine = None if failure is None else str(failure)
        texts = comm.allgather(mine)
        tells = failure is not None and texts.index(mine) == comm.Get_rank()
        if any(text is not None for text in texts) and not tells:
            raise SystemExit(1)
    if failure is not None:
        raise failure


def _all_ranks():
    """Communicator of mpi4py with all processes that an MPI launcher started, None without."""
    if not started_by_mpi():
        return None
    try:
        from mpi4py import MPI
    except ImportError:
        return None
    return MPI.COMM_WORLD if MPI.COMM_WORLD.Get_size() == launched()[1] else None


def start():
    """The world of this process."""
    size = launched()[1]
    if size == 1:
        return Solo()
    cores = bind()
    world = _mpi(size) or _horovod(size)
    if cores:
        log.info("rank %d runs on core %s", world.rank, ", ".join(map(str, cores)))
    return world


def _mpi(size):
    """The world of processes that an MPI launcher started, None where Horovod has to do it: GPUs, Gloo, no mpi4py, on demand."""
    comm = None if os.environ.get("DPTF_COLLECTIVES", "").lower() == "horovod" else _all_ranks()
    if comm is None:
        return None
    from mpi4py import MPI

    if MPI.Query_thread() < MPI.THREAD_SERIALIZED or comm.allreduce(_cards()):
        return None
    log.info("parallel run: %d ranks, over MPI", size)
    return MpiWorld(MPI)


def _horovod(size):
    """The world of processes that Horovod connects."""
    try:
        importlib.import_module("dptf.ops")  # sets TensorFlow to graph mode first
        import horovod.tensorflow as hvd

        hvd.init()
    except Exception as err:
        _refuse(
            f"started as {size} processes, but Horovod does not work here ({str(err).splitlines()[0]})",
            "install mpi4py (with mpirun on processors) or Horovod (python -m dptf.parallel.install); "
            "or run dp train as one process, it uses all cores",
        )
    if hvd.size() != size:
        _refuse(
            f"the launcher started {size} processes, but Horovod sees {hvd.size()}: each would train alone",
            "use the launcher of the MPI that Horovod was built with, or horovodrun --gloo",
        )
    world = HorovodWorld(hvd)
    log.info("parallel run: %d ranks, over Horovod and %s", size, "MPI" if hvd.mpi_enabled() else "Gloo")
    return world
