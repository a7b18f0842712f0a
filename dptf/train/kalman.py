"""Block extended Kalman filter: training of small nets in far fewer steps than gradient descent.

The weights are the state, and every measurement is one number: the mean absolute error of the energies, of the virials, or of the
forces on a random part of the atoms. Their derivatives in the weights and the covariance of the weights (kept in blocks) give the
step. All measurements of a batch are taken at once, so the model is evaluated and the covariance read only once per step.
"""

import logging

import numpy as np

from dptf.errors import UserError
from dptf.ops import op_module, tf

log = logging.getLogger(__name__)

#: Largest covariance, bytes.
_LIMIT = 8 << 30


def block_sizes(sizes, largest):
    """Blocks of weights: variables in order, small ones together, large ones cut."""
    out, current = [], 0
    for n in sizes:
        if current and current + n > largest:
            out.append(current)
            current = 0
        while n > largest:
            out.append(largest)
            n -= largest
        current += n
        if current == largest:
            out.append(current)
            current = 0
    return out + [current] if current else out


class Kalman:
    """The optimizer of type ``LKF``.

    Parameters
    ----------
    section : dict
        ``optimizer`` of the normalised input.
    variables : list of variables
        Trainable ones.
    start_lr : float
        The prefactors move between start and limit as those of the loss do, with the learning rate.
    seed : int or None
        Of the groups of atoms.
    """

    def __init__(self, section, variables, start_lr, seed):
        if any(v.dtype.base_dtype != tf.float64 for v in variables):
            raise UserError("trains nets in float64 only", "optimizer/type", "use Adam, or precision float64")
        self._section, self._variables, self._start_lr, self._seed = section, variables, start_lr, seed or 0
        sizes = [int(np.prod(v.shape.as_list())) for v in variables]
        self._blocks = block_sizes(sizes, section["kf_blocksize"])
        entries = sum(n * (n + 1) // 2 for n in self._blocks)
        log.info("Kalman filter: %d weights in %d blocks, %.1f MB", sum(sizes), len(self._blocks), entries * 8e-6)
        if entries * 8 > _LIMIT:
            raise UserError(
                f"needs {entries * 8 >> 20} MB for {sum(sizes)} weights",
                "optimizer/kf_blocksize",
                "use smaller blocks or nets",
            )
        diagonal = np.zeros(entries)
        first = 0
        for n in self._blocks:
            diagonal[first + np.cumsum(np.arange(1, n + 1)) - 1] = 1.0
            first += n * (n + 1) // 2
        self._start = diagonal
        self._placeholder = tf.placeholder(tf.float64, [entries])
        self._covariance = tf.get_variable(
            "kalman/covariance", shape=[entries], dtype=tf.float64, trainable=False, initializer=tf.zeros_initializer(),
            use_resource=False,
        )  # fmt: skip
        self._groups = section["kf_groups"]
        self._group_of = {}  # of every branch, the group of every atom
        self._fill = tf.assign(self._covariance, self._placeholder)
        self._forget = tf.get_variable(
            "kalman/forget",
            trainable=False,
            initializer=tf.constant(section["kf_lambda"], tf.float64),
            use_resource=False,
        )

    def initialise(self, session):
        """Covariance of one for every weight (too large for a constant of the graph)."""
        session.run(self._fill, {self._placeholder: self._start})
        self._start = None

    def _gradient(self, value):
        """Derivative of a scalar tensor in all weights, one after the other."""
        grads = [
            tf.zeros_like(v) if g is None else tf.convert_to_tensor(g)
            for g, v in zip(tf.gradients(value, self._variables), self._variables)
        ]
        return tf.concat([tf.reshape(g, [-1]) for g in grads], 0)

    def _measurements(self, branch):
        """Errors (scalar tensors), and predictions whose derivatives in the weights are theirs with the opposite sign."""
        n = tf.cast(branch.inputs["natoms"][0], tf.float64)
        ratio = tf.cast(branch.inputs_lr, tf.float64) / self._start_lr
        labels, out, found = branch.labels, branch.outputs, []

        def measure(key, diff, value, find, mask=None):
            mask = tf.ones_like(diff) if mask is None else mask
            share = mask * tf.cast(find, tf.float64) / tf.maximum(tf.reduce_sum(mask), 1.0)
            start, limit = self._section[f"kf_start_pref_{key}"], self._section[f"kf_limit_pref_{key}"]
            weight = limit + (start - limit) * ratio
            sign = tf.stop_gradient(tf.sign(diff) * share)
            found.append((weight * tf.reduce_sum(tf.abs(diff) * share), tf.reduce_sum(sign * value)))

        group = tf.placeholder_with_default(tf.range(branch.inputs["natoms"][0]) % self._groups, [None])
        self._group_of[branch] = group
        if "f" in branch.loss.terms:
            force = tf.cast(out["force"][:, : 3 * branch.inputs["natoms"][0]], tf.float64)
            diff = tf.reshape(labels["force"], tf.shape(force)) - force
            for k in range(self._groups):
                mask = tf.repeat(tf.cast(tf.equal(group, k), tf.float64), 3)[None, :] * tf.ones_like(force)
                measure("f", diff, force, labels["find_force"], mask)
        if "v" in branch.loss.terms:
            virial = tf.cast(out["virial"], tf.float64) / n
            measure("e", tf.reshape(labels["virial"], [-1, 9]) / n - virial, virial, labels["find_virial"])
        if "e" in branch.loss.terms:
            energy = out["energy"] / n
            measure("e", tf.reshape(labels["energy"], [-1]) / n - energy, energy, labels["find_energy"])
        return found

    def minimize(self, branch, variables, global_step, world, flag):
        """Loss of this rank, mean loss of the ranks, mean of the flag, and the update."""
        terms = set(branch.loss.terms)
        if not hasattr(branch.loss, "pref") or terms - {"e", "f", "v"} or getattr(branch.loss, "huber", None):
            raise UserError("fits energies, forces and virials only", "optimizer/type", "use Adam with this loss")
        errors, predictions = zip(*self._measurements(branch))
        rows = [self._gradient(p) for p in predictions]
        *mean, mean_loss, mean_flag = world.average([*rows, *errors, branch.objective, flag])
        rows, errors = tf.stack(mean[: len(rows)]), tf.stack(mean[len(rows) :])
        # Each measurement makes older ones count less.
        forget = self._forget ** float(len(predictions))
        step = op_module.dptf_kalman_measure(self._covariance, rows, errors, forget, blocks=self._blocks)
        parts = tf.split(step, [int(np.prod(v.shape.as_list())) for v in self._variables])
        with tf.control_dependencies(parts):
            updates = [tf.assign_add(v, tf.reshape(s, v.shape)) for v, s in zip(self._variables, parts)]
            slow = self._section["kf_nue"] ** len(predictions)
            updates.append(tf.assign(self._forget, slow * self._forget + 1.0 - slow))
            updates.append(tf.assign_add(global_step, 1))
        return [branch.objective, mean_loss, mean_flag, tf.group(*updates)]

    def callable(self, session, branch, update, flag):
        """Function of the values of ``branch.feed_list`` and the flag that makes a training step."""
        call = session.make_callable(update, feed_list=[*branch.feed_list, flag, self._group_of[branch]])
        natoms, state = branch.feed_list.index(branch.inputs["natoms"]), {"step": None}

        def step(*values):
            n = int(values[natoms][0])
            if state["step"] is None:
                state["step"] = int(session.run("global_step:0"))
            order = np.random.RandomState([self._seed % 2**32, state["step"]]).permutation(n)
            state["step"] += 1
            return call(*values, (order * self._groups // max(n, 1)).astype(np.int32))

        return step
