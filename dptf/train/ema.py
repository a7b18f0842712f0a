"""Exponential moving average of the weights."""

from dptf.ops import tf


class MovingAverage:
    """Averages of trainable variables, kept in variables beside them.

    Parameters
    ----------
    variables : list of variables
    decay : float
        Weight of the old average in every step.
    """

    PREFIX = "ema/"

    def __init__(self, variables, decay):
        self.variables, self._decay = variables, decay
        self.averages = [
            tf.get_variable(self.PREFIX + v.op.name, initializer=v.initialized_value(), trainable=False)
            for v in variables
        ]
        self._reset = tf.group(*[tf.assign(a, v) for a, v in zip(self.averages, variables)])

    def after(self, update):
        """The tensors of a step, the last of which now averages after it has updated."""
        with tf.control_dependencies([update[-1]]):
            new = [
                tf.assign_sub(a, (1.0 - self._decay) * (a - tf.identity(v)))
                for a, v in zip(self.averages, self.variables)
            ]
        return [*update[:-1], tf.group(*new)]

    def reset(self, session):
        """Begin with the present weights."""
        session.run(self._reset)
