"""Labelled systems in the order of their files, for everything that compares a model with data."""

import numpy as np

from dptf.data.requirement import DataRequirement
from dptf.data.sources import expand_systems, open_source
from dptf.data.system import System
from dptf.errors import UserError


class LabelledSystem:
    """Frames and labels of one system; atoms in file order.

    Parameters
    ----------
    path : str
        Directory or HDF5 group.
    type_map : list of str
        Names of the model's types; empty if it has none.

    Attributes
    ----------
    name : str
    natoms : int
    nframes : int
    periodic, mixed : bool
    """

    def __init__(self, path, type_map):
        self.system = System(open_source(path), list(type_map) or None)
        self.name, self.natoms = self.system.name, self.system.natoms
        self.nframes, self.periodic, self.mixed = self.system.nframes, self.system.periodic, self.system.mixed
        ends = np.cumsum([self.system.set_frames(k) for k in range(len(self.system.set_names))])
        self._starts = ends - ends[0] if len(ends) == 1 else np.concatenate([[0], ends[:-1]])
        self._ends = ends

    def select(self, number=0, rng=None):
        """Frames to use: the first ``number`` (all if 0), in random order with ``rng``."""
        index = np.arange(self.nframes)
        if rng is not None:
            rng.shuffle(index)
        return index[:number] if number > 0 else index

    def chunks(self, index, max_atoms):
        """Split frames so that each part holds at most ``max_atoms`` atoms."""
        step = max(1, max_atoms // self.natoms)
        return [index[k : k + step] for k in range(0, len(index), step)]

    def _by_set(self, index, read):
        """Collect ``read(iset, frames)`` of the sets that hold the frames, in the order of ``index``.

        ``read`` gives a tuple of arrays with one row per frame.
        """
        parts, places = [], []
        for iset, (start, end) in enumerate(zip(self._starts, self._ends)):
            here = np.flatnonzero((index >= start) & (index < end))
            if len(here):
                parts.append(read(iset, index[here] - start))
                places.append(here)
        back = np.argsort(np.concatenate(places))
        return tuple(np.concatenate(column)[back] for column in zip(*parts))

    def geometry(self, index):
        """Positions, cells and types of frames.

        Returns
        -------
        coord : (k, n, 3) array
            [Å]
        cells : (k, 9) array or None
            None for open boundaries [Å].
        types : (k, n) int array
            -1 marks absent atoms.
        """
        coord, cells, types = self._by_set(index, self.system.coordinates)
        coord = self._file_order(coord.reshape(len(index), self.natoms, 3))
        return coord, cells if self.periodic else None, self._file_order(types[:, :, None])[:, :, 0]

    def _file_order(self, rows):
        out = np.empty_like(rows)
        out[:, self.system.order] = rows
        return out

    def label(self, key, index, ndof, *, atomic=False, sel_type=None, must=False):
        """A labelled quantity.

        Parameters
        ----------
        key : str
        index : int array
            Frames.
        ndof : int
            Numbers per frame, or per atom.
        atomic, must : bool, optional
        sel_type : list of int, optional
            Only atoms of these types carry it.

        Returns
        -------
        values : (k, ndof) or (k, n, ndof) array
            n counts the selected atoms with ``sel_type``; file order.
        present : (k,) bool array
            Frames that have the label.
        """
        req = DataRequirement(
            key, ndof, atomic=atomic, must=must, high_prec=True, type_sel=None if sel_type is None else tuple(sel_type)
        )

        def read(iset, frames):
            value, found = self.system.load(iset, frames, req)
            return value, np.full(len(frames), found > 0)

        values, present = self._by_set(index, read)
        if not atomic:
            return values.reshape(len(index), ndof), present
        values = values.reshape(len(index), -1, ndof)
        if sel_type is None:
            return self._file_order(values), present
        kept = self.system.order[np.isin(self.system.types[self.system.order], sel_type)]
        return values[:, np.argsort(kept)], present

    def parameters(self, model, index):
        """Keyword arguments ``fparam``, ``aparam``, ``spin`` and ``efield`` for ``model.eval``, as far as the model takes them."""
        result = {}
        if width := int(model.get_dim_fparam()):
            value, found = self.label("fparam", index, width, must=not model.has_default_fparam())
            if not found.all() and found.any():
                value[~found] = model.deep_eval.constant("fitting_attr/default_fparam")
            if found.any():
                result["fparam"] = value
        if width := int(model.get_dim_aparam()):
            result["aparam"] = self.label("aparam", index, width, atomic=True, must=True)[0]
        if model.has_spin:
            spin, present = self.label("spin", index, 3, atomic=True)
            if present.all():
                result["spin"] = spin
        if model.has_efield:
            result["efield"] = self.label("efield", index, 3, atomic=True, must=True)[0]
        if model.has_chg_spin_ebd():
            value, found = self.label("charge_spin", index, 2, must=not model.has_default_chg_spin())
            if found.all():
                result["charge_spin"] = value
        return result

    def arguments(self, model, index):
        """All arguments of ``model.eval`` for frames, as keywords."""
        coord, cells, types = self.geometry(index)
        where = {"mixed_type": True, "atom_types": types} if self.mixed else {"atom_types": types[0]}
        return {"coords": coord, "cells": cells, **where, **self.parameters(model, index)}


def find_systems(system=None, datafile=None, train_json=None, valid_json=None):
    """Paths of the systems that the options ``-s``, ``-f``, ``--train-data``, ``--valid-data`` name.

    Parameters
    ----------
    system : str, optional
        Searched recursively.
    datafile : str, optional
        One system per line; blank lines and lines that start with ``#`` are skipped.
    train_json, valid_json : str, optional
        Input whose training or validation systems are meant; paths are relative to its directory.

    Returns
    -------
    list of str
    """
    from pathlib import Path

    if datafile is not None:
        path = Path(datafile)
        if not path.is_file():
            raise UserError("no such file", datafile)
        lines = [line.strip() for line in path.read_text().splitlines()]
        paths = [line for line in lines if line and not line.startswith("#")]
        if not paths:
            raise UserError("names no system", datafile, "put one path on each line")
        return expand_systems(paths, None, datafile)
    source = train_json or valid_json
    if source is None:
        return expand_systems([system], None, "-s/--system")
    from dptf.config.load import load_input

    key = "training_data" if train_json else "validation_data"
    section = (load_input(source, paths=False).get("training") or {}).get(key)
    if not section:
        raise UserError(f"has no section training/{key}", source)
    systems = section["systems"]
    systems = [systems] if isinstance(systems, str) else systems
    base = Path(source).resolve().parent
    paths = [s if Path(s).is_absolute() else str(base / s) for s in systems]
    return expand_systems(paths, section.get("rglob_patterns"), f"{source}: training/{key}/systems")
