"""Models of dipoles, polarizabilities, densities of states and properties from backend-neutral files, and back."""

import copy
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from trees import same_tree

from dptf.cli.main import main
from dptf.exchange.tree import read_tree, write_tree
from dptf.infer import DeepDipole, DeepDOS, DeepPolar, DeepPotential, DeepProperty

#: Name of the case -> evaluator, and the names of what it returns.
CASES = {
    "dipole": (DeepDipole, ("global_dipole", "force", "virial", "dipole", "atom_virial")),
    "polar": (DeepPolar, ("global_polar", None, None, "polar", None)),
    "polar_full": (DeepPolar, ("global_polar", None, None, "polar", None)),
    "dos": (DeepDOS, ("dos", "atom_dos")),
    "property": (DeepProperty, ("band_prop", "atom_band_prop")),
}


def convert(a, b):
    assert main(["convert-backend", str(a), str(b)]) == 0


def evaluate(model, data, box):
    full = getattr(model, "eval_full", model.eval)
    return full(data["coord"], box, data["atype"], atomic=True, mixed_type=True)


@pytest.mark.parametrize("name", CASES)
def test_golden(golden, tmp_path, name):
    """Values and derivatives of another backend's model, and a round trip that keeps every number."""
    source, data = golden / "dp" / f"{name}.dp", np.load(golden / "dp" / f"{name}.npz")
    convert(source, tmp_path / "m.pb")
    cls, keys = CASES[name]
    with DeepPotential(tmp_path / "m.pb") as model:
        assert type(model) is cls
        for prefix, box in (("pbc_", data["box"]), ("nopbc_", None)):
            for key, value in zip(keys, evaluate(model, data, box)):
                if key is not None:
                    expected = data[prefix + key]
                    if key in ("force", "atom_virial"):  # stored atom by atom
                        expected = expected.swapaxes(1, 2)
                    expected = expected.reshape(value.shape)
                    np.testing.assert_allclose(value, expected, rtol=0, atol=1e-10, err_msg=prefix + key)
    convert(tmp_path / "m.pb", tmp_path / "m.dp")
    same_tree(read_tree(source)["model"], read_tree(tmp_path / "m.dp")["model"])


@pytest.fixture
def water():
    rng = np.random.default_rng(1)
    types = np.array([0, 1, 1] * 3)
    box = np.diag([7.0, 7.5, 8.0]).reshape(1, 9)
    return {"coord": rng.uniform(0, 7, (1, 9, 3)), "atype": types[None], "box": box}


def values(path, data):
    with DeepPotential(path) as model:
        return evaluate(model, data, data["box"])


def edited(golden, tmp_path, name, edit, data):
    """Results of a golden model and of its edited copy; the copy's round trip keeps every number."""
    tree = read_tree(golden / "dp" / f"{name}.dp")
    changed = copy.deepcopy(tree)
    edit(changed["model"])
    write_tree(changed, tmp_path / "b.dp")
    for a, b in ((golden / "dp" / f"{name}.dp", "a.pb"), ("b.dp", "b.pb"), ("b.pb", "c.dp")):
        convert(tmp_path / a, tmp_path / b)
    same_tree(read_tree(tmp_path / "b.dp")["model"], read_tree(tmp_path / "c.dp")["model"])
    return None if data is None else (values(tmp_path / "a.pb", data), values(tmp_path / "b.pb", data))


def test_polar_shift(golden, tmp_path, water):
    """With shift_diag, the scaled shift of the fitting and the mean diagonal of the output bias are added."""

    def edit(model):
        model["fitting"]["shift_diag"] = True
        model["fitting"]["@variables"]["constant_matrix"] = np.array([0.3, -0.7])

    plain, shifted = edited(golden, tmp_path, "polar", edit, water)
    bias = read_tree(golden / "dp" / "polar.dp")["model"]["@variables"]["out_bias"][0].reshape(2, 3, 3)
    c = np.array([1.0, 2.0]) * (np.array([0.3, -0.7]) + np.trace(bias, axis1=1, axis2=2) / 3)
    np.testing.assert_allclose(
        shifted[3] - plain[3], c[water["atype"]][..., None] * np.eye(3).ravel(), rtol=0, atol=1e-12
    )


def test_selected_types(golden, tmp_path, water):
    """Excluded types of a dipole fitting carry nothing; the net that serves nobody is gone after a round trip."""

    def edit(model):
        model["fitting"]["exclude_types"] = [1]
        for layer in model["fitting"]["nets"]["networks"][1]["layers"]:
            layer["@variables"] = {k: None if v is None else np.zeros_like(v) for k, v in layer["@variables"].items()}

    plain, some = edited(golden, tmp_path, "dipole", edit, water)
    np.testing.assert_allclose(some[3], plain[3] * (water["atype"] == 0)[..., None], rtol=0, atol=1e-14)
    np.testing.assert_allclose(some[0], some[3].sum(axis=1), rtol=0, atol=1e-14)


