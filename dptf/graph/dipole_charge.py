"""Long-range electrostatics of charges that dipoles displace (``modifier`` of type ``dipole_charge``), in graphs.

A frozen dipole model stands inside another graph, below the scope ``dipole_charge``, with inputs of its own. For a vector on every
selected atom (input ``t_ef``) the nodes ``o_dm_force``, ``o_dm_virial`` and ``o_dm_av`` give the derivatives of the sum of
vector times dipole.
"""

import numpy as np

from dptf.errors import UserError
from dptf.graph.load import constants, load_graph_def
from dptf.ops import op_module, tf

SCOPE = "dipole_charge"
_ATTRIBUTES = ("type", "mdl_name", "mdl_charge_map", "sys_charge_map", "ewald_h", "ewald_beta")
#: What a frozen graph keeps of it.
NODES = [
    *[f"modifier_attr/{key}" for key in _ATTRIBUTES], "o_dm_force", "o_dm_virial", "o_dm_av",
    *[f"{SCOPE}/{name}" for name in (
        "model_type", "descrpt_attr/rcut", "descrpt_attr/ntypes", "model_attr/tmap", "model_attr/model_type",
        "model_attr/model_version", "model_attr/sel_type", "model_attr/output_dim", "o_dipole", "t_mesh",
    )],
]  # fmt: skip


def dipole_graph(path, where="model/modifier/model_name"):
    """The graph of a frozen dipole model."""
    graph_def = load_graph_def(path)
    known, names = constants(graph_def), {node.name for node in graph_def.node}
    kind = known["model_attr/model_type"].item().decode() if "model_attr/model_type" in known else "ener"
    if kind != "dipole":
        raise UserError(f"{path} is a model of type '{kind}'", where, "give a frozen dipole model")
    missing = [n for n in ("o_dipole", "o_rmat", "o_rmat_deriv", "o_nlist", "o_rij") if n not in names]
    if missing:
        raise UserError(
            f"{path} has no node '{missing[0]}', from which forces are taken", where,
            "train the dipoles with descriptor se_e2_a, and freeze them with release 2.0 or later",
        )  # fmt: skip
    return graph_def


def import_dipoles(graph_def, scope=SCOPE):
    """Import a dipole graph into the current one, and add the derivatives of ``t_ef`` times dipole.

    Returns
    -------
    dict of tensors
        ``coord``, ``type``, ``natoms``, ``box``, ``mesh``, ``ef`` (inputs), ``dipole``, ``force``, ``virial``, ``atom_virial``.
    """
    tf.import_graph_def(graph_def, name=scope)
    node = lambda name: tf.get_default_graph().get_tensor_by_name(f"{scope}/{name}:0")  # noqa: E731
    found = {key: node(f"t_{key}") for key in ("coord", "type", "natoms", "box", "mesh")}
    dipole, rmat, natoms = node("o_dipole"), node("o_rmat"), found["natoms"]
    ef = tf.placeholder(dipole.dtype, [None], name="t_ef")
    work = tf.reduce_sum(tf.reshape(dipole, [-1]) * tf.reshape(ef, [-1]))
    nframes = tf.shape(node("o_rmat_deriv"))[0]
    slope = tf.reshape(-tf.gradients(work, rmat)[0], [nframes, -1])
    rij, nlist = tf.reshape(node("o_rij"), [nframes, -1]), tf.reshape(node("o_nlist"), [nframes, -1])
    attrs = {"n_a_sel": 0, "n_r_sel": 0}
    force = op_module.prod_force_se_a(slope, node("o_rmat_deriv"), nlist, natoms, **attrs)
    virial, atom_virial = op_module.prod_virial_se_a(slope, node("o_rmat_deriv"), rij, nlist, natoms, **attrs)
    return found | {
        "ef": ef, "dipole": dipole, "force": tf.identity(force, name="o_dm_force"),
        "virial": tf.identity(virial, name="o_dm_virial"), "atom_virial": tf.identity(atom_virial, name="o_dm_av"),
    }  # fmt: skip


def add_modifier(section):
    """Put the modifier of a model section into the current graph, for freezing."""
    _check(section)
    import_dipoles(dipole_graph(section["model_name"]))
    text = lambda values: " ".join(repr(float(v)) for v in values)  # noqa: E731
    values = {
        "type": section["type"], "mdl_name": str(section["model_name"]), "mdl_charge_map": text(section["model_charge_map"]),
        "sys_charge_map": text(section["sys_charge_map"]),
    }  # fmt: skip
    for key, value in values.items():
        tf.constant(value, dtype=tf.string, name=f"modifier_attr/{key}")
    for key in ("ewald_h", "ewald_beta"):
        tf.constant(
            float(section.get(key, {"ewald_h": 1.0, "ewald_beta": 0.4}[key])), tf.float64, name=f"modifier_attr/{key}"
        )


def split_modifier(graph_def):
    """Take a modifier out of a frozen graph.

    Returns
    -------
    section : dict
        As in an input.
    dipoles : GraphDef
        The dipole model alone.
    rest : GraphDef
        The model without the modifier.
    """
    known = constants(graph_def)
    read = lambda key: known[f"modifier_attr/{key}"].item()  # noqa: E731
    section = {key: [float(v) for v in read(short).decode().split()] for key, short in
               (("model_charge_map", "mdl_charge_map"), ("sys_charge_map", "sys_charge_map"))}  # fmt: skip
    section |= {"type": read("type").decode(), "model_name": read("mdl_name").decode()}
    section |= {key: float(read(key)) for key in ("ewald_h", "ewald_beta")}
    dipoles = type(graph_def)()
    dipoles.versions.CopyFrom(graph_def.versions)
    head = f"{SCOPE}/"
    for node in graph_def.node:
        if node.name.startswith(head):
            copy = dipoles.node.add()
            copy.CopyFrom(node)
            copy.name = node.name[len(head) :]
            inputs = [n.replace(head, "", 1) for n in node.input]
            del copy.input[:]
            copy.input.extend(inputs)
            if "_class" in copy.attr:
                del copy.attr["_class"]
    names = {node.name for node in graph_def.node}
    outputs = ("o_energy", "o_force", "o_virial", "o_atom_energy", "o_atom_virial", "o_descriptor", "t_mesh")
    attributes = [
        n.name for n in graph_def.node if n.op == "Const" and "_attr" in n.name and not n.name.startswith(head)
    ]
    keep = [n for n in (*outputs, *attributes, "model_type") if n in names]
    return section, dipoles, tf.graph_util.extract_sub_graph(graph_def, keep)


def _check(section, dipoles=None, ntypes=None):
    """Demand maps of the right lengths."""
    if section["type"] != "dipole_charge":
        raise UserError(f"is '{section['type']}'", "model/modifier/type", "only dipole_charge is known")
    if dipoles is not None:
        selected = int(np.size(constants(dipoles)["model_attr/sel_type"]))
        if len(section["model_charge_map"]) != selected:
            raise UserError(
                f"has {len(section['model_charge_map'])} entries, the dipole model selects {selected} types",
                "model/modifier/model_charge_map",
            )  # fmt: skip
    if ntypes is not None and len(section["sys_charge_map"]) != ntypes:
        raise UserError(
            f"has {len(section['sys_charge_map'])} entries for {ntypes} types", "model/modifier/sys_charge_map"
        )


check_modifier = _check
