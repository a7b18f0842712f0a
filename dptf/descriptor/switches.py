"""Switch functions: 1 near the center, 0 at the cutoff."""

from dptf.ops import tf


def polynomial_switch(r, smooth, cutoff):
    """1 below `smooth`, 0 from `cutoff` on, with two continuous derivatives."""
    u = tf.clip_by_value((r - smooth) / (cutoff - smooth), 0.0, 1.0)
    return u * u * u * (u * (15.0 - 6.0 * u) - 10.0) + 1.0


def exponential_switch(r, smooth, cutoff):
    """exp(-exp(20 (r - smooth) / smooth)), which is small but not 0 at the cutoff."""
    return tf.exp(-tf.exp(20.0 / smooth * (tf.minimum(r, cutoff) - smooth)))


def switch(r, smooth, cutoff, *, exponential=False):
    """The switch of a model; r in Å, shape (...)."""
    return (exponential_switch if exponential else polynomial_switch)(r, smooth, cutoff)
