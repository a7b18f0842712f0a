"""The stream of batches of a run: which task, which batch, loaded ahead in a thread, and resumable."""

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

    def draw(self):
        """(index of the task, what was drawn of its data)."""
        index = int(self._rng.choice(len(self._data), p=self._probs)) if len(self._data) > 1 else 0
        return index, self._data[index].draw()

    def load(self, index, drawn):
        """(index of the task, batch)."""
        return index, self._data[index].load(drawn)

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
    """Loads batches in a thread. They are drawn by the caller, so that all draws of a run have one order.

    Parameters
    ----------
    stream : TaskStream
    state : callable
        Gives everything that decides the draws from here on.
    """

    def __init__(self, stream, state):
        self._stream, self._state = stream, state
        self._drawn, self._loaded = queue.Queue(), queue.Queue()
        self.waited = 0.0
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self):
        while (job := self._drawn.get()) is not None:
            before, drawn = job
            try:
                self._loaded.put((self._stream.load(*drawn), before, None))
            except BaseException as err:  # handed to the training thread
                self._loaded.put((None, None, err))

    def request(self):
        """Draw a batch, and begin to load it."""
        before = self._state()
        self._drawn.put((before, self._stream.draw()))

    def next(self):
        """((task, batch), state before it was drawn) of the oldest request."""
        begin = time.perf_counter()
        item, before, err = self._loaded.get()
        self.waited += time.perf_counter() - begin
        if err is not None:
            raise err
        return item, before

    def close(self):
        self._drawn.put(None)
        self._thread.join()
