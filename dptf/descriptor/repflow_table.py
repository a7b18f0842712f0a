"""Compressed DPA-3: messages of the first layer, which depend on two types and one distance, as stored tables.

There nodes are vectors of types and edges functions of the distance, so what the edge maps of the layer give after activation is one function
of the distance per pair of types. Angles depend on three numbers and stay as they are.
"""

import numpy as np

from dptf.errors import UserError
from dptf.nn.pair_table import Segment, StoredClasses, store_classes
from dptf.nn.table import activation_jets
from dptf.ops import tf

#: Name of the tables below the scope of the layers.
NAME = "first_messages"


def _switch_jets(r, smooth, cut, exponential):
    """Switch with two derivatives; see dptf.descriptor.switches."""
    if exponential:
        rate = 20.0 / smooth
        t = np.exp(np.minimum(rate * (np.minimum(r, cut) - smooth), 700.0))
        w = np.exp(-t)
        inside = r < cut
        return w, np.where(inside, -rate * t * w, 0.0), np.where(inside, rate**2 * t * w * (t - 1.0), 0.0)
    width = cut - smooth
    u = np.clip((r - smooth) / width, 0.0, 1.0)
    return (
        1.0 - u**3 * (10.0 - 15.0 * u + 6.0 * u**2),
        -30.0 * u**2 * (1.0 - u) ** 2 / width,
        -60.0 * u * (1.0 - 3.0 * u + 2.0 * u**2) / width**2,
    )


def _chain(jets, z):
    """Jets of a function of one number at jets z (value, first, second derivative)."""
    f, d, s = jets(z[0])
    return f, d * z[1], s * z[1] ** 2 + d * z[2]


def edge_jets(o, values, scope, activation, protection, avg, std):
    """The first edges as a function of the distance: ``jets(r)`` are three arrays (n, e_dim)."""
    w, b = values[f"{scope}/edge_embd/matrix"].ravel(), values[f"{scope}/edge_embd/bias"].ravel()

    def jets(r):
        if o.edge_init_use_dist:
            return np.outer(r, w) + b, np.tile(w, (len(r), 1)), np.zeros((len(r), len(w)))
        v, d, s = _switch_jets(r, o.e_rcut_smth, o.e_rcut, o.use_exp_switch)
        q = 1.0 / (r + protection)
        x = (v * q - avg) / std, (d * q - v * q**2) / std, (s * q - 2.0 * d * q**2 + 2.0 * v * q**3) / std
        return _chain(activation, (np.outer(x[0], w) + b, np.outer(x[1], w), np.outer(x[2], w)))

    return jets


def store_first_messages(descriptor, values, types, settings, suffix):
    """Add the tables to the arrays of a model; `types` are the first nodes (ntypes, n_dim)."""
    o, scope = descriptor.o, f"repflow{suffix}"
    phi = activation_jets(descriptor.activation)
    if phi is None:
        raise UserError(
            f"activation '{descriptor.activation}' cannot be stored as tables",
            f"{descriptor.where}/activation_function",
        )
    avg, std = (
        np.asarray(values[f"descrpt_attr{suffix}/t_{k}"], np.float64).reshape(descriptor.ntypes, -1, 4)[:, :, 0]
        for k in ("avg", "std")
    )
    if not o.edge_init_use_dist and (np.ptp(avg, axis=1).any() or np.ptp(std, axis=1).any()):
        raise UserError(
            "the statistics differ between neighbors of a type, so edges are no functions of a distance",
            descriptor.where,
        )
    maps = ["node_edge_linear"] + ["edge_self_linear"] * (o.nlayers > 1 or descriptor.rotation_needed)
    w, b = (
        np.concatenate([np.asarray(values[f"{scope}/layer_0/{m}/{k}"], np.float64) for m in maps], axis=-1)
        for k in ("matrix", "bias")
    )
    n, functions = o.n_dim, []
    for ti in range(descriptor.ntypes):
        own = edge_jets(o, values, scope, phi, descriptor.env_protection, avg[ti, 0], std[ti, 0])
        for tj in range(descriptor.ntypes):
            constant = types[ti] @ w[:n] + types[tj] @ w[n : 2 * n] + b

            def jets(r, own=own, constant=constant):
                e = own(r)
                return _chain(phi, (e[0] @ w[2 * n :] + constant, e[1] @ w[2 * n :], e[2] @ w[2 * n :]))

            functions.append(jets)
    # Closer pairs than any in the data get the message of the lower end.
    lower = settings.min_distance / settings.extrapolate
    segment = Segment.covering(lower, o.e_rcut, o.e_rcut, settings.step)
    store_classes(values, f"{scope}/{NAME}", "", segment, functions, descriptor.precision.as_numpy_dtype)


class FirstMessages:
    """The tables in a graph.

    Parameters
    ----------
    params : Parameters
    suffix : str
    dtype : tf.DType
    distance : tensor, shape (n_edge,), Å
    classes : int32 tensor, shape (n_edge,)
        Type of the center times ntypes plus that of the neighbor.
    """

    def __init__(self, params, suffix, dtype, distance, classes):
        self._net = StoredClasses(params, f"repflow{suffix}/{NAME}", "", dtype)
        self._distance, self._classes = tf.cast(distance, dtype), classes

    @staticmethod
    def stored(params, suffix):
        """Whether a model has the tables."""
        return StoredClasses.stored(params, f"repflow{suffix}/{NAME}", "")

    def rows(self):
        """What the edge maps give after activation, (n_edge, width)."""
        return self._net.of_classes(self._distance[:, None], self._classes[:, None])[:, 0]
