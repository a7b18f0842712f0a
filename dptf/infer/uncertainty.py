"""Fit the uncertainty of a frozen model on its training data, calibrate it on validation data, and say how good it is."""

import logging
import os
import tempfile

import numpy as np

from dptf.errors import UserError
from dptf.graph.load import load_graph_def, write_graph_def
from dptf.graph.uncertainty import FEATURES, OUTPUT, with_features, with_uncertainty
from dptf.infer.labelled import LabelledSystem

log = logging.getLogger(__name__)

_CHUNK_ATOMS = 20_000


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
    with DeepPot(file, plain=True) as model:
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


def _raw(graph_def, covariances, paths, folder):
    """Uncalibrated deviations and force errors (norm, and components) of all atoms of labelled systems."""
    from dptf.infer import DeepPot

    file = os.path.join(folder, "raw.pb")
    write_graph_def(with_uncertainty(graph_def, covariances), file)
    std, errors = [], []
    with DeepPot(file) as model:
        for system, args, index in _frames(model, paths):
            label, present = system.label("force", index, 3, atomic=True)
            if not present.all():
                raise UserError("has no forces", system.name, "calibrate on data with force labels")
            force = model.eval(**args)[1]
            there = np.broadcast_to(np.asarray(args["atom_types"]) >= 0, force.shape[:2])
            std.append(model.eval_output(OUTPUT, **args).reshape(there.shape)[there])
            errors.append((force - label)[there])
    return np.concatenate(std), np.concatenate(errors)


def calibrate(std, errors):
    """Scale and floor (eV/Å) that make sqrt((scale std)^2 + floor^2) the likeliest deviation of the errors.

    Parameters
    ----------
    std : array, shape (n,)
    errors : array, shape (n, 3)
    """
    import tensorflow_probability as tfp

    from dptf.ops import tf
    from dptf.session import new_session

    ratio = np.sqrt(np.mean(errors**2)) / np.sqrt(np.mean(std**2))
    with tf.Graph().as_default(), new_session() as session:
        s, e = tf.constant(ratio * std[:, None]), tf.constant(errors)

        def nll(x):
            scale = tf.sqrt(tf.exp(2 * x[0]) * s**2 + tf.exp(2 * x[1]))
            return -tf.reduce_mean(tfp.distributions.Normal(tf.zeros([], tf.float64), scale).log_prob(e))

        found = tfp.optimizer.lbfgs_minimize(
            lambda x: tfp.math.value_and_gradient(nll, x), tf.constant([-0.5, np.log(np.std(errors)) - 1.0], tf.float64)
        )
        x = session.run(found.position)
    return float(ratio * np.exp(x[0])), float(np.exp(x[1]))


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


def fit_uncertainty(path, output, training, validation):
    """Write a frozen model with uncertainties; returns the quality on the validation data.

    Parameters
    ----------
    path, output : str
        Frozen models.
    training, validation : list of str
        Systems.
    """
    graph_def = load_graph_def(path)
    if any(n.name == OUTPUT for n in graph_def.node):
        raise UserError("has uncertainties already", path, "start from the model without")
    with tempfile.TemporaryDirectory(prefix="dptf-") as folder:
        covariances = _covariances(graph_def, training, folder)
        std, errors = _raw(graph_def, covariances, validation, folder)
    scale, floor = calibrate(std, errors)
    write_graph_def(with_uncertainty(graph_def, covariances, scale, floor), output)
    result = quality(np.sqrt((scale * std) ** 2 + floor**2), errors)
    return {"scale": scale, "floor": floor, "atoms": len(std), **result}


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
