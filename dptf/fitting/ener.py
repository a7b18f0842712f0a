"""Atomic energies: one net per center type on the descriptor and optional frame and atomic parameters."""

import logging

import numpy as np

from dptf.data.requirement import DataRequirement
from dptf.env import GLOBAL_NP_FLOAT
from dptf.errors import UserError
from dptf.nn.embedding import Seeder
from dptf.nn.fitting import FittingNet
from dptf.nn.parameters import get_precision, global_dtype
from dptf.ops import tf

log = logging.getLogger(__name__)


class EnerFitting:
    """Energy fitting.

    Parameters
    ----------
    section : dict
        ``model/fitting_net`` of the normalised input.
    descriptor : object
        Gives ``dim_out``.
    ntypes : int
    """

    def __init__(self, section, descriptor, ntypes, where="model/fitting_net"):
        self.ntypes, self.dim_descrpt = ntypes, descriptor.dim_out
        self.neuron = list(section["neuron"])
        self.numb_fparam, self.numb_aparam = section["numb_fparam"], section["numb_aparam"]
        self.activation, self.resnet_dt = section["activation_function"], bool(section["resnet_dt"])
        self.precision = get_precision(section["precision"], f"{where}/precision")
        self.seed, self.rcond = section.get("seed"), section.get("rcond")
        self.use_aparam_as_mask = bool(section.get("use_aparam_as_mask", False))
        self.trainable = self._per_layer(section.get("trainable", True), f"{where}/trainable")
        self.layer_name = section.get("layer_name")
        if self.layer_name is not None and len(self.layer_name) != len(self.neuron) + 1:
            raise UserError(f"needs {len(self.neuron) + 1} entries (one per layer)", f"{where}/layer_name")
        atom_ener = section.get("atom_ener") or []
        if atom_ener and len(atom_ener) != ntypes:
            raise UserError(f"needs {ntypes} entries (one per type, null where unknown)", f"{where}/atom_ener")
        self.atom_ener = [None if e is None else float(e) for e in atom_ener] or [None] * ntypes
        for key in ("default_fparam", "dim_case_embd"):
            if section.get(key):
                raise UserError("is not available in graph mode", f"{where}/{key}", "remove it")
        self.bias_atom_e = np.zeros(ntypes)
        self.param_stat = {}

    def _per_layer(self, value, where):
        if isinstance(value, bool):
            return [value] * (len(self.neuron) + 1)
        if len(value) != len(self.neuron) + 1:
            raise UserError(f"needs {len(self.neuron) + 1} entries (one per layer)", where)
        return [bool(v) for v in value]

    def data_requirements(self):
        """Frame and atomic parameters, if the net takes them."""
        out = []
        if self.numb_fparam:
            out.append(DataRequirement("fparam", self.numb_fparam, must=True))
        if self.numb_aparam:
            out.append(DataRequirement("aparam", self.numb_aparam, atomic=True, must=True))
        return out

    def statistics(self, batches, stat_file=None, protection=0.01):
        """Mean and inverse deviation of fparam and aparam over the batches."""
        for key, dim in (("fparam", self.numb_fparam), ("aparam", self.numb_aparam)):
            if not dim:
                continue
            sums = stat_file.read(key) if stat_file else None
            if sums is None:
                rows = np.concatenate([b[key].reshape(-1, dim) for system in batches for b in system])
                sums = np.stack([np.full(dim, len(rows)), rows.sum(0), (rows**2).sum(0)], axis=1)
                if stat_file:
                    stat_file.write(key, sums)
            n, s, s2 = sums.T
            avg = s / n
            std = np.maximum(np.sqrt(np.maximum(s2 / n - avg**2, 0.0)), protection)
            self.param_stat[key] = (avg, 1.0 / std)

    def energy_bias(self, batches, stat_file=None):
        """Least-squares energy per type (eV) from the frames that have an energy; vacuum energies stay fixed."""
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
        self.bias_atom_e = solve_bias(x, y, self.atom_ener, self.rcond)
        rmse = np.sqrt(np.mean(((x @ self.bias_atom_e - y) / x.sum(axis=1)) ** 2))
        log.info("RMSE of energy per atom after linear regression is: %s in the unit of energy.", rmse)
        if stat_file:
            stat_file.write("bias_atom_energy", self.bias_atom_e[:, None])

    def _normalised(self, value, key, dim, params, suffix):
        """(value - avg) * istd with stored statistics; value has `dim` as last axis."""
        avg, istd = self.param_stat.get(key, (np.zeros(dim), np.ones(dim)))
        scope = f"fitting_attr{suffix}"
        avg = params.get(f"{scope}/t_{key}_avg", [dim], np.asarray(avg, GLOBAL_NP_FLOAT), global_dtype(), False)
        istd = params.get(f"{scope}/t_{key}_istd", [dim], np.asarray(istd, GLOBAL_NP_FLOAT), global_dtype(), False)
        return (value - avg) * istd

    def build(self, descriptor, natoms, atype, params, suffix="", *, fparam=None, aparam=None):
        """Atomic energies in eV.

        Parameters
        ----------
        descriptor : tensor, shape (nf, nloc, dim)
        natoms : int32 tensor
        atype : int32 tensor, shape (nf, nall)
        fparam : tensor, shape (nf, numb_fparam)
        aparam : tensor, shape (nf, nloc, numb_aparam)

        Returns
        -------
        tensor, shape (nf, nloc)
        """
        tf.constant(self.numb_fparam, dtype=tf.int32, name=f"fitting_attr{suffix}/dfparam")
        tf.constant(self.numb_aparam, dtype=tf.int32, name=f"fitting_attr{suffix}/daparam")
        bias = params.get(
            f"fitting_attr{suffix}/t_bias_atom_e", [self.ntypes], self.bias_atom_e.astype(GLOBAL_NP_FLOAT),
            global_dtype(), trainable=False,
        )  # fmt: skip
        extra, n_in = [], self.dim_descrpt
        if self.numb_fparam:
            f = self._normalised(fparam, "fparam", self.numb_fparam, params, suffix)
            extra.append(tf.tile(f[:, None, :], [1, natoms[0], 1]))
            n_in += self.numb_fparam
        if self.numb_aparam and not self.use_aparam_as_mask:
            extra.append(self._normalised(aparam, "aparam", self.numb_aparam, params, suffix))
            n_in += self.numb_aparam
        seeder, parts, start = Seeder(self.seed), [], 0
        nframes = tf.shape(descriptor)[0]
        for t in range(self.ntypes):
            count = natoms[2 + t]
            cut = slice(start, start + count)
            start += count
            net = FittingNet(
                params, self._layer_scopes(t, suffix), n_in, self.neuron, 1, self.precision, self.activation,
                self.resnet_dt, seeder, self.trainable,
            )  # fmt: skip
            d = tf.reshape(descriptor[:, cut], [-1, self.dim_descrpt])
            rest = [tf.reshape(x[:, cut], [-1, int(x.shape[-1])]) for x in extra]
            energy = net(tf.cast(tf.concat([d, *rest], 1) if rest else d, self.precision))
            if self.atom_ener[t] is not None:
                # The vacuum energy is exact: the net counts only relative to an atom without neighbors.
                vacuum = tf.concat([tf.zeros_like(d), *rest], 1)
                energy -= net(tf.cast(vacuum, self.precision))
            energy = tf.cast(energy, global_dtype()) + bias[t]
            parts.append(tf.reshape(energy, [nframes, count]))
        total = tf.concat(parts, axis=1) if len(parts) > 1 else parts[0]
        return total * tf.cast(atype[:, : natoms[0]] >= 0, total.dtype)

    def _layer_scopes(self, t, suffix):
        own = [f"layer_{k}_type_{t}{suffix}" for k in range(len(self.neuron))] + [f"final_layer_type_{t}{suffix}"]
        names = self.layer_name or [None] * len(own)
        return [scope if name is None else f"share_{name}_type_{t}" for scope, name in zip(own, names)]


def solve_bias(counts, energies, preset=None, rcond=None):
    """Minimum-norm least-squares energies per type; `preset` entries that are not None are kept.

    Parameters
    ----------
    counts : array, shape (nframes, ntypes)
        Atoms of each type.
    energies : array, shape (nframes,)
        eV.
    """
    x, y = counts.copy(), energies.copy()
    fixed = [t for t, e in enumerate(preset or []) if e is not None]
    for t in fixed:
        y -= x[:, t] * preset[t]
        x[:, t] = 0.0
    bias = np.linalg.lstsq(x, y, rcond=rcond)[0]
    for t in fixed:
        bias[t] = preset[t]
    return bias
