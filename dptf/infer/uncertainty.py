"""Fit the uncertainty of a frozen model on its training data, calibrate it on validation data, and say how good it is."""

import logging
import os
import tempfile
from typing import NamedTuple

import numpy as np

from dptf.errors import UserError
from dptf.graph.load import load_graph_def, write_graph_def
from dptf.graph.uncertainty import (
    FEATURES,
    OUTPUT,
    Calibration,
    Rule,
    model_cutoff,
    with_candidates,
    with_features,
    with_uncertainty,
)
from dptf.infer.labelled import LabelledSystem

log = logging.getLogger(__name__)

_CHUNK_ATOMS = 20_000
#: Gain of log-likelihood per component from which the length of the force is taken into account.
_GAIN = 1e-3
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


class Errors(NamedTuple):
    """What atoms of labelled frames say about the errors of forces.

    Attributes
    ----------
    root : array, shape (n,) or (n, rules)
        Roots of mean variances.
    force : array, shape (n,)
        Lengths of the predicted forces [eV/Å].
    errors : array, shape (n, 3)
        [eV/Å]
    """

    root: np.ndarray
    force: np.ndarray
    errors: np.ndarray

    def part(self, chosen):
        """The same of some of the atoms."""
        return Errors(*(a[chosen] for a in self))


def for_calibration(frames, count):
    """Whether frames (indices of `count`) are for the calibration: every second tenth of a system, so both parts see all of it."""
    return np.asarray(frames) * min(10, count) // count % 2 == 0


def _raw(graph_def, covariances, rules, paths, folder):
    """Errors of all atoms of systems, (n, rules), and whether their frames are for the calibration."""
    from dptf.infer import DeepPot

    file = os.path.join(folder, "raw.pb")
    write_graph_def(with_candidates(graph_def, covariances, rules), file)
    found, fitted = [], []
    with DeepPot(file) as model:
        for system, args, index in _frames(model, paths):
            label, present = system.label("force", index, 3, atomic=True)
            if not present.all():
                raise UserError("has no forces", system.name, "calibrate on data with force labels")
            force = model.eval(**args)[1]
            there = np.broadcast_to(np.asarray(args["atom_types"]) >= 0, force.shape[:2])
            root = np.sqrt(model.eval_output(OUTPUT, **args).reshape(*there.shape, -1)[there])
            found.append(Errors(root, np.linalg.norm(force, axis=-1)[there], (force - label)[there]))
            part = for_calibration(index, len(system.select()))
            fitted.append(np.broadcast_to(part[:, None], there.shape)[there])
    return Errors(*(np.concatenate(part) for part in zip(*found))), np.concatenate(fitted)


def calibrate(data):
    """The likeliest calibrations for errors, those of kinds of variance each for itself.

    A share of the force is left out where it does not make a component likelier by :data:`_GAIN`.

    Parameters
    ----------
    data : Errors

    Returns
    -------
    list of Calibration
    nll : array, shape (rules,)
        Negative log-likelihood per component.
    """
    rows = data.root.reshape(len(data.errors), -1).T
    scale = np.sqrt(np.mean(data.errors**2))
    unit = np.array(
        [[scale / np.sqrt(np.mean(row**2)), scale, scale / max(np.sqrt(np.mean(data.force**2)), 1e-12)] for row in rows]
    )
    terms = [np.stack([r * u[0], np.full(len(r), u[1]), data.force * u[2]]) for r, u in zip(rows, unit)]
    with_share, nll = _likeliest(np.array(terms) ** 2, data.errors)
    without, plain = _likeliest(np.array(terms)[:, :2] ** 2, data.errors)
    gains = plain - nll > _GAIN
    factors = np.where(gains[:, None], with_share, np.pad(without, ((0, 0), (0, 1))))
    return [Calibration(*map(float, row)) for row in factors * unit], np.where(gains, nll, plain)


def _likeliest(terms, errors):
    """Roots of the factors >= 0 of the terms (k, m, n) of variances that make errors (n, 3) likeliest, (k, m), and the likelihood."""
    import tensorflow_probability as tfp

    from dptf.ops import tf
    from dptf.session import new_session

    with tf.Graph().as_default(), new_session() as session:
        t, e = tf.constant(terms), tf.constant(errors[None])

        def nll(x):
            std = tf.sqrt(tf.reduce_sum(tf.exp(2 * x)[..., None] * t, axis=1))[..., None]
            return -tf.reduce_mean(tfp.distributions.Normal(tf.zeros([], tf.float64), std).log_prob(e), axis=[1, 2])

        start = np.tile([-0.5, -1.0, -1.0][: terms.shape[1]], (len(terms), 1))
        found = tfp.optimizer.lbfgs_minimize(lambda x: tfp.math.value_and_gradient(nll, x), tf.constant(start))
        x, value = session.run([found.position, found.objective_value])
    return np.exp(x), value


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


def choose(rules, data):
    """The rule whose calibrated deviations make the errors likeliest, with its calibration.

    Parameters
    ----------
    rules : list of Rule
    data : Errors
        Roots of shape (n, rules).
    """
    usable = [k for k, column in enumerate(data.root.T) if np.isfinite(column).all() and np.ptp(column) > 0]
    if not usable:
        raise UserError("say nothing: all atoms of the calibration data have the same variance", "-c/--valid-data")
    found, nll = calibrate(data._replace(root=data.root[:, usable]))
    best = int(np.nanargmin(nll))
    return rules[usable[best]], found[best]


def fit_uncertainty(path, output, training, validation, report=None):
    """Write a frozen model with uncertainties; returns what was chosen, and its quality on data that had no part in it.

    Parameters
    ----------
    path, output : str
        Frozen models.
    training, validation : list of str
        Systems.
    report : list of str, optional
        Systems on which the quality is told; by default every second tenth of every validation system is left for it.
    """
    graph_def = load_graph_def(path)
    if any(n.name == OUTPUT for n in graph_def.node):
        raise UserError("has uncertainties already", path, "start from the model without")
    rules = _candidates(graph_def)
    with tempfile.TemporaryDirectory(prefix="dptf-") as folder:
        covariances = _covariances(graph_def, training, folder)
        data, fitted = _raw(graph_def, covariances, rules, validation, folder)
        if report:
            fitted[:] = True
            held_out = _raw(graph_def, covariances, rules, report, folder)[0]
        elif fitted.all():
            log.warning("one frame of validation data: the quality is told on the frame of the calibration")
            held_out = data
        else:
            held_out = data.part(~fitted)
    rule, calibration = choose(rules, data.part(fitted))
    write_graph_def(with_uncertainty(graph_def, covariances, rule, calibration), output)
    column = held_out.root[:, rules.index(rule)]
    result = quality(calibration.std(column, held_out.force), held_out.errors)
    return {
        **calibration._asdict(), **rule._asdict(), "atoms": int(fitted.sum()), "atoms_held_out": len(column), **result,
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
