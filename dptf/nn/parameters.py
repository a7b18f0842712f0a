"""Where the numbers of a graph come from: fresh variables, variables with given values, or constants.

The builders of descriptors and fittings ask a :class:`Parameters` for every array by its full name, so training,
restoring, freezing and importing share one builder.
"""

import numpy as np

from dptf.env import GLOBAL_NP_FLOAT
from dptf.errors import UserError
from dptf.ops import tf

_PRECISIONS = {
    "float16": tf.float16, "float32": tf.float32, "float64": tf.float64, "bfloat16": tf.bfloat16,
}  # fmt: skip


def global_dtype():
    """Type of coordinates, statistics and forces."""
    return tf.as_dtype(GLOBAL_NP_FLOAT)


def get_precision(name, where="precision"):
    """TensorFlow type for a precision name; 'default' is the interface precision."""
    if name in (None, "default"):
        return global_dtype()
    if name not in _PRECISIONS:
        raise UserError(f"'{name}' is not a precision", where, f"one of default, {', '.join(_PRECISIONS)}")
    return _PRECISIONS[name]


def lowered(dtype, *tensors):
    """The tensors in another floating type; None stays None, and with dtype None all stay as they are."""
    return tensors if dtype is None else [None if x is None else tf.cast(x, dtype) for x in tensors]


class Parameters:
    """Source of the arrays of a graph.

    Parameters
    ----------
    values : dict of str to array, optional
        Known values by full name. Names that are absent are initialised (variables) or refused (constants).
    constant : bool
        Make constants ``<name>`` followed by ``<name>/read``, as a frozen graph has them, instead of variables.
    portable : bool
        The graph is for others too, constant or not: no op that only training has.
    """

    def __init__(self, values=None, constant=False, portable=None):
        self.values, self.constant = dict(values or {}), constant
        self.portable = constant if portable is None else portable
        self.used = set()
        self._made = {}

    def has(self, name):
        """Whether a value is known."""
        return name in self.values

    def get(self, name, shape, initializer, dtype, trainable=True):
        """Tensor or variable of a name; asked for twice it is the same one.

        Parameters
        ----------
        initializer : array or TensorFlow initializer
            Used when no value is known.
        """
        if name in self._made:
            return self._made[name]
        self.used.add(name)
        if name in self.values:
            value = np.asarray(self.values[name])
            if value.size != int(np.prod(shape)):
                raise UserError(
                    f"has shape {list(value.shape)}, the model needs {list(shape)}", name,
                    "the network sizes in the input differ from those of the model file or checkpoint",
                )  # fmt: skip
            initializer = value.reshape(shape)
        elif self.constant and not isinstance(initializer, np.ndarray):
            raise UserError("is missing in the checkpoint or model file", name)
        if self.constant:
            const = tf.constant(np.asarray(initializer), dtype=dtype, shape=shape, name=name)
            out = tf.identity(const, name=f"{name}/read")
        else:
            if isinstance(initializer, np.ndarray):
                out = tf.get_variable(
                    name, dtype=dtype, trainable=trainable,
                    initializer=tf.constant(initializer.astype(dtype.as_numpy_dtype)),
                )  # fmt: skip
            else:
                out = tf.get_variable(name, shape=shape, dtype=dtype, trainable=trainable, initializer=initializer)
        self._made[name] = out
        return out

    def keep(self, name, shape, initializer, dtype):
        """A variable that no output reads: the public package looks for it in a checkpoint."""
        if not self.constant:
            self.get(name, shape, initializer, dtype, trainable=False)


def normal(stddev, mean=0.0, seed=None):
    """Normal initializer (the graph-mode stateful generator, so equal op seeds give equal weights)."""
    return tf.random_normal_initializer(mean=mean, stddev=stddev, seed=seed)
