"""DPA-3: fused ops against the same model of plain TensorFlow ops, derivatives, continuity."""

import numpy as np
import pytest

from dptf.descriptor.interface import totals_only
from dptf.descriptor.repflow import RepFlowOptions
from dptf.errors import UserError
from dptf.model import build_model
from dptf.nn.parameters import Parameters
from dptf.ops import tf
from tests.dptf.dpa3_cases import REPFLOW, random_values, section

RNG = np.random.default_rng(2)
BOX = np.array([[5.2, 0, 0], [0.6, 4.9, 0], [-0.8, 0.5, 5.4]])
COORD = RNG.uniform(0, 5, (8, 3))
TYPES = np.array([0, 1, 1, 0, 1, 1, 0, 1])
KEYS = ("energy", "force", "virial", "atom_energy", "atom_virial")
OPTIONS = {
    "public example": {},
    "sequential": {"sequential_update": True, "a_compress_use_split": False},
}  # fmt: skip


class Case:
    """A model in a session; `fused` selects the ops."""

    def __init__(self, repflow=None, fused=True, **descriptor):
        model_section = section({"nlayers": 2} | (repflow or {}), **descriptor)
        self.graph = tf.Graph()
        values = random_values(model_section)
        with self.graph.as_default():
            model = build_model(model_section)
            model.descriptor.fused = fused
            self.inputs = model.placeholders()
            self.out = model.build(self.inputs, Parameters(values))
            loss = (
                tf.reduce_sum(tf.sin(self.out["force"]))
                + tf.reduce_sum(self.out["virial"] ** 2)
                + self.out["energy"][0]
            )
            grads = tf.gradients(loss, tf.trainable_variables())
            names = [v.op.name for v in tf.trainable_variables()]
            self.grads = {n: tf.convert_to_tensor(g) for n, g in zip(names, grads) if g is not None}
            self.session = tf.Session()
            self.session.run(tf.global_variables_initializer())

    def run(self, what=None, coord=COORD, box=BOX, types=TYPES):
        n = len(types)
        counts = np.bincount(types, minlength=2)
        feed = {
            "coord": coord.ravel(), "type": types, "natoms": [n, n, *counts], "box": (np.eye(3) if box is None else box).ravel(),
            "mesh": np.zeros(0 if box is None else 6, np.int32),
        }  # fmt: skip
        return self.session.run(self.out if what is None else what, {self.inputs[k]: v for k, v in feed.items()})


@pytest.mark.parametrize("name", OPTIONS)
def test_fused_equals_plain(name):
    """Outputs, and gradients in all weights of a loss of energy, forces and virial."""
    fused, plain = Case(OPTIONS[name]), Case(OPTIONS[name], fused=False)
    a, b = fused.run(), plain.run()
    for key in KEYS:
        np.testing.assert_allclose(a[key], b[key], atol=1e-11, err_msg=key)
    a, b = fused.run(fused.grads), plain.run(plain.grads)
    assert a.keys() == b.keys() and len(a) > 10
    for key in a:
        np.testing.assert_allclose(a[key], b[key], atol=1e-10 * max(1.0, np.abs(b[key]).max()), err_msg=key)


def test_one_derivative_pass_without_atomic_virials():
    """What training builds: forces and virial alone; halo exchanges are chained, so that other passes would run too."""
    with tf.Graph().as_default() as graph, totals_only():
        model = build_model(section({"nlayers": 2}))
        model.build(model.placeholders(), Parameters())
        kinds = [op.type for op in graph.get_operations()]
    assert kinds.count("DptfMessageGrad") == kinds.count("DptfMessage") > 0


def test_derivatives_and_sums():
    case, h = Case({"use_exp_switch": False, "edge_init_use_dist": False}), 1e-4
    out = case.run()
    energy = lambda coord, box=BOX: case.run(case.out["energy"], coord, box)[0]  # noqa: E731
    for atom, axis in ((0, 0), (3, 1), (7, 2)):
        step = np.zeros_like(COORD)
        step[atom, axis] = h
        slope = (energy(COORD + step) - energy(COORD - step)) / (2 * h)
        np.testing.assert_allclose(out["force"].reshape(-1, 3)[atom, axis], -slope, atol=2e-7)
    strain = np.eye(3)
    strain[1, 2] += h
    back = 2 * np.eye(3) - strain
    slope = (energy(COORD @ strain, BOX @ strain) - energy(COORD @ back, BOX @ back)) / (2 * h)
    np.testing.assert_allclose(out["virial"].reshape(3, 3)[2, 1], -slope, atol=5e-7)
    np.testing.assert_allclose(out["atom_virial"].reshape(-1, 9).sum(0), out["virial"][0], atol=1e-11)


@pytest.mark.parametrize("cutoff", [3.0, 4.0])
def test_energy_is_continuous(cutoff):
    """An atom crosses the cutoff of angles and of edges."""
    case = Case({"use_exp_switch": False})
    types = np.array([0, 1, 1])

    def energy(r):
        coord = np.array([[0.0, 0, 0], [1.1, 0.2, 0], [0, 0, r]])
        return case.run(case.out["energy"], coord, None, types)[0]

    eps = 1e-6
    below, above = energy(cutoff - eps), energy(cutoff + eps)
    assert abs(above - below) < 1e-7 and abs(energy(cutoff - 0.4) - above) > 1e-9


def test_an_atom_alone_and_virtual_atoms():
    case = Case()
    alone = case.run(coord=COORD[:1], box=None, types=TYPES[:1])
    assert np.isfinite(alone["energy"]).all() and not alone["force"].any()
    far = case.run(coord=COORD[:2] * 100, box=None, types=TYPES[:2])
    np.testing.assert_allclose(far["atom_energy"][0, 0], alone["energy"][0], atol=1e-13)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"a_rcut": 5.0}, "a_rcut.*above e_rcut"), ({"a_sel": 90}, "a_sel.*above e_sel"), ({"update_style": "x"}, "update_style"),
        ({"use_dynamic_sel": True, "smooth_edge_update": False}, "smooth_edge_update"), ({"a_compress_rate": 4}, "a_compress_rate"),
        ({"sequential_update": True, "update_angle": False}, "sequential_update"), ({"axis_neuron": 20}, "axis_neuron"),
    ],
)  # fmt: skip
def test_mistakes(change, words):
    with pytest.raises(UserError, match=words):
        RepFlowOptions.read(REPFLOW | change, "repflow")