def test_property_options(golden, tmp_path, water):
    """Deviation, one bias for all types, the sum instead of the mean, an excluded type."""
    std = np.array([[[2.0, 0.5, 1.0], [3.0, 4.0, 0.1]]])

    def edit(model):
        model["fitting"] |= {"intensive": False, "distinguish_types": False}
        model["@variables"]["out_std"] = std
        model["atom_exclude_types"] = model["fitting"]["exclude_types"] = [1]

    plain, changed = edited(golden, tmp_path, "property", edit, water)
    bias = read_tree(golden / "dp" / "property.dp")["model"]["@variables"]["out_bias"][0]
    expected = ((plain[1] - bias[water["atype"]]) * std[0, 0] + bias[0]) * (water["atype"] == 0)[..., None]
    np.testing.assert_allclose(changed[1], expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(changed[0], expected.sum(axis=1), rtol=0, atol=1e-12)


def test_dos_excluded(golden, tmp_path, water):
    """An output deviation has no effect on a DOS but is kept; excluded atoms have none."""

    def edit(model):
        model["@variables"]["out_std"] = np.full((1, 2, 5), 2.0)
        model["atom_exclude_types"] = model["fitting"]["exclude_types"] = [0]

    plain, changed = edited(golden, tmp_path, "dos", edit, water)
    np.testing.assert_allclose(changed[1], plain[1] * (water["atype"] == 1)[..., None], rtol=0, atol=1e-13)


def test_task_vector_and_default_parameters(golden, tmp_path, water):
    """The constant vector of a task shifts the first layer; frame parameters of callers that give none are in the model."""
    rng, name = np.random.default_rng(3), "se_e2_a_fparam_aparam"
    shifted = {}

    def edit(model, case):
        fitting = model["fitting"]
        fitting["default_fparam"] = [0.3, -0.2]
        for k, net in enumerate(fitting["nets"]["networks"]):
            v = net["layers"][0]["@variables"]
            rows = shifted.setdefault(k, rng.normal(size=(3, v["w"].shape[1])))
            if not case:
                v["b"] = v["b"] + rows[1]
                continue
            v["w"], net["in_dim"] = np.vstack([v["w"], rows]), net["in_dim"] + 3
        if case:
            fitting["dim_case_embd"] = 3
            fitting["@variables"]["case_embd"] = np.array([0.0, 1.0, 0.0])

    out = []
    aparam = rng.normal(size=(1, 9, 1))
    for case in (False, True):
        edited(golden, tmp_path, name, lambda m, c=case: edit(m, c), None)
        with DeepPotential(tmp_path / "b.pb") as model:
            assert model.has_default_fparam()
            args = water["coord"], water["box"], water["atype"][0]
            out.append(model.eval(*args, aparam=aparam))
            for a, b in zip(out[-1], model.eval(*args, aparam=aparam, fparam=[0.3, -0.2])):
                np.testing.assert_array_equal(a, b)
    for a, b in zip(*out):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


def test_residual_flags(golden, tmp_path, water):
    """Layers say whether they add their input: a first layer that keeps its width, and one that doubles it."""
    net = read_tree(golden / "dp" / "dos.dp")["model"]["fitting"]["nets"]["networks"][0]
    rng = np.random.default_rng(2)
    widths = [80, 80, 160, 80]

    def layers():
        out = []
        for n, m, old in zip(widths, widths[1:], net["layers"]):
            out.append(old | {"resnet": True, "use_timestep": n == m, "@variables": {
                "w": rng.normal(size=(n, m)) / n, "b": rng.normal(size=m), "idt": rng.normal(size=m) if n == m else None,
            }})  # fmt: skip
        last = net["layers"][-1]
        out.append(last | {"@variables": {"w": rng.normal(size=(80, 5)), "b": rng.normal(size=5), "idt": None}})
        return out

    nets = [net | {"neuron": widths[1:], "layers": layers()} for _ in range(2)]

    def edit(model):
        model["fitting"]["neuron"] = widths[1:]
        model["fitting"]["nets"]["networks"] = nets

    # use_timestep of layers whose residual doubles or is absent must be false for an exact round trip
    _, changed = edited(golden, tmp_path, "dos", edit, water)
    with DeepPotential(tmp_path / "b.pb") as model:
        d = model.eval_descriptor(water["coord"], water["box"], water["atype"][0])[0]
    variables = read_tree(golden / "dp" / "dos.dp")["model"]
    for i, t in enumerate(water["atype"][0]):
        x = d[i]
        for layer in nets[t]["layers"][:-1]:
            v = layer["@variables"]
            h = np.tanh(x @ v["w"] + v["b"])
            h = h if v["idt"] is None else h * v["idt"]
            x = h + (x if len(h) == len(x) else np.tile(x, 2) if len(h) == 2 * len(x) else 0.0)
        v = nets[t]["layers"][-1]["@variables"]
        y = x @ v["w"] + v["b"] + variables["fitting"]["@variables"]["bias_atom_e"][t]
        np.testing.assert_allclose(changed[1][0, i], y + variables["@variables"]["out_bias"][0, t], rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ["dipole", "polar", "dos"])
def test_graph_of_the_public_package(golden, tmp_path, name):
    """.pb of the public package -> .yaml -> our .pb: the same values."""
    source, data = golden / "pb" / f"{name}.pb", dict(np.load(golden / "pb" / f"{name}.npz"))
    convert(source, tmp_path / "m.yaml")
    convert(tmp_path / "m.yaml", tmp_path / "m.pb")
    data = {"coord": data["coord"][:1], "box": data["box"][:1], "atype": data["atype"][None]}
    for found, expected in zip(values(tmp_path / "m.pb", data), values(source, data)):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
