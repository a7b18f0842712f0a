"""Densities of states: numb_dos numbers per atom."""

import logging

import numpy as np

from dptf.env import GLOBAL_NP_FLOAT
from dptf.fitting.base import Fitting, solve_bias
from dptf.nn.parameters import global_dtype
from dptf.ops import tf

log = logging.getLogger(__name__)


class DosFitting(Fitting):
    """DOS fitting; parameters as the base has them."""

    model_type = "dos"

    def __init__(self, section, descriptor, ntypes, where="model/fitting_net", **kwargs):
        super().__init__(section, descriptor, ntypes, where, **kwargs)
        self.numb_dos = int(section.get("numb_dos", 300))
        self.bias = np.zeros((ntypes, self.numb_dos))

    def constants(self, suffix=""):
        """Attribute nodes."""
        super().constants(suffix)
        tf.constant(self.numb_dos, dtype=tf.int32, name=f"fitting_attr{suffix}/numb_dos")

    def output_statistics(self, batches, stat_file=None, excluded=()):
        """Least-squares DOS per type from the frames."""
        known = stat_file.read("bias_atom_dos") if stat_file else None
        if known is not None:
            self.bias = known.reshape(self.bias.shape)
            return
        counts, labels = frame_labels(batches, "dos", self.ntypes)
        if not len(counts):  # atomic labels alone: their sums
            summed = [
                [{**b, "dos": b["atom_dos"].reshape(len(b["type"]), -1, self.numb_dos).sum(axis=1),
                  "find_dos": b["find_atom_dos"]} for b in system if "atom_dos" in b]
                for system in batches
            ]  # fmt: skip
            counts, labels = frame_labels(summed, "dos", self.ntypes)
        if not len(counts):
            log.warning("no system has a DOS: the bias of all types is 0")
            return
        counts[:, list(excluded)] = 0.0
        self.bias = solve_bias(counts, labels, rcond=self.rcond)
        if stat_file:
            stat_file.write("bias_atom_dos", self.bias)

    def build(self, descriptor, natoms, atype, params, suffix="", *, rot_mat=None, **inputs):
        """Atomic DOS, shape (nf, nloc, numb_dos); arguments as the base has them."""
        self.constants(suffix)
        self._bias = params.get(
            f"fitting_attr{suffix}/t_bias_dos", [self.ntypes, self.numb_dos], self.bias.astype(GLOBAL_NP_FLOAT),
            global_dtype(), trainable=False,
        )  # fmt: skip
        out = self.evaluate(descriptor, natoms, atype, params, suffix, width=self.numb_dos, **inputs)
        return out * tf.cast(atype[:, : natoms[0]] >= 0, out.dtype)[:, :, None]

    def shift(self, out, center, params, suffix):
        """Add the bias."""
        return out + self.by_type(self._bias, center)


def frame_labels(batches, key, ntypes):
    """Atoms per type (nframes, ntypes) and labels (nframes, width) of the frames that have the label."""
    counts, labels = [], []
    for b in (b for system in batches for b in system):
        if b.get(f"find_{key}"):
            counts += [np.bincount(types[types >= 0], minlength=ntypes) for types in b["type"]]
            labels += list(b[key].reshape(len(b["type"]), -1))
    return np.array(counts, float), np.array(labels, float)
