"""Numbers of neighbor slots (``sel``) from neighbor statistics."""

import logging
import re

from dptf.errors import UserError

log = logging.getLogger(__name__)

# Blocks of a descriptor that look at neighbors: sub-section, cutoff key, slots key. Blocks of one type count all neighbors.
_PER_TYPE = {"se_e2_a", "se_e2_r", "se_e3", "se_a_tpe", "se_a_ebd_v2", "se_a_ef"}
_ONE_TYPE = {
    "se_atten": [((), "rcut", "sel")],
    "se_atten_v2": [((), "rcut", "sel")],
    "se_e3_tebd": [((), "rcut", "sel")],
    "dpa2": [
        (("repinit",), "rcut", "nsel"),
        (("repinit",), "three_body_rcut", "three_body_sel"),
        (("repformer",), "rcut", "nsel"),
    ],
    "dpa3": [(("repflow",), "e_rcut", "e_sel"), (("repflow",), "a_rcut", "a_sel")],
}


def auto_ratio(sel, where="sel"):
    """Ratio of an automatic sel (``"auto"``, ``"auto:F"``), None for explicit numbers."""
    if not isinstance(sel, str):
        return None
    match = re.fullmatch(r"auto(?::\s*(\d+\.?\d*))?", sel)
    if not match or (match[1] and float(match[1]) < 1):
        raise UserError(f"'{sel}' is not a number, a list, 'auto' or 'auto:F' (F of at least 1)", where)
    return float(match[1] or 1.1)


def auto_sel(count, ratio):
    """Slots for an observed largest count: ratio applied, rounded up to a multiple of 4 (0 stays 0)."""
    return 4 * ((int(count * ratio) + 3) // 4)


def resolve_sel(sel, counts, type_map=None, where="model/descriptor/sel"):
    """Explicit numbers for ``sel``.

    Parameters
    ----------
    sel : int, list of int or str
    counts : list of int
        Largest observed numbers of neighbors, per type or one in total.
    type_map : list of str, optional
        Names of the types, for the warnings.
    where : str
        Key path, for messages.

    Returns
    -------
    int or list of int
        A list per type where `counts` has one entry per type, the given form otherwise.
    list of str
        Warnings: observed neighbors exceed an explicit sel.
    """
    ratio = auto_ratio(sel, where)
    if ratio is not None:
        return [auto_sel(c, ratio) for c in counts], []
    if len(counts) == 1:
        total = sum(sel) if isinstance(sel, list) else sel
        few = [(None, total, counts[0])] if 0 < total < counts[0] else []
    else:
        names = type_map or [str(i) for i in range(len(sel))]
        few = [(name, s, c) for name, s, c in zip(names, sel, counts) if 0 < s < c]
    warnings = [
        f"{where}: {s} slots{f' for type {name}' if name is not None else ''}, but the data have up to {c} neighbors; "
        "the farthest ones are cut off"
        for name, s, c in few
    ]
    return sel, warnings


def _blocks(descriptor, path):
    """Yield ``(section, path, rcut key, sel key, one_type)`` of a descriptor and its members."""
    kind = descriptor["type"]
    if kind == "hybrid":
        for i, member in enumerate(descriptor["list"]):
            yield from _blocks(member, f"{path}/list/{i}")
    elif kind in _PER_TYPE:
        yield descriptor, path, "rcut", "sel", False
    for names, rcut, sel in _ONE_TYPE.get(kind, []):
        section = descriptor[names[0]] if names else descriptor
        if rcut == "three_body_rcut" and not section["use_three_body"]:
            continue
        yield section, "/".join((path, *names)), rcut, sel, True


def _model_blocks(model, path, part=None):
    """Yield ``(section, path, rcut key, sel key, one_type, part)``; part of the frame that is seen, None for the whole."""
    kind = model["type"]
    if kind == "standard":
        for block in _blocks(model["descriptor"], f"{path}/descriptor"):
            yield *block, part
    elif kind == "pairtab":
        yield model, path, "rcut", "sel", True, part
    elif kind == "linear_ener":
        models = model["models"]
        for name, sub in models.items() if isinstance(models, dict) else enumerate(models):
            yield from _model_blocks(sub, f"{path}/models/{name}", part)
    elif kind == "pairwise_dprc":
        for name in ("qm", "qmmm"):
            yield from _model_blocks(model[f"{name}_model"], f"{path}/{name}_model", name)


def needs_statistics(model):
    """Key paths of the slots that are given as 'auto'."""
    return [
        f"{path}/{sel}" for section, path, _, sel, *_ in _model_blocks(model, "model") if isinstance(section[sel], str)
    ]


def update_sel(model, stat):
    """Put explicit numbers for every automatic ``sel`` of a model, in place, and warn where given ones are too small.

    Parameters
    ----------
    model : dict
        Normalised model section.
    stat : callable
        ``stat(rcut, one_type)``, of fragments of QM/MM models ``stat(rcut, one_type, part)``, returns the smallest distance and the
        largest neighbor counts within a cutoff, as :func:`dptf.data.neighbor_stat.neighbor_stat` does.

    Returns
    -------
    float or None
        Smallest distance between two atoms of the data in Å; None if nothing in the model has a cutoff.
    """
    smallest, known = None, {}
    for section, path, rcut_key, sel_key, one_type, part in _model_blocks(model, "model"):
        case = (section[rcut_key], one_type, *([part] if part else []))
        if case not in known:
            known[case] = stat(*case)
        distance, counts = known[case]
        smallest = distance if smallest is None else min(smallest, distance)
        automatic = isinstance(section[sel_key], str)
        sel, warnings = resolve_sel(section[sel_key], counts, model.get("type_map"), f"{path}/{sel_key}")
        section[sel_key] = sel[0] if automatic and one_type else sel
        for warning in warnings:
            log.warning(warning)
    return smallest
