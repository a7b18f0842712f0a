"""Model deviation: formulas against plain NumPy loops, file layout, and the commands around it."""

import logging

import numpy as np
import pytest

from dptf.cli.main import main
from dptf.errors import UserError
from dptf.infer.model_devi import calc_model_devi, calc_model_devi_e, calc_model_devi_f, calc_model_devi_v

RNG = np.random.default_rng(0)
FS, VS, ES = RNG.normal(size=(3, 4, 5, 3)), RNG.normal(size=(3, 4, 9)), RNG.normal(size=(3, 4))


@pytest.mark.parametrize("relative", [None, 0.7])
@pytest.mark.parametrize("real", [False, True])
def test_force(relative, real):
    ref = RNG.normal(size=(4, 5, 3)) if real else None
    largest, smallest, mean, devi = calc_model_devi_f(FS, ref, relative, atomic=True)
    for s in range(4):
        for i in range(5):
            center = ref[s, i] if real else np.mean([FS[k, s, i] for k in range(3)], axis=0)
            sigma = np.sqrt(np.mean([np.sum((FS[k, s, i] - center) ** 2) for k in range(3)]))
            if relative is not None:
                sigma /= np.linalg.norm(center) + relative
            assert np.isclose(devi[s, i], sigma)
        assert (largest[s], smallest[s], mean[s]) == (devi[s].max(), devi[s].min(), devi[s].mean())


@pytest.mark.parametrize("nframes", [1, 4, 9])
@pytest.mark.parametrize("relative", [None, 0.7])
def test_virial(relative, nframes):
    vs = RNG.normal(size=(3, nframes, 9))
    largest, smallest, mean = calc_model_devi_v(vs, relative=relative)
    for s in range(nframes):
        sigma = vs[:, s].std(axis=0)
        if relative is not None:
            sigma = sigma / (np.linalg.norm(vs[:, s].mean(axis=0)) + relative)
        assert np.isclose(largest[s], sigma.max()) and np.isclose(smallest[s], sigma.min())
        assert np.isclose(mean[s], np.sqrt((sigma**2).mean()))


def test_energy():
    np.testing.assert_allclose(calc_model_devi_e(ES), ES.std(axis=0))
    real = RNG.normal(size=4)
    np.testing.assert_allclose(calc_model_devi_e(ES, real), np.sqrt(((ES - real) ** 2).mean(axis=0)))


@pytest.fixture(scope="module")
def models(model_dir, tmp_path_factory):
    """Two models: the reference, and a copy with other weights in one layer."""
    from dptf.graph import load
    from dptf.infer import DeepPot

    graph_def = load.load_graph_def(model_dir / "se_e2_a.pb")
    name = "layer_1_type_0/matrix"
    load.set_constant(graph_def, name, load.constant(graph_def, name) * 1.1)
    path = tmp_path_factory.mktemp("models") / "other.pb"
    load.write_graph_def(graph_def, path)
    pair = [DeepPot(model_dir / "se_e2_a.pb"), DeepPot(path)]
    yield pair
    for model in pair:
        model.close()


def test_function(models, frames):
    devi = calc_model_devi(frames["coord"], frames["box"], frames["atype"], models, frequency=10, atomic=True)
    outs = [m.eval(frames["coord"], frames["box"], frames["atype"]) for m in models]
    assert devi.shape == (3, 8 + 24)
    np.testing.assert_array_equal(devi[:, 0], [0, 10, 20])
    np.testing.assert_allclose(devi[:, 7], np.abs(outs[0][0] - outs[1][0])[:, 0] / 2 / 24)
    np.testing.assert_allclose(devi[:, 8:], np.linalg.norm(outs[0][1] - outs[1][1], axis=2) / 2)
    np.testing.assert_allclose(devi[:, 1], np.abs(outs[0][2] - outs[1][2]).max(axis=1) / 2 / 24)
    with pytest.raises(TypeError):
        calc_model_devi(frames["coord"], frames["box"], frames["atype"], models, nopbc=True)
    with pytest.raises(UserError, match="label 'force'"):
        calc_model_devi(frames["coord"], frames["box"], frames["atype"], models, real_data={"energy": np.zeros(3)})


@pytest.fixture
def system(tmp_path, monkeypatch, frames):
    monkeypatch.chdir(tmp_path)
    for name in ("d/a", "d/b"):
        (tmp_path / name / "set.000").mkdir(parents=True)
        (tmp_path / name / "type.raw").write_text(" ".join(map(str, frames["atype"])))
        np.save(tmp_path / name / "set.000/coord.npy", frames["coord"])
        np.save(tmp_path / name / "set.000/box.npy", frames["box"])
    yield tmp_path
    logging.getLogger("dptf").handlers.clear()


def test_command(system, models, frames):
    files = [m.deep_eval.model_file for m in models]
    (system / "model_devi.out").write_text("old\n")
    assert main(["model-devi", "-m", *files, "-s", "d", "-f", "5"]) == 0
    lines = (system / "model_devi.out").read_text().splitlines()
    assert lines[0] == "# d/a" and lines[5] == "# d/b" and len(lines) == 10
    assert lines[1].split() == ["#", "step", "max_devi_v", "min_devi_v", "avg_devi_v", "max_devi_f", "min_devi_f", "avg_devi_f", "devi_e"]  # fmt: skip
    assert lines[1].startswith("# step      max_devi_v         min_devi_v")
    assert [len(line) for line in lines[2:5]] == [12 + 7 * 19] * 3
    assert [line[:12] for line in lines[2:5]] == ["           0", "           5", "          10"]
    table = np.loadtxt(lines)
    np.testing.assert_allclose(
        table[:3, 1:], calc_model_devi(frames["coord"], frames["box"], frames["atype"], models)[:, 1:], rtol=1e-6
    )
    assert main(["model-devi", "-m", *files, "-s", "d/a", "--atomic", "--relative", "1", "--relative_v", "1"]) == 0
    assert np.loadtxt("model_devi.out").shape == (3, 8 + 24)
    assert not list(system.glob(".*.tmp"))


