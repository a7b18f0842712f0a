"""Energies and forces of small models with weights given by formulas, against published digits."""

import json

import numpy as np
import pytest

from dptf.model import build_model
from dptf.nn.parameters import Parameters
from dptf.ops import tf

SECTION = {
    "type_map": ["O", "H"],
    "descriptor": {
        "type": "se_e2_a", "rcut": 4.0, "rcut_smth": 1.5, "sel": [10, 16], "neuron": [3, 6, 12], "axis_neuron": 4,
        "resnet_dt": False, "type_one_side": True, "activation_function": "tanh", "precision": "default",
        "trainable": True, "seed": 1, "set_davg_zero": False, "exclude_types": [],
    },
    "fitting_net": {
        "type": "ener", "neuron": [5, 5], "numb_fparam": 0, "numb_aparam": 0, "activation_function": "tanh",
        "resnet_dt": True, "precision": "default", "seed": 1,
    },
}  # fmt: skip
COORD = np.array([[0.3, 0.4, 0.5], [1.2, 0.6, 0.4], [0.1, 1.3, 0.7], [3.0, 3.2, 2.9], [3.7, 2.6, 3.1], [2.4, 2.7, 3.5]])
BOX = np.array([5, 0, 0, 0.6, 5.2, 0, 0.3, -0.4, 5.4])
TYPES = np.array([0, 1, 1, 0, 1, 1])
ORDER = np.argsort(TYPES, kind="stable")


def matrix(n, m, layer, k):
    i, j = np.meshgrid(np.arange(n), np.arange(m), indexing="ij")
    return 0.3 * np.sin(1 + 0.7 * i + 1.3 * j + 2.1 * layer + 0.9 * k)


def bias(m, layer, k):
    return 0.1 * np.cos(0.5 + 0.4 * np.arange(m) + 1.1 * layer + 0.8 * k)


def idt(m):
    return 0.1 + 0.01 * np.arange(m)


def model_values(one_side):
    """Arrays by their full names; nets are numbered as in the description of the reference."""
    davg, dstd = np.zeros((2, 26, 4)), np.zeros((2, 26, 4))
    for t in range(2):
        davg[t, :, 0] = 0.05 * (t + 1)
        dstd[t, :, 0], dstd[t, :, 1:] = 0.2 + 0.05 * t, 0.1 + 0.02 * t
    v = {"descrpt_attr/t_avg": davg.reshape(2, -1), "descrpt_attr/t_std": dstd.reshape(2, -1)}
    for ti in range(2):
        for tj in range(2):
            k, n = (tj if one_side else ti + 2 * tj), 1
            scope = f"filter_type_{'all' if one_side else ti}"
            for layer, m in enumerate([3, 6, 12]):
                v[f"{scope}/matrix_{layer + 1}_{tj}"] = matrix(n, m, layer, k)
                v[f"{scope}/bias_{layer + 1}_{tj}"] = bias(m, layer, k)
                v[f"{scope}/idt_{layer + 1}_{tj}"] = idt(m)
                n = m
    for t in range(2):
        n = 48
        for layer, m in enumerate([5, 5, 1]):
            name = f"layer_{layer}_type_{t}" if layer < 2 else f"final_layer_type_{t}"
            v[f"{name}/matrix"], v[f"{name}/bias"], v[f"{name}/idt"] = matrix(n, m, layer, t), bias(m, layer, t), idt(m)
            n = m
    v["fitting_attr/t_bias_atom_e"] = np.array([-1.5, 0.75])
    return v


def evaluate(one_side, resnet_dt, exclude, tabulated, extra=None, kind="se_e2_a"):
    section = json.loads(json.dumps(SECTION))
    section["descriptor"].update(type=kind, type_one_side=one_side, resnet_dt=resnet_dt, exclude_types=exclude)
    results = []
    with tf.Graph().as_default(), tf.Session() as sess:
        model = build_model(section)
        inputs = model.placeholders()
        values = {**model_values(one_side), **(extra or {})}
        out = model.build(inputs, Parameters(values, constant=True), tabulated=tabulated)
        for mesh in (6, 0):
            feed = {
                inputs["coord"]: COORD[ORDER].ravel(), inputs["type"]: TYPES[ORDER], inputs["natoms"]: [6, 6, 2, 4],
                inputs["box"]: BOX, inputs["mesh"]: np.zeros(mesh, np.int32),
            }  # fmt: skip
            results.append(sess.run(out, feed))
    return results


@pytest.mark.parametrize("tabulated", [None, 1 / 64])
@pytest.mark.parametrize(
    "one_side, resnet_dt, exclude, energies",
    [
        (True, False, [], (-0.911800429592, -0.912079973292)),
        (False, False, [], (-0.822078931220, -0.822266645543)),
        (True, False, [[0, 1]], (-0.909358709844, -0.909503850930)),
        (True, True, [], (-0.886305082548, -0.886317458747)),
        (True, True, [[0, 1]], (-0.908295658524, -0.908326433854)),
    ],
)
def test_energy(one_side, resnet_dt, exclude, energies, tabulated):
    for result, want in zip(evaluate(one_side, resnet_dt, exclude, tabulated), energies):
        assert abs(result["energy"][0] - want) < 2e-12


@pytest.mark.parametrize("tabulated", [None, 1 / 64])
def test_forces_and_virials(tabulated):
    result = evaluate(True, False, [], tabulated)[0]
    force = result["force"].reshape(6, 3)[np.argsort(ORDER)]
    np.testing.assert_allclose(force[0], [-0.013714069001, -0.020040937111, -0.001546623969], atol=2e-12)
    np.testing.assert_allclose(force[5], [0.008743847014, -0.008037475172, 0.002826636111], atol=2e-12)
    virial = [-0.009547797972, 0.010263600750, 0.005985262784, 0.010263600750, 0.018117333144, -0.006923638598,
              0.005985262784, -0.006923638598, 0.004827183228]  # fmt: skip
    np.testing.assert_allclose(result["virial"][0], virial, atol=2e-12)
    atomic = result["atom_virial"].reshape(6, 9)[np.argsort(ORDER)]
    np.testing.assert_allclose(atomic[0][[0, 4, 8]], [0.023161762895, 0.020743295944, 0.001243842642], atol=2e-12)
    assert abs(result["atom_energy"][0][np.argsort(ORDER)][0] + 1.653217693890) < 2e-12


def test_output_bias_is_added():
    extra = {"model_attr/model_attr/t_out_bias": np.array([[[10.0], [1.0]]])}
    assert abs(evaluate(True, False, [], None, extra)[0]["energy"][0] - 23.088199570408) < 2e-12
