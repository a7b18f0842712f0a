"""Which descriptor goes with which property, and what can be done with the model: found out by doing it.

``python tests/feature_table.py`` writes docs/feature-table.md. Every yes comes from a model that was built, frozen, evaluated,
compressed, written for other backends, and run in LAMMPS on one and two ranks.
"""

import re
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from dptf.errors import UserError  # noqa: E402

PAGE = ROOT / "docs" / "feature-table.md"
RCUT = {"rcut": 4.0, "rcut_smth": 1.0}
NET = {"neuron": [4, 8], "seed": 1}
FLOW = {
    "n_dim": 8, "e_dim": 6, "a_dim": 4, "nlayers": 2, "e_rcut": 4.0, "e_rcut_smth": 1.0, "e_sel": 30, "a_rcut": 3.0,
    "a_rcut_smth": 1.0, "a_sel": 12, "axis_neuron": 2,
}  # fmt: skip
REPINIT = {**RCUT, "nsel": 30, "neuron": [4, 8], "axis_neuron": 2, "tebd_dim": 4}
REPFORMER = {"rcut": 3.5, "rcut_smth": 1.0, "nsel": 20, "nlayers": 2, "g1_dim": 8, "g2_dim": 4, "axis_neuron": 2,
             "attn2_hidden": 4, "attn2_nhead": 1, "attn1_hidden": 4, "attn1_nhead": 1}  # fmt: skip
SE_A = {"type": "se_e2_a", "sel": [20, 30], "axis_neuron": 3, **RCUT, **NET}
SE_R = {"type": "se_e2_r", "sel": [20, 30], **RCUT, **NET}
ATTEN = {"type": "se_atten", "sel": 40, "axis_neuron": 3, "attn": 4, **RCUT, **NET}
DESCRIPTORS = {
    "se_e2_a": SE_A,
    "se_e2_a, one side": SE_A | {"type_one_side": True},
    "se_e2_a with type embedding": SE_A,
    "se_a_ebd_v2": SE_A | {"type": "se_a_ebd_v2"},
    "se_e2_r": SE_R,
    "se_e3": {"type": "se_e3", "sel": [8, 12], "rcut": 3.0, "rcut_smth": 1.0, **NET},
    "se_e3_tebd": {"type": "se_e3_tebd", "sel": 12, "rcut": 3.0, "rcut_smth": 1.0, "tebd_dim": 4, **NET},
    "hybrid (se_e2_a, se_e2_r)": {"type": "hybrid", "list": [SE_A, SE_R]},
    "se_atten, 2 attention layers": ATTEN | {"attn_layer": 2},
    "se_atten, no attention": ATTEN | {"attn_layer": 0},
    "se_atten, strip form": ATTEN | {"attn_layer": 0, "tebd_input_mode": "strip"},
    "se_atten_v2": ATTEN | {"type": "se_atten_v2", "attn_layer": 0},
    "dpa2": {"type": "dpa2", "repinit": REPINIT, "repformer": REPFORMER},
    "dpa3": {"type": "dpa3", "repflow": FLOW},
    "loc_frame": {"type": "loc_frame", "sel_a": [3, 4], "sel_r": [0, 0], "rcut": 4.0, "axis_rule": []},
    "se_a_ef": SE_A | {"type": "se_a_ef"},
    "se_a_mask": {"type": "se_a_mask", "sel": [4, 8], "axis_neuron": 3, **NET},
}
FITTINGS = {
    "energy": {"type": "ener"},
    "dipole": {"type": "dipole", "sel_type": [0]},
    "polarizability": {"type": "polar", "sel_type": [0]},
    "DOS": {"type": "dos", "numb_dos": 3},
    "property": {"type": "property", "property_name": "gap", "task_dim": 2, "intensive": True},
}
COLUMNS = ["train, freeze", "Python", "public ops", "compress", "other backends", "LAMMPS", "2 ranks"]
TYPES = np.array([0] * 4 + [1] * 8)
BOX = np.array([[8.0, 0, 0], [0.5, 7.5, 0], [-0.3, 0.4, 7.8]])
GRID = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3)[:12] / 3.0
COORD = GRID @ BOX + np.random.default_rng(4).normal(scale=0.2, size=(12, 3))


def frozen(name, descriptor, fitting, folder):
    """Freeze a model with initial weights; its script, arrays and file."""
    from dptf.config.load import normalize_model
    from dptf.config.problems import Problems
    from dptf.config.support import _Support
    from dptf.graph.freeze import frozen_graph
    from dptf.graph.load import write_graph_def
    from dptf.model import build_model
    from dptf.nn.parameters import Parameters
    from dptf.ops import tf

    fitting = {"neuron": [6, 6], "seed": 1} | fitting
    if descriptor["type"] == "se_a_mask":
        fitting |= {"numb_aparam": 1, "use_aparam_as_mask": True}
    section = {"type_map": ["A", "B"], "descriptor": descriptor, "fitting_net": fitting}
    if name in ("se_e2_a with type embedding", "se_a_ebd_v2"):
        section["type_embedding"] = {"neuron": [4, 4], "seed": 1}
    section = normalize_model(section)
    problems = Problems("input.json")
    _Support(problems).model(section, ("model",))
    problems.raise_if_any()
    with tf.Graph().as_default(), tf.Session() as session:
        model = build_model(section, min_nbor_dist=0.8)
        model.build(model.placeholders(), Parameters())
        session.run(tf.global_variables_initializer())
        values = {v.op.name: session.run(v) for v in tf.global_variables()}
    script = {"model": section}
    graph_def = frozen_graph(script, values, min_nbor_dist=0.8)
    path = Path(folder) / (re.sub(r"\W+", "_", name) + "_" + fitting["type"] + ".pb")
    write_graph_def(graph_def, path)
    return script, values, graph_def, path


