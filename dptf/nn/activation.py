"""Activation functions by their names in the input."""

import math

from dptf.errors import UserError
from dptf.ops import tf

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


def get_activation(name, where="activation_function"):
    """The function for a name (case-insensitive; None and 'none' are the identity; 'silut' and 'silut:T')."""
    key = str(name).lower()
    if key in _FUNCTIONS:
        return _FUNCTIONS[key]
    if key.partition(":")[0] == "silut":
        try:
            return _silut(float(key.partition(":")[2] or 3.0))
        except ValueError:
            pass
    raise UserError(f"'{name}' is not an activation", where, f"one of {', '.join(_FUNCTIONS)}, silut, silut:T")
