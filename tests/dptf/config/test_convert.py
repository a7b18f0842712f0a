"""Old layouts of the input."""

import pytest

from dptf.config.convert import convert
from dptf.config.load import Input, normalize_input
from dptf.errors import UserError


def v0():
    return {
        "use_smooth": True, "sel_a": [46, 92], "rcut": 6.0, "rcut_smth": 5.8, "filter_neuron": [25, 50], "n_axis_neuron": 8,
        "filter_resnet_dt": True, "fitting_neuron": [60, 60], "resnet_dt": False, "seed": 3, "type_map": ["O", "H"],
        "decay_steps": 100, "decay_rate": 0.95, "start_lr": 0.001, "start_pref_e": 0.1, "limit_pref_e": 1,
        "start_pref_ae": 0, "limit_pref_ae": 0, "systems": ["data"], "set_prefix": "set", "stop_batch": 200, "batch_size": 2,
        "disp_freq": 10, "numb_test": 5, "save_freq": 50, "save_ckpt": "model.ckpt", "disp_training": True,
        "time_training": True, "load_ckpt": "model.ckpt", "profiling": False,
    }  # fmt: skip


def test_flat_input(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    data, notes = convert(v0())
    assert data["model"] == {
        "descriptor": {"type": "se_a", "sel": [46, 92], "rcut": 6.0, "rcut_smth": 5.8, "neuron": [25, 50], "axis_neuron": 8,
                       "resnet_dt": True, "seed": 3},
        "fitting_net": {"neuron": [60, 60], "resnet_dt": False, "seed": 3},
        "type_map": ["O", "H"],
    }  # fmt: skip
    assert data["learning_rate"] == {"type": "exp", "decay_steps": 100, "start_lr": 0.001, "stop_lr": 0.001 * 0.95**2}
    assert data["training"]["training_data"] == {"systems": ["data"], "batch_size": 2}
    assert data["training"]["disp_file"] == "lcurve.out" and "numb_test" not in data["training"]
    assert len(notes) >= 4
    config = normalize_input(data)
    assert config["training"]["numb_steps"] == 200 and config["model"]["descriptor"]["type"] == "se_e2_a"


def test_flat_input_with_local_frame():
    data = v0()
    data.update(use_smooth=False, sel_r=[0, 0], axis_rule=[0] * 12)
    data, _ = convert(data)
    assert data["model"]["descriptor"]["type"] == "loc_frame" and data["model"]["descriptor"]["sel_r"] == [0, 0]
    config = normalize_input(data, paths=False)
    assert config["model"]["fitting_net"]["seed"] == config["training"]["seed"] == 3


def test_radial_and_angular_parts_of_version_1():
    data = v1()
    part = {"sel": [4, 8], "rcut": 3.0, "neuron": [4, 8]}
    data["model"]["descriptor"] = {"type": "se_ar", "a": {**part, "axis_neuron": 3}, "r": part}
    del data["learning_rate"]["decay_rate"]
    data, notes = convert(data)
    assert "model/descriptor: se_ar became a hybrid of se_e2_a and se_e2_r" in notes
    config = normalize_input(data, paths=False)
    assert [d["type"] for d in config["model"]["descriptor"]["list"]] == ["se_e2_a", "se_e2_r"]
    assert config["learning_rate"]["stop_lr"] == 5e-8  # as the public out.json has it


def test_flat_input_names_a_missing_key():
    data = v0()
    del data["sel_a"]
    with pytest.raises(UserError, match=r"x\.json: key 'sel_a' is missing"):
        convert(data, "x.json")


def v1():
    return {
        "model": {"descriptor": {"type": "se_a", "sel": [4]}, "fitting_net": {}},
        "learning_rate": {"type": "exp", "start_lr": 0.01, "decay_steps": 10, "decay_rate": 0.5},
        "training": {"systems": ["a"], "set_prefix": "set", "stop_batch": 30, "batch_size": 1, "sys_probs": [1.0],
                     "auto_prob_style": "prob_uniform", "numb_test": 2},
    }  # fmt: skip


def test_version_1():
    before = v1()
    data, notes = convert(before)
    assert before == v1()
    assert data["learning_rate"] == {
        "type": "exp",
        "start_lr": 0.01,
        "decay_steps": 10,
        "stop_lr": pytest.approx(0.00125),
    }
    assert data["training"] == {
        "stop_batch": 30,
        "training_data": {"systems": ["a"], "batch_size": 1, "sys_probs": [1.0], "auto_prob_style": "prob_uniform"},
    }
    assert any("decay_rate" in n for n in notes) and any("numb_test" in n for n in notes)


def test_both_layouts_at_once():
    data = v1()
    data["training"]["training_data"] = {"systems": ["b"]}
    with pytest.raises(UserError, match="both 'systems'"):
        convert(data, "x.json")


def test_keys_that_moved():
    data = {"model": {}, "learning_rate": {"start_lr": 1}, "training": {"warmup_steps": 5, "opt_type": "Adam",
            "adam_beta1": 0.8, "training_data": {"systems": "a", "set_prefix": "set"}}}  # fmt: skip
    out, notes = convert(data)
    assert out["learning_rate"] == {"start_lr": 1, "warmup_steps": 5}
    assert out["optimizer"] == {"type": "Adam", "adam_beta1": 0.8}
    assert out["training"] == {"training_data": {"systems": "a"}} and len(notes) == 4
    data["learning_rate"]["warmup_steps"] = 6
    with pytest.raises(UserError, match="training/warmup_steps and learning_rate/warmup_steps differ"):
        convert(data)


def test_version_2_is_left_alone():
    data = {"model": {}, "training": {"training_data": {"systems": "a"}}}
    assert convert(data) == (data, [])


def test_foreign_set_prefix_is_refused():
    with pytest.raises(UserError, match="set_prefix 'batch'"):
        convert({"model": {}, "training": {"training_data": {"systems": "a", "set_prefix": "batch"}}})


def test_an_empty_input_names_the_sections():
    with pytest.raises(UserError, match="model: is missing"):
        normalize_input(Input({}, "x.json"))
