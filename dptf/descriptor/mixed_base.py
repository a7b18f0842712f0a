"""What the descriptors with mixed lists and type embedding share: options, statistics, their own type embedding."""

import numpy as np

from dptf.descriptor.env_adjust import largest_product, largest_row
from dptf.descriptor.interface import Descriptor
from dptf.descriptor.mixed_statistics import MixedStatistics
from dptf.descriptor.pairs import symmetric
from dptf.env import GLOBAL_NP_FLOAT
from dptf.errors import UserError
from dptf.nn.parameters import Parameters, get_precision, global_dtype
from dptf.nn.type_embedding import TypeEmbedding
from dptf.ops import tf
from dptf.session import new_session


class EnvScale:
    """Normalisation of one environment matrix: the same mean and deviation for all slots, per center type.

    Parameters
    ----------
    scope : str
        Of the variables ``<scope>/t_avg`` and ``<scope>/t_std``, with ``{}`` where the suffix of the model goes.
    ntypes, nsel : int
    set_davg_zero : bool
    """

    def __init__(self, scope, ntypes, rcut, rcut_smth, nsel, *, set_davg_zero, excluded=(), protection=0.0):
        self.scope, self.ntypes, self.rcut, self.rcut_smth, self.nsel = scope, ntypes, rcut, rcut_smth, nsel
        self.set_davg_zero, self.excluded, self.protection = set_davg_zero, excluded, protection
        self.davg = self.dstd = None

    def statistics(self, batches, stat_file, pair_excluded):
        """Set mean and deviation from batches of the training data."""
        stat = MixedStatistics(
            self.ntypes, self.rcut, self.rcut_smth, self.nsel, self.excluded | pair_excluded, protection=self.protection
        )
        avg, std = stat.compute(batches, stat_file)
        if self.set_davg_zero:
            avg = np.zeros_like(avg)
        self.davg, self.dstd = np.tile(avg, (1, self.nsel)), np.tile(std, (1, self.nsel))

    def tensors(self, params, suffix):
        """Mean and deviation, shape (ntypes, nsel * 4), as variables that are not trained."""
        shape, scope = [self.ntypes, 4 * self.nsel], self.scope.format(suffix)
        avg = np.zeros(shape) if self.davg is None else self.davg
        std = np.ones(shape) if self.dstd is None else self.dstd
        return tuple(
            params.get(f"{scope}/{name}", shape, value.astype(GLOBAL_NP_FLOAT), global_dtype(), trainable=False)
            for name, value in (("t_avg", avg), ("t_std", std))
        )

    def bounds(self, values, suffix, settings, *, products=False):
        """Smallest and largest radial component of a row in the training data, from the arrays of a model; or product of two rows."""
        scope = self.scope.format(suffix)
        avg, std = (np.asarray(values[f"{scope}/t_{k}"]).reshape(-1, 4) for k in ("avg", "std"))
        closest = largest_row(settings.min_distance, self.rcut, self.rcut_smth, self.protection)
        if products:
            largest = largest_product(avg, std, closest)
            return -largest, largest
        avg, std = avg[:, 0], std[:, 0]
        # Rows of excluded neighbors may hold zeros.
        return min((-avg / std).min(), 0.0), max(((closest - avg) / std).max(), 0.0)


class MixedDescriptor(Descriptor):
    """Base of DPA-1 and DPA-2.

    Parameters
    ----------
    section : dict
        ``model/descriptor`` of the normalised input; ``sel`` already holds numbers.
    ntypes : int
    where : str
        Key path for messages.
    tebd_dim : int
        Width of its type embedding.
    """

    mixed_types = True

    def __init__(self, section, ntypes, where, tebd_dim):
        super().__init__()
        self.ntypes, self.where = ntypes, where
        self.precision = get_precision(section["precision"], f"{where}/precision")
        self.trainable, self.seed = bool(section["trainable"]), section.get("seed")
        pairs = [tuple(p) for p in section.get("exclude_types") or []]
        if any(not 0 <= t < ntypes for p in pairs for t in p):
            raise UserError(f"{pairs} names a type outside 0..{ntypes - 1}", f"{where}/exclude_types")
        self.excluded = symmetric(pairs)
        self.env_protection = float(section.get("env_protection") or 0.0)
        self.concat_output_tebd = bool(section.get("concat_output_tebd", True))

        self.tebd_dim = int(tebd_dim)
        #: Options of the linear type embedding.
        self.linear_embedding = {
            "neuron": [self.tebd_dim], "activation_function": "linear", "resnet_dt": False,
            "precision": section["precision"], "trainable": self.trainable, "seed": self.seed,
            "use_econf_tebd": bool(section.get("use_econf_tebd")), "use_tebd_bias": bool(section.get("use_tebd_bias")),
        }  # fmt: skip

    def _own_type_table(self, params, suffix):
        """Type embedding that is part of the descriptor, (ntypes + 1, tebd_dim), zeros in the last row."""
        net = TypeEmbedding(self.linear_embedding, self.ntypes, self.type_map, padding=True, where=self.where)
        return net.build(params, suffix)

    def _own_type_rows(self, values, suffix):
        """The same as an array, from those of a model."""
        with tf.Graph().as_default(), new_session() as session:
            return session.run(self._own_type_table(Parameters(values, constant=True), suffix))

    @property
    def scales(self):
        """Every :class:`EnvScale` of the descriptor."""
        raise NotImplementedError

    def statistics(self, batches, stat_file=None):
        """Normalisation of the environment matrices from batches of the training data."""
        for scale in self.scales:
            scale.statistics(batches, stat_file, self.pair_excluded)

    def constants(self, suffix=""):
        """Attribute nodes."""
        scope = f"descrpt_attr{suffix}"
        tf.constant(self.rcut, dtype=global_dtype(), name=f"{scope}/rcut")
        tf.constant(self.ntypes, dtype=tf.int32, name=f"{scope}/ntypes")
        tf.constant(4 * self.nnei, dtype=tf.int32, name=f"{scope}/ndescrpt")
        for name in ("sel", "original_sel"):
            tf.constant([self.nnei], dtype=tf.int32, name=f"{scope}/{name}")

    def force_and_virial(self, scalar, suffix="", *, atomic=None):
        """See :meth:`Descriptor.force_and_virial`."""
        return self.env.force_and_virial(scalar)
