"""Atomic energies from the descriptor and optional frame and atomic parameters."""

import logging

import numpy as np

from dptf.env import GLOBAL_NP_FLOAT
from dptf.errors import UserError
from dptf.fitting.base import Fitting, solve_bias
from dptf.nn.parameters import global_dtype
from dptf.ops import tf

log = logging.getLogger(__name__)


class EnerFitting(Fitting):
    """Energy fitting; parameters as the base has them."""

    model_type = "ener"

    def __init__(self, section, descriptor, ntypes, where="model/fitting_net", **kwargs):
        super().__init__(section, descriptor, ntypes, where, **kwargs)
        atom_ener = section.get("atom_ener") or []
        if atom_ener and len(atom_ener) != ntypes:
            raise UserError(f"needs {ntypes} entries (one per type, null where unknown)", f"{where}/atom_ener")
        self.atom_ener = [None if e is None else float(e) for e in atom_ener] or [None] * ntypes
        self.vacuum = [t for t, e in enumerate(self.atom_ener) if e is not None]
        if self.mixed_types and atom_ener:
            self.vacuum = list(range(ntypes))
        self.preset = list(self.atom_ener)
        self.bias_atom_e = np.zeros(ntypes)

    def preset_bias(self, values):
        """Energies per type that the fit of the bias keeps, ``{"energy": [e or null, ...]}`` in eV."""
        where = "model/preset_out_bias"
        if set(values) != {"energy"}:
            raise UserError(f"names {', '.join(map(repr, values))}; an energy model has 'energy' alone", where)
        energies = [None if e is None else float(np.ravel(e)[0]) for e in values["energy"]]
        if len(energies) != self.ntypes:
            raise UserError(f"needs {self.ntypes} entries (one per type, null where unknown)", f"{where}/energy")
        both = [t for t in range(self.ntypes) if energies[t] is not None and self.atom_ener[t] is not None]
        if both:
            raise UserError(f"type {both[0]} has a value here and in fitting_net/atom_ener", where, "keep one of them")
        self.preset = [a if e is None else e for a, e in zip(self.atom_ener, energies)]

    def output_statistics(self, batches, stat_file=None, excluded=(), doubled=()):
        """Least-squares energy per type (eV) from the frames that have an energy; vacuum energies stay fixed.

        Types of `doubled` stand for two sorts of atoms, themselves and a virtual one each, between which the least norm divides
        the energy.
        """
        if excluded or any(e is not None for e in self.preset):
            stat_file = None  # what is stored there is the plain fit
        bias = stat_file.read("bias_atom_energy") if stat_file else None
        if bias is not None:
            self.bias_atom_e = bias.ravel()
            return
        counts, energies = [], []
        for b in (b for system in batches for b in system):
            if b.get("find_energy"):
                for types, e in zip(b["type"], b["energy"].ravel()):
                    counts.append(np.bincount(types[types >= 0], minlength=self.ntypes))
                    energies.append(e)
        if not energies:
            log.warning("no system has energies: the energy bias of all types is 0")
            return
        x, y = np.array(counts, float), np.array(energies, float)
        n = x.sum(axis=1)
        x[:, list(excluded)] = 0.0  # atoms without energy share none of it
        width = np.where(np.isin(np.arange(self.ntypes), list(doubled)), np.sqrt(2.0), 1.0)
        self.bias_atom_e = solve_bias(x, y, self.preset, self.rcond, width)
        rmse = np.sqrt(np.mean(((x @ self.bias_atom_e - y) / n) ** 2))
        log.info("RMSE of energy per atom after linear regression is: %s in the unit of energy.", rmse)
        if stat_file:
            stat_file.write("bias_atom_energy", self.bias_atom_e[:, None])

    def build(self, descriptor, natoms, atype, params, suffix="", *, rot_mat=None, **inputs):
        """Atomic energies in eV, shape (nf, nloc); arguments as the base has them."""
        self.constants(suffix)
        self._bias = params.get(
            f"fitting_attr{suffix}/t_bias_atom_e", [self.ntypes], self.bias_atom_e.astype(GLOBAL_NP_FLOAT),
            global_dtype(), trainable=False,
        )  # fmt: skip
        total = self.evaluate(descriptor, natoms, atype, params, suffix, vacuum=self.vacuum, **inputs)
        return total * tf.cast(atype[:, : natoms[0]] >= 0, total.dtype)

    def shift(self, out, center, params, suffix):
        """Add the energy bias."""
        bias = self.by_type(self._bias, center)
        return out + (bias if isinstance(center, int) else bias[:, None])