def test_command_mistakes(system, models, model_dir, capsys):
    files = [m.deep_eval.model_file for m in models]
    assert main(["model-devi", "-m", files[0], "-s", "d"]) == 1
    assert "give two or more" in capsys.readouterr().err
    assert main(["model-devi", "-m", *files, "-s", "d", "--real_error"]) == 1
    assert "needs the label 'energy'" in capsys.readouterr().err
    assert main(["model-devi", "-m", files[0], str(model_dir / "dipole.pb"), "-s", "d"]) == 1
    assert "use DeepDipole" in capsys.readouterr().err
    assert main(["model-devi", "-s", "d"]) == 1
    assert "graph.000.pb: no such model file" in capsys.readouterr().err
    assert not (system / "model_devi.out").exists()


def test_one_model_against_labels(system, models, frames):
    for name in ("d/a", "d/b"):
        for key in ("energy", "force", "virial"):
            np.save(system / name / f"set.000/{key}.npy", frames[f"pbc_{key}"])
    assert main(["model-devi", "-m", models[0].deep_eval.model_file, "-s", "d/a", "--real_error"]) == 0
    assert np.abs(np.loadtxt("model_devi.out")[:, 1:]).max() < 1e-10


def test_type_maps_must_agree(models, model_dir, tmp_path, frames):
    from dptf.graph import load
    from dptf.infer import DeepPot

    graph_def = load.load_graph_def(model_dir / "se_e2_a.pb")
    for node in list(graph_def.node):
        if node.name == "model_attr/tmap":
            graph_def.node.remove(node)
    load.add_constant(graph_def, "model_attr/tmap", "H O")
    load.write_graph_def(graph_def, tmp_path / "m.pb")
    with DeepPot(tmp_path / "m.pb") as other, pytest.raises(UserError, match="type map"):
        calc_model_devi(frames["coord"], frames["box"], frames["atype"], [models[0], other])


def test_eval_desc(system, models, frames):
    assert main(["eval-desc", "-m", models[0].deep_eval.model_file, "-s", "d", "-o", "out/desc"]) == 0
    expected = models[0].eval_descriptor(frames["coord"], frames["box"], frames["atype"])
    for name in "ab":
        np.testing.assert_array_equal(np.load(f"out/desc/{name}.npy"), expected)
    assert main(["eval-desc", "-m", models[0].deep_eval.model_file, "-s", "d/a", "--dtype", "fp32"]) == 0
    assert np.load("desc/a.npy").dtype == np.float32


def test_names_of_descriptor_files_do_not_collide():
    from dptf.cli.eval_desc import file_names

    assert file_names(["x/a", "x/b"]) == ["a", "b"]
    assert file_names(["x/a", "y/a", "y/b"]) == ["x.a", "y.a", "b"]
    assert file_names(["p/x/a", "q/x/a"]) == ["p.x.a", "q.x.a"]
    assert file_names(["f.hdf5#/a", "g.hdf5#/a"]) == ["f.hdf5.a", "g.hdf5.a"]


def test_show(model_dir, capsys, monkeypatch):
    args = ["type-map", "descriptor", "fitting-net", "size", "observed-type", "serialization-tree"]
    assert main(["show", str(model_dir / "se_e2_a.pb"), *args]) == 0
    text = capsys.readouterr().err
    assert "This is a singletask model" in text and "The type_map is ['O', 'H']" in text
    assert "The descriptor parameter is {'type': 'se_e2_a'" in text
    assert "The fitting_net parameter is {'neuron': [16, 16, 16]" in text
    assert "The total number of parameters is 4358" in text
    assert "observed types is 2: ['O', 'H']" in text
    assert "w float64 (80, 16)" in text
    assert (
        main(["show", str(model_dir.parent / "exchange/se_e2_a_exclude.dp"), "type-map", "size", "observed-type"]) == 0
    )
    assert "observed types is 2" in capsys.readouterr().err
    assert main(["show", str(model_dir / "se_e2_a.pb"), "--runtime"]) == 0
    assert "Runtime: fused se_e2_a kernels (float64" in capsys.readouterr().err
    assert main(["show", str(model_dir / "dipole.pb"), "type-map", "--runtime"]) == 0
    assert "Runtime: fused se_e2_a kernels (float64" in capsys.readouterr().err
    monkeypatch.setenv("DPTF_PLAIN", "1")
    assert main(["show", str(model_dir / "dipole.pb"), "type-map", "--runtime"]) == 0
    assert "Runtime: graph run as it is " in capsys.readouterr().err
    for wrong in ([], ["colour"]):
        assert main(["show", str(model_dir / "se_e2_a.pb"), *wrong]) == 1
    assert main(["show", str(model_dir / "se_e2_a.pb"), "model-branch"]) == 1
    assert "only multi-task models have branches" in capsys.readouterr().err
    logging.getLogger("dptf").handlers.clear()
