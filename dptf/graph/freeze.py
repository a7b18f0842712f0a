"""From a checkpoint to a frozen graph that follows the public contract.

The graph is assembled anew by the model's builder, with constants in place of variables and with ops that every released
runtime has; the training graph is not touched, so checkpoints of the public package can be frozen as well.
"""

import json
import logging

from dptf.errors import UserError
from dptf.graph.dipole_charge import NODES as MODIFIER_NODES
from dptf.graph.dipole_charge import add_modifier
from dptf.graph.load import write_graph_def
from dptf.model import build_model
from dptf.nn.parameters import Parameters
from dptf.nn.table import is_compressed
from dptf.ops import tf

log = logging.getLogger(__name__)

_COMMON = [
    "model_type", "descrpt_attr/rcut", "descrpt_attr/message_width", "descrpt_attr/ntypes", "descrpt_attr/sel", "descrpt_attr/original_sel",
    "memory_attr/bytes_per_atom", "memory_attr/counted", "model_attr/tmap", "model_attr/model_type", "model_attr/model_version", "train_attr/min_nbor_dist",
    "train_attr/training_script", "t_mesh", "t_box",
]  # fmt: skip
_PARAMETERS = ["fitting_attr/dfparam", "fitting_attr/daparam", "fitting_attr/default_fparam"]
# Imported output statistics that tensors do not use; a later export wants them back.
_KEPT = ["model_attr/model_attr/t_out_bias", "model_attr/model_attr/t_out_std"]
_TENSOR = ["o_force", "o_virial", "o_atom_virial", "model_attr/sel_type", "model_attr/output_dim", *_PARAMETERS, *_KEPT]
_OUTPUTS = {
    "ener": [
        "o_energy", "o_force", "o_virial", "o_atom_energy", "o_atom_virial", "o_descriptor", *_PARAMETERS,
        "fitting_attr/aparam_nall", "spin_attr/ntypes_spin", "spin_attr/virtual_len", "spin_attr/spin_norm", *_KEPT,
    ],
    "dipole": [
        "o_dipole", "o_global_dipole", "o_rmat", "o_rmat_deriv", "o_nlist", "o_rij", "descrpt_attr/ndescrpt", "o_rot_mat",
        "o_descriptor", *_TENSOR,
    ],
    "polar": ["o_polar", "o_global_polar", "o_rot_mat", "o_descriptor", *_TENSOR],
    "dos": ["o_dos", "o_atom_dos", "o_descriptor", "fitting_attr/numb_dos", *_PARAMETERS, *_KEPT],
    "property": [
        "o_property", "o_atom_property", "o_descriptor", "fitting_attr/task_dim", "fitting_attr/intensive",
        "fitting_attr/property_name", *_PARAMETERS,
    ],
}  # fmt: skip


def frozen_graph(script, values, *, min_nbor_dist=None):
    """GraphDef of a model.

    Parameters
    ----------
    script : dict
        Normalised input; only ``model`` decides the graph.
    values : dict of str to array
        Variables by name.
    min_nbor_dist : float, optional
        Smallest distance in the training data, Å.
    """
    mixed = (script.get("training") or {}).get("mixed_precision")
    model = build_model(script["model"], min_nbor_dist=min_nbor_dist, mixed_precision=mixed)
    model.compressed = is_compressed(values)
    with tf.Graph().as_default() as graph:
        model.constants(json.dumps(script, separators=(",", ":")))
        params = Parameters(values, constant=True)
        model.build(model.placeholders(), params)
        modifier = script["model"].get("modifier")
        if modifier:
            add_modifier(modifier)
        names = {n.name for n in graph.as_graph_def().node}
        # Weights that no output reads (of the last edges of DPA-3) are part of the model for other backends.
        wanted = [
            n for n in [*_COMMON, *_OUTPUTS[model.model_type], *MODIFIER_NODES, *sorted(params.used)] if n in names
        ]
        return tf.graph_util.extract_sub_graph(graph.as_graph_def(), wanted)


def variable_graph(script, *, min_nbor_dist=None):
    """Graph of a model with variables and no training ops: with it the public package can freeze a checkpoint, or go on from it.

    Parameters as those of :func:`frozen_graph`.
    """
    mixed = (script.get("training") or {}).get("mixed_precision")
    model = build_model(script["model"], min_nbor_dist=min_nbor_dist, mixed_precision=mixed)
    with tf.Graph().as_default() as graph:
        model.constants(json.dumps(script, separators=(",", ":")))
        model.build(model.placeholders(), Parameters(portable=True))
        tf.train.get_or_create_global_step()
    return graph


def freeze(checkpoint=".", output="frozen_model.pb", node_names=None, *, head="", averaged=False):
    """``dp freeze``: checkpoint prefix or folder to a ``.pb`` file; returns its path.

    `head` chooses the task of a checkpoint with several; `averaged` takes the moving average of the weights.
    """
    from dptf.train.checkpoint import Checkpoint
    from dptf.train.heads import task_of

    source = Checkpoint(checkpoint)
    script, values, distance = task_of(source, head, averaged)
    graph = frozen_graph(script, values, min_nbor_dist=distance)
    if node_names:
        missing = [n for n in node_names if n not in {x.name for x in graph.node}]
        if missing:
            raise UserError(f"the graph has no node named {missing}", "--node-names")
        graph = tf.graph_util.extract_sub_graph(graph, node_names)
    write_graph_def(graph, output)
    log.info("%d ops in the final graph.", len(graph.node))
    return output
