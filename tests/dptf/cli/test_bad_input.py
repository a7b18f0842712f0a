"""Bad input at the command line, case by case: one message that names the file or key, exit status 1, no outputs touched.

The numbers are those of the table of failures that the public package was measured with.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from toy import write_input, write_mixed_system, write_system

from dptf.cli.main import main

MODELS = Path(__file__).resolve().parents[2] / "data" / "infer"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def system(folder):
    return write_system(folder / "data")


def fails(capsys, argv, *words, code=1):
    """Run the command line; returns the message, which must hold all words in at most a few lines."""
    capsys.readouterr()
    assert main([str(a) for a in argv]) == code
    error = capsys.readouterr().err
    message = error[error.index("Error:") :]
    assert "Traceback" not in error
    assert len(message.splitlines()) <= 6, message
    for word in words:
        assert word in message, message
    return message


def edit(path, **keys):
    """Change an input file; ``section__key`` as in :func:`toy.write_input`, None removes."""
    config = json.loads(path.read_text())
    for key, value in keys.items():
        section = config
        *parents, last = key.split("__")
        for p in parents:
            section = section[p]
        if value is None:
            section.pop(last, None)
        else:
            section[last] = value
    path.write_text(json.dumps(config, indent=1))


# Mistakes in the input file: number, change, words of the message.
INPUT_MISTAKES = [
    (1, {"model__descriptor__rcut_smt": 1.0}, ("model/descriptor", "rcut_smt", "rcut_smth")),
    (2, {"model__descriptor__rcut": "6.0"}, ("model/descriptor/rcut", "6.0")),
    (3, {"model__descriptor__type": "se_e2_b"}, ("model/descriptor/type", "se_e2_b", "se_e2_r")),
    (6, {"training__numb_steps": None}, ("numb_steps",)),
    (7, {"learning_rate": None}, ("learning_rate",)),
    (7, {"training__training_data": None}, ("training_data",)),
    (9, {"model__descriptor__activation_function": "tanhh"}, ("activation_function", "tanhh", "tanh")),
    (9, {"model__fitting_net__precision": "float65"}, ("precision", "float65", "float64")),
    (10, {"model__descriptor__rcut_smth": 9.0}, ("rcut_smth", "9", "4")),
    (13, {"model__descriptor__sel": [10]}, ("sel", "1", "2")),
    (14, {"training__training_data__systems": []}, ("systems",)),
    (14, {"training__training_data__systems": ["empty"]}, ("empty",)),
    (14, {"training__training_data__systems": ["file.hdf5#/nothing"]}, ("file.hdf5", "nothing")),
    (15, {"training__training_data__systems": ["absent"]}, ("absent",)),
    (15, {"training__training_data__systems": ["dat*/nothing"]}, ("dat*/nothing",)),
    (27, {"model__type_map": ["A", "B", "A"]}, ("type_map", "A")),
    (36, {"loss__start_pref_h": 1.0}, ("start_pref_h",)),
    (37, {"learning_rate__stop_lr": 1.0}, ("stop_lr", "start_lr")),
    (38, {"training__training_data__batch_size": 0}, ("batch_size", "0")),
    (38, {"training__training_data__batch_size": "autoo"}, ("batch_size", "autoo")),
    (38, {"training__training_data__sys_probs": [0.3]}, ("sys_probs", "0.3")),
    (38, {"training__training_data__sys_probs": [0.5, 0.5]}, ("sys_probs", "2", "1")),
    (39, {"model__descriptor__axis_neuron": 50}, ("axis_neuron", "50", "8")),
    (40, {"training__disp_file": "no/such/folder/lcurve.out"}, ("disp_file", "no/such/folder")),
    (41, {"training__save_ckpt": "locked/model.ckpt"}, ("save_ckpt", "locked")),
    (0, {"training__disp_freq": 0}, ("disp_freq", "0")),
    (0, {"nvnmd": {}}, ("nvnmd",)),
    (0, {"training__numb_epoch": 3}, ("numb_steps", "numb_epoch")),
]  # fmt: skip


@pytest.mark.parametrize("number, change, words", INPUT_MISTAKES)
def test_mistakes_in_the_input(folder, system, capsys, number, change, words):
    import h5py

    (folder / "empty").mkdir()
    (folder / "locked").write_text("a file where a folder should be")
    with h5py.File(folder / "file.hdf5", "w") as f:
        f.create_group("other")
    path = write_input(folder, [system])
    edit(path, **change)
    fails(capsys, ["train", path], *words)
    assert {p.name for p in folder.iterdir()} == {"data", "empty", "locked", "file.hdf5", "input.json"}


def test_input_mistakes_are_found_before_tensorflow_is_imported(folder, system):
    """Rows 1 to 41 in one process: what a user waits for is the start of Python and the schema, not TensorFlow."""
    cases = []
    for k, (_, change, _) in enumerate(INPUT_MISTAKES):
        path = write_input(folder, [system])
        edit(path, **change)
        cases.append(str(path.rename(folder / f"case{k}.json")))
    (folder / "locked").write_text("")
    (folder / "empty").mkdir()
    (folder / "cut.json").write_text('{"model": {"type_map": ["A"],}}')
    cases += ["cut.json", "absent.json", "input.txt"]
    code = (
        "import sys\nfrom dptf.cli.main import main\n"
        f"for name in {cases!r}:\n"
        "    assert main(['train', name]) == 1, name\n"
        "    assert 'tensorflow' not in sys.modules, name\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr[-1500:]
    assert done.stderr.count("Error:") == len(cases)


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("absent.json", None, ("absent.json",)),
        ("input.txt", "{}", ("input.txt", ".json")),
        ("input.json", '{"model": {"type_map": ["A", "B"],}}', ("input.json", "line 1")),
        ("input.json", "{}", ("model",)),
        ("input.json", '{"model": {}, "model": {}}', ("model", "twice")),
    ],
)
def test_unreadable_input(folder, capsys, name, content, words):  # rows 4 and 5
    if content is not None:
        (folder / name).write_text(content)
    fails(capsys, ["train", name], *words)


def test_integral_floats_are_accepted(folder, system):  # row 8
    write_input(folder, [system], training__numb_steps=2.0)
    assert main(["train", "input.json"]) == 0


def test_too_small_sel_is_told_also_without_statistics(folder, system, capsys):  # row 11
    write_input(folder, [system], model__descriptor__sel=[2, 3], training__numb_steps=5)
    for more, words in (
        ([], "slots for type A, but the data have up to"),
        (["--skip-neighbor-stat"], "sel is too small for the data"),
    ):
        capsys.readouterr()
        assert main(["train", "input.json", *more]) == 0
        assert words in capsys.readouterr().err


def test_automatic_sel_without_statistics(folder, system, capsys):  # row 12
    write_input(folder, [system])
    fails(capsys, ["train", "input.json", "--skip-neighbor-stat"], "model/descriptor", "sel", "--skip-neighbor-stat")


def _edit_array(name, change):
    def apply(system):
        path = system / "set.000" / name
        array = np.load(path)
        np.save(path, change(array))

    return apply


def _with_value(index, value):
    def change(array):
        array = array.copy()
        array[index] = value
        return array

    return change


def _text(name, content):
    return lambda system: (system / name).write_text(content)


# Mistakes in the data: number, change of a system folder, words of the message.
DATA_MISTAKES = [
    (16, _edit_array("force.npy", lambda a: a[:, :-3]), ("force.npy", "33", "36")),
    (16, _edit_array("energy.npy", lambda a: a[:-1]), ("energy.npy", "5", "6")),
    (17, _edit_array("coord.npy", lambda a: a[:, :-1]), ("coord.npy", "35", "36")),
    (18, lambda s: [p.unlink() for p in (s / "set.000").iterdir()], ("set.000", "coord.npy")),
    (19, lambda s: [np.save(p, np.load(p)[:0]) for p in (s / "set.000").glob("*.npy")], ("coord.npy", "no frame")),
    (20, _edit_array("coord.npy", _with_value((2, 7), np.nan)), ("coord.npy", "frame 2, atom 2", "nan")),
    (20, _edit_array("box.npy", _with_value((1, 4), np.inf)), ("box.npy", "frame 1", "inf")),
    (22, _edit_array("force.npy", _with_value((3, 35), np.nan)), ("force.npy", "frame 3, atom 11", "nan")),
    (22, _edit_array("energy.npy", _with_value(4, np.nan)), ("energy.npy", "frame 4", "nan")),
    (23, _text("type.raw", "0 1 1 0 1 1 0 1 1 0 1 2\n"), ("type.raw", "atom 11", "2")),
    (25, _text("type.raw", "0 1 1 0 1 -1 0 1 1 0 1 1\n"), ("type.raw", "atom 5", "-1")),
    (26, _text("type_map.raw", "A\nXx\n"), ("type_map.raw", "Xx")),
    (28, lambda s: (s / "set.000/box.npy").unlink(), ("box.npy", "nopbc")),
    (29, _edit_array("box.npy", lambda a: a * 0), ("box.npy", "frame 0", "no volume")),
    (30, _edit_array("box.npy", lambda a: a * 0 + np.eye(3).ravel() * 0.3), ("box.npy", "frame 0", "0.3")),
    (32, _edit_array("coord.npy", lambda a: np.hstack([a[:, 3:6], a[:, 3:]])), ("coord.npy", "frame 0", "atom")),
    (35, lambda s: (s / "set.000/virial.npy").unlink(), ("virial.npy", "loss")),
    (34, lambda s: None, ("fparam.npy",)),
]  # fmt: skip


@pytest.mark.parametrize("number, change, words", DATA_MISTAKES)
def test_mistakes_in_the_data(folder, system, capsys, number, change, words):
    change(system)
    more = {"model__fitting_net__numb_fparam": 1} if number == 34 else {}
    write_input(folder, [system], **more)
    fails(capsys, ["train", "input.json"], *words)
    assert not list(folder.glob("model.ckpt*")) and not (folder / "lcurve.out").exists()


def test_types_beyond_the_model(folder, system, capsys):  # row 24
    (system / "type_map.raw").unlink()
    (system / "type.raw").write_text("0 1 2 0 1 2 0 1 2 0 1 2\n")
    write_input(folder, [system])
    fails(capsys, ["train", "input.json"], "type.raw", "2")


def test_left_handed_cells_train_to_the_same_energy(folder, system):  # row 31
    from dptf.infer import DeepPot

    write_input(folder, [system], training__numb_steps=2)
    assert main(["train", "input.json"]) == 0 and main(["freeze"]) == 0
    model = DeepPot("frozen_model.pb")
    coord, box = np.load(system / "set.000/coord.npy")[:1], np.load(system / "set.000/box.npy")[:1]
    types = np.loadtxt(system / "type.raw", dtype=int)
    left = box.reshape(1, 3, 3)[:, [1, 0, 2]]
    for a, b in zip(model.eval(coord, box, types)[:2], model.eval(coord, left, types)[:2]):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10)


def test_mixed_data_need_a_mixed_model(folder, capsys):  # row 33
    path, _ = write_mixed_system(folder / "mixed")
    write_input(folder, [path])
    fails(capsys, ["train", "input.json"], "mixed", "se_e2_a")


def test_keys_of_other_backends_are_told(folder, system, capsys):  # row 36
    write_input(folder, [system], training__numb_steps=1, training__zero_stage=1)
    assert main(["train", "input.json"]) == 0
    assert "zero_stage" in capsys.readouterr().err


@pytest.mark.parametrize("change", [{"disp_freq": 7, "save_freq": 10}, {"disp_freq": 100}, {"disp_training": False}])
def test_a_run_ends_with_a_checkpoint(folder, system, change):  # row 43
    write_input(folder, [system], training__numb_steps=10, **{f"training__{k}": v for k, v in change.items()})
    assert main(["train", "input.json"]) == 0
    assert (folder / "model.ckpt-10.index").exists() and (folder / "model.ckpt.index").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_full_disk(folder, system, capsys):  # row 42
    write_input(folder, [system], training__numb_steps=4)
    edit(folder / "input.json", training__disp_file="/dev/full")
    fails(capsys, ["train", "input.json"], "/dev/full", "No space left")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A short run and its frozen model."""
    root = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as m:
        m.chdir(root)
        write_input(root, [write_system(root / "data")], training__numb_steps=4, training__save_freq=2)
        assert main(["train", "input.json"]) == 0 and main(["freeze"]) == 0
    return root


