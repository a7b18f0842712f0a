"""Means over the ranks by MPI, here of one rank; runs on several are in tests/dptf/parallel."""

import numpy as np
import pytest

from dptf.ops import op_module, set_allreduce, tf


def test_arrays_of_both_types_in_one_op():
    mpi = pytest.importorskip("mpi4py.MPI")
    set_allreduce(mpi, mpi.COMM_SELF)
    rng = np.random.RandomState(1)
    arrays = [
        rng.rand(70001),
        rng.rand(3, 5).astype(np.float32),
        rng.rand(0),
        np.array(2.5),
    ]  # more than one piece, empty, scalar
    with tf.Graph().as_default(), tf.Session() as session:
        means = session.run(op_module.dptf_rank_mean([tf.constant(a) for a in arrays]))
    for mean, a in zip(means, arrays):
        assert mean.dtype == a.dtype and np.array_equal(mean, a)
