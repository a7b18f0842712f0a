"""Any property of a frame: task_dim numbers per atom, summed or averaged over the atoms."""

import logging

import numpy as np

from dptf.errors import UserError
from dptf.fitting.base import Fitting, solve_bias
from dptf.fitting.dos import frame_labels
from dptf.ops import tf

log = logging.getLogger(__name__)


class PropertyFitting(Fitting):
    """Property fitting; parameters as the base has them.

    Attributes
    ----------
    out_bias, out_std : arrays, shape (ntypes, task_dim)
        Shift and scale of the atomic values, from the labels.
    """

    model_type = "property"

    def __init__(self, section, descriptor, ntypes, where="model/fitting_net", **kwargs):
        super().__init__(section, descriptor, ntypes, where, **kwargs)
        self.task_dim, self.intensive = int(section.get("task_dim", 1)), bool(section.get("intensive", False))
        self.distinguish_types = bool(section.get("distinguish_types", True))
        self.name = section.get("property_name")
        if not self.name:
            raise UserError("is missing", f"{where}/property_name", "give the stem of the label files")
        self.out_bias, self.out_std = np.zeros((ntypes, self.task_dim)), np.ones((ntypes, self.task_dim))

    def constants(self, suffix=""):
        """Attribute nodes."""
        super().constants(suffix)
        tf.constant(self.task_dim, dtype=tf.int32, name=f"fitting_attr{suffix}/task_dim")
        tf.constant(self.intensive, dtype=tf.bool, name=f"fitting_attr{suffix}/intensive")
        tf.constant(self.name, dtype=tf.string, name=f"fitting_attr{suffix}/property_name")

    def output_statistics(self, batches, stat_file=None, excluded=()):
        """Bias per type by least squares (or one mean), and deviation of what it leaves, per atom unless intensive."""
        known = [stat_file.read(f"{kind}_{self.name}") if stat_file else None for kind in ("bias", "std")]
        if all(k is not None for k in known):
            self.out_bias, self.out_std = (k.reshape(self.out_bias.shape) for k in known)
            return
        counts, labels = frame_labels(batches, self.name, self.ntypes)
        if not len(counts):
            log.warning("no system has the property %s: its bias is 0", self.name)
            return
        counts[:, list(excluded)] = 0.0
        natoms = np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
        per_atom = labels if self.intensive else labels / natoms
        if self.distinguish_types:
            share = counts / natoms if self.intensive else counts
            self.out_bias = solve_bias(share, labels, rcond=self.rcond)
            rest = per_atom - counts / natoms @ self.out_bias
        else:
            self.out_bias = np.tile(per_atom.mean(axis=0), (self.ntypes, 1))
            rest = per_atom - self.out_bias[0]
        std = np.sqrt(np.mean(rest**2, axis=0))
        # A constant property leaves nothing to scale.
        std = np.where(std > 1e-12 * np.maximum(np.abs(per_atom).max(axis=0), 1e-300), std, 1.0)
        self.out_std = np.tile(std, (self.ntypes, 1))
        if stat_file:
            stat_file.write(f"bias_{self.name}", self.out_bias)
            stat_file.write(f"std_{self.name}", self.out_std)

    def build(self, descriptor, natoms, atype, params, suffix="", *, rot_mat=None, **inputs):
        """Atomic values before shift and scale, shape (nf, nloc, task_dim); arguments as the base has them."""
        self.constants(suffix)
        return self.evaluate(descriptor, natoms, atype, params, suffix, width=self.task_dim, **inputs)

    def shift(self, out, center, params, suffix):
        """Add the bias of the net outputs that models of other backends have; those trained here have it in the output bias."""
        return self._add_imported_bias(out, center, params, suffix, self.task_dim)