def evaluate(path, name):
    """Result of the first frame in Python; the energy, or None for other properties."""
    from dptf.infer import DeepPot, DeepPotential

    params = {"aparam": np.ones((1, 12))} if name == "se_a_mask" else {}
    more = {"efield": np.ones((1, 12, 3))} if name == "se_a_ef" else params
    with DeepPotential(path) as model:
        out = model.eval(COORD[None], None if params else BOX[None], TYPES, **more)
        out = out if isinstance(out, tuple) else (out,)
        if not all(np.isfinite(x).all() for x in out):
            raise UserError("not a number", str(path))
        return float(out[0].ravel()[0]) if isinstance(model, DeepPot) else None


def attempt(action, *args, **kwargs):
    """What an action returns, or None if it is refused."""
    try:
        return action(*args, **kwargs) or True
    except UserError:
        return None


def in_lammps(models, folder, ranks):
    """Names of the models whose energy in LAMMPS is that in Python; `models` is {name: (file, energy)}."""
    from tests.lmp.lammps_run import restricted, run, write_data

    box, turn = restricted(BOX)
    write_data(Path(folder) / "data.lmp", COORD @ turn, TYPES, box, 2)
    left = dict(models)
    while left:
        lines = ["units metal", "atom_style atomic", "atom_modify map yes", "read_data data.lmp", "neighbor 0.5 bin"]
        for k, (path, _) in enumerate(left.values()):
            lines += [f"pair_style deepmd {path}", "pair_coeff * *", "run 0", "variable e equal pe", f'print "model {k} $(v_e:%.16g)"']  # fmt: skip
        process = run(folder, "\n".join(lines) + "\n", ranks)
        told = dict(re.findall(r"^model (\d+) (\S+)$", process.stdout, re.M))
        if process.returncode == 0:
            return [
                name
                for k, (name, (_, e)) in enumerate(left.items())
                if abs(float(told[str(k)]) - e) < 1e-6 * max(1, abs(e))
            ]
        del left[list(left)[len(told)]]  # the one that stopped the run
    return []


def table(descriptors=DESCRIPTORS, fittings=FITTINGS, lammps=True):
    """{(descriptor, fitting): {column: bool}} of the combinations that can be trained."""
    from dptf.exchange.from_graph import serialize_graph
    from dptf.exchange.own_form import TYPE
    from dptf.graph.compress import compress
    from dptf.graph.load import constants

    out, energies = {}, {}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, descriptor in descriptors.items():
            for kind, fitting in fittings.items():
                made = attempt(frozen, name, descriptor, fitting, folder)
                if made is None:
                    continue
                script, _, graph_def, path = made
                row = dict.fromkeys(COLUMNS, False) | {"train, freeze": True}
                energy = attempt(evaluate, path, name)
                row["Python"] = energy is not None
                row["public ops"] = not any(node.op.startswith("Dptf") for node in graph_def.node)
                row["compress"] = bool(attempt(compress, str(path), f"{path}.compressed.pb", frames=0))
                tree = attempt(serialize_graph, constants(graph_def), script, str(path))
                row["other backends"] = tree is not None and tree["model"]["descriptor"]["type"] != TYPE
                if kind == "energy" and energy is not None and name not in ("se_a_mask", "se_a_ef"):
                    # no cell; no field
                    energies[name] = path, energy
                out[name, kind] = row
        if lammps:
            for ranks, column in ((1, "LAMMPS"), (2, "2 ranks")):
                for name in in_lammps(energies, folder, ranks):
                    out[name, "energy"][column] = True
    return out


def page(rows):
    """The table as Markdown."""
    lines = [
        "# What works with what",
        "",
        "Written by `python tests/feature_table.py`; every yes is a model that was built with these options and went through it.",
        "Public ops: the frozen graph holds no op of this package alone. Other backends: `dp convert-backend`.",
        "Models of dipoles, polarizabilities, densities of states and properties have no energies for an engine to move atoms by.",
        "",
        "| descriptor | property | " + " | ".join(COLUMNS) + " |",
        "|---|---|" + "---|" * len(COLUMNS),
    ]
    for (name, kind), row in rows.items():
        cells = ["yes" if row[c] else ("" if kind != "energy" and c in COLUMNS[5:] else "no") for c in COLUMNS]
        lines.append(f"| {name} | {kind} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def read_page():
    """The rows of the page in docs."""
    rows = {}
    for line in PAGE.read_text().splitlines():
        cells = [c.strip() for c in line.strip("|").split("|")]
        if len(cells) == 2 + len(COLUMNS) and cells[0] in DESCRIPTORS:
            rows[cells[0], cells[1]] = {c: v == "yes" for c, v in zip(COLUMNS, cells[2:])}
    return rows


if __name__ == "__main__":
    PAGE.write_text(page(table()))
