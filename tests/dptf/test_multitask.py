"""Several tasks that share parts: training, restart, freezing; and fine-tuning from one model or from a branch."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from toy import write_input, write_system

from dptf.cli.main import main
from dptf.config.multitask import join, split
from dptf.infer import DeepPot
from dptf.train.checkpoint import Checkpoint
from dptf.train.sharing import Sharing


@pytest.fixture(scope="module")
def systems(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    return [write_system(root / "a", seed=0), write_system(root / "b", seed=1, sets=2)]


@pytest.fixture()
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def multitask_input(folder, systems, name="input.json", **training):
    """Two tasks on the toy data with one descriptor; the energies of the second are shifted by its own bias."""
    write_input(folder, systems)
    one = json.loads((folder / "input.json").read_text())
    data = {
        t: {"training_data": {"systems": [str(s)], "batch_size": 2}, "validation_data": {"systems": [str(s)]}}
        for t, s in zip(("left", "right"), systems)
    }
    config = {
        "model": {
            "shared_dict": {"map": ["A", "B"], "desc": one["model"]["descriptor"]},
            "model_dict": {
                t: {"type_map": "map", "descriptor": "desc", "fitting_net": {"neuron": [6 + 2 * k, 6 + 2 * k], "seed": k}}
                for k, t in enumerate(data)
            },
        },
        "learning_rate": one["learning_rate"],
        "loss_dict": {"left": one["loss"], "right": {"start_pref_f": 10.0}},
        "training": {
            "data_dict": data, "model_prob": {"left": 1, "right": 3}, "numb_steps": 12, "seed": 5, "disp_freq": 4,
            "save_freq": 6, **training,
        },
    }  # fmt: skip
    (folder / name).write_text(json.dumps(config))
    return config


@pytest.fixture(scope="module")
def trained(systems, tmp_path_factory):
    root = tmp_path_factory.mktemp("multi")
    with pytest.MonkeyPatch.context() as m:
        m.chdir(root)
        multitask_input(root, systems)
        assert main(["train", "input.json"]) == 0
    return root


def test_variables_are_shared_where_asked(trained):
    values = Checkpoint(trained / "model.ckpt-12").values()
    model = {k for k in values if not k.endswith(("Adam", "Adam_1", "power", "global_step"))}
    assert {k.split("/")[0] for k in model} == {"left", "right"}
    assert "left/descrpt_attr/t_avg" in model and "right/descrpt_attr/t_avg" not in model
    assert not [k for k in model if k.startswith("right/filter_type")]
    assert values["left/layer_0_type_0/matrix"].shape[1] == 6 and values["right/layer_0_type_0/matrix"].shape[1] == 8
    assert "right/fitting_attr/t_bias_atom_e" in model
    view = Sharing(json.loads((trained / "out.json").read_text())).view(values, "right")
    assert view["descrpt_attr/t_avg"] is values["left/descrpt_attr/t_avg"]
    rows = np.genfromtxt(trained / "lcurve.out", names=True)
    assert {"rmse_val_left", "rmse_trn_right", "rmse_v_val_left", "rmse_f_val_right"} <= set(rows.dtype.names)
    assert rows["step"].tolist() == [0, 4, 8, 12]
    assert not np.isnan(rows["rmse_f_val_left"]).any()


def test_restart_gives_the_same_bits(trained, systems, folder):
    for p in trained.glob("*ckpt-6*"):
        (folder / p.name).write_bytes(p.read_bytes())
    multitask_input(folder, systems)
    assert main(["train", "input.json", "--restart", "model.ckpt-6"]) == 0
    whole, again = Checkpoint(trained / "model.ckpt-12").values(), Checkpoint("model.ckpt-12").values()
    assert all(np.array_equal(v, again[k]) for k, v in whole.items())


def test_freeze_a_head(trained, systems, folder, capsys):
    assert main(["freeze", "-c", str(trained)]) == 1
    assert "choose with --head: left, right" in capsys.readouterr().err
    assert main(["freeze", "-c", str(trained), "-o", "right", "--head", "right"]) == 0
    model = DeepPot("right.pb")
    coord, box, energy = (np.load(f"{systems[1]}/set.000/{k}.npy") for k in ("coord", "box", "energy"))
    found = model.eval(coord, box, np.loadtxt(f"{systems[1]}/type.raw", dtype=int))[0].ravel()
    rmse = np.sqrt(np.mean((found - energy) ** 2)) / 12
    assert rmse < 2 * np.genfromtxt(trained / "lcurve.out", names=True)["rmse_e_val_right"][-1]


def test_the_complete_input_is_an_input(trained):
    data = json.loads((trained / "out.json").read_text())
    assert isinstance(data["model"]["model_dict"]["left"]["descriptor"], str)
    assert data["model"]["shared_dict"]["desc"]["sel"][0] > 0
    parts = split(data)
    assert parts["left"]["model"]["descriptor"] == parts["right"]["model"]["descriptor"]
    assert json.loads(json.dumps(join(data, parts)))["model"] == data["model"]


def test_finetune_a_branch_of_several(trained, systems, folder):
    write_input(folder, systems[1:], training__numb_steps=0)
    assert main(["train", "input.json", "--finetune", str(trained / "model.ckpt-12"), "--model-branch", "right"]) == 0
    old = Sharing(json.loads((trained / "out.json").read_text())).view(
        Checkpoint(trained / "model.ckpt-12").values(), "right"
    )
    new = Checkpoint("model.ckpt-0").values()
    for name in ("layer_0_type_0/matrix", "descrpt_attr/t_avg", "filter_type_all/matrix_1_0"):
        np.testing.assert_array_equal(new[name], old[name])
    assert not np.array_equal(new["fitting_attr/t_bias_atom_e"], old["fitting_attr/t_bias_atom_e"])


def test_finetune_several_from_several(trained, systems, folder):
    config = multitask_input(folder, systems, numb_steps=0)
    tasks = config["model"]["model_dict"]
    tasks["new"] = dict(tasks["left"])
    tasks["right"]["finetune_head"] = "left"  # the fitting net of the other branch
    for section in (config["loss_dict"], config["training"]["data_dict"], config["training"]["model_prob"]):
        section["new"] = section["left"]
    (folder / "input.json").write_text(json.dumps(config))
    assert main(["train", "input.json", "--finetune", str(trained / "model.ckpt-12")]) == 0
    old, new = Checkpoint(trained / "model.ckpt-12").values(), Checkpoint("model.ckpt-0").values()
    layer = "layer_0_type_0/matrix"
    np.testing.assert_array_equal(new[f"left/{layer}"], old[f"left/{layer}"])
    np.testing.assert_array_equal(new[f"right/{layer}"], old[f"left/{layer}"])
    assert not np.array_equal(new[f"new/{layer}"], old[f"left/{layer}"])
    bias = "fitting_attr/t_bias_atom_e"
    np.testing.assert_array_equal(new[f"left/{bias}"], old[f"left/{bias}"])
    assert not np.array_equal(new[f"right/{bias}"], old[f"left/{bias}"])


@pytest.mark.parametrize(
    "change, told",
    [
        (lambda c: c["loss_dict"].pop("left"), "loss_dict: must have one entry for each of left, right"),
        (lambda c: c["model"]["model_dict"]["left"].update(descriptor="dex"), "'dex' is not in model/shared_dict"),
        (lambda c: c["model"]["model_dict"]["left"].update(descriptor="desc:1"), "level 1 does not exist here"),
        (lambda c: c["training"]["model_prob"].pop("left"), "training/model_prob: must list every task"),
        (lambda c: c["model"]["model_dict"]["left"].update(type_map=["A", "B", "C"]), "need the same type_map"),
        (lambda c: c["loss_dict"]["left"].update(start_pref_e=-1), "task left"),
    ],
)
def test_mistakes(systems, folder, capsys, change, told):
    config = multitask_input(folder, systems)
    change(config)
    (folder / "input.json").write_text(json.dumps(config))
    assert main(["train", "input.json"]) == 1
    assert told in capsys.readouterr().err.replace("Error: ", "")


# -- one model ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def single(systems, tmp_path_factory):
    """A trained and frozen model, with averaged weights and full validation."""
    root = tmp_path_factory.mktemp("single")
    with pytest.MonkeyPatch.context() as m:
        m.chdir(root)
        config = json.loads(
            write_input(
                root, systems, training__validation_data={"systems": [str(systems[0])]}, training__enable_ema=True,
                training__ema_decay=0.5,
            ).read_text()
        )  # fmt: skip
        config["validating"] = {"full_validation": True, "validation_freq": 5, "full_val_start": 0.5, "max_best_ckpt": 2,
                                "validation_metric": "F:RMSE"}  # fmt: skip
        (root / "input.json").write_text(json.dumps(config))
        assert main(["train", "input.json"]) == 0
        assert main(["freeze", "-o", "model"]) == 0
        assert main(["freeze", "-o", "mean", "--ema"]) == 0
    return root


def test_full_validation_keeps_the_best(single, systems):
    lines = [r.split() for r in (single / "val.log").read_text().splitlines() if not r.startswith("#")]
    assert [r[0] for r in lines] == ["10", "15", "20"]
    coord, box, force = (np.load(f"{systems[0]}/set.000/{k}.npy") for k in ("coord", "box", "force"))
    found = DeepPot(single / "model.pb").eval(coord, box, np.loadtxt(f"{systems[0]}/type.raw", dtype=int))[1]
    rmse = np.sqrt(np.mean((found.ravel() - force.ravel()) ** 2))
    head = (single / "val.log").read_text().split("\n")[0].split()[1:]
    assert abs(float(lines[-1][head.index("F:RMSE")]) / rmse - 1) < 1e-3
    scores = {int(r[0]): float(r[head.index("F:RMSE")]) for r in lines}
    best = {int(p.name.split("-")[1].split(".")[0]) for p in single.glob("best.ckpt-*.index")}
    assert best == set(sorted(scores, key=scores.get)[:2])
    assert "best" not in (single / "checkpoint").read_text()


def test_averaged_weights(single):
    values = Checkpoint(single / "model.ckpt-20").values()
    w, mean = values["layer_0_type_0/matrix"], values["ema/layer_0_type_0/matrix"]
    assert 0 < np.abs(w - mean).max() < 0.02
    from dptf.train.start import frozen_constants

    np.testing.assert_array_equal(frozen_constants(single / "mean.pb")["layer_0_type_0/matrix"], mean)


def test_finetune_shifts_the_bias(single, systems, folder):
    """Data of another zero of energy: the bias follows, the nets stay."""
    shifted = write_system(folder / "c", seed=7)
    path = shifted / "set.000/energy.npy"
    np.save(path, np.load(path) + 4 * 2.0 + 8 * 2.0)
    config = json.loads(write_input(folder, [shifted], training__numb_steps=0).read_text())
    config["model"] = {"type_map": ["B", "A"], "descriptor": {}, "fitting_net": {"trainable": False}}
    (folder / "input.json").write_text(json.dumps(config))
    assert main(["train", "input.json", "--finetune", str(single / "model.pb")]) == 0
    old, new = Checkpoint(single / "model.ckpt-20").values(), Checkpoint("model.ckpt-0").values()
    np.testing.assert_array_equal(new["layer_0_type_0/matrix"], old["layer_0_type_0/matrix"])
    moved = new["fitting_attr/t_bias_atom_e"] - old["fitting_attr/t_bias_atom_e"]
    coord, box = (np.load(shifted / f"set.000/{k}.npy") for k in ("coord", "box"))
    found = DeepPot(single / "model.pb").eval(coord, box, np.loadtxt(shifted / "type.raw", dtype=int))[0].ravel()
    assert abs(4 * moved[0] + 8 * moved[1] - np.mean(np.load(path) - found)) < 1e-8
    out = json.loads((folder / "out.json").read_text())["model"]
    assert out["fitting_net"]["trainable"] is False and out["descriptor"]["neuron"] == [4, 8]
    assert out["type_map"] == ["A", "B"]  # that of the trained model; data are matched by name


def test_finetune_with_a_new_fitting_net(single, systems, folder):
    write_input(folder, systems, training__numb_steps=0, model__fitting_net={"neuron": [5]})
    assert main(["train", "input.json", "--finetune", str(single / "model.ckpt"), "--model-branch", "RANDOM"]) == 0
    new = Checkpoint("model.ckpt-0").values()
    assert new["layer_0_type_0/matrix"].shape[1] == 5


def test_finetune_refusals(single, systems, folder, capsys):
    write_input(folder, systems, training__numb_steps=0, model__type_map=["A", "B", "C"])
    assert main(["train", "input.json", "--finetune", str(single / "model.pb")]) == 1
    assert "has no nets for C" in capsys.readouterr().err
    write_input(folder, systems, training__numb_steps=0)
    assert main(["train", "input.json", "--finetune", str(single / "model.pb"), "--model-branch", "x"]) == 1
    assert "has no branches" in capsys.readouterr().err


def test_finetune_adds_a_type_to_a_model_with_type_embedding(systems, folder):
    se_atten = {"type": "se_atten", "sel": 30, "rcut": 4.0, "rcut_smth": 1.0, "neuron": [4, 8], "axis_neuron": 3,
                "attn_layer": 0, "seed": 1}  # fmt: skip
    write_input(folder, systems, model__descriptor=se_atten, training__numb_steps=2)
    assert main(["train", "input.json"]) == 0
    old = Checkpoint("model.ckpt").values()
    write_input(folder, systems, training__numb_steps=0, model__type_map=["A", "B", "C"], training__save_ckpt="new")
    assert main(["train", "input.json", "--finetune", "model.ckpt"]) == 0
    new = Checkpoint("new").values()
    assert new["fitting_attr/t_bias_atom_e"].shape == (3,)
    name = next(k for k in old if k.startswith("type_embed_net/matrix_1") and "Adam" not in k)
    np.testing.assert_array_equal(new[name][:2], old[name])
    assert new[name].shape[0] == 3 and np.abs(new[name][2]).max() > 0


def test_change_bias_after_training(systems, folder):
    write_input(folder, systems, training__numb_steps=3, training__change_bias_after_training=True)
    assert main(["train", "input.json"]) == 0
    assert main(["freeze", "-o", "m"]) == 0
    left = []
    for s in systems:
        coord, box, energy = (np.load(f"{s}/set.000/{k}.npy") for k in ("coord", "box", "energy"))
        left += list(DeepPot("m.pb").eval(coord, box, np.loadtxt(s / "type.raw", dtype=int))[0].ravel() - energy)
    # The bias takes up the mean error (of one composition, all that it can).
    assert abs(np.mean(left)) < 0.3 * np.std(left)


def test_the_example_runs(folder, monkeypatch):
    """Water and copper with one descriptor, for two steps; then fine-tuning of the water branch."""
    example = Path(__file__).parents[2] / "examples/multitask"
    config = json.loads((example / "input.json").read_text())
    prefix = folder.resolve()
    config["training"] |= {
        "numb_steps": 2, "disp_freq": 1, "save_ckpt": str(prefix / "m"), "disp_file": str(prefix / "l.out"),
    }  # fmt: skip
    (folder / "input.json").write_text(json.dumps(config))
    monkeypatch.chdir(example)
    assert main(["train", str(prefix / "input.json"), "-o", str(prefix / "out.json")]) == 0
    sel = json.loads((prefix / "out.json").read_text())["model"]["shared_dict"]["descriptor"]["sel"]
    assert min(sel) > 20  # oxygen and hydrogen of the water task, copper of the other
    head = (prefix / "l.out").read_text().splitlines()[0]
    assert "rmse_f_val_water" in head and "rmse_f_val_copper" in head


def test_members_of_a_hybrid_descriptor_are_shared_one_by_one(systems, folder, capsys):
    """The shared member stands at different places; statistics, restart, freezing and fine-tuning follow it."""
    config = multitask_input(folder, systems, numb_steps=4, save_freq=2, disp_freq=4)
    near = config["model"]["shared_dict"].pop("desc")
    own = near | {"neuron": [3, 6], "seed": 9}
    config["model"]["shared_dict"]["near"] = near
    lists = {"left": ["near", own], "right": [own, "near"]}
    for task, section in config["model"]["model_dict"].items():
        section["descriptor"] = {"type": "hybrid", "list": lists[task]}
    (folder / "input.json").write_text(json.dumps(config))
    assert main(["train", "input.json"]) == 0
    whole = Checkpoint("model.ckpt-4").values()
    heads = {k.rpartition("/")[0] for k in whole if "filter_type" in k and "Adam" not in k}
    assert heads == {"left/filter_type_all_0", "left/filter_type_all_1", "right/filter_type_all_0"}
    assert "right/descrpt_attr_1/t_avg" not in whole and "right/descrpt_attr_0/t_avg" in whole
    assert main(["train", "input.json", "--restart", "model.ckpt-2"]) == 0
    assert all(np.array_equal(v, whole[k]) for k, v in Checkpoint("model.ckpt-4").values().items())
    out = json.loads((folder / "out.json").read_text())["model"]
    assert out["shared_dict"]["near"]["sel"] and out["model_dict"]["right"]["descriptor"]["list"][1] == "near"
    from dptf.train.heads import task_of

    left, right = (task_of(Checkpoint("model.ckpt-4"), head)[1] for head in ("left", "right"))
    for key in ("matrix_1_0", "bias_1_0"):
        np.testing.assert_array_equal(left[f"filter_type_all_0/{key}"], right[f"filter_type_all_1/{key}"])
    coord, box = (np.load(f"{systems[1]}/set.000/{k}.npy") for k in ("coord", "box"))
    assert main(["freeze", "-o", "right", "--head", "right"]) == 0
    frozen = DeepPot("right.pb").eval(coord, box, np.loadtxt(f"{systems[1]}/type.raw", dtype=int))[0]
    assert np.isfinite(frozen).all()
    config["training"]["numb_steps"] = 0
    config["training"]["save_ckpt"] = "tuned"
    (folder / "tune.json").write_text(json.dumps(config))
    assert main(["train", "tune.json", "--finetune", "model.ckpt-4"]) == 0
    tuned = Checkpoint("tuned-0").values()
    assert all(np.array_equal(v, whole[k]) for k, v in tuned.items() if "filter_type" in k and "Adam" not in k)
    config["model"]["model_dict"]["left"]["descriptor"] = "near"
    (folder / "mixed.json").write_text(json.dumps(config))
    assert main(["train", "mixed.json"]) == 1
    assert "'near' is used as descriptor and as member of a hybrid descriptor" in capsys.readouterr().err
