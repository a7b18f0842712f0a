"""Activation functions by their names in the input."""

import math

import numpy as np

from dptf.errors import UserError
from dptf.ops import op_module, tf

_SQRT_2_PI = math.sqrt(2.0 / math.pi)


def _gelu(x):
    return 0.5 * x * (1.0 + tf.tanh(_SQRT_2_PI * (x + 0.044715 * x * x * x)))


def _silu(x):
    return x * tf.sigmoid(x)


def _silut(threshold):
    """silu below the threshold, above it a tanh with the same value and slope there."""
    sig = 1.0 / (1.0 + math.exp(-threshold))
    slope, const = sig + threshold * sig * (1.0 - sig), threshold * sig

    def function(x):
        # The unused branch must stay finite for its gradient to be usable.
        return tf.where(x < threshold, _silu(tf.minimum(x, threshold)), tf.tanh(slope * (x - threshold)) + const)

    return function


_FUNCTIONS = {
    "tanh": lambda x: tf.tanh(x),
    "relu": lambda x: tf.nn.relu(x),
    "relu6": lambda x: tf.nn.relu6(x),
    "softplus": lambda x: tf.nn.softplus(x),
    "sigmoid": lambda x: tf.sigmoid(x),
    "gelu": _gelu,
    "gelu_tf": _gelu,
    "silu": _silu,
    "none": lambda x: x,
    "linear": lambda x: x,
}


#: Codes of the package's own ops; see ``lib/include/dptf/activation.h``.
_CODES = {
    "none": 0, "linear": 0, "tanh": 1, "gelu": 2, "gelu_tf": 2, "relu": 3, "relu6": 4, "softplus": 5, "sigmoid": 6, "silu": 7,
}  # fmt: skip
_SILUT = 8


def _threshold(key):
    """Threshold of 'silut', 'silut:T' and their synonyms 'custom_silu...'; None for other names."""
    base, _, number = key.partition(":")
    if base not in ("silut", "custom_silu"):
        return None
    try:
        return float(number or 3.0)
    except ValueError:
        return None


def activation_code(name):
    """(code, threshold) of a valid name for the package's own ops; the threshold as two float32 numbers that add up to it."""
    key = str(name).lower()
    if key in _CODES:
        return _CODES[key], []
    threshold = _threshold(key)
    high = float(np.float32(threshold))
    return _SILUT, [high, threshold - high]


def get_activation(name, where="activation_function"):
    """The function for a name (case-insensitive; None and 'none' are the identity; 'silut' and 'silut:T')."""
    key = str(name).lower()
    if key in _FUNCTIONS:
        return _FUNCTIONS[key]
    threshold = _threshold(key)
    if threshold is not None:
        return _silut(threshold)
    raise UserError(f"'{name}' is not an activation", where, f"one of {', '.join(_FUNCTIONS)}, silut, silut:T")


def get_fused_activation(name):
    """The same function of a valid name as one op, where the package has a fast one (silu, silut): twice differentiable."""
    key = str(name).lower()
    if key != "silu" and _threshold(key) is None:
        return get_activation(key)
    code, threshold = activation_code(key)
    return lambda x: op_module.dptf_activation(x, [], activation=code, threshold=threshold)
