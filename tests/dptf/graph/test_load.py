"""Reading frozen graphs: damaged, foreign and dangerous files; old layouts."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dptf.errors import UserError
from dptf.graph import load
from dptf.graph.upgrade import detect_version, upgrade_graph_def

DATA = Path(__file__).resolve().parents[2] / "data" / "infer"
MODEL = DATA / "se_e2_a.pb"


def test_good_file():
    graph_def = load.load_graph_def(MODEL)
    assert load.text_constant(graph_def, "model_attr/tmap") == "O H"
    assert load.constant(graph_def, "descrpt_attr/rcut") == 4.0
    assert load.constant(graph_def, "nothing") is None


@pytest.mark.parametrize(
    "content, words",
    [
        (None, "no such model file"),
        (b"", "empty"),
        (b"node {\n name: 'x'\n}\n", "convert-from pbtxt"),
        (b"PK\x03\x04 something", "PyTorch"),
        (b"\x89HDF\r\n\x1a\n....", "HDF5"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"<!DOCTYPE html>", "web page"),
        (b"just some words, nothing else", "not a frozen"),
        (b"\x00" * 100, "not a frozen"),
        ("half", "truncated"),
        ("boundary", "truncated"),
    ],
)
def test_bad_files(tmp_path, content, words):
    path = tmp_path / "model.pb"
    data = MODEL.read_bytes()
    if content == "half":
        content = data[: len(data) // 2]
    elif content == "boundary":  # cut between two nodes: still a valid protocol buffer
        graph_def = load.parse_graph_def(data, "x")
        kept = [n for n in graph_def.node if not n.input] + [n for n in graph_def.node if n.input][-5:]
        del graph_def.node[:]
        graph_def.node.extend(n for n in kept if "matrix_1" not in n.name)
        graph_def.node.extend(load.parse_graph_def(data, "x").node[700:710])
        content = graph_def.SerializeToString()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=words) as caught:
        load.load_graph_def(path)
    assert "model.pb" in str(caught.value) and len(str(caught.value).splitlines()) <= 2


def test_every_prefix_is_refused(tmp_path):
    """Wherever a copy was cut, the file is refused, never half used."""
    data = MODEL.read_bytes()
    path = tmp_path / "cut.pb"
    for size in np.linspace(1, len(data) - 3, 40).astype(int):
        path.write_bytes(data[:size])
        with pytest.raises(UserError):
            load.load_graph_def(path)


def test_directory(tmp_path):
    with pytest.raises(UserError, match="directory"):
        load.load_graph_def(tmp_path)


def test_other_tensorflow_graph(tmp_path):
    graph_def = load.parse_graph_def(MODEL.read_bytes(), "x")
    del graph_def.node[:]
    load.add_constant(graph_def, "c", np.float64(1.0))
    load.write_graph_def(graph_def, tmp_path / "other.pb")
    with pytest.raises(UserError, match="not a Deep Potential model"):
        load.load_graph_def(tmp_path / "other.pb")


@pytest.mark.parametrize(
    "op", ["ReadFile", "WriteFile", "PyFunc", "EagerPyFunc", "PrintV2", "RestoreV2", "RemoteCall", "Foo"]
)
@pytest.mark.parametrize("inside_function", [False, True])
def test_dangerous_ops_are_refused(tmp_path, op, inside_function):
    graph_def = load.parse_graph_def(MODEL.read_bytes(), "x")
    if inside_function:
        graph_def.library.function.add().node_def.add(name="innocent", op=op)
    else:
        graph_def.node.add(name="innocent", op=op)
    load.write_graph_def(graph_def, tmp_path / "m.pb")
    with pytest.raises(UserError, match=f"node 'innocent' uses op {op}"):
        load.load_graph_def(tmp_path / "m.pb")


def test_nvnmd_has_its_own_sentence(tmp_path):
    graph_def = load.parse_graph_def(MODEL.read_bytes(), "x")
    graph_def.node.add(name="q", op="QuantizeNvnmd")
    load.write_graph_def(graph_def, tmp_path / "m.pb")
    with pytest.raises(UserError, match="NVNMD hardware"):
        load.load_graph_def(tmp_path / "m.pb")


def test_missing_file_is_told_without_tensorflow():
    code = (
        "import sys\nfrom dptf.infer import DeepPot\nfrom dptf.graph.load import load_graph_def\n"
        "try: load_graph_def('nowhere.pb')\nexcept Exception as err: print(err)\n"
        "assert 'tensorflow' not in sys.modules"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "nowhere.pb: no such model file" in out.stdout


@pytest.mark.parametrize("release", ["0.12", "1.0", "1.2", "1.3", "2.0", "2.1"])
def test_old_releases_run_as_they_are(tmp_path, release, as_old_release):
    from dptf.infer import DeepPot

    graph_def = as_old_release(load.parse_graph_def(MODEL.read_bytes(), "x"), release)
    assert detect_version(graph_def) == release
    load.write_graph_def(graph_def, tmp_path / "old.pb")
    frames = np.load(DATA / "se_e2_a.npz")
    with DeepPot(tmp_path / "old.pb") as dp:
        assert dp.get_type_map() == ([] if release == "0.12" else ["O", "H"])
        energy, force, virial = dp.eval(frames["coord"], frames["box"], frames["atype"])
    np.testing.assert_allclose(energy, frames["pbc_energy"], atol=1e-12)
    np.testing.assert_allclose(force, frames["pbc_force"], atol=1e-12)
    np.testing.assert_allclose(virial, frames["pbc_virial"], atol=1e-12)


def test_upgrade_renames_old_tables(as_old_release):
    graph_def = load.parse_graph_def(MODEL.read_bytes(), "x")
    graph_def = as_old_release(graph_def, "2.0")
    for old in ("TabulateFusion", "TabulateFusionGrad", "TabulateFusionSeR"):
        graph_def.node.add(name=f"filter_type_all/{old}", op=old)
    graph_def.node.add(name="user", op="Identity").input.append("filter_type_all/TabulateFusionGrad:1")
    graph_def.node.add(name="pair", op="TabInter")
    upgrade_graph_def(graph_def)
    upgrade_graph_def(graph_def)  # once more changes nothing
    ops = {node.name: node.op for node in graph_def.node}
    assert ops["filter_type_all/TabulateFusionSeA"] == "TabulateFusionSeA"
    assert ops["filter_type_all/TabulateFusionSeAGrad"] == "TabulateFusionSeAGrad"
    assert ops["filter_type_all/TabulateFusionSeR"] == "TabulateFusionSeR"
    user = next(node for node in graph_def.node if node.name == "user")
    assert user.input[0] == "filter_type_all/TabulateFusionSeAGrad:1"


def test_newer_release_is_refused(tmp_path):
    graph_def = load.parse_graph_def(MODEL.read_bytes(), "x")
    for node in list(graph_def.node):
        if node.name == "model_attr/model_version":
            graph_def.node.remove(node)
    load.add_constant(graph_def, "model_attr/model_version", "1.7")
    load.write_graph_def(graph_def, tmp_path / "m.pb")
    with pytest.raises(UserError, match="newer release"):
        load.load_graph_def(tmp_path / "m.pb")
