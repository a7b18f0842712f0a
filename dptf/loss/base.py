"""What the losses share: placeholders of the labels, scheduled prefactors, metrics that are NaN without labels."""

from dptf.nn.parameters import global_dtype
from dptf.ops import tf


class Loss:
    """Base of the losses.

    A member gives ``label_requirements``, ``metric_names`` and ``build(outputs, labels, natoms, lr)``, which returns the scalar loss
    (float64) and the metrics in the order of their names; unavailable labels give NaN there and nothing in the loss.
    """

    #: Whether derivatives of the outputs are compared.
    needs_derivatives = True

    def __init__(self, start_lr):
        self.start_lr = start_lr

    def placeholders(self):
        """Flat label inputs by key, with their find flags."""
        out = {}
        for req in self.label_requirements():
            dtype = tf.float64 if req.high_prec else global_dtype()
            out[req.key] = tf.placeholder(dtype, [None], name=f"t_{req.key}")
            out[f"find_{req.key}"] = tf.placeholder(tf.float32, [], name=f"t_find_{req.key}")
        return out

    def wanted_labels(self):
        """Keys of labels that at least one system must have."""
        return {req.key for req in self.label_requirements()}

    def weight(self, batch):
        """Weight of a batch in averages of the metrics."""
        return float(batch["natoms_vec"][0])

    def _scheduled(self, limits, lr, find):
        """find (limit + (start - limit) lr / lr(0)), float64; `limits` is (start, limit)."""
        start, limit = limits
        return tf.cast(find, tf.float64) * (limit + (start - limit) * tf.cast(lr, tf.float64) / self.start_lr)

    @staticmethod
    def _metric(find, value):
        return tf.where(find > 0, value, tf.constant(float("nan"), tf.float64))


def mean_square(diff):
    """Mean of the squares, in float64."""
    diff = tf.cast(diff, tf.float64)
    return tf.reduce_mean(diff * diff)
