"""Training from input file to frozen model, on a toy system."""

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from toy import write_input, write_system

from dptf.cli.main import main
from dptf.errors import UserError
from dptf.ops import tf
from dptf.train.checkpoint import Checkpoint


@pytest.fixture(scope="module")
def systems(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    return [write_system(root / "a", seed=0), write_system(root / "b", seed=1, sets=2)]


@pytest.fixture()
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def full_run(systems, tmp_path_factory):
    """A finished run of 20 steps."""
    root = tmp_path_factory.mktemp("full")
    with pytest.MonkeyPatch.context() as m:
        m.chdir(root)
        write_input(
            root, systems, training__validation_data={"systems": [str(systems[0])], "batch_size": 1, "numb_btch": 2}
        )
        assert main(["train", "input.json"]) == 0
    return root


def copy_run(full_run, folder, *, without=()):
    for p in full_run.iterdir():
        shutil.copy2(p, folder / p.name, follow_symlinks=False)
    for pattern in without:
        for p in folder.glob(pattern):
            p.unlink()


def test_files_and_learning_curve(full_run):
    names = {p.name for p in full_run.iterdir()}
    assert {
        "model.ckpt-20.index",
        "model.ckpt-20.meta",
        "model.ckpt.index",
        "checkpoint",
        "out.json",
        "lcurve.out",
    } <= names
    assert "input_v2_compat.json" not in names and not [n for n in names if "tmp" in n]
    assert (full_run / "model.ckpt.index").is_symlink()
    lines = (full_run / "lcurve.out").read_text().splitlines()
    assert lines[0].split() == (
        "# step rmse_val rmse_trn rmse_e_val rmse_e_trn rmse_f_val rmse_f_trn rmse_v_val rmse_v_trn lr".split()
    )
    note, units = lines[1].split("; ", 1)
    assert note == "# If there is no available reference data, rmse_*_{val,trn} will print nan"
    assert units.startswith("units: rmse_e and rmse_v eV per atom, rmse_f eV/Angstrom")
    assert re.fullmatch(r" {6}0( {3}.{11} .{11}){4} {3}.{8}", lines[2])
    assert len([row for row in lines if row.startswith("#")]) == 2
    data = np.genfromtxt(full_run / "lcurve.out", names=True)
    assert data["step"].tolist() == [0, 5, 10, 15, 20]
    assert data["rmse_f_trn"][-1] < data["rmse_f_trn"][0]
    sel = json.loads((full_run / "out.json").read_text())["model"]["descriptor"]["sel"]
    assert len(sel) == 2 and all(s % 4 == 0 and s > 0 for s in sel)


def test_restart_gives_the_same_bits(full_run, folder):
    copy_run(full_run, folder, without=["model.ckpt-20.*", "model.ckpt.*"])
    assert main(["train", "input.json", "--restart", "model.ckpt-10"]) == 0
    whole, resumed = Checkpoint(full_run / "model.ckpt-20").values(), Checkpoint("model.ckpt-20").values()
    assert whole.keys() == resumed.keys()
    for name, value in whole.items():
        np.testing.assert_array_equal(value, resumed[name], err_msg=name)
    rows = [r for r in (folder / "lcurve.out").read_text().splitlines() if r.startswith("#")]
    assert len(rows) == 4  # the header is repeated


def test_the_public_package_can_read_checkpoints(full_run):
    """Their graph has none of the ops that are made for training here, and no variable that the data lack."""
    meta = tf.MetaGraphDef()
    meta.ParseFromString((full_run / "model.ckpt-20.meta").read_bytes())
    ops = {node.op for node in meta.graph_def.node}
    assert "ProdEnvMatA" in ops and not [op for op in ops if op.startswith("Dptf")]
    names = {node.name for node in meta.graph_def.node if node.op == "VariableV2"}
    assert names and names <= Checkpoint(full_run / "model.ckpt-20").values().keys()


def test_restart_of_a_finished_run_says_so(full_run, folder, caplog):
    copy_run(full_run, folder)
    with caplog.at_level("INFO", logger="dptf"):
        assert main(["train", "input.json", "--restart", "model.ckpt"]) == 0


def test_tabulated_and_exact_training_agree(systems, folder):
    curves = []
    for tabulated in (True, False):
        write_input(folder, systems, training__tabulated_embedding=tabulated, training__save_ckpt=f"t{tabulated}/m")
        assert main(["train", "input.json"]) == 0
        curves.append(Checkpoint(f"t{tabulated}/m-20").values())
    for name, value in curves[0].items():
        np.testing.assert_allclose(value, curves[1][name], rtol=0, atol=1e-9, err_msg=name)


def test_init_model_starts_at_step_zero(full_run, folder):
    copy_run(full_run, folder)
    write_input(folder, json.loads((folder / "input.json").read_text())["training"]["training_data"]["systems"],
                training__numb_steps=2, training__save_ckpt="new")  # fmt: skip
    assert main(["train", "input.json", "--init-model", "model.ckpt"]) == 0
    assert Checkpoint("new-2").values()["global_step"] == 2


def test_freeze_and_init_frz_model(full_run, folder):
    from dptf.infer import DeepPot

    assert main(["freeze", "-c", str(full_run), "-o", "model"]) == 0
    model = DeepPot("model.pb")
    assert model.get_type_map() == ["A", "B"] and model.get_rcut() == 4.0
    systems = json.loads((full_run / "input.json").read_text())["training"]["training_data"]["systems"]
    coord, box = np.load(f"{systems[0]}/set.000/coord.npy"), np.load(f"{systems[0]}/set.000/box.npy")
    energy, force, _virial = model.eval(coord, box, np.loadtxt(f"{systems[0]}/type.raw", dtype=int))
    labels = np.load(f"{systems[0]}/set.000/energy.npy")
    # The last row of the curve was taken on two frames of this system.
    curve = np.genfromtxt(full_run / "lcurve.out", names=True)
    assert abs(np.sqrt(np.mean((energy.ravel() - labels) ** 2)) / 12 / curve["rmse_e_val"][-1] - 1) < 0.3
    eps = 1e-4
    for atom, d in ((0, 0), (5, 2)):
        moved = np.repeat(coord[:1], 2, axis=0)
        moved[0, 3 * atom + d] += eps
        moved[1, 3 * atom + d] -= eps
        e = model.eval(moved, np.repeat(box[:1], 2, axis=0), np.loadtxt(f"{systems[0]}/type.raw", dtype=int))[0].ravel()
        assert abs(-(e[0] - e[1]) / (2 * eps) - force[0, atom, d]) < 1e-7
    write_input(folder, systems, training__numb_steps=2)
    assert main(["train", "input.json", "--init-frz-model", "model.pb"]) == 0
    a, b = Checkpoint("model.ckpt-2").values(), Checkpoint(full_run / "model.ckpt-20").values()
    np.testing.assert_array_equal(a["descrpt_attr/t_avg"], b["descrpt_attr/t_avg"])
    assert np.abs(a["layer_0_type_0/matrix"] - b["layer_0_type_0/matrix"]).max() < 0.02


def flip(path):
    """Change one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda f: (f / "model.ckpt-20.data-00000-of-00001").write_bytes(b"x" * 100), "damaged"),
        (lambda f: (f / "model.ckpt-20.index").write_bytes(b"garbage"), "damaged"),
        (lambda f: flip(f / "model.ckpt-20.state"), "model.ckpt-20.state was changed"),
        (lambda f: flip(f / "model.ckpt-20.meta"), "model.ckpt-20.meta was changed"),
        (lambda f: flip(f / "model.ckpt-20.data-00000-of-00001"), "damaged"),
        (lambda f: (f / "model.ckpt-20.meta").write_bytes(b"\xff\xfe garbage"), "damaged"),
        (lambda f: (f / "model.ckpt-20.data-00000-of-00001").unlink(), "missing"),
    ],
)
def test_damaged_checkpoint(full_run, folder, capsys, damage, message):
    copy_run(full_run, folder)
    before = (folder / "lcurve.out").read_bytes()
    damage(folder)
    # A damaged graph only matters to freeze; everything else already stops the restart.
    code = main(["train", "input.json", "--restart", "model.ckpt-20"]) or main(["freeze", "-c", "model.ckpt-20"])
    assert code == 1
    err = capsys.readouterr().err
    assert message in err and "model.ckpt-20" in err and "Traceback" not in err
    assert "missing" in message or "the newest intact one is model.ckpt-10" in err
    if (folder / "model.ckpt-20.meta").read_bytes() == (full_run / "model.ckpt-20.meta").read_bytes():
        assert (folder / "lcurve.out").read_bytes() == before


def test_a_full_disk_leaves_the_checkpoints_before(folder, monkeypatch):
    from dptf.ops import tf
    from dptf.train import checkpoint

    with tf.Graph().as_default() as graph, tf.Session() as session:
        session.run(tf.get_variable("w", initializer=np.arange(3.0), use_resource=False).initializer)
        writer = checkpoint.CheckpointWriter("m", 2)
        writer.attach(graph)
        writer.save(session, 1, {})
        before = sorted(p.name for p in folder.iterdir())

        def full(path):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(checkpoint, "_sync", full)
        with pytest.raises(UserError, match=r"m-2: the checkpoint cannot be written \(No space left on device\)"):
            writer.save(session, 2, {})
    assert sorted(p.name for p in folder.iterdir()) == before and Checkpoint("m").values()["w"].tolist() == [0, 1, 2]


def test_checkpoint_of_another_network(full_run, folder, systems, capsys):
    copy_run(full_run, folder)
    write_input(folder, systems, model__fitting_net__neuron=[12, 12])
    assert main(["train", "input.json", "--restart", "model.ckpt"]) == 1
    err = capsys.readouterr().err
    assert "layer_0_type_0/matrix" in err and "does not belong" in err


def test_nan_label_names_the_system(folder, capsys):
    bad = write_system(folder / "bad")
    force = np.load(bad / "set.000/force.npy")
    force[3, 7] = np.nan
    np.save(bad / "set.000/force.npy", force)
    write_input(folder, [bad])
    assert main(["train", "input.json"]) == 1
    err = capsys.readouterr().err
    assert "frame 3, atom 2" in err and "force.npy" in err


def test_save_without_display_and_final_checkpoint(systems, folder):
    write_input(folder, systems, training__numb_steps=7, training__disp_training=False, training__save_freq=4)
    assert main(["train", "input.json"]) == 0
    assert {p.name for p in folder.glob("model.ckpt-*.index")} == {"model.ckpt-4.index", "model.ckpt-7.index"}


def test_open_boundary_fparam_and_missing_virial(folder):
    s = write_system(folder / "open", nopbc=True)
    np.save(s / "set.000/fparam.npy", np.linspace(0, 1, 6)[:, None])
    (s / "set.000/virial.npy").unlink()
    write_input(folder, [s], model__fitting_net__numb_fparam=1, loss={}, training__numb_steps=4)
    assert main(["train", "input.json"]) == 0
    values = Checkpoint("model.ckpt").values()
    assert abs(float(values["fitting_attr/t_fparam_avg"][0]) - 0.5) < 0.2


def test_launcher_without_a_collective_backend_stops(systems, folder, monkeypatch, capsys):
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "horovod.tensorflow", None)
    write_input(folder, systems)
    assert main(["train", "input.json"]) == 1
    assert "2 processes" in capsys.readouterr().err
    assert not list(folder.glob("model.ckpt*"))


@pytest.mark.slow
def test_killed_at_random_moments_and_resumed():
    import os
    import subprocess

    here = Path(__file__)
    env = {**os.environ, "PYTHONPATH": str(here.parents[2])}
    done = subprocess.run(
        [sys.executable, here.with_name("kill_resume.py"), "2"], env=env, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0 and done.stdout.strip() == "2 kills, the same bits", done.stdout + done.stderr[-2000:]


def test_supervision_repeats_what_can_be_repeated(systems, folder, capfd):
    write_input(folder, systems, training__numb_steps=2, learning_rate__start_lr=-1.0)
    assert main(["train", "input.json", "--retries", "3"]) == 1
    assert "attempt" not in capfd.readouterr().err  # a mistake of the user is not repeated
    write_input(folder, systems, training__numb_steps=2)
    command = "--launcher", f"{sys.executable} -c 'import os; os.abort()'"
    assert main(["train", "input.json", "--retries", "1", *command]) == 1
    err = capfd.readouterr().err
    assert "attempt 1 of 1 starts it again" in err and "lost a process 2 time(s)" in err


def test_kalman_filter_learns_in_few_steps_and_resumes(systems, folder, capsys):
    options = {"training__numb_steps": 60, "training__save_freq": 30}
    write_input(folder, systems, **options)
    config = json.loads((folder / "input.json").read_text()) | {"optimizer": {"type": "LKF", "kf_blocksize": 100}}
    (folder / "input.json").write_text(json.dumps(config))
    assert main(["train", "input.json"]) == 0
    curve = np.genfromtxt("lcurve.out", names=True)
    assert curve["rmse_f_trn"][-1] < 0.3 * curve["rmse_f_trn"][0] and curve["rmse_e_trn"][-1] < 0.01
    whole = Checkpoint("model.ckpt-60").values()
    assert main(["train", "input.json", "--restart", "model.ckpt-30"]) == 0
    for name, value in Checkpoint("model.ckpt-60").values().items():
        np.testing.assert_array_equal(value, whole[name], err_msg=name)
    config["loss"]["use_huber"] = True
    (folder / "input.json").write_text(json.dumps(config))
    assert main(["train", "input.json"]) == 1
    assert "fits energies, forces and virials only" in capsys.readouterr().err
