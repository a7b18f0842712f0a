"""Uncertainty from one model: a Gaussian over the last layer of the fitting net, as nodes of the frozen graph.

The variance of an atom is phi C^-1 phi, with phi what enters the last layer and C the sum of phi phi^T over the atoms of the
training data, per type. A force depends on the energies of all neighbors, so its variance is the mean of theirs, weighted by
(1 - (r / rcut)^2)^2, the atom itself included. Two numbers, fitted on validation data, make it eV/Å.
"""

import re

import numpy as np

from dptf.errors import UserError
from dptf.ops import tf

FEATURES, OUTPUT = "o_last_layer_features", "o_atom_uncertainty"
_ENV = {"ProdEnvMatA": "rcut_r", "DescrptSeA": "rcut_r", "DescrptNorot": "rcut_r", "ProdEnvMatAMix": "rcut_r",
        "ProdEnvMatR": "rcut", "DescrptSeR": "rcut"}  # fmt: skip
#: Share of the mean variance that keeps the covariance invertible.
_RIDGE = 1e-13


def _constant_name(tensor):
    """Name of the Const behind a tensor."""
    op = tensor.op
    while op.type in ("Identity", "Cast") and op.inputs:
        op = op.inputs[0].op
    return op.name if op.type == "Const" else ""


def _last_layer_inputs(graph):
    """What enters the last layer, by type; None as type stands for one net for all."""
    found = {}
    for op in graph.get_operations():
        if op.type != "MatMul":
            continue
        match = re.fullmatch(r"final_layer(?:_type_(\d+))?/matrix", _constant_name(op.inputs[1]))
        # A second use of the same weights is the energy of an atom in vacuum.
        if match:
            found.setdefault(None if match[1] is None else int(match[1]), op.inputs[0])
    return found


def _features(graph):
    """Inputs of the last layer of all atoms, (nf, nloc, width), and the number of frames and local atoms."""
    found = _last_layer_inputs(graph)
    natoms = graph.get_tensor_by_name("t_natoms:0")
    nframes = tf.size(graph.get_tensor_by_name("t_coord:0")) // (3 * natoms[1])
    if not found:
        raise UserError(
            "has no last layer of a fitting net (final_layer…/matrix)", "the model", "use a trained energy model"
        )
    if None in found:
        phi = found[None]
        return tf.reshape(tf.cast(phi, tf.float64), [nframes, natoms[0], int(phi.shape[-1])]), nframes, natoms
    parts = [
        tf.reshape(tf.cast(found[t], tf.float64), [nframes, natoms[2 + t], int(found[t].shape[-1])])
        for t in sorted(found)
    ]
    if len({int(p.shape[-1]) for p in parts}) > 1:
        raise UserError("the nets of its types differ in width", "the model")
    return tf.concat(parts, axis=1), nframes, natoms


def _neighbor_mean(graph, variance, nframes, natoms):
    """Weighted mean over an atom and its neighbors; the variance itself for graphs without a list of neighbors."""
    env = next((op for op in graph.get_operations() if op.type in _ENV), None)
    if env is None:
        return variance
    rcut, nloc = float(env.get_attr(_ENV[env.type])), natoms[0]
    nlist = tf.reshape(env.outputs[3], [nframes, nloc, -1])
    rij = tf.reshape(tf.cast(env.outputs[2], tf.float64), [nframes, nloc, -1, 3])
    there = tf.cast(tf.logical_and(nlist >= 0, nlist < nloc), tf.float64)
    x = tf.minimum(tf.reduce_sum(rij * rij, axis=-1) / rcut**2, 1.0)
    weight = there * (1.0 - x) ** 2
    index = tf.maximum(tf.minimum(nlist, nloc - 1), 0) + tf.reshape(tf.range(nframes) * nloc, [-1, 1, 1])
    neighbors = tf.gather(tf.reshape(variance, [-1]), index)
    return (variance + tf.reduce_sum(weight * neighbors, axis=-1)) / (1.0 + tf.reduce_sum(weight, axis=-1))


def _outputs(graph_def):
    """Nodes that are the model, by name."""
    consumed = {i.split(":")[0].lstrip("^") for n in graph_def.node for i in n.input}
    return [n.name for n in graph_def.node if n.name not in consumed or n.name.startswith("o_")]


def with_features(graph_def):
    """The graph with the node :data:`FEATURES`."""
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
        tf.identity(_features(graph)[0], name=FEATURES)
        return graph.as_graph_def()


def inverse_factors(covariances):
    """Factors L with C^-1 = L L^T, of types without data those of all atoms."""
    total = sum(covariances)
    out = []
    for c in covariances:
        c = c if np.trace(c) > 0 else total
        c = c + _RIDGE * np.trace(c) * np.eye(len(c))
        out.append(np.linalg.inv(np.linalg.cholesky(c)).T)
    return np.array(out)


def with_uncertainty(graph_def, covariances, scale=1.0, floor=0.0):
    """The graph with the node :data:`OUTPUT`: sqrt((scale std)^2 + floor^2) of every local atom.

    Parameters
    ----------
    graph_def : GraphDef
    covariances : list of arrays
        Per type.
    scale, floor : float
        Calibration, eV/Å.
    """
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
        phi, nframes, natoms = _features(graph)
        kinds = tf.reshape(graph.get_tensor_by_name("t_type:0"), [nframes, natoms[1]])[:, : natoms[0]]
        factors = tf.constant(inverse_factors(covariances), tf.float64, name="uncertainty_attr/factors")
        variance = 0.0
        for t in range(len(covariances)):
            rows = tf.tensordot(phi, factors[t], 1)
            variance += tf.cast(tf.equal(kinds, t), tf.float64) * tf.reduce_sum(rows * rows, axis=-1)
        variance = _neighbor_mean(graph, variance, nframes, natoms)
        a = tf.constant(scale, tf.float64, name="uncertainty_attr/scale")
        b = tf.constant(floor, tf.float64, name="uncertainty_attr/floor")
        tf.sqrt(a * a * variance + b * b, name=OUTPUT)
        full = graph.as_graph_def()
        return tf.graph_util.extract_sub_graph(full, [*_outputs(graph_def), OUTPUT, a.op.name, b.op.name])
