"""Checks of the model section that need no data."""

import os
import re

from dptf.config.problems import nearest
from dptf.config.schema.common import ACTIVATIONS, PRECISIONS
from dptf.config.support import sub_models

# (rcut, rcut_smth) of the blocks of a descriptor.
_CUTOFFS = (
    ("rcut", "rcut_smth"), ("three_body_rcut", "three_body_rcut_smth"), ("e_rcut", "e_rcut_smth"), ("a_rcut", "a_rcut_smth"),
)  # fmt: skip
_SELS = ("sel", "nsel", "three_body_sel", "e_sel", "a_sel")


def check_model(model, path, problems):
    """Add every violation in a normalised model section to `problems`."""
    type_map = model.get("type_map")
    if type_map is not None:
        _type_map(type_map, (*path, "type_map"), problems)
    for key in ("data_stat_nbatch", "data_bias_nsample"):
        if model.get(key, 1) < 1:
            problems.add((*path, key), f"is {model[key]}; it must be at least 1")
    _excluded(model.get("pair_exclude_types", []), (*path, "pair_exclude_types"), type_map, problems)
    for t in model.get("atom_exclude_types", []):
        if type_map and not 0 <= t < len(type_map):
            problems.add((*path, "atom_exclude_types"), f"holds {t}; types run from 0 to {len(type_map) - 1}")
    if model["type"] != "standard":
        for key in ("pair_exclude_types", "atom_exclude_types", "preset_out_bias"):
            if model.get(key):
                problems.add(
                    (*path, key), f"does not act on a model of type '{model['type']}'; put it into its members"
                )
    if "type_embedding" in model:
        _network(model["type_embedding"], (*path, "type_embedding"), problems)
    if model["type"] == "standard":
        _descriptor(model["descriptor"], (*path, "descriptor"), type_map, problems)
        _fitting(model["fitting_net"], (*path, "fitting_net"), type_map, problems)
    files = {"frozen": ("model_file",), "pairtab": ("tab_file",)}.get(model["type"], ())
    for key in (*files, "use_srtab"):
        if key in model and not os.path.isfile(model[key]):
            problems.add((*path, key), f"no such file: {model[key]}")
    modifier = model.get("modifier")
    if modifier:
        if not os.path.isfile(modifier["model_name"]):
            problems.add((*path, "modifier", "model_name"), f"no such file: {modifier['model_name']}")
        if model["type"] != "standard" or model["fitting_net"]["type"] != "ener":
            problems.add((*path, "modifier"), "acts on the labels of a standard energy model only")
        for key in ("ewald_h", "ewald_beta"):
            if modifier[key] <= 0:
                problems.add((*path, "modifier", key), f"is {modifier[key]}; it must be positive")
    if "use_srtab" in model:
        _short_range(model, path, problems)
    if model["type"] == "linear_ener":
        _sum(model, path, problems)
    if model["type"] == "pairtab":
        if model["rcut"] <= 0:
            problems.add((*path, "rcut"), f"is {model['rcut']}; it must be positive (Å)")
        _sel(model["sel"], (*path, "sel"), problems)
    for key, sub in sub_models(model):
        check_model(sub, (*path, *key), problems)


def _short_range(model, path, problems):
    keys = ("smin_alpha", "sw_rmin", "sw_rmax")
    missing = [key for key in keys if key not in model]
    for key in missing:
        problems.add((*path, key), "is missing; use_srtab needs it")
    if model["type"] != "standard":
        problems.add((*path, "use_srtab"), f"does not act on a model of type '{model['type']}'; put it into a member")
    elif not missing:
        alpha, rmin, rmax = (model[key] for key in keys)
        if alpha <= 0:
            problems.add((*path, "smin_alpha"), f"is {alpha}; it must be positive (Å)")
        if not 0 <= rmin < rmax:
            problems.add((*path, "sw_rmin"), f"is {rmin}; it must lie between 0 and sw_rmax ({rmax})")


def _sum(model, path, problems):
    weights, count = model["weights"], len(model["models"])
    if not count:
        problems.add((*path, "models"), "is empty")
    if isinstance(weights, str) and weights not in ("mean", "sum"):
        problems.add((*path, "weights"), f"is '{weights}'; use mean, sum, or one number per model")
    elif not isinstance(weights, str) and len(weights) != count:
        problems.add((*path, "weights"), f"has {len(weights)} entries for {count} models")


def _type_map(type_map, path, problems):
    doubled = sorted({t for t in type_map if type_map.count(t) > 1})
    if doubled:
        problems.add(path, f"names {', '.join(map(repr, doubled))} more than once")
    if not type_map:
        problems.add(path, "is empty")
    if any(not t.strip() or len(t.split()) > 1 for t in type_map):
        problems.add(path, "holds a name that is empty or has a space in it")


def _network(section, path, problems):
    """Names and sizes that every network has."""
    function = section.get("activation_function")
    if function is not None:
        name, _, threshold = function.lower().partition(":")
        if name not in ACTIVATIONS or (threshold and (name != "silut" or not re.fullmatch(r"\d+\.?\d*", threshold))):
            problems.add((*path, "activation_function"), f"'{function}' is not known{nearest(name, ACTIVATIONS)}")
    if section.get("precision", "default") not in PRECISIONS:
        known = nearest(section["precision"], PRECISIONS)
        problems.add((*path, "precision"), f"'{section['precision']}' is not known{known}")
    for key in ("neuron", "three_body_neuron"):
        if key in section and any(n < 1 for n in section[key]):
            problems.add((*path, key), f"is {section[key]}; widths must be at least 1")


