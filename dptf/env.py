"""Process-wide settings from the environment, read once.

``DP_INTERFACE_PREC`` (``high`` or ``low``) fixes the floating type of coordinates,
statistics, forces and atomic outputs; energies are float64 in both cases.
"""

import os

import numpy as np

from dptf.errors import UserError

_PREC = os.environ.get("DP_INTERFACE_PREC", "high").lower()
if _PREC not in ("high", "low"):
    raise UserError(f"DP_INTERFACE_PREC is '{_PREC}'", fix="set it to 'high' (float64) or 'low' (float32)")

GLOBAL_NP_FLOAT = np.float64 if _PREC == "high" else np.float32
ENER_NP_FLOAT = np.float64


def threads():
    """Return ``(intra, inter)`` op thread numbers for TensorFlow sessions; 0 lets TensorFlow decide."""

    def read(kind):
        for prefix in ("DP", "TF"):
            value = os.environ.get(f"{prefix}_{kind}_OP_PARALLELISM_THREADS")
            if value:
                return int(value)
        return 0

    return read("INTRA"), read("INTER")


def import_tensorflow():
    """Import ``tensorflow.compat.v1`` in graph mode, quiet unless the user asked for its messages."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow.compat.v1 as tf

    tf.disable_v2_behavior()
    return tf
