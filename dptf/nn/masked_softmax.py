"""Softmax over neighbor slots: with empty slots left out, or smoothly damped by the switch of the neighbors."""

from dptf.ops import tf

#: Logits of slots that are switched off.
SHIFT = 20.0


def masked(logits, mask):
    """Softmax over the last axis where ``mask`` (broadcast, bool); rows without any slot give finite numbers."""
    low = tf.constant(-(2.0**33), logits.dtype)
    return tf.nn.softmax(tf.where(tf.broadcast_to(mask, tf.shape(logits)), logits, low * tf.ones_like(logits)))


def damped(logits, weight, missing):
    """Softmax of ``(logits + 20) weight - 20`` over the last axis.

    Parameters
    ----------
    logits : tensor, shape (..., k)
    weight : tensor, broadcast to that shape
        Product of the switches involved.
    missing : scalar tensor
        Switched-off slots that the last axis lacks; they count in the denominator.
    """
    x = (logits + SHIFT) * weight - SHIFT
    top = tf.stop_gradient(tf.maximum(tf.reduce_max(x, axis=-1, keepdims=True), tf.constant(-SHIFT, x.dtype)))
    e = tf.exp(x - top)
    rest = tf.cast(missing, x.dtype) * tf.exp(-SHIFT - top)
    return e / (tf.reduce_sum(e, axis=-1, keepdims=True) + rest)
