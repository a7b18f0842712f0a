"""DPA-1: derivatives and symmetries for every option, agreement with graphs of the public package, training."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from model_cases import BOX, COORD, NET, TYPES, Case, check_derivatives
from toy import write_input, write_mixed_system

from dptf.cli.main import main
from dptf.errors import UserError
from dptf.ops import tf

ATTEN = NET | {
    "type": "se_atten", "sel": 14, "rcut": 3.5, "rcut_smth": 1.0, "neuron": [4, 8], "axis_neuron": 3, "resnet_dt": False,
    "set_davg_zero": False, "exclude_types": [], "type_one_side": False, "attn": 6, "attn_layer": 1, "attn_dotr": True,
    "tebd_dim": 3,
}  # fmt: skip
STRIP, SMOOTH, EXCHANGE = {"tebd_input_mode": "strip"}, {"smooth_type_embedding": True}, {"exchange_form": True}
OPTIONS = {
    "plain": {},
    "no_attention": {"attn_layer": 0, "type_one_side": True},
    "two_layers_mask": {"attn_layer": 2, "attn_mask": True, "attn_dotr": False},
    "strip_smooth_exclude": STRIP | SMOOTH | {"exclude_types": [[0, 1]]},
    "v2": {"type": "se_atten_v2", "resnet_dt": True},
    "exchange_smooth": EXCHANGE | SMOOTH | {"exclude_types": [[0, 0]], "scaling_factor": 2.0},
    "exchange_strip_one_side": EXCHANGE | STRIP | SMOOTH | {"type_one_side": True, "attn_layer": 0},
    "exchange_plain": EXCHANGE | {"temperature": 0.7, "normalize": False, "use_tebd_bias": True},
    "exchange_protected": {"env_protection": 0.1, "concat_output_tebd": False, "tebd_dim": 2, "neuron": [5, 8]},
}  # fmt: skip


class AttentionCase(Case):
    def _randomise_statistics(self, descriptor):
        rng = np.random.default_rng(11)
        for scale in descriptor.scales:
            avg = np.zeros((scale.ntypes, scale.nsel, 4))
            avg[..., 0] = rng.uniform(0.02, 0.2, (scale.ntypes, 1))
            scale.davg = avg.reshape(scale.ntypes, -1)
            std = rng.uniform(0.2, 0.5, (scale.ntypes, 1, 2))[:, :, [0, 1, 1, 1]]
            scale.dstd = np.tile(std, (1, scale.nsel, 1)).reshape(scale.ntypes, -1)


@pytest.mark.parametrize("name", OPTIONS)
def test_forces_and_virials_are_derivatives(name):
    check_derivatives(AttentionCase(ATTEN | OPTIONS[name]), "energy")


def test_model_exclusions():
    """Excluded pairs leave their slots empty: with the other type far away the energy is the same."""
    case = AttentionCase(ATTEN | {"set_davg_zero": True}, pair_exclude_types=[[0, 1]])
    check_derivatives(case, "energy")
    apart = COORD + np.where(TYPES == 1, 30.0, 0.0)[:, None]
    box = 100 * np.eye(3)
    near = case.run(names=["atom_energy"], box=box)["atom_energy"]
    far = case.run(names=["atom_energy"], box=box, coord=apart)["atom_energy"]
    np.testing.assert_allclose(near, far, atol=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {"type_one_side": True},
        {},
        STRIP,
        STRIP | SMOOTH | {"exclude_types": [[0, 1]]},
        EXCHANGE | STRIP | {"type_one_side": True},
        EXCHANGE | STRIP | SMOOTH | {"type_one_side": True, "exclude_types": [[1, 1]]},
        EXCHANGE | {"exclude_types": [[0, 1]]},
    ],
)
@pytest.mark.parametrize("mean", [0.0, 1.0])
def test_tables_give_what_the_nets_give(changes, mean):
    options = ATTEN | {"attn_layer": 0, "set_davg_zero": not mean, "tebd_dim": 2} | changes
    out = []
    for tabulated in (None, 1 / 64):
        case = AttentionCase(options, tabulated=tabulated)
        with case.graph.as_default():
            avg = next(v for v in tf.global_variables() if v.op.name == "descrpt_attr/t_avg")
            case.session.run(tf.assign(avg, mean * avg))
            variables = tf.trainable_variables()
            loss = tf.reduce_sum(case.out["force"] ** 2) + tf.reduce_sum(case.out["virial"] ** 2)
            case.out["gradients"] = [g for g in tf.gradients(loss, variables) if g is not None]
        out.append(case.run())
    for key in ("energy", "force", "virial"):
        np.testing.assert_allclose(out[1][key], out[0][key], atol=1e-10, err_msg=key)
    for a, b in zip(out[0]["gradients"], out[1]["gradients"]):
        np.testing.assert_allclose(b, a, atol=1e-8 * max(1, abs(np.asarray(a)).max()))


@pytest.mark.parametrize("name", ["plain", "strip_smooth_exclude", "exchange_smooth"])
def test_slots_beyond_the_fullest_list(name):
    """They are left out where the mean is zero, and count in the softmax; a mean that is almost zero brings them back."""
    energies = []
    for mean in (0.0, 1e-30):
        case = AttentionCase(ATTEN | OPTIONS[name] | {"sel": 30})
        with case.graph.as_default():
            avg = next(v for v in tf.global_variables() if v.op.name == "descrpt_attr/t_avg")
            case.session.run(tf.assign(avg, mean + 0.0 * avg))
            weights = np.random.default_rng(2)
            for v in tf.trainable_variables():
                case.session.run(tf.assign(v, weights.normal(size=v.shape.as_list())))
        energies.append(case.run(names=["energy", "force"]))
    for key in ("energy", "force"):
        np.testing.assert_allclose(energies[0][key], energies[1][key], atol=1e-11)


class NoMeanCase(AttentionCase):
    def _randomise_statistics(self, descriptor):
        super()._randomise_statistics(descriptor)
        for scale in descriptor.scales:
            scale.davg = np.zeros_like(scale.davg)


@pytest.mark.parametrize("name", ["two_layers_mask", "strip_smooth_exclude", "exchange_smooth", "exchange_plain"])
def test_fused_attention_trains_as_plain_layers(name, monkeypatch):
    """Energies, forces, and the derivatives of a loss of both in all weights."""
    out = []
    for plain in ("0", "1"):
        monkeypatch.setenv("DPTF_PLAIN", plain)
        case = NoMeanCase(ATTEN | {"exclude_types": [[1, 0]]} | OPTIONS[name] | {"set_davg_zero": True, "sel": 30})
        with case.graph.as_default():
            fused = [op for op in case.graph.get_operations() if op.type == "DptfAttention"]
            assert bool(fused) == (plain == "0")
            loss = case.out["energy"][0] ** 2 + sum(tf.reduce_sum(case.out[k] ** 2) for k in ("force", "virial"))
            case.out["gradients"] = [g for g in tf.gradients(loss, tf.trainable_variables()) if g is not None]
        out.append(case.run())
    for key in ("energy", "force", "virial"):
        np.testing.assert_allclose(out[0][key], out[1][key], rtol=0, atol=1e-12, err_msg=key)
    assert len(out[0]["gradients"]) == len(out[1]["gradients"])
    for a, b in zip(out[0]["gradients"], out[1]["gradients"]):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-11 * max(1, np.abs(b).max()))


@pytest.mark.parametrize("name", ["plain", "exchange_strip_one_side"])
def test_rotation_and_order(name):
    case = AttentionCase(ATTEN | OPTIONS[name])
    q = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    a, b = case.run(), case.run(coord=(COORD + 0.7) @ q, box=BOX @ q)
    np.testing.assert_allclose(a["energy"], b["energy"], atol=1e-6)  # the list is made in single precision
    np.testing.assert_allclose(a["force"].reshape(-1, 3) @ q, b["force"].reshape(-1, 3), atol=1e-5)
    order = np.array([4, 0, 3, 1, 2])
    n = len(COORD)
    feed = {
        case.inputs["coord"]: COORD[order].ravel(), case.inputs["type"]: TYPES[order], case.inputs["box"]: BOX.ravel(),
        case.inputs["natoms"]: [n, n, n, 0], case.inputs["mesh"]: np.zeros(7, np.int32),
    }  # fmt: skip
    c = case.session.run(case.out, feed)
    np.testing.assert_allclose(c["energy"], a["energy"], atol=1e-12)
    np.testing.assert_allclose(c["force"].reshape(-1, 3), a["force"].reshape(-1, 3)[order], atol=1e-12)


@pytest.mark.parametrize("name", ["se_atten_no_attn", "se_atten", "se_atten_strip", "se_atten_v2"])
def test_public_graphs_built_anew(name, golden, tmp_path):
    """A public graph's weights in a graph of our own give the public numbers."""
    from dptf.graph.freeze import frozen_graph
    from dptf.graph.load import constants, load_graph_def, write_graph_def
    from dptf.infer import DeepPot

    const = constants(load_graph_def(golden / "pb" / f"{name}.pb"))
    script = json.loads(const["train_attr/training_script"].item())
    write_graph_def(frozen_graph(script, const), tmp_path / "m.pb")
    case = np.load(golden / "pb" / f"{name}.npz")
    with DeepPot(tmp_path / "m.pb") as dp:
        for tag, box in (("pbc", case["box"]), ("nopbc", None)):
            out = dp.eval(case["coord"], box, case["atype"], atomic=True)
            for key, value in zip(("energy", "force", "virial", "atom_energy", "atom_virial"), out):
                want = case[f"{tag}_{key}"]
                np.testing.assert_allclose(value.reshape(want.shape), want, atol=1e-10, err_msg=key)


