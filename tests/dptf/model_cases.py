"""Small models of every kind on one frame: build, evaluate, differentiate numerically."""

import numpy as np

from dptf.model import build_model
from dptf.nn.parameters import Parameters
from dptf.ops import tf

NET = {"activation_function": "tanh", "precision": "default", "trainable": True, "seed": 5}
BASE = NET | {
    "sel": [6, 8], "rcut": 3.5, "rcut_smth": 1.0, "neuron": [4, 8], "resnet_dt": False, "set_davg_zero": False,
    "exclude_types": [],
}  # fmt: skip
SE_A = BASE | {"type": "se_e2_a", "axis_neuron": 3, "type_one_side": True}
SE_R = BASE | {"type": "se_e2_r", "type_one_side": False}
SE_3 = BASE | {"type": "se_e3", "sel": [4, 5], "rcut": 2.5}
HYBRID = {"type": "hybrid", "list": [SE_R | {"rcut": 3.0}, SE_3, SE_A]}
DESCRIPTORS = {
    "se_e2_a": SE_A,
    "se_e2_r": SE_R,
    "se_e2_r_one_side_exclude": SE_R | {"type_one_side": True, "exclude_types": [[0, 1]]},
    "se_e3": SE_3,
    "hybrid": HYBRID,
    "se_e2_r_protected": SE_R | {"env_protection": 0.1},
    "se_e2_a_protected": SE_A | {"env_protection": 0.1},
}
FITTING = NET | {"type": "ener", "neuron": [6, 6], "numb_fparam": 0, "numb_aparam": 0, "resnet_dt": True}
BOX = np.array([[4.2, 0, 0], [0.4, 4.0, 0], [-0.3, 0.2, 4.4]])
TYPES = np.array([0, 0, 1, 1, 1])
COORD = np.random.default_rng(3).uniform(0, 4, (5, 3))


class Case:
    """A model with fixed random weights in a session.

    Parameters
    ----------
    descriptor, fitting : dict
        Sections.
    tabulated : float, optional
    model : dict
        More keys of the model section.
    """

    def __init__(self, descriptor=None, fitting=FITTING, tabulated=None, extra_inputs=None, **model):
        section = {"type_map": ["A", "B"], **model}
        if descriptor is not None:
            section = {"descriptor": descriptor, "fitting_net": fitting, **section}
        self.graph = tf.Graph()
        with self.graph.as_default():
            self.model = build_model(section)
            self._randomise_statistics(self.model.descriptor)
            self.inputs = self.model.placeholders()
            self.out = self.model.build(self.inputs, Parameters(), tabulated=tabulated)
            self.session = tf.Session()
            self.session.run(tf.global_variables_initializer())
        self.extra = extra_inputs or {}

    def _randomise_statistics(self, descriptor):
        for part in getattr(descriptor, "parts", [descriptor]):
            rng = np.random.default_rng(11)
            shape = (part.ntypes, part.nnei, part.ncomp)
            avg = np.zeros(shape)
            avg[..., 0] = rng.uniform(0.02, 0.2, part.ntypes)[:, None]
            part.davg = avg.reshape(part.ntypes, -1)
            std = rng.uniform(0.2, 0.5, (part.ntypes, 1, 2))[:, :, [0, 1, 1, 1][: part.ncomp]]
            part.dstd = np.tile(std, (1, part.nnei, 1)).reshape(part.ntypes, -1)

    def run(self, coord=COORD, box=BOX, names=None):
        n = len(coord)
        feed = {
            self.inputs["coord"]: coord.ravel(), self.inputs["type"]: TYPES, self.inputs["box"]: box.ravel(),
            self.inputs["natoms"]: [n, n, 2, 3], self.inputs["mesh"]: np.zeros(6, np.int32),
            **{self.inputs[k]: v for k, v in self.extra.items()},
        }  # fmt: skip
        return self.session.run({k: self.out[k] for k in names or self.out}, feed)


def check_derivatives(case, value, width=1, tolerance=2e-7):
    """Force and virial of a summed output against central differences."""
    h, out = 1e-4, case.run()
    total = lambda **kw: np.ravel(case.run(names=[value], **kw)[value])  # noqa: E731
    force = out["force"].reshape(width, -1, 3)
    for atom, axis in ((0, 0), (1, 2), (3, 1)):
        step = np.zeros_like(COORD)
        step[atom, axis] = h
        slope = (total(coord=COORD + step) - total(coord=COORD - step)) / (2 * h)
        np.testing.assert_allclose(force[:, atom, axis], -slope, atol=tolerance)
    virial = out["virial"].reshape(width, 3, 3)
    for a, b in ((0, 0), (1, 2), (2, 1)):
        strain = np.zeros((3, 3))
        strain[b, a] = h
        up, down = np.eye(3) + strain, np.eye(3) - strain
        slope = (total(coord=COORD @ up, box=BOX @ up) - total(coord=COORD @ down, box=BOX @ down)) / (2 * h)
        np.testing.assert_allclose(virial[:, a, b], -slope, atol=tolerance)
    np.testing.assert_allclose(out["atom_virial"].reshape(width, -1, 9).sum(1), virial.reshape(width, 9), atol=1e-12)


def random_graph(section):
    """Frozen graph of a model section with the initial weights of its seeds."""
    from dptf.graph.freeze import frozen_graph

    with tf.Graph().as_default(), tf.Session() as session:
        model = build_model(section)
        model.build(model.placeholders(), Parameters())
        session.run(tf.global_variables_initializer())
        variables = tf.global_variables()
        values = {v.op.name: value for v, value in zip(variables, session.run(variables))}
    return frozen_graph({"model": section}, values)
