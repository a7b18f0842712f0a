"""Frames of different systems in one batch: shorter frames are padded with virtual atoms of type -1."""

import numpy as np

from dptf.errors import UserError


def merge_frames(batches, requirements):
    """Join batches of systems with different numbers of atoms.

    Parameters
    ----------
    batches : list of dict
        As made by :meth:`dptf.data.systems.DataSystems.batch_of`.
    requirements : list of DataRequirement

    Returns
    -------
    dict
        ``coord`` (nf, n*3), ``type`` (nf, n) with -1 for padding, labels of padding atoms 0, for the largest n. A label
        counts as found only if every frame has it.
    """
    natoms = max(b["type"].shape[1] for b in batches)
    out = {
        "system": ", ".join(dict.fromkeys(b["system"] for b in batches)),
        "box": np.concatenate([b["box"] for b in batches]),
        "type": np.concatenate([_pad(b["type"], natoms, b["type"].shape[1], -1) for b in batches]),
        "coord": np.concatenate([_pad(b["coord"], natoms, b["type"].shape[1]) for b in batches]),
    }
    for req in requirements:
        if req.type_sel is not None:
            raise UserError(
                f"'{req.key}' is labelled for selected types only, which batches of several systems do not allow",
                "training_data/batch_size",
                "use a rule other than mixed:N",
            )
        parts = [b[req.key] for b in batches]
        if req.atomic:
            parts = [_pad(p, natoms, b["type"].shape[1]) for p, b in zip(parts, batches)]
        out[req.key] = np.concatenate(parts)
        out["find_" + req.key] = min(b["find_" + req.key] for b in batches)
    return out


def _pad(value, natoms, have, filler=0):
    """Rows (nf, have * k) widened to (nf, natoms * k)."""
    rows = value.reshape(len(value), have, -1)
    out = np.full((len(value), natoms, rows.shape[2]), filler, value.dtype)
    out[:, :have] = rows
    return out.reshape(len(value), -1)
