"""Block extended Kalman filter: training of small nets in far fewer steps than gradient descent.

The weights are the state, and every measurement is one number: the mean absolute error of the energies, of the forces on a
random quarter of the atoms, or of the virials. Its derivative in the weights and the covariance of the weights (kept in blocks)
give the step. A training step is one measurement after the other: forces of each quarter, virials, energies.
"""

import logging

import numpy as np

from dptf.errors import UserError
from dptf.nn.parameters import global_dtype
from dptf.ops import op_module, tf

log = logging.getLogger(__name__)

#: Largest covariance, bytes.
_LIMIT = 8 << 30
_GROUPS = 4


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

    def _measure(self, error, prediction, weight, world, more):
        """Update from one measurement.

        Parameters
        ----------
        error : scalar tensor
            Mean absolute error.
        prediction : scalar tensor
            Its derivative in the weights is that of the error, with the opposite sign.
        """
        grads = [
            tf.zeros_like(v) if g is None else tf.convert_to_tensor(g)
            for g, v in zip(tf.gradients(prediction, self._variables), self._variables)
        ]
        h = tf.concat([tf.reshape(g, [-1]) for g in grads], 0)
        h, error, *more = world.average([h, error, *more])
        step = op_module.dptf_kalman_measure(self._covariance, h, weight * error, self._forget, blocks=self._blocks)
        parts = tf.split(step, [int(np.prod(v.shape.as_list())) for v in self._variables])
        with tf.control_dependencies(parts):
            updates = [tf.assign_add(v, tf.reshape(s, v.shape)) for v, s in zip(self._variables, parts)]
            nue = self._section["kf_nue"]
            updates.append(tf.assign(self._forget, nue * self._forget + 1.0 - nue))
        return [*more, tf.group(*updates)]

    def minimize(self, branch, variables, global_step, world, flag):
        """Measurements of a branch: for each the tensors that a run of it fetches."""
        terms = set(branch.loss.terms)
        if not hasattr(branch.loss, "pref") or terms - {"e", "f", "v"} or getattr(branch.loss, "huber", None):
            raise UserError("fits energies, forces and virials only", "optimizer/type", "use Adam with this loss")
        self._group = tf.placeholder(global_dtype(), [None], name="kalman_atoms")
        n = tf.cast(branch.inputs["natoms"][0], tf.float64)
        ratio = tf.cast(branch.inputs_lr, tf.float64) / self._start_lr
        labels, out, runs = branch.labels, branch.outputs, []

        def weight(key):
            start, limit = self._section[f"kf_start_pref_{key}"], self._section[f"kf_limit_pref_{key}"]
            return limit + (start - limit) * ratio

        def measurement(diff, value, mask, count, find, pref, more=()):
            """Mean absolute error of selected numbers, and the signed mean of their predictions."""
            sign = tf.stop_gradient(tf.sign(diff) * mask * find / tf.maximum(count, 1.0))
            error = tf.reduce_sum(tf.abs(diff) * mask * find) / tf.maximum(count, 1.0)
            return self._measure(error, tf.reduce_sum(sign * value), pref, world, more)

        whole = [branch.objective, flag]
        if "f" in terms:
            force = tf.cast(out["force"][:, : 3 * branch.inputs["natoms"][0]], tf.float64)
            diff = tf.reshape(labels["force"], tf.shape(force)) - force
            mask = tf.repeat(tf.cast(self._group, tf.float64), 3)[None, :] * tf.ones_like(force)
            runs.append(
                measurement(
                    diff,
                    force,
                    mask,
                    tf.reduce_sum(mask),
                    tf.cast(labels["find_force"], tf.float64),
                    weight("f"),
                    whole,
                )
            )
        if "v" in terms:
            virial = tf.cast(out["virial"], tf.float64) / n
            diff = tf.reshape(labels["virial"], [-1, 9]) / n - virial
            size = tf.cast(tf.size(diff), tf.float64)
            runs.append(
                measurement(
                    diff,
                    virial,
                    1.0,
                    size,
                    tf.cast(labels["find_virial"], tf.float64),
                    weight("e"),
                    whole if not runs else (),
                )
            )
        if "e" in terms:
            energy = out["energy"] / n
            diff = tf.reshape(labels["energy"], [-1]) / n - energy
            size = tf.cast(tf.size(diff), tf.float64)
            runs.append(
                measurement(
                    diff,
                    energy,
                    1.0,
                    size,
                    tf.cast(labels["find_energy"], tf.float64),
                    weight("e"),
                    whole if not runs else (),
                )
            )
        self._repeat = [_GROUPS if "f" in terms else 1] + [1] * (len(runs) - 1)
        with tf.control_dependencies([runs[-1][-1]]):
            runs[-1][-1] = tf.group(tf.assign_add(global_step, 1))
        runs[0] = [branch.objective, *runs[0]]
        return runs

    def callable(self, session, branch, runs, flag):
        """Function of the values of ``branch.feed_list`` and the flag that makes a training step."""
        feeds = [*branch.feed_list, flag, self._group]
        calls = [session.make_callable(run, feed_list=feeds) for run in runs]
        natoms, repeat = branch.feed_list.index(branch.inputs["natoms"]), self._repeat
        state = {"step": None}

        def step(*values):
            n = int(values[natoms][0])
            if state["step"] is None:
                state["step"] = int(session.run("global_step:0"))
            group = np.random.RandomState([self._seed % 2**32, state["step"]]).permutation(n) * _GROUPS // max(n, 1)
            state["step"] += 1
            first = None
            for call, times in zip(calls, repeat):
                for k in range(times):
                    seen = call(*values, (group == k).astype(float))
                    first = first or seen
            return first[:3]

        return step
