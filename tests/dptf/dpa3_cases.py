"""Small DPA-3 models with random weights."""

import numpy as np

from dptf.graph.freeze import frozen_graph
from dptf.graph.load import write_graph_def
from dptf.model import build_model
from dptf.nn.parameters import Parameters
from dptf.ops import tf

REPFLOW = {
    "n_dim": 12, "e_dim": 8, "a_dim": 6, "nlayers": 3, "e_rcut": 4.0, "e_rcut_smth": 3.0, "e_sel": 60, "a_rcut": 3.0,
    "a_rcut_smth": 2.2, "a_sel": 30, "a_compress_rate": 1, "a_compress_e_rate": 2, "a_compress_use_split": True,
    "smooth_edge_update": True, "edge_init_use_dist": True, "use_exp_switch": True, "axis_neuron": 3,
}  # fmt: skip
FITTING = {
    "type": "ener", "neuron": [10, 10], "numb_fparam": 0, "numb_aparam": 0, "resnet_dt": True, "activation_function": "tanh",
    "precision": "float64", "trainable": True, "seed": 3,
}  # fmt: skip


def section(repflow=None, **descriptor):
    """A model section; `repflow` are changes of the options of the layers."""
    own = {
        "type": "dpa3", "repflow": REPFLOW | (repflow or {}), "activation_function": "silut:3.0", "precision": "float64",
        "trainable": True, "seed": 7, **descriptor,
    }  # fmt: skip
    return {"type": "standard", "type_map": ["O", "H"], "descriptor": own, "fitting_net": FITTING}


def random_values(model_section, seed=5):
    """Arrays of all variables, random where training would start from equal numbers."""
    rng = np.random.default_rng(seed)
    with tf.Graph().as_default(), tf.Session() as session:
        model = build_model(model_section)
        model.build(model.placeholders(), Parameters())
        session.run(tf.global_variables_initializer())
        values = {v.op.name: session.run(v) for v in tf.global_variables()}
    for name, value in values.items():
        if "_residual_" in name:
            values[name] = rng.uniform(0.2, 0.5, value.shape)
    return values


def write_model(path, **options):
    """A frozen model of :func:`section`; returns its path."""
    model_section = section(**options)
    write_graph_def(frozen_graph({"model": model_section}, random_values(model_section)), path)
    return path
