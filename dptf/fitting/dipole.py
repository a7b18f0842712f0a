"""Atomic dipoles: mu_i = y_i q_i with the net output y (M,) and the rotation matrix q (M, 3)."""

from dptf.fitting.tensor import TensorFitting
from dptf.ops import tf


class DipoleFitting(TensorFitting):
    """Dipole fitting; parameters as the base has them."""

    model_type = label = "dipole"
    output_dim = 3

    def _rotate(self, values, rot_mat, types, params, suffix):
        return tf.matmul(values[:, None, :], rot_mat)[:, 0]
