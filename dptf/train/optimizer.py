"""From a loss to an update of the variables."""

from dptf.errors import UserError
from dptf.ops import op_module, tf


def scaled_rate(section, size):
    """Factor of the learning rate in a run of `size` ranks."""
    rule = (section or {}).get("scale_by_worker", "linear")
    return {"linear": float(size), "sqrt": float(size) ** 0.5, "none": 1.0}[rule]


def make_optimizer(config, lr, variables):
    """The optimizer of a normalised input; `lr` is the scaled learning rate."""
    section, options = config.get("optimizer", {}), config["training"]
    if section.get("type", "Adam") == "LKF":
        from dptf.train.kalman import Kalman

        if options.get("gradient_max_norm"):
            raise UserError("has no meaning with optimizer LKF", "training/gradient_max_norm", "remove it")
        return Kalman(section, variables, float(config["learning_rate"]["start_lr"]), options.get("seed"))
    return Adam(section, lr, options.get("gradient_max_norm"))


class FusedAdam(tf.train.AdamOptimizer):
    """TensorFlow's Adam, its variables and their names included, with one op for the weights of a precision."""

    def apply_gradients(self, grads_and_vars, global_step=None, name=None):
        """The update as an operation; every gradient is a dense tensor."""
        pairs = list(grads_and_vars)
        if any(not v.dtype._is_ref_dtype for _, v in pairs):
            return super().apply_gradients(pairs, global_step, name)
        self._create_slots([v for _, v in pairs])
        self._prepare()
        updates = []
        for dtype in dict.fromkeys(v.dtype.base_dtype for _, v in pairs):
            grads, weights = zip(*[(g, v) for g, v in pairs if v.dtype.base_dtype == dtype])
            constants = [self._lr_t, self._beta1_t, self._beta2_t, self._epsilon_t, *self._get_beta_accumulators()]
            updates.append(
                op_module.dptf_adam(
                    [v._ref() for v in weights], [self.get_slot(v, "m")._ref() for v in weights],
                    [self.get_slot(v, "v")._ref() for v in weights], list(grads),
                    tf.stack([tf.cast(c, dtype) for c in constants]),
                )
            )  # fmt: skip
        with tf.control_dependencies([self._finish(updates, name or "adam")]):
            return tf.no_op() if global_step is None else tf.assign_add(global_step, 1).op


class Adam:
    """Adam on gradients that are averaged over the ranks.

    Parameters
    ----------
    section : dict
        ``optimizer`` of the normalised input.
    lr : tensor
        Learning rate, scaled for the number of ranks.
    max_norm : float, optional
        Gradients whose norm over all variables is larger are scaled down to it.
    """

    def __init__(self, section, lr, max_norm=None):
        self._adam = FusedAdam(lr, beta1=section.get("adam_beta1", 0.9), beta2=section.get("adam_beta2", 0.999))
        self._max_norm = max_norm

    def minimize(self, branch, variables, global_step, world, flag):
        """Update for one branch.

        Returns
        -------
        list of tensors
            Loss of this rank, mean loss of the ranks, mean of the flag, and the update.
        """
        pairs = [(g, v) for g, v in zip(tf.gradients(branch.objective, variables), variables) if g is not None]
        if not pairs:
            raise UserError("every part of the model is frozen (trainable: false)", "model", "nothing can be trained")
        grads = [tf.convert_to_tensor(g) for g, _ in pairs]
        *grads, mean_loss, mean_flag = world.average([*grads, branch.objective, flag])
        if self._max_norm:
            grads, _ = tf.clip_by_global_norm(grads, self._max_norm)
        # Variables are updated in place: none may change while a gradient still has to read it.
        grads = tf.tuple(grads)
        update = self._adam.apply_gradients(list(zip(grads, [v for _, v in pairs])), global_step=global_step)
        return [branch.objective, mean_loss, mean_flag, update]

    def initialise(self, session):
        """Nothing beyond the initial values of the variables."""

    def callable(self, session, branch, update, flag):
        """Function of the values of ``branch.feed_list`` and the flag that makes a training step."""
        return session.make_callable(update, feed_list=[*branch.feed_list, flag])
