"""Fit the uncertainty of a frozen model on its training data, calibrate it on validation data, and say how good it is."""

import logging
import os
import tempfile

import numpy as np

from dptf.errors import UserError
from dptf.graph.load import load_graph_def, write_graph_def
from dptf.graph.uncertainty import (
    FEATURES,
    OUTPUT,
    Rule,
    model_cutoff,
    with_candidates,
    with_features,
    with_uncertainty,
)
from dptf.infer.labelled import LabelledSystem

log = logging.getLogger(__name__)

_CHUNK_ATOMS = 20_000
#: Ridges and weightings from which calibration data choose.
_RIDGES, _EXPONENTS = (1e-13, 1e-11, 1e-9, 1e-7, 1e-5), (1.0, 2.0, 4.0, 8.0)


def _frames(model, paths):
    """Yield (system, arguments of eval, frames) of all systems, in chunks."""
    for path in paths:
        system = LabelledSystem(path, model.get_type_map())
        for index in system.chunks(system.select(), _CHUNK_ATOMS):
            yield system, system.arguments(model, index), index


def _covariances(graph_def, paths, folder):
    """Sum of phi phi^T per type over the atoms of systems."""
    from dptf.infer import DeepPot

    file = os.path.join(folder, "features.pb")
    write_graph_def(with_features(graph_def), file)
    with DeepPot(file) as model:
        total = None
        for _, args, _ in _frames(model, paths):
            phi, types = model.eval_output(FEATURES, **args), np.asarray(args["atom_types"])
            types = np.broadcast_to(types, phi.shape[:2])
            if total is None:
                total = np.zeros((int(model.get_ntypes()), phi.shape[-1], phi.shape[-1]))
            for t in range(len(total)):
                rows = phi[types == t]
                total[t] += rows.T @ rows
    return total


def _candidates(graph_def):
    """Rules to choose from."""
    cutoff = model_cutoff(graph_def)
    kinds = [(0.0, 1.0)] + [(cutoff, e) for e in _EXPONENTS if cutoff > 0]
    return [Rule(ridge, *kind) for ridge in _RIDGES for kind in kinds]


def _raw(graph_def, covariances, rules, paths, folder):
    """Uncalibrated deviations (n, rules), force errors (n, 3), and whether the frame is in the first half of its system."""
    from dptf.infer import DeepPot

    file = os.path.join(folder, "raw.pb")
    write_graph_def(with_candidates(graph_def, covariances, rules), file)
    std, errors, early = [], [], []
    with DeepPot(file) as model:
        for system, args, index in _frames(model, paths):
            label, present = system.label("force", index, 3, atomic=True)
            if not present.all():
                raise UserError("has no forces", system.name, "calibrate on data with force labels")
            force = model.eval(**args)[1]
            there = np.broadcast_to(np.asarray(args["atom_types"]) >= 0, force.shape[:2])
            std.append(np.sqrt(model.eval_output(OUTPUT, **args).reshape(*there.shape, -1)[there]))
            errors.append((force - label)[there])
            first = np.asarray(index) < (len(system.select()) + 1) // 2
            early.append(np.broadcast_to(first[:, None], there.shape)[there])
    return np.concatenate(std), np.concatenate(errors), np.concatenate(early)


def calibrate(std, errors):
    """Scale and floor (eV/Å) that make sqrt((scale std)^2 + floor^2) the likeliest deviation of the errors.

    Parameters
    ----------
    std : array, shape (n,) or (n, k)
        k kinds of deviation, each of which is calibrated for itself.
    errors : array, shape (n, 3)

    Returns
    -------
    scale, floor, nll : floats or arrays of shape (k,)
        ``nll`` is the negative log-likelihood per component.
    """
    import tensorflow_probability as tfp

    from dptf.ops import tf
    from dptf.session import new_session

    rows = std.reshape(len(std), -1).T
    ratio = np.sqrt(np.mean(errors**2)) / np.sqrt(np.mean(rows**2, axis=1))
    with tf.Graph().as_default(), new_session() as session:
        s, e = tf.constant((ratio[:, None] * rows)[..., None]), tf.constant(errors[None])

        def nll(x):
            square = tf.exp(2 * x)[:, :, None, None]
            scale = tf.sqrt(square[:, 0] * s**2 + square[:, 1])
            return -tf.reduce_mean(tfp.distributions.Normal(tf.zeros([], tf.float64), scale).log_prob(e), axis=[1, 2])

        start = np.tile([-0.5, np.log(np.std(errors)) - 1.0], (len(rows), 1))
        found = tfp.optimizer.lbfgs_minimize(lambda x: tfp.math.value_and_gradient(nll, x), tf.constant(start))
        x, value = session.run([found.position, found.objective_value])
    out = ratio * np.exp(x[:, 0]), np.exp(x[:, 1]), value
    return out if std.ndim > 1 else tuple(float(v[0]) for v in out)