@pytest.fixture
def run(trained, tmp_path, monkeypatch):
    """A copy of the short run, as the current folder."""
    shutil.copytree(trained, tmp_path / "run", symlinks=True)
    monkeypatch.chdir(tmp_path / "run")
    return tmp_path / "run"


def test_restart_from_nothing(run, capsys):  # row 44
    before = (run / "lcurve.out").read_bytes()
    fails(capsys, ["train", "input.json", "--restart", "absent.ckpt"], "absent.ckpt.index")
    assert (run / "lcurve.out").read_bytes() == before


@pytest.mark.parametrize("suffix", [".data-00000-of-00001", ".index"])
@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_restart_from_a_damaged_checkpoint(run, capsys, suffix, damage):  # rows 45 to 47
    path = run / f"model.ckpt-4{suffix}"
    data = bytearray(path.read_bytes())
    if damage == "cut":
        data = data[: len(data) // 2]
    else:
        for k in range(len(data) // 3, len(data) // 3 + 64):
            data[k] ^= 0xFF
    path.write_bytes(bytes(data))
    before = (run / "lcurve.out").read_bytes()
    fails(capsys, ["train", "input.json", "--restart", "model.ckpt-4"], "model.ckpt-4", "damaged", "model.ckpt-2")
    assert (run / "lcurve.out").read_bytes() == before


def test_restart_with_another_network(run, capsys):  # row 48
    edit(run / "input.json", model__fitting_net__neuron=[12, 12])
    fails(capsys, ["train", "input.json", "--restart", "model.ckpt"], "layer_0_type_0/matrix", "does not belong")


def test_restart_of_a_finished_run(run, capsys):  # row 49
    assert main(["train", "input.json", "--restart", "model.ckpt"]) == 0
    assert "nothing to do" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content, words",
    [
        (lambda b: b[: len(b) // 2], ("bad.pb", "truncated")),
        (lambda b: b"just some text, not a graph", ("bad.pb", "not a frozen")),
        (lambda b: b"", ("bad.pb", "empty")),
        (None, ("bad.pb",)),
    ],
)
def test_bad_frozen_models(run, capsys, content, words):  # rows 50 to 52
    if content is not None:
        (run / "bad.pb").write_bytes(content((run / "frozen_model.pb").read_bytes()))
    fails(capsys, ["test", "-m", "bad.pb", "-s", "data"], *words)


def test_freeze_without_checkpoint(folder, capsys):  # row 53
    fails(capsys, ["freeze"], "no checkpoint")


def test_deviation_of_one_model(run, capsys):  # row 54
    fails(capsys, ["model-devi", "-m", "frozen_model.pb", "-s", "data"], "model")
    assert not (run / "model_devi.out").exists()


def test_relative_virial_deviation(run):  # row 55
    shutil.copy("frozen_model.pb", "again.pb")
    for _ in range(2):  # the file is written anew each time
        assert main(["model-devi", "-m", "frozen_model.pb", "again.pb", "-s", "data", "--relative_v", "0.5"]) == 0
    assert len(np.loadtxt("model_devi.out")) == 6


def test_folder_of_checkpoints_in_old_compress_commands(run):  # row 56
    assert (
        main(["compress", "-i", "frozen_model.pb", "-o", "small.pb", "-s", "0.1", "-c", "other", "--frames", "0"]) == 0
    )
    assert not (run / "other").exists()


@pytest.mark.parametrize(
    "change, words",
    [
        (_edit_array("coord.npy", _with_value((2, 7), np.nan)), ("coord.npy", "frame 2, atom 2")),
        (_edit_array("box.npy", lambda a: a * 0), ("box", "no volume")),
        (_text("type_map.raw", "A\nXx\n"), ("Xx",)),
    ],
)
def test_bad_data_are_not_tested(run, capsys, change, words):  # rows 21 and 29
    change(run / "data")
    fails(capsys, ["test", "-m", "frozen_model.pb", "-s", "data"], *words)


@pytest.mark.parametrize(
    "types, coord, words",
    [
        ([0, 1, 5], 1.0, "5"),  # row 57
        ([0, 1, 1], np.nan, "atom 1, component y: is nan"),  # row 21
        ([0, 1], 1.0, "3"),
    ],
)
def test_evaluator_arguments(types, coord, words):
    from dptf.errors import UserError
    from dptf.infer import DeepPot

    x = np.random.default_rng(0).random((1, 9)) * 5
    x[0, 4] *= coord
    with DeepPot(MODELS / "se_e2_a.pb") as model, pytest.raises((UserError, ValueError), match=words):
        model.eval(x, np.eye(3).reshape(1, 9) * 9, types)


def test_evaluator_of_another_kind():  # row 58
    from dptf.infer import DeepPot

    with pytest.raises(Exception, match="dipole"):
        DeepPot(MODELS / "dipole.pb")


def test_atoms_far_away(capfd):  # row 59
    """A million cells away an atom is where it is; nothing is written to the terminal."""
    from dptf.infer import DeepPot

    frames = np.load(MODELS / "se_e2_a.npz")
    coord = frames["coord"][:1].reshape(1, -1, 3).copy()
    coord[0, 5] += 1e6 * frames["box"][0].reshape(3, 3)[1]
    with DeepPot(MODELS / "se_e2_a.pb") as model:
        capfd.readouterr()
        energy, force, _ = model.eval(coord.reshape(1, -1), frames["box"][:1], frames["atype"])
    assert capfd.readouterr().out == ""
    np.testing.assert_allclose(energy, frames["pbc_energy"][:1], rtol=0, atol=1e-7)
    np.testing.assert_allclose(force, frames["pbc_force"][:1], rtol=0, atol=1e-7)