@pytest.mark.parametrize(
    "descriptor",
    [
        {"type": "dpa1", "rcut": 4.0, "neuron": [4, 8], "axis_neuron": 3, "attn": 8, "attn_layer": 1, "seed": 1},
        {"type": "se_atten_v2", "sel": "auto:1.2", "rcut": 4.0, "neuron": [4, 8], "attn_layer": 0, "env_protection": 1e-3},
    ],
    ids=lambda d: d["type"],
)  # fmt: skip
def test_training_on_mixed_types(descriptor, tmp_path, monkeypatch):
    """Frames of different compositions train together, in a large type map; the frozen graph takes both forms of types."""
    from dptf.infer import DeepPot

    monkeypatch.chdir(tmp_path)
    system, types = write_mixed_system(tmp_path / "a", seed=0)
    names = ["A", "B", *(f"X{k}" for k in range(20))]
    write_input(
        tmp_path,
        [system],
        model__type_map=names,
        model__descriptor=descriptor,
        training__numb_steps=40,
        training__training_data={"systems": [str(system)], "batch_size": 6},
        training__stat_file="stat.h5",
    )
    assert main(["train", "input.json"]) == 0
    curve = np.genfromtxt("lcurve.out", names=True)
    assert curve["rmse_f_trn"][-2:].mean() < curve["rmse_f_trn"][:2].mean()
    assert main(["freeze", "-o", "m.pb"]) == 0
    assert main(["test", "-m", "m.pb", "-s", "a"]) == 0
    coord, box = np.load(system / "set.000/coord.npy"), np.load(system / "set.000/box.npy")
    with DeepPot("m.pb") as dp:
        energy, force, _ = dp.eval(coord, box, types, mixed_type=True)
        one = dp.eval(coord[1:2], box[1:2], types[1])
        np.testing.assert_allclose(energy[1:2], one[0], atol=1e-12)
        np.testing.assert_allclose(force[1:2], one[1], atol=1e-12)


