"""``dp compress``: the model of a frozen graph with its embedding nets as tables.

The graph is assembled anew by the model's builder from the arrays of the given one, with the public ops for tables, so every
released runtime can run the result, as long as the tables fit in a file; beyond that an own op makes them at load. How much the tables change is measured, on training data where they are at hand.
"""

import json
import logging
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from dptf.data.sel import needs_statistics
from dptf.errors import UserError
from dptf.graph.load import constants, load_graph_def, text_constant, write_graph_def
from dptf.nn.table import TableSettings, table_bytes

log = logging.getLogger(__name__)

#: Protocol buffers, and so graph files, end at 2 GB; the rest of a model needs room too.
_MAX_TABLE_BYTES = 1.9e9
_STEPS = (0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
#: Outputs that are compared: name, what it is called, unit, and whether it counts per atom.
_COMPARED = (
    ("o_energy", "energy", "eV/atom", True),
    ("o_force", "force", "eV/Å", False),
    ("o_virial", "virial", "eV/atom", True),
    ("o_global_dipole", "dipole", "of its unit", False),
    ("o_global_polar", "polarizability", "of its unit", False),
    ("o_dos", "DOS", "of its unit", False),
)


def compress(source, output, *, step=0.01, extrapolate=5, frequency=-1, training_script=None, tolerance=None, frames=3,
    precision=None,
):  # fmt: skip
    """Write the compressed form of a frozen model.

    Parameters
    ----------
    source, output : str
        Files.
    step : float
        Fine stride; see :class:`TableSettings`.
    extrapolate, frequency : number
        See :class:`TableSettings`.
    training_script : str, optional
        Input file, for graphs that store none or no smallest distance.
    tolerance : float, optional
        Choose the largest step whose error is below it.
    frames : int
        Frames of the training data to measure the error on.
    precision : {"float32", "float64"}, optional
        Of the nets in the result; by default that of the model.

    Returns
    -------
    dict of str to float
        Largest errors by quantity; empty if nothing was measured.
    """
    if not step > 0:
        raise UserError(f"is {step}", "--step", "give a positive number, 0.01 say")
    if extrapolate <= 1:
        raise UserError(f"is {extrapolate}", "--extrapolate", "give a number above 1, 5 say")
    if tolerance is not None and (frames < 1 or not tolerance > 0):
        raise UserError("needs a positive number and at least one frame", "--tolerance")
    graph_def = load_graph_def(source)
    if text_constant(graph_def, "model_type") == "compressed_model":
        raise UserError("is compressed already", source, "compress the graph it was made from")
    values = constants(graph_def)
    script = _script(graph_def, training_script, source)
    given = script
    if precision:
        script = script | {"model": at_precision(script["model"], precision)}
    _check_form(script)
    distance = _min_distance(values, script, source, training_script)
    settings = TableSettings(step, extrapolate, frequency, distance)
    if not frames:
        _write(script, values, settings, output)
        return {}
    measure = _Comparison(source, given, values, distance, frames)
    scratch = Path(output).with_name(f".{Path(output).name}.{os.getpid()}.pb")
    try:
        for stride in [step] if tolerance is None else _STEPS:
            settings = TableSettings(stride, extrapolate, frequency, distance)
            _write(script, values, settings, scratch)
            errors = measure(scratch)
            log.info(
                "step %g (%.1f MB): largest error %s; %.2f times as fast", stride, scratch.stat().st_size / 1e6,
                _sentence(errors), measure.speedup,
            )  # fmt: skip
            if tolerance is None or max(errors.values()) <= tolerance:
                os.replace(scratch, output)
                return errors
    finally:
        scratch.unlink(missing_ok=True)
    raise UserError(
        f"even with step {stride:g} the error is {max(errors.values()):.1e}, above {tolerance:g}", "--tolerance",
        "give a larger one; float32 nets cannot be closer than their rounding",
    )  # fmt: skip


def at_precision(section, precision):
    """A model section whose nets have another precision."""
    if not isinstance(section.get("descriptor"), dict):
        raise UserError("takes a model with one descriptor", "--precision", "leave it out")
    section = dict(section)
    for key in ("descriptor", "fitting_net", "type_embedding"):
        if isinstance(section.get(key), dict):
            section[key] = section[key] | {"precision": precision}
    descriptor = section["descriptor"]
    if descriptor.get("type") == "hybrid":
        descriptor.pop("precision")
        descriptor["list"] = [part | {"precision": precision} for part in descriptor["list"]]
    return section


def _check_form(script):
    """Refuse descriptors without a compressed form before anything else is asked for."""
    from dptf.descriptor.interface import Descriptor
    from dptf.model import build_model

    if script["model"].get("type", "standard") == "standard":
        descriptor = build_model(script["model"]).descriptor
        if type(descriptor).compress is Descriptor.compress:
            descriptor.compress({}, None)


def _write(script, values, settings, output):
    """Write the graph with tables of these settings."""
    from dptf.graph.freeze import frozen_graph
    from dptf.model import build_model

    mixed = (script.get("training") or {}).get("mixed_precision")

    def stored(at_load):
        out = dict(values)
        model = build_model(script["model"], min_nbor_dist=settings.min_distance, mixed_precision=mixed)
        model.compress(out, replace(settings, at_load=at_load))
        return out

    # First without tables, which may be larger than the memory.
    arrays = stored(at_load=True)
    size, made = table_bytes(arrays)
    if size > _MAX_TABLE_BYTES:
        raise UserError(
            f"the tables of this descriptor take {size / 1e9:.1f} GB and have to be in the file, which ends at 2 GB", "--step",
            f"use a step of {settings.step * size / _MAX_TABLE_BYTES:.2g} or more, or a smaller --extrapolate",
        )  # fmt: skip
    if size + made > _MAX_TABLE_BYTES:
        log.warning(
            "the tables take %.1f GB, and a graph file ends at 2 GB: the file holds the nets, from which dptf makes the tables when "
            "it loads the file; other runtimes cannot run it (they need a step of %.2g or more)",
            (size + made) / 1e9, settings.step * (size + made) / _MAX_TABLE_BYTES,
        )  # fmt: skip
    elif made:
        arrays = stored(at_load=False)
    write_graph_def(frozen_graph(script, arrays, min_nbor_dist=settings.min_distance), output)


def _script(graph_def, training_script, source):
    """Input with a normalised model section: that of the graph, or of the given file."""
    from dptf.config.load import normalize_input, normalize_model, read_input

    stored = text_constant(graph_def, "train_attr/training_script")
    if stored and json.loads(stored).get("model"):
        script = json.loads(stored)
        if script.get("imported"):
            return script
        script["model"] = normalize_model(script["model"], f"{source}: the stored input")
    elif training_script is None:
        raise UserError("does not store the input it was trained with", source, "give it: dp compress -t input.json")
    else:
        script = normalize_input(read_input(training_script), paths=False)
    _resolve_sel(script["model"], graph_def)
    return script


def _resolve_sel(model, graph_def):
    """Numbers for an automatic sel, from the ops of the graph that find the neighbors (in the order of a hybrid)."""
    if model["type"] != "standard":
        if automatic := needs_statistics(model):
            raise UserError("is automatic", automatic[0], "give the numbers that the model was trained with")
        return
    section = model["descriptor"]
    found = [n.attr["sel_a"].list.i for n in graph_def.node if n.op in ("ProdEnvMatA", "ProdEnvMatAMix", "DescrptSeA")]
    found += [n.attr["sel"].list.i for n in graph_def.node if n.op in ("ProdEnvMatR", "DescrptSeR")]
    parts = section["list"] if section.get("type") == "hybrid" else [section]
    flat = [
        p for p in parts if not {"repinit", "repflow", "sel_a"} & p.keys()
    ]  # the others have numbers in their blocks
    automatic = [p for p in flat if isinstance(p.get("sel"), str) or p.get("sel") is None]
    if not automatic:
        return
    if len(parts) != 1 or len(found) != 1:
        raise UserError("is automatic", "model/descriptor/sel", "give the numbers that the model was trained with")
    section["sel"] = [int(s) for s in found[0]]


def _min_distance(values, script, source, training_script):
    """Smallest distance between atoms in the training data [Å]."""
    if "train_attr/min_nbor_dist" in values:
        return float(values["train_attr/min_nbor_dist"])
    if training_script is not None:
        from dptf.config.load import normalize_input, read_input

        script = normalize_input(read_input(training_script), paths=False)
    try:
        from dptf.data.neighbor_stat import neighbor_stat

        paths = _systems(script)
        rcut = float(values["descrpt_attr/rcut"])
        distance = neighbor_stat(paths, rcut, script["model"].get("type_map"))[0]
    except (KeyError, UserError) as err:
        raise UserError(
            f"does not store the smallest distance between atoms, and the training data cannot be read ({err})", source,
            "give the input with the training data: dp compress -t input.json",
        ) from None  # fmt: skip
    log.info("smallest distance in the training data: %.4f Å", distance)
    return float(distance)


def _systems(script):
    from dptf.data import expand_systems

    section = script["training"]["training_data"]
    return expand_systems(section["systems"], section.get("rglob_patterns"), "training/training_data/systems")


def _sentence(errors):
    units = {name: unit for _, name, unit, _ in _COMPARED}
    return ", ".join(f"{name} {value:.1e} {units[name]}" for name, value in errors.items())


class _Comparison:
    """Largest differences between a graph and others, on a few frames."""

    def __init__(self, source, script, values, distance, frames):
        from dptf.infer import DeepPotential

        with DeepPotential(source, plain=True) as model:
            self._cases = _training_frames(script, frames, model, values)
            if not self._cases:
                rcut, ntypes = float(values["descrpt_attr/rcut"]), int(values["descrpt_attr/ntypes"])
                cases = [_generated_frame(ntypes, distance, rcut, seed) for seed in range(frames)]
                self._cases = [(*case, _generated_inputs(model, values, len(case[2]))) for case in cases]
            self._reference = self._run(model)
        self._before = self._seconds

    @property
    def speedup(self):
        """Time of the reference over that of the graph evaluated last, both as they stand in the files."""
        return self._before / max(self._seconds, 1e-9)

    def _evaluate(self, path):
        from dptf.infer import DeepPotential

        # As they stand in the files: the difference shall be that of the files.
        with DeepPotential(path, plain=True) as model:
            return self._run(model)

    def _run(self, model):
        run = model.deep_eval
        names = [name for name, *_ in _COMPARED if run.has(name)]
        out, self._seconds = [], 0.0
        for coord, cells, types, more in self._cases:
            out.append(run.evaluate(names, coord, cells, types, **more))
            began = time.perf_counter()
            run.evaluate(names, coord, cells, types, **more)
            self._seconds += time.perf_counter() - began
        return out

    def __call__(self, path):
        errors = {}
        for (_, _, types, _), a, b in zip(self._cases, self._reference, self._evaluate(path), strict=True):
            for key, name, _, per_atom in _COMPARED:
                if key in a:
                    d = np.abs(a[key] - b[key]).max() / (len(types) if per_atom else 1)
                    errors[name] = max(errors.get(name, 0.0), float(d))
        return errors


def _training_frames(script, frames, model, values):
    """Up to so many frames, from as many systems, as (coord, cells, types, further inputs); empty where the data are not at hand."""
    from dptf.infer.labelled import LabelledSystem

    try:
        paths = _systems(script)
    except (KeyError, UserError):
        log.info("the training data are not at hand: the error is measured on a generated configuration")
        return []
    out = []
    for path in paths[:: max(1, len(paths) // frames)][:frames]:
        system = LabelledSystem(path, script["model"].get("type_map") or [])
        count = max(1, frames // min(frames, len(paths)))
        for k in np.linspace(0, system.nframes - 1, count).astype(int):
            index = np.array([k])
            coord, cells, types = system.geometry(index)
            try:
                more = system.parameters(model, index)
                more.pop("spin", None)  # the node takes virtual atoms
            except UserError:
                more = _generated_inputs(model, values, coord.shape[1])
            out.append((coord.reshape(1, -1), cells, types[0], more))
    return out


def _generated_frame(ntypes, distance, rcut, seed):
    """A jittered lattice of about 40 neighbors an atom, with a pair as close as the closest of the training data."""
    rng = np.random.default_rng(seed)
    side, spacing = 4, max(rcut * (4.2 / 40) ** (1 / 3), distance)
    grid = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    coord = (grid + rng.uniform(-0.15, 0.15, size=grid.shape)) * spacing
    coord[1] = coord[0] + [distance, 0.0, 0.0]
    types = rng.permutation(np.arange(len(grid)) % ntypes)
    return coord.reshape(1, -1), (np.eye(3) * side * spacing).reshape(1, 9), types


def _generated_inputs(model, values, natoms):
    """What the model takes beside the geometry: the means of its parameters, fragments of three atoms, any field."""
    out = {}
    if (fparam := values.get("fitting_attr/t_fparam_avg")) is not None:
        out["fparam"] = fparam[None]
    if (aparam := values.get("fitting_attr/t_aparam_avg")) is not None:
        out["aparam"] = np.tile(aparam, (1, natoms, 1))
    elif model.get_dim_aparam():
        out["aparam"] = np.arange(natoms)[None, :, None] // 3
    if model.has_efield:
        out["efield"] = np.random.default_rng(0).normal(size=(1, natoms, 3))
    return out


def _type_factor(node, nodes, value, width):
    """What the public package stores in place of the net of the types: a row for every pair of types."""
    name = node.input[4].split(":")[0]
    while nodes[name].op not in ("GatherV2", "Gather"):
        inputs = [ref.split(":")[0] for ref in nodes[name].input]
        ahead = [ref for ref in inputs if nodes[ref].op not in ("Const", "Pack", "Placeholder")]
        if not ahead:
            raise UserError("holds no factors of the types", "the compressed graph", "compress the model anew")
        name = ahead[0]
    return value(nodes[name].input[0]).reshape(-1, width)


def read_tables(graph_def, names):
    """Tables of a compressed graph of any origin.

    Parameters
    ----------
    graph_def : GraphDef
    names : list of (scope, tail)
        The nets in the order in which they were built.

    Returns
    -------
    dict of str to array
        Named as :func:`dptf.nn.table.table_names` has it.
    """
    from dptf.nn.table import factor_name, table_names

    nodes, values = {n.name: n for n in graph_def.node}, constants(graph_def)

    def value(ref):
        name = ref.split(":")[0]
        while nodes[name].op == "Identity":
            name = nodes[name].input[0].split(":")[0]
        return values[name]

    found = {}
    for node in graph_def.node:
        if node.op.startswith("TabulateFusion") and "Grad" not in node.op:
            scope, _, own = node.name.rpartition("/")
            number = own.rpartition("_")[2]
            found.setdefault(scope, []).append((int(number) if number.isdigit() else 0, node))
    out = {}
    for scope in dict.fromkeys(scope for scope, _ in names):
        tails = [tail for s, tail in names if s == scope]
        # Both halves of se_a_ef read the same tables.
        ops = {}
        for _, node in sorted(found.get(scope, []), key=lambda item: item[0]):
            ops.setdefault(node.input[0], node)
        ops = list(ops.values())
        if len(ops) != len(tails):
            raise UserError(
                f"has {len(ops)} tables in {scope}, the input describes {len(tails)}", "the compressed graph",
                "give the descriptor section that it was made with",
            )  # fmt: skip
        for tail, node in zip(tails, ops):
            table, info = table_names(scope, tail)
            out[table], out[info] = value(node.input[0]), value(node.input[1])
            nets = (f"{scope}/matrix_1_{side}_side_ebd" for side in ("one", "two"))
            if node.op == "TabulateFusionSeAtten" and not any(name in values for name in nets):
                out[factor_name(scope)] = _type_factor(node, nodes, value, out[table].shape[1] // 6)
    return out