def _descriptor(section, path, type_map, problems):
    if section["type"] == "hybrid":
        if not section["list"]:
            problems.add((*path, "list"), "is empty")
        for i, member in enumerate(section["list"]):
            _descriptor(member, (*path, "list", str(i)), type_map, problems)
        return
    _block(section, path, problems)
    for name in ("repinit", "repformer", "repflow"):
        if name in section:
            _block(section[name], (*path, name), problems)
    sel = section.get("sel")
    per_type = not section["type"].startswith(("se_atten", "se_e3_tebd"))
    if isinstance(sel, list) and type_map and per_type and len(sel) != len(type_map):
        problems.add(
            (*path, "sel"), f"has {len(sel)} numbers, but type_map names {len(type_map)} types ({', '.join(type_map)})"
        )
    _excluded(section.get("exclude_types", []), (*path, "exclude_types"), type_map, problems)
    if section["type"] == "dpa2":
        _smaller(section["repformer"], section["repinit"], ("rcut", "nsel"), "repinit", (*path, "repformer"), problems)
    if section["type"] == "dpa3":
        flow = section["repflow"]
        for kind in ("rcut", "sel"):
            a, e = flow[f"a_{kind}"], flow[f"e_{kind}"]
            if not isinstance(a, str) and not isinstance(e, str) and a > e:
                problems.add((*path, "repflow", f"a_{kind}"), f"is {a}, above e_{kind} ({e})")


def _block(section, path, problems):
    _network(section, path, problems)
    for far, near in _CUTOFFS:
        if far not in section:
            continue
        rcut, smth = section[far], section.get(near, 0.0)
        if rcut <= 0:
            problems.add((*path, far), f"is {rcut}; it must be positive (Å)")
        if smth < 0 or smth > rcut:
            problems.add((*path, near), f"is {smth}; it must lie between 0 and {far} ({rcut})")
    neuron, axis = section.get("neuron"), section.get("axis_neuron")
    if neuron is not None and not neuron:
        problems.add((*path, "neuron"), "is empty; the embedding network needs at least one layer")
    if axis is not None and (axis < 1 or (neuron and axis > neuron[-1])):
        limit = f" and at most the last of neuron ({neuron[-1]})" if neuron else ""
        problems.add((*path, "axis_neuron"), f"is {axis}; it must be at least 1{limit}")
    for key in _SELS:
        if key in section:
            _sel(section[key], (*path, key), problems)


def _sel(sel, path, problems):
    if isinstance(sel, str):
        ratio = re.fullmatch(r"auto(?::\s*(\d+\.?\d*))?", sel)
        if not ratio or (ratio[1] and float(ratio[1]) < 1):
            problems.add(path, f"'{sel}' is not a number, a list, auto, or auto:F with F of at least 1")
        return
    numbers = sel if isinstance(sel, list) else [sel]
    if any(n < 0 for n in numbers) or sum(numbers) < 1:
        problems.add(path, f"is {sel}; numbers of neighbors cannot be negative or all 0")


def _excluded(pairs, path, type_map, problems):
    for pair in pairs:
        if len(pair) != 2:
            problems.add(path, f"holds {pair}; pairs of two types are expected")
        elif type_map and any(not 0 <= t < len(type_map) for t in pair):
            problems.add(path, f"holds {pair}; types run from 0 to {len(type_map) - 1}")


def _smaller(inner, outer, keys, name, path, problems):
    for key in keys:
        a, b = inner[key], outer[key]
        if not isinstance(a, str) and not isinstance(b, str) and a > b:
            problems.add((*path, key), f"is {a}, above that of {name} ({b})")


def _fitting(section, path, type_map, problems):
    _network(section, path, problems)
    layers = len(section["neuron"]) + 1
    for key in ("trainable", "layer_name"):
        value = section.get(key)
        if isinstance(value, list) and len(value) != layers:
            problems.add((*path, key), f"has {len(value)} entries, expected {layers} (hidden layers and the output)")
    for key in ("numb_fparam", "numb_aparam"):
        if section[key] < 0:
            problems.add((*path, key), f"is {section[key]}; it cannot be negative")
    known = section.get("atom_ener") or []
    if known and type_map and len(known) != len(type_map):
        problems.add((*path, "atom_ener"), f"has {len(known)} entries, but type_map names {len(type_map)} types")
    if any(not isinstance(e, (int, float, type(None))) or isinstance(e, bool) for e in known):
        problems.add((*path, "atom_ener"), "holds something that is neither a number nor null")
    for key in ("numb_dos", "task_dim"):
        if section.get(key, 1) < 1:
            problems.add((*path, key), f"is {section[key]}; it must be at least 1")
    selected = section.get("sel_type")
    if type_map and selected is not None:
        for t in selected if isinstance(selected, list) else [selected]:
            if not 0 <= t < len(type_map):
                problems.add((*path, "sel_type"), f"holds {t}; types run from 0 to {len(type_map) - 1}")
