"""Input files: what is accepted, what it becomes, and what a mistake looks like."""

import json

import pytest

from dptf.config import support
from dptf.config.load import Input, load_input, normalize_input, normalize_model, read_input, write_json
from dptf.config.schema.root import root
from dptf.errors import UserError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def minimal():
    return {
        "model": {
            "type_map": ["O", "H"],
            "descriptor": {"type": "se_e2_a", "sel": [46, 92], "neuron": [25, 50, 100], "axis_neuron": 16},
            "fitting_net": {"neuron": [240, 240, 240]},
        },
        "learning_rate": {"type": "exp", "start_lr": 1e-3, "stop_lr": 3.51e-8},
        "loss": {"start_pref_e": 0.02, "limit_pref_e": 1},
        "training": {"training_data": {"systems": ["data"]}, "numb_steps": 100},
    }


def changed(path, value):
    """The minimal input with one value replaced (or removed, with ...)."""
    data = minimal()
    *parents, last = path.split("/")
    section = data
    for name in parents:
        section = section.setdefault(name, {})
    if value is ...:
        del section[last]
    else:
        section[last] = value
    return data


def fails(data):
    with pytest.raises(UserError) as error:
        normalize_input(Input(data, "input.json"))
    text = str(error.value)
    assert "input.json" in text
    return text


def test_defaults_of_the_canonical_input(folder):
    config = normalize_input(minimal())
    descriptor, fitting, training = config["model"]["descriptor"], config["model"]["fitting_net"], config["training"]
    assert descriptor == {
        "type": "se_e2_a", "sel": [46, 92], "neuron": [25, 50, 100], "axis_neuron": 16, "rcut": 6.0, "rcut_smth": 0.5,
        "activation_function": "tanh", "resnet_dt": False, "type_one_side": False, "precision": "default", "trainable": True,
        "exclude_types": [], "env_protection": 0.0, "set_davg_zero": False,
    }  # fmt: skip
    assert fitting["type"] == "ener" and fitting["resnet_dt"] is True and fitting["numb_fparam"] == 0
    assert config["model"]["type"] == "standard" and config["model"]["data_stat_nbatch"] == 10
    assert config["loss"]["type"] == "ener" and config["loss"]["start_pref_f"] == 1000
    assert config["optimizer"] == {"type": "Adam", "adam_beta1": 0.9, "adam_beta2": 0.999, "weight_decay": 0.0}
    assert config["learning_rate"]["decay_steps"] == 5000 and config["learning_rate"]["scale_by_worker"] == "linear"
    assert (
        training["training_data"]["batch_size"] == "auto" and training["training_data"]["auto_prob"] == "prob_sys_size"
    )
    assert (
        training["disp_file"] == "lcurve.out" and training["save_freq"] == 1000 and training["validation_data"] is None
    )
    assert training["tabulated_embedding"] == "auto"


def test_normal_form_is_that_of_dargs_and_stays(folder):
    config = normalize_input(minimal())
    dargs = root().normalize_value({**minimal(), "optimizer": {}}, trim_pattern="_*")
    assert config == dargs
    root().check_value(config, strict=True)
    assert normalize_input(config) == config


def test_aliases_and_comments(folder):
    data = minimal()
    data["model"]["descriptor"] = {"type": "se_a", "n_axis_neuron": 2, "_comment": "x", "sel": "auto"}
    data["model"]["fitting_net"] = {"n_neuron": [8]}
    data["training"] = {"_note": {"a": 1}, "stop_batch": 10, "training_data": {"systems": "data", "sys_weights": [1.0]}}
    data["$schema"] = "x"
    config = normalize_input(data)
    assert config["model"]["descriptor"]["type"] == "se_e2_a" and config["model"]["descriptor"]["axis_neuron"] == 2
    assert config["model"]["fitting_net"]["neuron"] == [8]
    assert config["training"]["numb_steps"] == 10 and config["training"]["training_data"]["sys_probs"] == [1.0]
    assert (
        "_note" not in config["training"]
        and "_comment" not in config["model"]["descriptor"]
        and "$schema" not in config
    )


