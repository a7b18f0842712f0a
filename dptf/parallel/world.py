"""The processes of a training run and the collectives on them.

:func:`start` gives a :class:`Solo` world for one process, and a :class:`HorovodWorld` for several; the code that trains
asks the world and does not know which one it has. A launched run without a working collective backend stops: the
processes would train the same model side by side, each unaware of the others.
"""

import hashlib
import importlib
import logging
import os
import pickle
import socket
import time

import numpy as np

from dptf.env import held_back_stderr
from dptf.errors import UserError
from dptf.parallel.affinity import bind
from dptf.parallel.launcher import launched

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


class HorovodWorld(Solo):
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

    def average(self, tensors):
        """Means over ranks; all tensors of a type travel in one message, whose name is the same on all ranks."""
        from dptf.ops import tf

        out = list(tensors)
        for dtype in sorted({t.dtype.base_dtype for t in tensors}, key=lambda d: d.name):
            places = [i for i, t in enumerate(tensors) if t.dtype.base_dtype == dtype]
            flat = tf.concat([tf.reshape(tensors[i], [-1]) for i in places], 0)
            flat = self._hvd.allreduce(flat, op=self._hvd.Average, name=f"dptf_mean_{dtype.name}")
            parts = tf.split(flat, [int(np.prod(tensors[i].shape.as_list())) for i in places])
            for i, part in zip(places, parts):
                out[i] = tf.reshape(part, tensors[i].shape)
        return out

    def gpu(self):
        from dptf.ops import tf

        with held_back_stderr():  # the CUDA library complains on machines without a card
            count = len(tf.config.list_physical_devices("GPU"))
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

    def check_equal(self, arrays, what):
        sums = self.gather(checksum(arrays))
        odd = [r for r, s in enumerate(sums) if s != sums[0]]
        if odd:
            raise UserError(
                f"rank {odd[0]} holds other numbers than rank 0 ({what})", None,
                "this must not happen: the ranks may run different versions of dptf or of the data",
            )  # fmt: skip
        log.info("%s: %d ranks hold the same numbers (checksum %s)", what, self.size, sums[0][:12])


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


def start():
    """The world of this process."""
    size = launched()[1]
    if size == 1:
        return Solo()
    cores = bind()
    try:
        importlib.import_module("dptf.ops")  # sets TensorFlow to graph mode first
        import horovod.tensorflow as hvd

        hvd.init()
    except Exception as err:
        _refuse(
            f"started as {size} processes, but Horovod does not work here ({str(err).splitlines()[0]})",
            "install it: python -m dptf.parallel.install; or run dp train as one process, it uses all cores",
        )
    if hvd.size() != size:
        _refuse(
            f"the launcher started {size} processes, but Horovod sees {hvd.size()}: each would train alone",
            "use the launcher of the MPI that Horovod was built with, or horovodrun --gloo",
        )
    world = HorovodWorld(hvd)
    log.info("parallel run: %d ranks, over %s", size, "MPI" if hvd.mpi_enabled() else "Gloo")
    if cores:
        log.info("rank %d runs on core %s", world.rank, ", ".join(map(str, cores)))
    return world
