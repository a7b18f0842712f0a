"""One frame through a graph in blocks of atoms, with message passing too.

With message passing only the features of atoms link blocks, and in a graph these pass through exchanges (the ops ``DptfHalo`` and ``DptfHaloGrad``,
which otherwise speak with other processes) one after the other. Sweep k evaluates the input of exchange k for all blocks, with the results of
those before fed, and makes of them its result for the whole frame: a table from which the rows of ghosts are taken, or a sum to which ghosts add.
A last sweep evaluates the outputs. TensorFlow runs only what an evaluation needs, so memory is that of a block, and of the tables.
"""

import logging

import numpy as np

from dptf.errors import UserError
from dptf.infer import blocks
from dptf.infer.neighbor_mesh import with_fed_exchanges

log = logging.getLogger(__name__)

_FORWARD, _ADJOINT = "DptfHalo", "DptfHaloGrad"


def exchanges(tensors):
    """Exchanges of features that tensors depend on, in their order: a list of operations."""
    found, seen, todo = [], set(), [(t.op, False) for t in tensors]
    while todo:
        op, done = todo.pop()
        if done:  # what it depends on comes first
            found.append(op)
        elif op not in seen:
            seen.add(op)
            if op.type in (_FORWARD, _ADJOINT):
                todo.append((op, True))
            todo += [(x.op, False) for x in op.inputs] + [(c, False) for c in op.control_inputs]
    return found


class BlockRun:
    """Evaluate tensors of a graph on a frame: first :meth:`relay`, then :meth:`sweep`.

    Parameters
    ----------
    frame : Frame
    size : int
        Atoms per block; blocks that do not fit in memory are cut smaller.
    links : list of tf.Operation
        The exchanges.
    call : callable
        ``call(block, mesh, fetches, feeds)`` evaluates tensors on a block, with a list of pairs of tensor and array fed.

    Attributes
    ----------
    blocks : list of Block
    """

    def __init__(self, frame, size, links, call):
        self._frame, self._links, self._call = frame, links, call
        self.blocks = list(frame.blocks(size))
        self._natoms = sum(len(b.centers) for b in self.blocks)
        self._tables = []
        self._reserved = table_bytes(links, self._natoms) + sum(b.nbytes for b in self.blocks)

    def relay(self):
        """Evaluate what blocks read of each other."""
        for link in self._links:
            self._tables.append(self._table(link))

    def _table(self, link):
        """What an exchange gives for all atoms."""
        adjoint, table = link.type == _ADJOINT, None

        def add(block, arrays):
            nonlocal table
            (rows,) = arrays
            if table is None:
                table = np.zeros((self._natoms, rows.shape[1]), np.float64 if adjoint else rows.dtype)
            if adjoint:
                np.add.at(table, block.owner, rows)
            else:
                table[block.centers] = rows

        self.sweep([link.inputs[0]], add)
        return table.astype(link.outputs[0].dtype.as_numpy_dtype, copy=False)

    def sweep(self, fetches, add):
        """Evaluate tensors on all blocks, which are cut into halves where memory does not suffice; ``add(block, arrays)`` takes the results."""
        from tensorflow.python.framework.errors_impl import ResourceExhaustedError

        todo, self.blocks = self.blocks[::-1], []
        while todo:
            block = todo.pop()
            feeds = [
                (link.outputs[0], table[block.centers if link.type == _ADJOINT else block.owner])
                for link, table in zip(self._links, self._tables)
            ]
            mesh = with_fed_exchanges(block.mesh, self._reserved) if self._links else block.mesh
            try:
                arrays = self._call(block, mesh, fetches, feeds)
            except ResourceExhaustedError as err:
                n = len(block.centers)
                if n == 1:
                    detail = err.message.split("\n\t [[")[0].splitlines()[-1]
                    raise UserError(f"memory does not suffice for one atom of the frame: {detail}") from err
                todo += list(self._frame.blocks((n + 1) // 2, within=block))[::-1]
                continue
            self.blocks.append(block)
            add(block, arrays)


def table_bytes(links, natoms):
    """Bytes of the features of all atoms that exchanges pass on."""
    return natoms * sum(int(x.inputs[0].shape[1]) * x.inputs[0].dtype.size for x in links)


def first_size(natoms, bytes_per_atom, counted, links, path):
    """Atoms of the first blocks of a frame with message passing, which does not fit as a whole.

    Parameters
    ----------
    natoms : int
    bytes_per_atom : float
        Forecast.
    counted : bool
        Whether the graph counts what it needs (blocks that need more than the forecast are cut smaller).
    links : list of tf.Operation
    path : str
        Of the model, for messages.

    Returns
    -------
    int
    """
    limit, tables = blocks.memory_limit(1.0), table_bytes(links, natoms)
    if limit is None:
        return (natoms + 1) // 2
    need = tables + (0 if counted else bytes_per_atom)
    if need >= limit:
        raise UserError(
            f"features of {natoms} atoms and the smallest block need {need / 1e9:.3g} GB with {path}, {limit / 1e9:.3g} GB are allowed or free",
            blocks.VARIABLE, "use smaller frames, or LAMMPS with ranks on more machines",
        )  # fmt: skip
    size = int((blocks.memory_limit() - tables) / bytes_per_atom) if bytes_per_atom else natoms
    return min(max(1, size), (natoms + 1) // 2)
