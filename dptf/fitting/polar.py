"""Atomic polarizabilities.

With the net output y, the rotation matrix q (M, 3), and per type a scale s and a shift c::

    alpha_i = s q_i^T S_i q_i + c 1,    S_i = diag(y) (fit_diag, y has M numbers) or Y + Y^T (Y is M x M)

Models of other backends have s c for c (``scaled_shift``).
"""

import logging

import numpy as np

from dptf.env import GLOBAL_NP_FLOAT
from dptf.errors import UserError
from dptf.fitting.base import solve_bias
from dptf.fitting.tensor import TensorFitting
from dptf.nn.parameters import global_dtype
from dptf.ops import tf

log = logging.getLogger(__name__)


class PolarFitting(TensorFitting):
    """Polarizability fitting; parameters as the base has them."""

    model_type = "polar"
    label = "polarizability"
    output_dim = 9

    def __init__(self, section, descriptor, ntypes, where="model/fitting_net", **kwargs):
        super().__init__(section, descriptor, ntypes, where, **kwargs)
        self.fit_diag, self.shift_diag = bool(section.get("fit_diag", True)), bool(section.get("shift_diag", True))
        self.scaled_shift = bool(section.get("scaled_shift", False))
        scale = section.get("scale")
        scale = 1.0 if scale is None else scale
        scale = list(scale) if isinstance(scale, (list, tuple)) else [scale] * ntypes
        if len(scale) != ntypes:
            raise UserError(f"has {len(scale)} numbers for {ntypes} types", f"{where}/scale", "give one per type")
        self.scale = np.array(scale, float)
        self.constant = np.zeros(ntypes)

    @property
    def _net_width(self):
        return self.dim_rot if self.fit_diag else self.dim_rot**2

    def output_statistics(self, batches, stat_file=None, excluded=()):
        """Mean of the diagonal per type: from atomic labels where a system has them, else by least squares from those of frames.

        Every system gives rows of (atoms per type, sum of the tensors): one per frame, or one per frame and type.
        """
        if not self.shift_diag:
            return
        known = stat_file.read("constant_matrix") if stat_file else None
        if known is not None:
            self.constant = known.ravel()
            return
        counts, traces = [], []
        for b in (b for system in batches for b in system):
            atomic, whole = (b.get(f"find_{prefix}{self.label}") for prefix in ("atomic_", ""))
            if not (atomic or whole):
                continue
            for f, types in enumerate(b["type"]):
                n = np.bincount(types[types >= 0], minlength=self.ntypes).astype(float)
                n[[t for t in range(self.ntypes) if t not in self.sel_type]] = 0.0
                if atomic:
                    rows = b[f"atomic_{self.label}"][f].reshape(-1, 3, 3)
                    present = types[np.isin(types, self.sel_type)]
                    for t in self.sel_type:
                        counts.append(np.where(np.arange(self.ntypes) == t, n, 0.0))
                        traces.append(np.trace(rows[present == t].sum(axis=0)) / 3.0)
                else:
                    counts.append(n)
                    traces.append(np.trace(b[self.label][f].reshape(3, 3)) / 3.0)
        if not counts:
            log.warning("no system has polarizabilities: the shift of the diagonal is 0")
            return
        self.constant = solve_bias(np.array(counts), np.array(traces), rcond=self.rcond)
        if self.scaled_shift:
            self.constant = self.constant / self.scale
        if stat_file:
            stat_file.write("constant_matrix", self.constant)

    def _rotate(self, values, rot_mat, types, params, suffix):
        if self.fit_diag:
            alpha = tf.matmul(rot_mat, values[:, :, None] * rot_mat, transpose_a=True)
        else:
            square = tf.reshape(values, [-1, self.dim_rot, self.dim_rot])
            square += tf.transpose(square, [0, 2, 1])
            alpha = tf.matmul(rot_mat, tf.matmul(square, rot_mat), transpose_a=True)
        scale = self.by_type(tf.constant(self.scale, dtype=alpha.dtype), types)
        alpha *= scale[:, None, None]
        constant = (
            f"fitting_attr{suffix}/t_constant_matrix", [self.ntypes], self.constant.astype(GLOBAL_NP_FLOAT), global_dtype()
        )  # fmt: skip
        if not self.shift_diag:
            params.keep(*constant)
        else:
            constant = params.get(*constant, trainable=False)
            c = self.by_type(constant, types)
            c = c * scale if self.scaled_shift else c
            alpha += c[:, None, None] * tf.eye(3, dtype=alpha.dtype)
        return tf.reshape(alpha, [-1, 9])
