"""From a loss to an update of the variables."""

from dptf.errors import UserError
from dptf.ops import op_module, tf
from dptf.ops_ragged import moments_when_needed


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
        if options.get("mixed_precision"):
            raise UserError("does not go with optimizer LKF", "training/mixed_precision", "remove one of them")
        return Kalman(section, variables, float(config["learning_rate"]["start_lr"]), options.get("seed"))
    mixed = (options.get("mixed_precision") or {}).get("compute_prec")
    return Adam(
        section,
        lr,
        options.get("gradient_max_norm"),
        scaled_loss=mixed == "float16",
        idle=options.get("numb_steps") == 0,
    )


class FusedAdam(tf.train.AdamOptimizer):
    """TensorFlow's Adam, its variables and their names included, with one op for the weights of a precision."""

    def apply_gradients(self, grads_and_vars, global_step=None, name=None):
        """The update as an operation; every gradient is a dense tensor."""
        pairs = list(grads_and_vars)
        if any(not v.dtype._is_ref_dtype or v.dtype.base_dtype not in (tf.float32, tf.float64) for _, v in pairs):
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
    scaled_loss : bool
        Take gradients of the loss times a factor, for half precision.
    idle : bool
        No step will be made (a model is only put together), so there need not be anything to train.
    """

    def __init__(self, section, lr, max_norm=None, *, scaled_loss=False, idle=False):
        # The fused op cannot be left out of a step.
        kind = tf.train.AdamOptimizer if scaled_loss else FusedAdam
        self._adam = kind(lr, beta1=section.get("adam_beta1", 0.9), beta2=section.get("adam_beta2", 0.999))
        self._max_norm, self._idle = max_norm, idle
        self._scale = LossScale() if scaled_loss else None

    def minimize(self, branch, variables, global_step, world, flag):
        """Update for one branch.

        Returns
        -------
        list of tensors
            Loss of this rank, mean loss of the ranks, mean of the flag, and the update.
        """
        objective = branch.objective if self._scale is None else self._scale.up(branch.objective)
        pairs = [(g, v) for g, v in zip(tf.gradients(objective, variables), variables) if g is not None]
        if not pairs and self._idle:
            return [branch.objective, branch.objective, flag, tf.no_op()]
        if not pairs:
            raise UserError("every part of the model is frozen (trainable: false)", "model", "nothing can be trained")
        grads = [tf.convert_to_tensor(g) for g, _ in pairs]
        moments_when_needed(tf.get_default_graph())
        *grads, mean_loss, mean_flag = world.average([*grads, branch.objective, flag])
        if self._scale is not None:
            grads = self._scale.down(grads)
        if self._max_norm:
            grads, _ = tf.clip_by_global_norm(grads, self._max_norm)
        # Variables are updated in place: none may change while a gradient still has to read it.
        grads = tf.tuple(grads)
        pairs = list(zip(grads, [v for _, v in pairs]))
        if self._scale is None:
            update = self._adam.apply_gradients(pairs, global_step=global_step)
        else:
            update = self._scale.guard(self._adam, pairs, global_step)
        return [branch.objective, mean_loss, mean_flag, update]

    def initialise(self, session):
        """Nothing beyond the initial values of the variables."""

    def callable(self, session, branch, update, flag):
        """Function of the values of ``branch.feed_list`` and the flag that makes a training step."""
        return session.make_callable(update, feed_list=[*branch.feed_list, flag])


class LossScale:
    """A factor of the loss that keeps gradients within the range of half precision.

    A step whose gradients are not finite is left out (it counts as a step) and the factor halved; after 200 good ones in a row
    it is doubled. The gradients that are applied do not depend on it otherwise.
    """

    _PATIENCE, _LARGEST = 200, 2.0**15

    def __init__(self):
        fp = tf.float32
        self._factor = tf.get_variable("loss_scale/factor", dtype=fp, initializer=tf.constant(2.0**10), trainable=False)
        self._good = tf.get_variable("loss_scale/good_steps", dtype=fp, initializer=tf.constant(0.0), trainable=False)

    def up(self, loss):
        """The loss to differentiate."""
        return loss * tf.cast(self._factor, loss.dtype)

    def down(self, gradients):
        """Gradients of the loss itself."""
        return [g / tf.cast(self._factor, g.dtype) for g in gradients]

    def guard(self, optimizer, pairs, global_step):
        """The update by (gradient, variable), in which gradients that are not finite change nothing but the factor."""
        finite = tf.reduce_all(tf.stack([tf.reduce_all(tf.math.is_finite(g)) for g, _ in pairs]))
        with tf.control_dependencies([finite]):
            update = tf.cond(
                finite,
                lambda: tf.group(optimizer.apply_gradients(pairs, global_step=global_step)),
                lambda: tf.group(tf.assign_add(global_step, 1)),
            )
        good = tf.where(finite, self._good + 1.0, 0.0)
        full = good >= self._PATIENCE
        larger = tf.minimum(self._factor * tf.where(full, 2.0, 1.0), self._LARGEST)
        factor = tf.where(finite, larger, tf.maximum(self._factor * 0.5, 1.0))
        with tf.control_dependencies([update]):
            return tf.group(tf.assign(self._factor, factor), tf.assign(self._good, tf.where(full, 0.0, good)))
