"""Electrostatics of atoms and of charges displaced by dipoles: energies, forces and virials of frames.

With mu the dipoles of the selected atoms, charges stand at R and at R + mu; the reciprocal part of their Ewald sum counts.
"""

import numpy as np

from dptf.errors import UserError
from dptf.graph.dipole_charge import check_modifier, dipole_graph, import_dipoles
from dptf.graph.load import constants
from dptf.infer.ewald_recp import EwaldRecp
from dptf.ops import tf
from dptf.session import new_session


class DipoleChargeModifier:
    """Long-range part of a model with a data modifier.

    Parameters
    ----------
    model_name : str or GraphDef
        Frozen dipole model.
    model_charge_map : list of float
        Charge of the displaced charge, per selected type [e].
    sys_charge_map : list of float
        Charge of the atoms, per type [e].
    ewald_h, ewald_beta : float
        Grid spacing [Å] and splitting parameter [1/Å].
    """

    def __init__(self, model_name, model_charge_map, sys_charge_map, ewald_h=1.0, ewald_beta=0.4):
        graph_def = model_name if hasattr(model_name, "node") else dipole_graph(model_name)
        section = {"type": "dipole_charge", "model_charge_map": model_charge_map, "sys_charge_map": sys_charge_map}
        check_modifier(section, graph_def)
        known = constants(graph_def)
        self.ntypes = int(known["descrpt_attr/ntypes"])
        self.sel_type = [int(t) for t in np.ravel(known["model_attr/sel_type"])]
        self.charge_of_dipole = dict(zip(self.sel_type, map(float, model_charge_map)))
        self.charge = np.array(sys_charge_map, float)
        self.ewald = EwaldRecp(ewald_h, ewald_beta)
        with tf.Graph().as_default() as graph:
            nodes = import_dipoles(graph_def)
            self._session = new_session(graph)
        inputs = [nodes[k] for k in ("coord", "type", "natoms", "box", "mesh")]
        self._ranks = [t.shape.rank for t in inputs]
        self._dipole = self._session.make_callable(nodes["dipole"], feed_list=inputs)
        outputs = [nodes["force"], nodes["virial"]]
        self._derivatives = self._session.make_callable(outputs, feed_list=[*inputs, nodes["ef"]])

    def eval(self, coord, box, atype):
        """Evaluate frames of one composition.

        Parameters
        ----------
        coord : array_like
            nf*n*3 [Å].
        box : array_like
            nf*9 [Å].
        atype : (n,) int array
            Types of the model; the dipole model may know fewer.

        Returns
        -------
        energy : (nf,) array
            [eV]
        force : (nf, n, 3) array
            [eV/Å]
        virial : (nf, 9) array
            [eV]
        """
        atype = np.asarray(atype, int).ravel()
        if box is None:
            raise UserError("the electrostatics of a data modifier need a periodic cell", "box")
        if atype.max(initial=0) >= len(self.charge):
            raise UserError(
                f"type {atype.max()} has no charge", "sys_charge_map", f"give {atype.max() + 1} entries, one per type"
            )
        box = np.asarray(box, float).reshape(-1, 9)
        nframes, n = len(box), len(atype)
        coord = np.asarray(coord, float).reshape(nframes, n, 3)
        known = np.flatnonzero((atype >= 0) & (atype < self.ntypes))
        order = known[np.argsort(atype[known], kind="stable")]
        types = atype[order]
        selected = order[np.isin(types, self.sel_type)]
        if not len(selected):
            dipole = np.zeros((nframes, 0, 3))
        else:
            m = len(order)
            natoms = np.array([m, m, *np.bincount(types, minlength=self.ntypes)], np.int32)
            feed = [
                coord[:, order].reshape(nframes, -1), np.tile(types, (nframes, 1)).astype(np.int32), natoms, box,
                np.zeros(6, np.int32),
            ]  # fmt: skip
            feed = [v if r == 2 else np.ravel(v) for v, r in zip(feed, self._ranks)]
            dipole = np.asarray(self._dipole(*feed), float).reshape(nframes, -1, 3)
        real = np.flatnonzero(atype >= 0)
        charge = np.concatenate([self.charge[atype[real]], [self.charge_of_dipole[t] for t in atype[selected]]])
        where = np.concatenate([coord[:, real], coord[:, selected] + dipole], axis=1)
        energy, pull, virial = self.ewald.eval(where, np.tile(charge, (nframes, 1)), box)
        pull = pull.reshape(nframes, -1, 3)
        force = np.zeros((nframes, n, 3))
        force[:, real] = pull[:, : len(real)]
        if len(selected):
            on_charge = pull[:, len(real) :]
            force[:, selected] += on_charge
            more, dm_virial = self._derivatives(*feed, on_charge.ravel())
            force[:, order] += np.asarray(more, float).reshape(nframes, -1, 3)
            virial = virial + dm_virial - np.einsum("fwa,fwb->fab", on_charge, dipole).reshape(nframes, 9)
        return energy.ravel(), force, virial


class LabelModifier:
    """Subtracts the electrostatics from the labels of training data; frames are evaluated once.

    Parameters
    ----------
    section : dict
        ``model/modifier``.
    """

    def __init__(self, section, ntypes):
        check_modifier(section, ntypes=ntypes)
        keys = ("model_name", "model_charge_map", "sys_charge_map", "ewald_h", "ewald_beta")
        self._modifier = DipoleChargeModifier(**{k: section[k] for k in keys if k in section})
        self._known = {}

    def __call__(self, batch):
        types = batch["type"]
        if not batch["box"].any():
            raise UserError("has no cell, but the long-range part of the model needs one", batch["system"])
        out = {k: np.array(batch[k]) for k in ("energy", "force", "virial") if k in batch}
        for f in range(len(types)):
            key = hash((batch["coord"][f].tobytes(), batch["box"][f].tobytes(), types[f].tobytes()))
            if key not in self._known:
                self._known[key] = self._modifier.eval(batch["coord"][f], batch["box"][f], types[f])
            for name, value in zip(("energy", "force", "virial"), self._known[key]):
                if name in out and batch[f"find_{name}"]:
                    out[name][f] -= np.ravel(value)
        return batch | out
