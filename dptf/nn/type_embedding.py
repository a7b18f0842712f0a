"""Type embedding: a small net that gives every atom type a feature vector.

The input of the net is the identity matrix, one row per type, or the electronic configurations of the elements; so a first
layer as wide as its input (or twice as wide) adds that input, as in every embedding net.
"""

import numpy as np

from dptf.env import GLOBAL_NP_FLOAT
from dptf.errors import UserError
from dptf.nn.electrons import configuration_table
from dptf.nn.embedding import Seeder, apply_embedding, embedding_layers
from dptf.nn.parameters import Parameters, get_precision, global_dtype
from dptf.ops import tf
from dptf.session import new_session

_DEFAULTS = {
    "neuron": [8], "activation_function": "tanh", "resnet_dt": False, "precision": "default", "trainable": True, "seed": None,
    "use_econf_tebd": False, "use_tebd_bias": False,
}  # fmt: skip


class TypeEmbedding:
    """Net of a ``model/type_embedding`` section.

    Parameters
    ----------
    section : dict
        Keys that are absent have the defaults of the input.
    ntypes : int
    type_map : list of str, optional
        Element names, for electronic configurations.
    padding : bool
        Append a zero row: the type of an empty slot.
    where : str
        Key path for messages.
    """

    def __init__(self, section, ntypes, type_map=None, *, padding=False, where="model/type_embedding"):
        section = _DEFAULTS | section
        self.ntypes, self.padding = ntypes, padding
        self.neuron = [int(n) for n in section["neuron"]]
        self.activation, self.resnet_dt = section["activation_function"], bool(section["resnet_dt"])
        self.precision = get_precision(section["precision"], f"{where}/precision")
        self.trainable, self.seed = bool(section["trainable"]), section["seed"]
        self.use_bias = bool(section["use_tebd_bias"])
        if not self.neuron:
            raise UserError("is empty; the net needs at least one layer", f"{where}/neuron")
        self.table = np.eye(ntypes)
        if section["use_econf_tebd"]:
            if not type_map:
                raise UserError("needs a type_map of element names", f"{where}/use_econf_tebd", "add model/type_map")
            self.table = configuration_table(type_map, "model/type_map")

    @property
    def dim_out(self):
        """Length of the vector of a type."""
        return self.neuron[-1]

    @property
    def nrows(self):
        """Rows of the table."""
        return self.ntypes + int(self.padding)

    def build(self, params, suffix="", *, scope="type_embed_net"):
        """Vectors of all types.

        Parameters
        ----------
        params : Parameters
        suffix : str
            Of the scope.
        scope : str
            Of the arrays.

        Returns
        -------
        tensor, shape (nrows, dim_out)
        """
        layers = embedding_layers(
            params, f"{scope}{suffix}", "", self.neuron, self.precision, Seeder(self.seed),
            n_in=self.table.shape[1], resnet_dt=self.resnet_dt, trainable=self.trainable, bias=self.use_bias,
        )  # fmt: skip
        x = tf.constant(self.table.astype(GLOBAL_NP_FLOAT), dtype=self.precision)
        out = tf.cast(apply_embedding(x, layers, self.activation), global_dtype())
        if self.padding:
            out = tf.concat([out, tf.zeros([1, self.dim_out], out.dtype)], axis=0)
        return tf.identity(out, name=f"t_typeebd{suffix}") if scope == "type_embed_net" else out

    def evaluate(self, values, suffix=""):
        """The vectors as an array (nrows, dim_out), from the arrays of a model."""
        with tf.Graph().as_default(), new_session() as session:
            return session.run(self.build(Parameters(values, constant=True), suffix))


def type_rows(table, atype):
    """Rows of the table of the given types; virtual atoms (negative types) have the row of type 0.

    Parameters
    ----------
    table : tensor, shape (nrows, dim)
    atype : int32 tensor, shape (...)

    Returns
    -------
    tensor, shape (..., dim)
    """
    return tf.gather(table, tf.maximum(atype, 0))
