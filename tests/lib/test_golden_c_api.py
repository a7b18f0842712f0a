"""Every energy graph of the public TensorFlow backend gives the public numbers through the C library."""

import ctypes
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from c_api import LIBRARY, Handle, load, text

pytestmark = pytest.mark.skipif(not LIBRARY.exists(), reason="the C library was not built")
KEYS = ("energy", "force", "virial", "atom_energy", "atom_virial")


@pytest.fixture(scope="module")
def lib():
    return load()


def neighbor_list(lib, coord, box, cutoff):
    """Ghosts of a frame within a cutoff, and the list of the library over them.

    Returns
    -------
    coord, owner, handle, arrays to keep
    """
    n = len(coord)
    box = box.reshape(3, 3)
    coord = coord - np.floor(coord @ np.linalg.inv(box)) @ box
    shifts = [np.array(k) - 2 for k in np.ndindex(5, 5, 5) if k != (2, 2, 2)]
    ext, owner = [coord], [np.arange(n)]
    for shift in shifts:
        moved = coord + shift @ box
        near = (np.linalg.norm(moved[:, None] - coord, axis=-1) < cutoff).any(1)
        ext.append(moved[near])
        owner.append(np.flatnonzero(near))
    ext, owner = np.concatenate(ext), np.concatenate(owner)
    rows = [
        np.flatnonzero((np.linalg.norm(ext - x, axis=1) < cutoff) & (np.arange(len(ext)) != i))
        for i, x in enumerate(coord)
    ]
    rows = [np.ascontiguousarray(row, np.int32) for row in rows]
    ilist, counts = np.arange(n, dtype=np.int32), np.array([len(r) for r in rows], np.int32)
    first = np.array([r.ctypes.data for r in rows], np.int64)
    handle = lib.DP_NewNlist(n, *(ctypes.c_void_p(x.ctypes.data) for x in (ilist, counts, first)))
    return ext, owner, ctypes.c_void_p(handle), (rows, ilist, counts, first)


def compare(found, data, prefix, frame, tolerance):
    for key, value in zip(KEYS, found):
        expected = data[prefix + key][frame].ravel()
        np.testing.assert_allclose(
            value.ravel(), expected, rtol=0, atol=tolerance * max(1, np.abs(expected).max()), err_msg=f"{prefix}{key}"
        )


def cases():
    from tests.dptf.infer.test_golden_pb import COMPRESSED, PLAIN

    return [name for name in PLAIN + COMPRESSED if name.split(".")[0] not in ("dipole", "polar", "dos")]


@pytest.mark.parametrize("name", cases())
def test_golden(golden, lib, name):
    data = dict(np.load(golden / "pb" / f"{name}.npz"))
    tolerance = 1e-5 if "fp32" in name else 1e-10
    handle = Handle(lib, "DeepPot", lib.DP_NewDeepPot(str(golden / "pb" / f"{name}.pb").encode()))
    assert handle.error == ""
    assert handle.call("GetNumbTypes") == 2 and text(lib, handle.call("GetTypeMap")).split() == ["O", "H"]
    assert handle.call("GetNumbTypesSpin") == 0 and not handle.call("IsAParamNAll")
    params = {k: data[k] for k in ("fparam", "aparam") if k in data and handle.call(f"GetDim{k[0].upper()}Param")}
    n = len(data["atype"].ravel()) if data["atype"].ndim == 1 else data["atype"].shape[1]
    types = data["atype"].reshape(-1)[:n]
    form = "2" if params else ""
    for frame in range(len(data["coord"])):
        extra = {k: v[frame] for k, v in params.items()}
        for prefix, cell in (("pbc_", data["box"][frame]), ("nopbc_", None)):
            found = handle.compute(form, data["coord"][frame], types, cell, **extra)
            assert handle.error == ""
            compare(found, data, prefix, frame, tolerance)
    # The same frame from the caller's list over ghosts, folded back to the atoms.
    cutoff = handle.call("GetCutoff")
    coord = data["coord"][0].reshape(-1, 3)
    ext, owner, nlist, keep = neighbor_list(lib, coord, data["box"][0], cutoff + 0.3)
    nghost = len(ext) - n
    extra = {k: v[0] for k, v in params.items()}
    energy, force, virial, atom_energy, atom_virial = handle.compute(
        f"NList{form}", ext, types[owner], data["box"][0], list_args=[nghost, nlist, 0], **extra
    )
    assert handle.error == "" and keep
    fold = lambda x, width: np.add.reduceat(  # noqa: E731
        x.reshape(-1, width)[np.argsort(owner, kind="stable")], np.searchsorted(np.sort(owner), np.arange(n))
    )
    found = energy, fold(force, 3), virial, atom_energy[:n], fold(atom_virial, 9)
    compare(found, data, "pbc_", 0, tolerance)
    handle.delete()


@pytest.mark.parametrize("name", ["se_e2_a_two_side", "se_e2_r"])
def test_tables_made_at_load(golden, lib, tmp_path, monkeypatch, name):
    """A graph whose tables would not fit in a file, fused and plain."""
    from dptf.graph import compress

    monkeypatch.setattr(compress, "_MAX_TABLE_BYTES", 1e4)
    compress.compress(str(golden / "pb" / f"{name}.pb"), str(tmp_path / "made.pb"), step=0.02, frames=0)
    data = dict(np.load(golden / "pb" / f"{name}.npz"))
    handle = Handle(lib, "DeepPot", lib.DP_NewDeepPot(str(tmp_path / "made.pb").encode()))
    assert handle.error == ""
    types = data["atype"].reshape(-1)[: data["coord"].shape[1] // 3]
    compare(handle.compute("", data["coord"][0], types, data["box"][0]), data, "pbc_", 0, 1e-9)
    handle.delete()


def test_nvnmd_has_its_own_sentence(golden, lib, tmp_path):
    from dptf.graph.load import parse_graph_def, write_graph_def

    graph_def = parse_graph_def((golden / "pb" / "se_e2_a.pb").read_bytes(), "x")
    graph_def.node.add(name="q", op="QuantizeNvnmd")
    write_graph_def(graph_def, tmp_path / "m.pb")
    error = Handle(lib, "DeepPot", lib.DP_NewDeepPot(str(tmp_path / "m.pb").encode())).error
    assert "QuantizeNvnmd (node q)" in error and "NVNMD hardware" in error
