"""The stream of batches of a run: which task, which batch, drawn ahead in a thread, and resumable."""

import queue
import threading
import time

import numpy as np


class TaskStream:
    """Batches of one or several tasks.

    Parameters
    ----------
    data : list of DataSystems
        One per task.
    probs : list of float
        Probability of every task.
    seed : int or None
        Of the draw of tasks; every rank draws the same one.
    """

    def __init__(self, data, probs=(1.0,), seed=None):
        self._data, self._probs = list(data), np.asarray(probs, float) / np.sum(probs)
        self._rng = np.random.RandomState(None if seed is None else [0, 1, seed % 2**32])

    def next_batch(self):
        """(index of the task, batch)."""
        index = int(self._rng.choice(len(self._data), p=self._probs)) if len(self._data) > 1 else 0
        return index, self._data[index].next_batch()

    def state(self):
        """Everything that decides the following batches."""
        if len(self._data) == 1:
            return self._data[0].state()
        return {"rng": self._rng.get_state(), "tasks": [d.state() for d in self._data]}

    def set_state(self, state):
        if len(self._data) == 1:
            self._data[0].set_state(state)
            return
        kind, keys, pos, has_gauss, cached = state["rng"]
        self._rng.set_state((kind, np.array(keys, np.uint32), pos, has_gauss, cached))
        for data, saved in zip(self._data, state["tasks"]):
            data.set_state(saved)


class Prefetcher:
    """Draws batches in a thread; every batch comes with the state of the stream right after it."""

    def __init__(self, stream, depth=2):
        self._stream, self._queue, self._stop = stream, queue.Queue(depth), threading.Event()
        self.waited = 0.0
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self):
        while not self._stop.is_set():
            try:
                item = (self._stream.next_batch(), self._stream.state(), None)
            except BaseException as err:  # handed to the training thread
                item = (None, None, err)
            while not self._stop.is_set():
                try:
                    self._queue.put(item, timeout=0.1)
                    break
                except queue.Full:
                    continue
            if item[2] is not None:
                return

    def next(self):
        """((task, batch), state of the stream after it)."""
        begin = time.perf_counter()
        item, state, err = self._queue.get()
        self.waited += time.perf_counter() - begin
        if err is not None:
            raise err
        return item, state

    def close(self):
        self._stop.set()
        self._thread.join()