def test_mixed_data_want_a_descriptor_of_mixed_types(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    system, _ = write_mixed_system(tmp_path / "a", seed=0)
    write_input(tmp_path, [system])
    assert main(["train", "input.json"]) == 1
    assert "se_atten" in capsys.readouterr().err


def test_options_that_exclude_each_other():
    with pytest.raises(UserError, match="attn_mask"):
        AttentionCase(ATTEN | EXCHANGE | {"attn_mask": True})
    with pytest.raises(UserError, match="lmax"):
        AttentionCase(ATTEN | {"lmax": 2})
    with pytest.raises(UserError, match="type_embedding"):
        AttentionCase(ATTEN | EXCHANGE, type_embedding={"neuron": [4]})


def test_statistics_count_every_slot(tmp_path):
    """Mean and deviation against NumPy, for frames whose types differ."""
    from dptf.data import DataSystems
    from dptf.descriptor import make_descriptor

    path, types = write_mixed_system(tmp_path / "m", nframes=2, seed=3)
    data = DataSystems({"systems": [str(path)], "batch_size": 2}, ["A", "B"])
    descriptor = make_descriptor(ATTEN | {"sel": 40}, 2)
    descriptor.statistics(data.stat_batches(1))
    coord = np.load(path / "set.000/coord.npy").reshape(2, -1, 3)
    box = np.load(path / "set.000/box.npy").reshape(2, 3, 3)
    rows = {0: [], 1: []}
    shifts = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), -1).reshape(-1, 3)
    for x, b, t in zip(coord, box, types):
        images = (x[None] + (shifts @ b)[:, None]).reshape(-1, 3)
        for center, ti in zip(x, t):
            d = images - center
            r = np.linalg.norm(d, axis=1)
            d, r = d[(r > 1e-6) & (r < 3.5)], r[(r > 1e-6) & (r < 3.5)]
            u = np.clip((r - 1.0) / 2.5, 0, 1)
            w = 1 - 10 * u**3 + 15 * u**4 - 6 * u**5
            rows[ti].append(
                np.concatenate([np.c_[w / r, w[:, None] * d / r[:, None] ** 2], np.zeros((40 - len(r), 4))])
            )
    for t, r in rows.items():
        r = np.concatenate(r)
        np.testing.assert_allclose(descriptor.scale.davg[t, :4], [r[:, 0].mean(), 0, 0, 0], atol=1e-6)
        np.testing.assert_allclose(descriptor.scale.dstd[t, 0], r[:, 0].std(), atol=1e-6)
        a = r[:, 1:]
        np.testing.assert_allclose(descriptor.scale.dstd[t, 1], np.sqrt((a**2).mean() - a.mean() ** 2), atol=1e-6)


@pytest.mark.slow
def test_example(tmp_path, monkeypatch):
    """The copper example, a few steps: train, freeze, test."""
    example = Path(__file__).parents[2] / "examples/copper"
    config = json.loads((example / "dpa1/input.json").read_text())
    for key in ("training_data", "validation_data"):
        config["training"][key]["systems"] = [str(example / "dpa1" / s) for s in config["training"][key]["systems"]]
    config["training"] |= {"numb_steps": 4, "disp_freq": 2, "save_freq": 4}
    config["model"]["data_stat_nbatch"] = 1
    monkeypatch.chdir(tmp_path)
    Path("input.json").write_text(json.dumps(config))
    assert main(["train", "input.json"]) == 0
    assert main(["freeze", "-o", "frozen.pb"]) == 0
    assert main(["test", "-m", "frozen.pb", "-s", str(example / "data_3"), "-n", "1"]) == 0
    assert np.genfromtxt("lcurve.out", names=True)["rmse_f_val"].max() < 5.0