def quality(std, errors):
    """Negative log-likelihood per component, rank correlation with the error of the force, and a calibration table.

    Returns
    -------
    dict
        ``nll`` and ``nll_constant`` (one deviation for all), ``spearman``, ``bins``: rows of (predicted, observed) deviations [eV/Å].
    """
    from scipy.stats import norm, spearmanr

    bins = np.array_split(np.argsort(std), min(10, len(std)))
    return {
        "nll": float(-norm.logpdf(errors, scale=std[:, None]).mean()),
        "nll_constant": float(-norm.logpdf(errors, scale=np.sqrt(np.mean(errors**2))).mean()),
        "spearman": float(spearmanr(std, np.linalg.norm(errors, axis=1))[0]),
        "bins": [[float(np.sqrt(np.mean(std[b] ** 2))), float(np.sqrt(np.mean(errors[b] ** 2)))] for b in bins],
    }


def choose(rules, std, errors):
    """The rule whose calibrated deviations make the errors likeliest, with its scale and floor.

    Parameters
    ----------
    rules : list of Rule
    std : array, shape (n, rules)
    errors : array, shape (n, 3)
    """
    usable = [k for k, column in enumerate(std.T) if np.isfinite(column).all() and np.ptp(column) > 0]
    if not usable:
        raise UserError("say nothing: all atoms of the calibration data have the same variance", "-c/--valid-data")
    scale, floor, nll = calibrate(std[:, usable], errors)
    best = int(np.nanargmin(nll))
    return rules[usable[best]], float(scale[best]), float(floor[best])


def fit_uncertainty(path, output, training, validation, report=None):
    """Write a frozen model with uncertainties; returns what was chosen, and its quality on data that had no part in it.

    Parameters
    ----------
    path, output : str
        Frozen models.
    training, validation : list of str
        Systems.
    report : list of str, optional
        Systems on which the quality is told; by default the second half of the frames of every validation system is left for it.
    """
    graph_def = load_graph_def(path)
    if any(n.name == OUTPUT for n in graph_def.node):
        raise UserError("has uncertainties already", path, "start from the model without")
    rules = _candidates(graph_def)
    with tempfile.TemporaryDirectory(prefix="dptf-") as folder:
        covariances = _covariances(graph_def, training, folder)
        std, errors, fitted = _raw(graph_def, covariances, rules, validation, folder)
        if report:
            fitted[:] = True
            held_out = _raw(graph_def, covariances, rules, report, folder)[:2]
        elif fitted.all():
            log.warning("one frame of validation data: the quality is told on the frame of the calibration")
            held_out = std, errors
        else:
            held_out = std[~fitted], errors[~fitted]
    rule, scale, floor = choose(rules, std[fitted], errors[fitted])
    write_graph_def(with_uncertainty(graph_def, covariances, rule, scale, floor), output)
    column = held_out[0][:, rules.index(rule)]
    result = quality(np.sqrt((scale * column) ** 2 + floor**2), held_out[1])
    return {
        "scale": scale, "floor": floor, **rule._asdict(), "atoms": int(fitted.sum()), "atoms_held_out": len(column), **result,
    }  # fmt: skip


def draw(result, path):
    """Picture of predicted against observed deviations."""
    from dptf.plot.canvas import check_target, figure, save

    check_target(path, "--plot")
    fig, axes = figure(1)
    axis = np.ravel(axes)[0]
    predicted, observed = np.array(result["bins"]).T
    ends = [0.8 * min(predicted.min(), observed.min()), 1.25 * max(predicted.max(), observed.max())]
    axis.plot(ends, ends, color="0.6", lw=1)
    axis.plot(predicted, observed, "o-")
    axis.set(xscale="log", yscale="log", xlabel="predicted deviation [eV/Å]", ylabel="observed error [eV/Å]")
    axis.set_title(f"calibration, rank correlation {result['spearman']:.2f}")
    save(fig, path)
