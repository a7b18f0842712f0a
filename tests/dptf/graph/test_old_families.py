"""Golden graphs taken back to what old releases wrote load as they are, in Python and in the C library."""

import sys
from pathlib import Path

import numpy as np
import pytest

from dptf.cli.main import main
from dptf.errors import UserError
from dptf.graph import load
from dptf.graph.upgrade import detect_version
from dptf.infer import DeepDipole, DeepPot

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "lib"))
from c_api import LIBRARY
from c_api import Handle as CHandle
from c_api import load as load_c

CASES = [
    ("loc_frame", "1.0"), ("loc_frame", "1.3"), ("se_e2_r", "1.2"), ("se_e2_r", "1.3"), ("se_e3", "2.0"),
    ("hybrid", "1.3"), ("se_e2_a_fp32", "1.0"), ("se_e2_a_fp32", "0.12"), ("se_e2_a_two_side", "0.12"),
    ("se_e2_a.compressed", "2.0"), ("se_e2_a_fparam_aparam", "1.2"), ("se_atten", "2.0"),
]  # fmt: skip


@pytest.fixture
def old(golden, tmp_path, as_old_release):
    """File of a golden graph in the form of a release."""

    def make(name, release):
        graph_def = as_old_release(load.parse_graph_def((golden / "pb" / f"{name}.pb").read_bytes(), "x"), release)
        load.write_graph_def(graph_def, tmp_path / "old.pb")
        return tmp_path / "old.pb"

    return make


@pytest.mark.parametrize("name, release", CASES)
def test_old_families(golden, old, name, release):
    path = old(name, release)
    data = np.load(golden / "pb" / f"{name}.npz")
    tolerance = 1e-5 if "fp32" in name else 1e-10
    if name != "loc_frame":  # which no release renamed
        assert detect_version(load.parse_graph_def(path.read_bytes(), "x")) == release
    params = {k: data[k] for k in ("fparam", "aparam") if "aparam" in name}
    with DeepPot(path) as dp:
        energy, force, virial = dp.eval(data["coord"], data["box"], data["atype"], **params)
    for key, value in (("energy", energy), ("force", force), ("virial", virial)):
        expected = data[f"pbc_{key}"]
        scale = max(1, np.abs(expected).max())
        np.testing.assert_allclose(value, expected, rtol=0, atol=tolerance * scale, err_msg=key)
    if not LIBRARY.exists():
        return
    lib = load_c()
    handle = CHandle(lib, "DeepPot", lib.DP_NewDeepPot(str(path).encode()))
    assert handle.error == ""
    found = handle.compute(
        "2" if params else "", data["coord"][0], data["atype"].reshape(-1)[: energy.size and force.shape[1]],
        data["box"][0], **{k: v[0] for k, v in params.items()},
    )  # fmt: skip
    assert handle.error == ""
    np.testing.assert_allclose(found[1], data["pbc_force"][0].ravel(), rtol=0, atol=tolerance * scale)
    handle.delete()


@pytest.mark.parametrize("name, release", [("loc_frame", "1.0"), ("se_e2_r", "1.3"), ("se_e2_a_fp32", "0.12")])
def test_converted_files(golden, old, tmp_path, name, release):
    """``dp convert-from`` writes a file that needs no upgrade, from the binary and from the text form."""
    path = old(name, release)
    data = np.load(golden / "pb" / f"{name}.npz")
    text = tmp_path / "old.pbtxt"
    assert main(["convert-from", "-i", str(path), "-o", str(text)]) == 0
    back = tmp_path / "back.pb"
    assert main(["convert-from", "pbtxt", "-i", str(text), "-o", str(back)]) == 0
    for source in (path, back):
        target = tmp_path / "new.pb"
        assert main(["convert-from", "auto", "-i", str(source), "-o", str(target)]) == 0
        new = load.load_graph_def(target, upgrade=False)
        assert load.text_constant(new, "model_attr/model_version") == "1.1"
        assert not {node.op for node in new.node} & {"DescrptNorot", "DescrptSeA", "DescrptSeR", "ProdForceNorot"}
        with DeepPot(target) as dp:
            energy = dp.eval(data["coord"], data["box"], data["atype"])[0]
        np.testing.assert_allclose(energy, data["pbc_energy"], rtol=1e-5 if "fp32" in name else 1e-12)


def test_tensor_graphs_without_derivatives(golden, tmp_path):
    """Before 2.0 a dipole graph held the atomic dipoles alone: they are given, the rest is refused with the reason."""
    graph_def = load.parse_graph_def((golden / "pb" / "dipole.pb").read_bytes(), "x")
    wanted, by_name = ["o_dipole", "t_mesh"], {node.name: node for node in graph_def.node}
    wanted += [name for name in by_name if name.startswith(("model_attr/", "descrpt_attr/", "model_type"))]
    kept = set()
    while wanted:
        name = wanted.pop().lstrip("^").split(":")[0]
        if name not in kept and name != "model_attr/model_version":
            kept.add(name)
            wanted += by_name[name].input
    nodes = [node for node in graph_def.node if node.name in kept]
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph_def.node[:]
    graph_def.node.extend(copies)
    load.write_graph_def(graph_def, tmp_path / "old.pb")
    data = np.load(golden / "pb" / "dipole.npz")
    with DeepDipole(tmp_path / "old.pb") as dp, DeepDipole(golden / "pb" / "dipole.pb") as new:
        atomic = dp.eval(data["coord"], data["box"], data["atype"], atomic=True)
        np.testing.assert_allclose(atomic, new.eval(data["coord"], data["box"], data["atype"], atomic=True), atol=1e-12)
        with pytest.raises(UserError, match=r"o_global_dipole|derivative|forces"):
            dp.eval_full(data["coord"], data["box"], data["atype"], atomic=True)