def test_integral_floats_are_integers(folder):
    data = changed("training/numb_steps", 1e6)
    data["model"]["descriptor"]["sel"] = [46.0, 92]
    config = normalize_input(data)
    assert config["training"]["numb_steps"] == 1000000 and isinstance(config["training"]["numb_steps"], int)
    assert config["model"]["descriptor"]["sel"] == [46, 92]
    assert isinstance(normalize_input(changed("learning_rate/start_lr", 1.0))["learning_rate"]["start_lr"], float)


@pytest.mark.parametrize(
    "path, value, told",
    [
        ("model/descriptor/rcut_smt", 0.5, "model/descriptor/rcut_smt: unknown key; did you mean 'rcut_smth'?"),
        ("model/descriptor/rcut", "6.0", "model/descriptor/rcut: is '6.0', expected a number (remove the quotes)"),
        ("model/descriptor/type", "se_e2_b", "did you mean 'se_e2_"),
        ("model/descriptor/type", "SE_E2_A", "did you mean 'se_e2_a'"),
        ("model/descriptor/type", ..., "model/descriptor/type: is missing; choose from"),
        ("model/descriptor", ..., "model/descriptor: is missing"),
        ("model/descriptor/n_axis_neuron", 16, "model/descriptor/axis_neuron: is given twice ('n_axis_neuron'"),
        ("training/numb_steps", 10.5, "training/numb_steps: is 10.5, expected an integer"),
        ("training/numb_steps", True, "expected an integer"),
        ("training/disp_training", 1, "training/disp_training: is 1, expected true or false"),
        ("model/descriptor/sel", [46, "x"], "expected a list of integers or a string"),
        ("training/numb_steps", ..., "numb_steps"),
        ("training/numb_epoch", 3, "numb_steps are both given"),
        ("learning_rate", ..., "learning_rate: is missing"),
        ("training/training_data", ..., "training/training_data: is missing"),
        ("model/descriptor/activation_function", "tanhh", "did you mean 'tanh'"),
        ("model/fitting_net/precision", "float65", "did you mean 'float64'"),
        ("model/descriptor/rcut_smth", 7.0, "model/descriptor/rcut_smth: is 7.0; it must lie between 0 and rcut (6.0)"),
        ("model/descriptor/sel", [46], "has 1 numbers, but type_map names 2 types (O, H)"),
        ("model/descriptor/sel", "automatic", "model/descriptor/sel"),
        ("model/descriptor/sel", [-1, 4], "model/descriptor/sel"),
        ("model/descriptor/axis_neuron", 101, "at most the last of neuron (100)"),
        ("model/descriptor/neuron", [], "model/descriptor/neuron: is empty"),
        ("model/descriptor/exclude_types", [[0, 2]], "types run from 0 to 1"),
        ("model/type_map", ["H", "H"], "names 'H' more than once"),
        ("model/fitting_net/trainable", [True], "has 1 entries, expected 4"),
        ("model/fitting_net/atom_ener", [1.0], "atom_ener: has 1 entries"),
        ("learning_rate/stop_lr", 1.0, "learning_rate/stop_lr: is 1.0; it must lie between 0 and start_lr (0.001)"),
        ("learning_rate/stop_lr_ratio", 0.1, "and stop_lr are both given"),
        ("learning_rate/scale_by_worker", "cubic", "choose linear, sqrt or none"),
        ("learning_rate/decay_steps", 0, "at least 1"),
        ("learning_rate/warmup_steps", 100, "below numb_steps (100)"),
        ("training/training_data/batch_size", 0, "training/training_data/batch_size: is 0"),
        ("training/training_data/batch_size", "autoo", "'autoo' is not a rule"),
        ("training/training_data/batch_size", "max", "'max' is not a rule"),
        ("training/training_data/sys_probs", [0.3], "sum to 0.3; they must sum to 1"),
        ("training/training_data/auto_prob", "prob_size", "'prob_size' is not known"),
        ("training/training_data/systems", [], "training/training_data/systems: names no folder"),
        ("training/training_data/systems", ["nowhere"], "no such folder or HDF5 file: nowhere"),
        ("training/disp_freq", 0, "training/disp_freq: is 0"),
        ("training/disp_file", "missing/lcurve.out", "training/disp_file: the folder"),
        ("training/save_ckpt", "data.txt/model.ckpt", "training/save_ckpt"),
        ("training/gradient_max_norm", -1.0, "must be positive"),
        ("training/tabulated_embedding", "yes", "tabulated_embedding"),
        ("loss/type", "tensor", "loss"),
        ("loss/start_pref_e", -1, "prefactors cannot be negative"),
        ("loss/start_pref_gf", 1.0, "numb_generalized_coord"),
        ("loss/start_pref_h", 1, "loss/start_pref_h: is 1, which this version does not support"),
        ("model/pair_exclude_types", [[0, 7]], "types run from 0 to 1"),
        ("optimizer/weight_decay", 0.1, "does not support"),
        ("optimizer/type", "AdamW", "optimizer/type"),
        ("nvnmd", {}, "fixed-point"),
        ("model/model_dict", {}, "several tasks"),
        ("modle", {}, "modle: unknown key; did you mean 'model'?"),
    ],
)  # fmt: skip
def test_mistakes_are_told(path, value, told, folder):
    (folder / "data.txt").write_text("")
    assert told in fails(changed(path, value))


