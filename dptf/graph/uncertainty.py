"""Uncertainty from one model: a Gaussian over the last layer of the fitting net, as nodes of the frozen graph.

The variance of an atom is phi C^-1 phi, with phi what enters the last layer and C the sum of phi phi^T over the atoms of the
training data, per type. A force depends on the energies of all neighbors, so its variance is the mean of theirs, weighted by
(1 - (r / cutoff)^2)^exponent, the atom itself included. A number makes it eV/Å; a constant part, and one that grows with the
force, stand for what the net cannot fit. The three are fitted on validation data.
"""

import re
from typing import NamedTuple

import numpy as np

from dptf.errors import UserError
from dptf.ops import tf

#: What enters the last layer (nf, nloc, width), variance of every atom, its mean over neighbors (nf, nloc), and expected error of
#: every force. The fused kernels give the first three.
FEATURES, VARIANCE, MEAN, OUTPUT = "o_last_layer_features", "o_atom_variance", "o_mean_variance", "o_atom_uncertainty"
_ENV = {"ProdEnvMatA": "rcut_r", "DescrptSeA": "rcut_r", "DescrptNorot": "rcut_r", "ProdEnvMatAMix": "rcut_r",
        "ProdEnvMatR": "rcut", "DescrptSeR": "rcut"}  # fmt: skip


class Rule(NamedTuple):
    """How variances of atoms come about and become those of forces.

    Attributes
    ----------
    ridge : float
        Share of its trace that is added to the diagonal of C.
    cutoff : float
        Neighbors within it (Å) have a part; 0: the atom alone.
    exponent : float
    """

    ridge: float
    cutoff: float
    exponent: float


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


def model_cutoff(graph_def):
    """Cutoff (Å) of the graph's neighbor list, 0 for graphs without one per atom."""
    env = next((n for n in graph_def.node if n.op in _ENV), None)
    return 0.0 if env is None else env.attr[_ENV[env.op]].f


def _power(x, exponent):
    """A power; by squares where that can be, which takes a twentieth of the time."""
    n = int(exponent)
    if n != exponent or n < 1 or n & (n - 1):
        return x**exponent
    while n > 1:
        x, n = x * x, n // 2
    return x


def _neighbor_mean(graph, variance, nframes, natoms, rule):
    """Weighted mean over an atom and its neighbors; the variance itself for graphs without a list of neighbors."""
    env = next((op for op in graph.get_operations() if op.type in _ENV), None)
    if env is None or rule.cutoff <= 0:
        return variance
    nloc = natoms[0]
    nlist = tf.reshape(env.outputs[3], [nframes, nloc, -1])
    rij = tf.reshape(tf.cast(env.outputs[2], tf.float64), [nframes, nloc, -1, 3])
    there = tf.cast(tf.logical_and(nlist >= 0, nlist < nloc), tf.float64)
    x = tf.minimum(tf.reduce_sum(rij * rij, axis=-1) / rule.cutoff**2, 1.0)
    weight = there * _power(1.0 - x, rule.exponent)
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


def inverse_factors(covariances, ridge):
    """Factors L with C^-1 = L L^T, of types without data those of all atoms."""
    total = sum(covariances)
    out = []
    for c in covariances:
        c = c if np.trace(c) > 0 else total
        c = c + ridge * np.trace(c) * np.eye(len(c))
        out.append(np.linalg.inv(np.linalg.cholesky(c)).T)
    return np.array(out)


def _variance(graph, phi, kinds, covariances, ridge, name="factors"):
    """phi C^-1 phi of every atom, (nf, nloc)."""
    factors = tf.constant(inverse_factors(covariances, ridge), tf.float64, name=f"uncertainty_attr/{name}")
    variance = 0.0
    for t in range(len(covariances)):
        rows = tf.tensordot(phi, factors[t], 1)
        variance += tf.cast(tf.equal(kinds, t), tf.float64) * tf.reduce_sum(rows * rows, axis=-1)
    return variance


def with_candidates(graph_def, covariances, rules):
    """The graph with the node :data:`OUTPUT` of shape (nf, nloc, rules): variances of forces, not calibrated."""
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
        phi, nframes, natoms = _features(graph)
        phi = tf.identity(phi, name=FEATURES)
        kinds = tf.reshape(graph.get_tensor_by_name("t_type:0"), [nframes, natoms[1]])[:, : natoms[0]]
        found, out = {}, []
        for rule in rules:
            if rule.ridge not in found:
                found[rule.ridge] = _variance(graph, phi, kinds, covariances, rule.ridge, f"factors_{len(found)}")
            out.append(_neighbor_mean(graph, found[rule.ridge], nframes, natoms, rule))
        tf.stack(out, axis=-1, name=OUTPUT)
        return tf.graph_util.extract_sub_graph(graph.as_graph_def(), [*_outputs(graph_def), OUTPUT])


class Calibration(NamedTuple):
    """Expected error of a force component: sqrt(scale^2 mean variance + floor^2 + share^2 |force|^2).

    Attributes
    ----------
    scale, floor : float
        eV/Å.
    share : float
        0: without the force, which then need not be evaluated.
    """

    scale: float
    floor: float
    share: float = 0.0

    def std(self, root, force):
        """Expected errors from roots of mean variances and lengths of forces [eV/Å], arrays of one shape."""
        return np.sqrt((self.scale * root) ** 2 + self.floor**2 + (self.share * force) ** 2)


def _square_force(graph, nframes, natoms):
    """Squares of the forces on the local atoms, (nf, nloc)."""
    force = tf.reshape(tf.cast(graph.get_tensor_by_name("o_force:0"), tf.float64), [nframes, natoms[1], 3])
    return tf.reduce_sum(tf.square(force[:, : natoms[0]]), axis=-1)


def with_uncertainty(graph_def, covariances, rule, calibration):
    """The graph with :data:`VARIANCE`, :data:`MEAN`, :data:`OUTPUT` (of every local atom) and its constants.

    Parameters
    ----------
    graph_def : GraphDef
    covariances : list of arrays
        Per type.
    rule : Rule
    calibration : Calibration
    """
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
        phi, nframes, natoms = _features(graph)
        phi = tf.identity(phi, name=FEATURES)
        kinds = tf.reshape(graph.get_tensor_by_name("t_type:0"), [nframes, natoms[1]])[:, : natoms[0]]
        variance = _variance(graph, phi, kinds, covariances, rule.ridge)
        tf.identity(tf.cast(variance, graph.get_tensor_by_name("t_coord:0").dtype), name=VARIANCE)
        if model_cutoff(graph_def) == 0:
            rule = rule._replace(cutoff=0.0)
        mean = tf.identity(_neighbor_mean(graph, variance, nframes, natoms, rule), name=MEAN)
        numbers = {**rule._asdict(), **calibration._asdict()}
        attributes = {k: tf.constant(v, tf.float64, name=f"uncertainty_attr/{k}") for k, v in numbers.items()}
        a, b, c = (attributes[k] for k in calibration._fields)
        square = a * a * mean + b * b
        if calibration.share:
            square += c * c * _square_force(graph, nframes, natoms)
        tf.sqrt(square, name=OUTPUT)
        names = [*_outputs(graph_def), FEATURES, VARIANCE, MEAN, OUTPUT, *(c.op.name for c in attributes.values())]
        return tf.graph_util.extract_sub_graph(graph.as_graph_def(), names)
