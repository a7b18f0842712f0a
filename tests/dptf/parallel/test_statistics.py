"""Statistics of the data, dealt out to ranks, have the bits of one rank."""

import sys
import threading
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from toy import write_system

from dptf.data import DataRequirement, DataSystems
from dptf.descriptor.mixed_statistics import MixedStatistics
from dptf.descriptor.statistics import EnvStatistics
from dptf.train.stat_file import StatFile


class Thread:
    """A rank as a thread of this process."""

    def __init__(self, rank, size, board, barrier):
        self.rank, self.size, self.chief = rank, size, rank == 0
        self._board, self._barrier = board, barrier

    def gather(self, value):
        self._board[self.rank] = value
        self._barrier.wait()
        out = list(self._board)
        self._barrier.wait()
        return out

    def broadcast(self, value):
        return self.gather(value)[0]


def on_ranks(size, function):
    """What the function returns on every rank."""
    board, barrier, out = [None] * size, threading.Barrier(size, timeout=60), [None] * size

    def work(rank):
        try:
            out[rank] = function(Thread(rank, size, board, barrier))
        except BaseException:
            barrier.abort()
            raise

    threads = [threading.Thread(target=work, args=(r,)) for r in range(size)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    return out


@pytest.mark.parametrize("cache", [None, "folder"])
def test_any_number_of_ranks_gets_the_bits_of_one(tmp_path, cache):
    systems = [str(write_system(tmp_path / f"s{k}", nframes=4 + k, seed=k)) for k in range(3)]
    needs = [DataRequirement("energy", 1, high_prec=True), DataRequirement("force", 3, atomic=True)]

    def statistics(world=None):
        data = DataSystems({"systems": systems, "batch_size": 2}, ["A", "B"], needs, seed=1)
        batches = data.stat_batches(2, world)
        held = sum("coord" in b for system in batches for b in system)
        name = tmp_path / f"{cache}{world.size if world else 1}" if cache else None
        file = StatFile(name, ["A", "B"], world) if name else None
        out = []
        for kind in (EnvStatistics(2, 4.0, 1.0, [20, 40]), MixedStatistics(2, 4.0, 1.0, 60)):
            out += [*kind.compute(batches, file), *kind.compute(batches, file)]
        return held, out, [b["energy"].tolist() for system in batches for b in system], data.state()["cursors"]

    serial = statistics()
    for size in (2, 4):  # of four ranks one has nothing
        found = on_ranks(size, statistics)
        assert sum(f[0] for f in found) == serial[0] == 6 and max(f[0] for f in found) < 6
        for _, out, energies, cursors in found:
            assert energies == serial[2] and str(cursors) == str(serial[3])
            for a, b in zip(out, serial[1]):
                np.testing.assert_array_equal(a, b)