def test_all_mistakes_at_once(folder):
    data = changed("model/descriptor/rcut", "6")
    data["training"]["disp_frequency"] = 3
    del data["model"]["fitting_net"]
    text = fails(data)
    assert (
        "3 mistakes" in text
        and "model/descriptor/rcut" in text
        and "'disp_freq'" in text
        and "model/fitting_net" in text
    )


def test_mistakes_name_the_line(folder):
    text = json.dumps(changed("model/descriptor/rcut_smt", 0.5), indent=1)
    (folder / "input.json").write_text(text)
    line = next(n for n, row in enumerate(text.splitlines(), 1) if "rcut_smt" in row)
    with pytest.raises(UserError, match=f"input.json, line {line}: model/descriptor/rcut_smt"):
        load_input("input.json")


@pytest.mark.parametrize(
    "text, told",
    [
        ('{"model": {}\n "x": 1}', "input.json, line 2, column 2: not valid JSON"),
        ('{"a": 1,\n "b": {"c": 2, "c": 3}}', "key 'c' is given twice in one section (it occurs on lines 2)"),
        ("[1, 2]", "must hold one object"),
        ("", "not valid JSON"),
        ('{"model": {\n', "input.json, line 2, column 1: not valid JSON"),
        ("{}", "model: is missing"),
    ],
)
def test_broken_json(text, told, folder):
    (folder / "input.json").write_text(text)
    with pytest.raises(UserError) as error:
        load_input("input.json")
    assert told in str(error.value) and "input.json" in str(error.value)


def test_yaml(folder):
    (folder / "input.yaml").write_text(
        "model:\n  type_map: [O, H]\n  descriptor: {type: se_e2_a, sel: auto}\n  fitting_net: {}\n"
        "learning_rate: {start_lr: 0.001}\ntraining:\n  numb_steps: 5\n  training_data:\n    systems: data\n"
    )
    assert load_input("input.yaml")["model"]["descriptor"]["axis_neuron"] == 4
    (folder / "bad.yml").write_text("model:\n  type_map: [O, H]\n  descriptor: {type: se_e2_a, cut: 3}\n")
    with pytest.raises(UserError, match="line 3: model/descriptor/cut"):
        load_input("bad.yml")
    (folder / "twice.yml").write_text("model: 1\nmodel: 2\n")
    with pytest.raises(UserError, match=r"twice.yml, line \d: key 'model' is given twice"):
        load_input("twice.yml")
    (folder / "broken.yml").write_text("model: [1,\n")
    with pytest.raises(UserError, match=r"broken\.yml"):
        load_input("broken.yml")


