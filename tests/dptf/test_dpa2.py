"""DPA-2: every option against NumPy, derivatives, symmetries, ghosts, training."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import dpa2_reference as reference
from model_cases import BOX, COORD, NET, TYPES, check_derivatives
from test_dpa1 import AttentionCase
from toy import write_input, write_mixed_system

from dptf.cli.main import main
from dptf.descriptor import make_descriptor
from dptf.errors import UserError
from dptf.nn.parameters import Parameters
from dptf.ops import tf

INIT = {
    "rcut": 3.5, "rcut_smth": 1.0, "nsel": 14, "neuron": [3, 6], "axis_neuron": 2, "tebd_dim": 3,
    "tebd_input_mode": "concat", "set_davg_zero": False, "activation_function": "tanh", "resnet_dt": False,
    "type_one_side": False, "use_three_body": False, "three_body_neuron": [2, 4], "three_body_sel": 8,
    "three_body_rcut": 2.8, "three_body_rcut_smth": 0.5,
}  # fmt: skip
FORMER = {
    "rcut": 3.0, "rcut_smth": 0.8, "nsel": 9, "nlayers": 2, "g1_dim": 7, "g2_dim": 4, "axis_neuron": 2,
    "direct_dist": False, "update_g1_has_conv": True, "update_g1_has_drrd": True, "update_g1_has_grrg": True,
    "update_g1_has_attn": True, "update_g2_has_g1g1": True, "update_g2_has_attn": True, "update_h2": False,
    "attn1_hidden": 3, "attn1_nhead": 2, "attn2_hidden": 5, "attn2_nhead": 3, "attn2_has_gate": False,
    "activation_function": "tanh", "update_style": "res_avg", "update_residual": 0.3, "update_residual_init": "norm",
    "set_davg_zero": False, "trainable_ln": True, "use_sqrt_nnei": True, "g1_out_conv": True, "g1_out_mlp": True,
    "ln_eps": None,
}  # fmt: skip
BASE = NET | {
    "type": "dpa2", "repinit": INIT, "repformer": FORMER, "smooth": True, "exclude_types": [], "env_protection": 0.0,
    "concat_output_tebd": True, "add_tebd_to_repinit_out": False, "use_tebd_bias": False,
}  # fmt: skip


def section(init=None, former=None, **top):
    return BASE | top | {"repinit": INIT | (init or {}), "repformer": FORMER | (former or {})}


OFF = dict.fromkeys(("update_g1_has_conv", "update_g1_has_drrd", "update_g1_has_grrg", "update_g1_has_attn"), False)
OPTIONS = {
    "plain": section(),
    "not_smooth": section(smooth=False, former={"use_sqrt_nnei": False, "update_h2": True, "attn2_has_gate": True}),
    "inside_linear1": section(former={"g1_out_conv": False, "g1_out_mlp": False, "use_sqrt_nnei": False}),
    "inside_linear1_not_smooth": section(smooth=False, former={"g1_out_conv": False, "g1_out_mlp": False, "nlayers": 3}),
    "increments": section(
        former={"update_style": "res_incr", "update_h2": True, "update_g2_has_attn": False, "update_g2_has_g1g1": False},
        exclude_types=[[0, 1]], concat_output_tebd=False,
    ),
    "residuals": section(
        init={"use_three_body": True, "tebd_input_mode": "strip", "type_one_side": True, "resnet_dt": True},
        former={"update_style": "res_residual", "update_h2": True, "direct_dist": True, "attn2_has_gate": True},
        add_tebd_to_repinit_out=True, env_protection=0.2, use_tebd_bias=True,
    ),
    "three_body": section(
        init={"use_three_body": True, "activation_function": "silu"}, smooth=False,
        former={"activation_function": "silu", "update_residual_init": "const", "update_style": "res_residual"},
        exclude_types=[[0, 0]],
    ),
    "little": section(former=OFF | {"nlayers": 2, "g1_out_mlp": False, "update_g1_has_grrg": True, "g1_dim": 12}),
    "strip_smooth": section(init={"tebd_input_mode": "strip", "use_three_body": True}, former=OFF | {"nlayers": 1}),
}  # fmt: skip
REPEAT = np.array([0, 1, 1, 0, 1, 0, 1, 1, 0])


def built(options, coord, types):
    """Features of a descriptor with random weights for an open frame, and the weights."""
    n = len(types)
    with tf.Graph().as_default(), tf.Session() as session:
        descriptor = make_descriptor(options, 2)
        AttentionCase._randomise_statistics(None, descriptor)
        natoms, mesh = tf.constant([n, n, *np.bincount(types, minlength=2)], tf.int32), tf.zeros([0], tf.int32)
        inputs = tf.constant(coord.reshape(1, -1)), tf.constant(types[None].astype(np.int32))
        params = Parameters()
        out = descriptor.build(*inputs, natoms, tf.reshape(tf.eye(3, dtype=tf.float64), [1, 9]), mesh, params)
        session.run(tf.global_variables_initializer())
        names = list(params.used)
        values = dict(zip(names, session.run([params._made[k] for k in names])))
        return session.run(out)[0], values


@pytest.mark.parametrize("name", OPTIONS)
def test_features_against_numpy(name):
    types = np.sort(REPEAT)
    coord = np.random.default_rng(7).uniform(0, 3.6, (len(types), 3))
    out, values = built(OPTIONS[name], coord, types)
    want = reference.descriptor(OPTIONS[name], values, coord, types)
    np.testing.assert_allclose(out, want, atol=1e-11)


@pytest.mark.parametrize("name", ["residuals", "inside_linear1_not_smooth"])
def test_forces_and_virials_are_derivatives(name):
    check_derivatives(AttentionCase(OPTIONS[name]), "energy")


def test_symmetries():
    """Rotation, translation, order of the atoms; and ghosts have the features of their owners."""
    case = AttentionCase(OPTIONS["plain"])
    q = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    a, b = case.run(), case.run(coord=(COORD + 0.7) @ q, box=BOX @ q)
    np.testing.assert_allclose(a["energy"], b["energy"], atol=1e-6)  # the list is made in single precision
    np.testing.assert_allclose(a["force"].reshape(-1, 3) @ q, b["force"].reshape(-1, 3), atol=1e-5)
    order, n = np.array([4, 0, 3, 1, 2]), len(COORD)
    feed = {
        case.inputs["coord"]: COORD[order].ravel(), case.inputs["type"]: TYPES[order], case.inputs["box"]: BOX.ravel(),
        case.inputs["natoms"]: [n, n, n, 0], case.inputs["mesh"]: np.zeros(7, np.int32),
    }  # fmt: skip
    c = case.session.run({k: case.out[k] for k in ("energy", "force")}, feed)
    np.testing.assert_allclose(c["energy"], a["energy"], atol=1e-12)
    np.testing.assert_allclose(c["force"].reshape(-1, 3), a["force"].reshape(-1, 3)[order], atol=1e-12)
    _check_ghosts(case, a)


def _check_ghosts(case, want):
    """A list with ghosts and their owners gives what the list of periodic images gives."""
    n, shifts = len(COORD), [s for s in np.ndindex(5, 5, 5) if s != (2, 2, 2)]
    images = np.concatenate([COORD] + [COORD + (np.array(s) - 2) @ BOX for s in shifts])
    owner = np.tile(np.arange(n), len(shifts) + 1).astype(np.int32)
    rows = [np.flatnonzero((r := np.linalg.norm(images - x, axis=1)) * (r < 5.0) > 1e-9) for x in COORD]
    head = np.zeros(16, np.int32)
    head[:3] = n, 1, len(owner)
    mesh = np.concatenate([head, np.arange(n), [len(r) for r in rows], *rows, owner]).astype(np.int32)
    feed = {
        case.inputs["coord"]: images.ravel(), case.inputs["type"]: TYPES[owner], case.inputs["box"]: BOX.ravel(),
        case.inputs["natoms"]: [n, len(owner), 2, 3], case.inputs["mesh"]: mesh,
    }  # fmt: skip
    out = case.session.run(case.out, feed)
    np.testing.assert_allclose(out["energy"], want["energy"], atol=1e-10)
    np.testing.assert_allclose(out["virial"], want["virial"], atol=1e-10)
    force = np.zeros((n, 3))
    np.add.at(force, owner, out["force"].reshape(-1, 3))
    np.testing.assert_allclose(force, want["force"].reshape(-1, 3), atol=1e-10)
    feed[case.inputs["mesh"]] = np.concatenate([[n], np.zeros(15, int), mesh[16 : -len(owner)]]).astype(np.int32)
    with pytest.raises(tf.errors.InvalidArgumentError, match="image of"):
        case.session.run(case.out["energy"], feed)


FUSED = {
    "plain": {},
    "gated": {"former": {"attn2_has_gate": True, "attn2_hidden": 3, "update_style": "res_residual"}},
    "not_smooth": {
        "smooth": False,
        "former": {"use_sqrt_nnei": False, "attn2_has_gate": True},
        "exclude_types": [[0, 1]],
    },
    "inside_linear1": {"smooth": False, "former": {"g1_out_conv": False, "g1_out_mlp": False, "nlayers": 3}},
    "float32": {"former": {"attn2_has_gate": True}, "precision": "float32", "exclude_types": [[0, 0]]},
}


@pytest.mark.parametrize("name", FUSED)
def test_fused_messages_are_those_of_plain_ops(name, monkeypatch):
    """Energies, forces, virials and the derivatives of a loss of both in the weights."""
    out, options = [], section(**FUSED[name])
    for plain in ("0", "1"):
        monkeypatch.setenv("DPTF_PLAIN", plain)
        case = AttentionCase(options)
        with case.graph.as_default():
            used = {op.type for op in case.graph.get_operations()}
            assert ("DptfHeadSums" in used) == ("DptfAttention" in used) == (plain == "0")
            loss = tf.reduce_sum(case.out["energy"] ** 2) + tf.reduce_sum(tf.sin(case.out["force"]))
            gradients = tf.gradients(loss, tf.trainable_variables())
            case.out["gradients"] = [tf.convert_to_tensor(g) for g in gradients if g is not None]
        out.append(case.run())
    single = "precision" in FUSED[name]
    assert len(out[0]["gradients"]) == len(out[1]["gradients"]) > 30
    for key in ("energy", "force", "virial", "atom_virial"):
        np.testing.assert_allclose(out[0][key], out[1][key], atol=1e-5 if single else 1e-11, err_msg=key)
    for fused, plain in zip(*(o["gradients"] for o in out)):
        scale = max(1.0, np.abs(plain).max())
        np.testing.assert_allclose(fused, plain, atol=(1e-4 if single else 1e-11) * scale)


@pytest.mark.parametrize(
    "changes",
    [
        {"init": {"use_three_body": True}},
        {"init": {"use_three_body": True, "type_one_side": True, "resnet_dt": True}, "exclude_types": [[0, 1]]},
        {"init": {"use_three_body": True, "tebd_input_mode": "strip"}, "smooth": False},
        {"init": {"use_three_body": True, "tebd_input_mode": "strip"}, "exclude_types": [[1, 1]]},
    ],
)
def test_tables_give_what_the_nets_give(changes):
    """Energies, forces and the derivatives of both in the weights."""
    options = section(**changes | {"init": {"set_davg_zero": True} | changes["init"]})
    assert make_descriptor(options, 2).can_tabulate()
    out = []
    for tabulated in (None, 1 / 64):
        case = AttentionCase(options, tabulated=tabulated)
        with case.graph.as_default():
            for avg in (v for v in tf.global_variables() if v.op.name.endswith("/t_avg")):
                case.session.run(tf.assign(avg, 0.0 * avg))
            loss = tf.reduce_sum(case.out["energy"] ** 2) + tf.reduce_sum(tf.sin(case.out["force"]))
            gradients = tf.gradients(loss, tf.trainable_variables())
            case.out["gradients"] = [tf.convert_to_tensor(g) for g in gradients if g is not None]
        out.append(case.run())
    assert len(out[0]["gradients"]) > 20
    for key in ("energy", "force", "virial"):
        np.testing.assert_allclose(out[1][key], out[0][key], atol=1e-10, err_msg=key)
    for exact, table in zip(*(o["gradients"] for o in out)):
        np.testing.assert_allclose(table, exact, atol=1e-8 * max(1.0, np.abs(exact).max()))


def test_options_that_do_not_fit():
    for options, key in (
        (section(former={"update_style": "res"}), "update_style"),
        (section(former={"nsel": 20}), "nsel"),
        (section(init={"tebd_input_mode": "sum"}), "tebd_input_mode"),
    ):
        with pytest.raises(UserError, match=key):
            make_descriptor(options, 2)


@pytest.mark.slow
def test_training_on_mixed_types(tmp_path, monkeypatch):
    """A few steps lower the force error; the frozen graph takes frames of different types."""
    from dptf.infer import DeepPot

    monkeypatch.chdir(tmp_path)
    system, types = write_mixed_system(tmp_path / "a", seed=0)
    descriptor = {
        "type": "dpa2", "seed": 1,
        "repinit": {"rcut": 4.0, "rcut_smth": 0.5, "nsel": "auto", "neuron": [3, 6], "axis_neuron": 2},
        "repformer": {
            "rcut": 3.0, "rcut_smth": 0.5, "nsel": "auto:1.1", "nlayers": 2, "g1_dim": 8, "g2_dim": 4,
            "attn1_hidden": 4, "attn1_nhead": 2, "attn2_hidden": 4, "attn2_nhead": 2,
        },
    }  # fmt: skip
    write_input(
        tmp_path,
        [system],
        model__descriptor=descriptor,
        training__numb_steps=20,
        training__training_data={"systems": [str(system)], "batch_size": 6},
    )
    assert main(["train", "input.json"]) == 0
    curve = np.genfromtxt("lcurve.out", names=True)
    assert curve["rmse_f_trn"][-2:].mean() < curve["rmse_f_trn"][:2].mean()
    assert main(["freeze", "-o", "m.pb"]) == 0
    coord, box = np.load(system / "set.000/coord.npy"), np.load(system / "set.000/box.npy")
    with DeepPot("m.pb") as dp:
        energy, *_ = dp.eval(coord[:2], box[:2], types[:2], mixed_type=True)
    assert np.isfinite(energy).all()