def test_missing_file_and_wrong_suffix(folder):
    with pytest.raises(UserError, match=r"nothere\.json: no such file"):
        load_input("nothere.json")
    (folder / "input.txt").write_text("{}")
    with pytest.raises(UserError, match=r"input\.txt: the name of an input file ends in"):
        load_input("input.txt")


def test_keys_without_effect_warn(folder, caplog):
    caplog.set_level("WARNING", "dptf")
    caplog.handler.setLevel("WARNING")
    import logging

    logging.getLogger("dptf").propagate = True
    data = changed("training/disp_avg", True)
    data["validating"] = {"full_validation": False, "validation_freq": 10}
    normalize_input(data)
    assert {r.message for r in caplog.records} == {"training/disp_avg has no effect in this package"}


def test_enabling_a_type_is_enough(folder, monkeypatch):
    data = changed("model/descriptor", {"type": "dpa1", "sel": 120})
    monkeypatch.setitem(support.TYPES, "descriptor", {"se_e2_a"})
    assert "'se_atten' is not supported" in fails(data)
    monkeypatch.setitem(support.TYPES, "descriptor", {"se_e2_a", "se_atten"})
    assert normalize_input(data)["model"]["descriptor"]["attn_layer"] == 2


def test_hybrid_and_composed_models(folder, monkeypatch):
    member = {"type": "se_a", "sel": [4, 4], "axis_neuron": 50}
    monkeypatch.setitem(support.TYPES, "descriptor", {"se_e2_a", "hybrid"})
    told = fails(changed("model/descriptor", {"type": "hybrid", "list": [member, {"type": "se_r", "rcutt": 3}]}))
    assert "model/descriptor/list/1/rcutt: unknown key" in told
    told = fails(changed("model/descriptor", {"type": "hybrid", "list": [member]}))
    assert "model/descriptor/list/0/axis_neuron" in told
    monkeypatch.setitem(support.TYPES, "model", {"standard", "linear_ener"})
    data = minimal()
    sub = data["model"]
    data["model"] = {"type": "linear_ener", "models": [sub], "weights": "mean"}
    config = normalize_input(data)
    assert config["model"]["models"][0]["fitting_net"]["activation_function"] == "tanh"
    sub["descriptor"]["rcut"] = "x"
    assert "model/models/0/descriptor/rcut" in fails(data)


def test_loss_follows_the_fitting(folder, monkeypatch):
    monkeypatch.setitem(support.TYPES, "fitting_net", {"dipole", "dos"})
    monkeypatch.setitem(support.TYPES, "loss", {"tensor", "dos"})
    data = changed("model/fitting_net", {"type": "dipole", "dipole_type": [0]})
    data["loss"] = {"pref": 1, "pref_atomic": 0}
    config = normalize_input(data)
    assert config["loss"]["type"] == "tensor" and config["model"]["fitting_net"]["sel_type"] == [0]
    del data["loss"]
    assert "tensor fitting needs" in fails(data)
    data = changed("model/fitting_net", {"type": "dos"})
    del data["loss"]
    assert normalize_input(data)["loss"]["limit_pref_ados"] == 1


def test_every_reference_model_is_legal(golden):
    for path in sorted((golden / "dp").glob("*.json")):
        normalize_model(json.loads(path.read_text())["model"], str(path))


def test_reference_inputs_normalise_alike(golden, monkeypatch):
    for table in ("descriptor", "fitting_net", "loss"):
        everything = type("Everything", (set,), {"__contains__": lambda self, x: True})()
        monkeypatch.setitem(support.TYPES, table, everything)
    monkeypatch.setattr(support, "REFUSED", {})
    for path in sorted((golden / "pb").glob("*.json")):
        source = read_input(path)
        assert source.converted == []
        config = normalize_input(source, paths=False)
        assert config == root().normalize_value({**source.data, "optimizer": {}}, trim_pattern="_*"), path


def test_out_file_is_replaced_as_a_whole(folder):
    write_json({"a": 1}, "out.json")
    with pytest.raises(TypeError):
        write_json({"a": object()}, "out.json")
    assert json.loads((folder / "out.json").read_text()) == {"a": 1}
    assert sorted(p.name for p in folder.iterdir()) == ["data", "out.json"]
