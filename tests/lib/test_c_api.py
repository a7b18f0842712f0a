"""Every function of the C library for energy models, against reference numbers."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from c_api import LIBRARY, Handle, declared_functions, exported_functions, load, pointer, text

pytestmark = pytest.mark.skipif(not LIBRARY.exists(), reason="the C library was not built")
MODELS = Path(__file__).resolve().parents[1] / "data" / "infer"
KEYS = ("energy", "force", "virial", "atom_energy", "atom_virial")
FAMILY = """
NewNlist NewNlist_comm NlistSetMask NlistSetMapping DeleteNlist NlistCheckOK
NewDeepPot NewDeepPotWithParam NewDeepPotWithParam2 DeleteDeepPot DeepPotGetTypeMap DeepPotGetDimChgSpin
DeepPotComputeMixedType DeepPotComputeMixedTypef
DeepPotSupportsDeviceEdgeInference DeepPotUsesFP32EdgeVectors DeepPotUsesCanonicalGraphInference
NewDeepPotModelDevi NewDeepPotModelDeviWithParam DeleteDeepPotModelDevi DeepPotModelDeviGetDimChgSpin
DeepBaseModelGetTypeMap DeleteDeepBaseModel DeleteDeepBaseModelDevi
ConvertPbtxtToPb PrintSummary ReadFileToChar ReadFileToChar2 SelectByType SelectMapInt DeleteChar
""".split()
FAMILY += """
NewDeepSpin NewDeepSpinWithParam2 DeleteDeepSpin DeepSpinGetTypeMap DeepSpinGetDimChgSpin
NewDeepSpinModelDevi NewDeepSpinModelDeviWithParam DeleteDeepSpinModelDevi DeepSpinModelDeviGetDimChgSpin
NewDeepTensor NewDeepTensorWithParam DeleteDeepTensor DeepTensorGetCutoff DeepTensorGetNumbTypes DeepTensorGetOutputDim
DeepTensorGetNumbSelTypes DeepTensorGetSelTypes DeepTensorGetTypeMap DeepTensorCheckOK
NewDipoleChargeModifier NewDipoleChargeModifierWithParam DeleteDipoleChargeModifier
DipoleChargeModifierComputeNList DipoleChargeModifierComputeNListf DipoleChargeModifierGetCutoff
DipoleChargeModifierGetNumbTypes DipoleChargeModifierGetSelTypes DipoleChargeModifierGetNumbSelTypes
DipoleChargeModifierCheckOK
DeepPotComputeEdgesGPU DeepPotComputeEdgesGPUFloat32 DeepPotComputeCanonicalGraphGPU DeepPotSetChargeSpin
DeepPotModelDeviSetChargeSpin DeepSpinSetChargeSpin DeepSpinModelDeviSetChargeSpin
DeepSpinComputeCanonicalGraphGPU DeepSpinUsesCanonicalGraphInference DeepSpinUsesNativeSpinScheme
""".split()
FAMILY += [f"DeepTensorCompute{t}{k}{f}" for t in ("", "Tensor") for k in ("", "NList") for f in ("", "f")]
for _model in ("DeepSpin", "DeepSpinModelDevi"):
    FAMILY += [f"{_model}Compute{k}{f}{n}" for k in ("", "NList") for f in ("", "f") for n in ("2", "3")]
for _model in ("DeepPot", "DeepPotModelDevi"):
    FAMILY += [f"{_model}Compute{k}{f}{n}" for k in ("", "NList") for f in ("", "f") for n in ("", "2", "3")]
for _model in ("DeepPot", "DeepPotModelDevi", "DeepSpin", "DeepSpinModelDevi", "DeepBaseModel", "DeepBaseModelDevi"):
    FAMILY += [
        f"{_model}{g}"
        for g in ("GetCutoff", "GetNumbTypes", "GetNumbTypesSpin", "GetDimFParam", "GetDimAParam", "IsAParamNAll",
                  "HasDefaultFParam", "CheckOK")
    ]  # fmt: skip


@pytest.fixture(scope="module")
def lib():
    return load()


@pytest.fixture(scope="module")
def frames():
    return dict(np.load(MODELS / "se_e2_a.npz"))


@pytest.fixture(scope="module")
def frames_params():
    return dict(np.load(MODELS / "se_e2_a_fparam_aparam.npz"))


def new(lib, name="se_e2_a"):
    return Handle(lib, "DeepPot", lib.DP_NewDeepPot(str(MODELS / f"{name}.pb").encode()))


@pytest.fixture(scope="module")
def dp(lib):
    handle = new(lib)
    assert handle.error == ""
    yield handle
    handle.delete()


@pytest.fixture(scope="module")
def dp_params(lib):
    handle = new(lib, "se_e2_a_fparam_aparam")
    yield handle
    handle.delete()


def check(found, frames, prefix, index=slice(0, 1), tolerance=1e-10):
    for key, value in zip(KEYS, found):
        expected = frames[f"{prefix}_{key}"][index]
        np.testing.assert_allclose(
            value.reshape(expected.shape),
            expected,
            rtol=0,
            atol=tolerance * max(1, np.abs(expected).max()),
            err_msg=key,
        )


def full_list(coord, box, rcut):
    """Ghost atoms and the full neighbor list of a periodic frame, as an engine has them.

    Returns
    -------
    coord : (nall, 3) array
    owner : (nall,) int array
    rows : list of int32 arrays, the list of every local atom
    """
    box = box.reshape(3, 3)
    reach = np.ceil(rcut * np.linalg.norm(np.linalg.inv(box), axis=0)).astype(int) + 1
    shifts = np.array(np.meshgrid(*[np.arange(-r, r + 1) for r in reach], indexing="ij")).reshape(3, -1).T
    shifts = shifts[np.argsort(np.abs(shifts).sum(1), kind="stable")]  # the cell itself comes first
    x = (coord[None] + (shifts @ box)[:, None]).reshape(-1, 3)
    owner = np.tile(np.arange(len(coord)), len(shifts))
    near = np.linalg.norm(x[:, None] - coord[None], axis=-1).min(1) < rcut
    near[: len(coord)] = True
    x, owner = x[near], owner[near]
    d = np.linalg.norm(x[None] - coord[:, None], axis=-1)
    return (
        x,
        owner,
        [np.flatnonzero((row < rcut) & (np.arange(len(x)) != i)).astype(np.int32) for i, row in enumerate(d)],
    )


class Nlist:
    """A list object of the library; keeps the arrays it borrows alive."""

    def __init__(self, lib, rows, comm=False):
        self.lib, self.rows = lib, rows
        self.ilist = np.arange(len(rows), dtype=np.int32)
        self.numneigh = np.array([len(r) for r in rows], np.int32)
        self.first = (ctypes.c_void_p * len(rows))(*[r.ctypes.data for r in rows])
        args = [len(rows), pointer(self.ilist), pointer(self.numneigh), ctypes.cast(self.first, ctypes.c_void_p)]
        if comm:
            none = ctypes.c_void_p(None)
            self.address = ctypes.c_void_p(lib.DP_NewNlist_comm(*args, 0, *[none] * 7, 1))
        else:
            self.address = ctypes.c_void_p(lib.DP_NewNlist(*args))
        assert text(lib, lib.DP_NlistCheckOK(self.address)) == ""

    def delete(self):
        self.lib.DP_DeleteNlist(self.address)


def folded(found, owner, natoms):
    """Sum the rows of ghosts into those of their owners."""
    energy, force, virial, atom_energy, atom_virial = found
    out = [energy, np.zeros((natoms, 3)), virial, atom_energy[:natoms], np.zeros((natoms, 9))]
    np.add.at(out[1], owner, force.reshape(-1, 3))
    np.add.at(out[4], owner, atom_virial.reshape(-1, 9))
    assert np.all(atom_energy[natoms:] == 0)
    return out


def test_every_public_function_is_there():
    declared, exported = declared_functions(), exported_functions()
    assert [f"DP_{name}" for name in FAMILY if f"DP_{name}" not in declared] == []
    assert declared == exported  # nothing undeclared leaves the library, nothing declared is missing


def test_header_is_c99(tmp_path):
    (tmp_path / "t.c").write_text('#include "deepmd/c_api.h"\nint main(void) { return DP_C_API_VERSION < 27; }\n')
    from dptf.flags import options

    command = ["gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "t.c", *options("c"), "-o", "t"]
    subprocess.run(command, cwd=tmp_path, check=True)
    subprocess.run([tmp_path / "t"], check=True)


@pytest.mark.parametrize("form", ["", "f", "2", "f2", "3", "f3"])
def test_forms_without_list(dp, frames, form):
    tolerance = 2e-6 if "f" in form else 1e-10
    for prefix, box in (("pbc", frames["box"][0]), ("nopbc", None)):
        found = dp.compute(form, frames["coord"][0], frames["atype"], box)
        assert dp.error == ""
        check(found, frames, prefix, tolerance=tolerance)


@pytest.mark.parametrize("form", ["2", "f2", "3"])
def test_several_frames(dp, frames, form):
    found = dp.compute(form, frames["coord"], frames["atype"], frames["box"], nframes=3)
    check(found, frames, "pbc", slice(0, 3), 2e-6 if "f" in form else 1e-10)


@pytest.mark.parametrize("form", ["NList", "NListf", "NList2", "NListf2", "NList3", "NListf3"])
def test_forms_with_list(lib, dp, frames, form):
    coord, box = frames["coord"][0].reshape(-1, 3), frames["box"][0]
    x, owner, rows = full_list(coord, box, dp.call("GetCutoff"))
    # The high bits are what an engine may keep there; the mask removes them.
    rows = [r | np.int32(1 << 29) for r in rows]
    nlist = Nlist(lib, rows, comm=form.endswith("2"))
    lib.DP_NlistSetMask(nlist.address, 0x1FFFFFFF)
    lib.DP_NlistSetMapping(nlist.address, ctypes.c_void_p(None))
    tolerance = 2e-6 if "f" in form.replace("NList", "") else 1e-10
    for ago, cell in ((0, box), (1, None)):  # the cell is not used with a list
        found = dp.compute(form, x, frames["atype"][owner], cell, list_args=[len(x) - 24, nlist.address, ago])
        assert dp.error == ""
        check(folded(found, owner, 24), frames, "pbc", tolerance=tolerance)
    nlist.delete()


def test_null_outputs_are_skipped(dp, frames):
    coord, atype, box = frames["coord"][0], frames["atype"].astype(np.int32), frames["box"][0]
    energy, none = np.zeros(1), ctypes.c_void_p(None)
    dp.call("Compute", 24, pointer(coord), pointer(atype), pointer(box), pointer(energy), none, none, none, none)
    np.testing.assert_allclose(energy, frames["pbc_energy"][0], rtol=1e-12)
    dp.call("Compute", 24, pointer(coord), pointer(atype), pointer(box), none, none, none, none, none)
    found = dp.compute("", coord, atype, box, atomic=False)
    check(found[:3], frames, "pbc")
    assert np.isnan(found[3]).all() and dp.error == ""


def test_unknown_types_are_ignored(dp, frames):
    coord = np.vstack([[0.1, 0.2, 0.3], frames["coord"][0].reshape(-1, 3), [1.0, 1.0, 1.0]])
    atype = np.concatenate([[-1], frames["atype"], [7]])
    energy, force, virial, atom_energy, atom_virial = dp.compute("", coord, atype, frames["box"][0])
    inner = [energy, force.reshape(-1, 3)[1:-1], virial, atom_energy[1:-1], atom_virial.reshape(-1, 9)[1:-1]]
    check(inner, frames, "pbc")
    assert not force.reshape(-1, 3)[[0, -1]].any() and not atom_energy[[0, -1]].any()


def test_no_atoms(dp):
    found = dp.compute("", np.zeros(0), np.zeros(0, int), np.eye(3) * 9)
    assert dp.error == "" and found[0][0] == 0 and not found[2].any()


@pytest.mark.parametrize("form", ["2", "f2", "3"])
def test_parameters(dp_params, frames_params, form):
    d = frames_params
    assert (dp_params.call("GetDimFParam"), dp_params.call("GetDimAParam")) == (2, 1)
    assert not dp_params.call("IsAParamNAll")
    found = dp_params.compute(form, d["coord"], d["atype"], d["box"], nframes=3, fparam=d["fparam"], aparam=d["aparam"])
    assert dp_params.error == ""
    check(found, d, "pbc", slice(0, 3), 2e-6 if "f" in form else 1e-10)


def test_parameters_with_list(lib, dp_params, frames_params):
    d = frames_params
    x, owner, rows = full_list(d["coord"][0].reshape(-1, 3), d["box"][0], dp_params.call("GetCutoff"))
    nlist = Nlist(lib, rows)
    found = dp_params.compute(
        "NList2", x, d["atype"][owner], None, list_args=[len(x) - 24, nlist.address, 0], fparam=d["fparam"][0],
        aparam=d["aparam"][0],
    )  # fmt: skip
    check(folded(found, owner, 24), d, "pbc")
    nlist.delete()


MODELS_WITH_DEFAULTS = """
import numpy as np
from dptf.infer import DeepPot
from tests.dptf import dpa3_cases, model_cases
frames = np.load("frames.npz")
for name, default in (("with", [1, 2]), ("without", None)):
    dpa3_cases.write_model(name + ".pb", add_chg_spin_ebd=True, repflow={"nlayers": 1}, default_chg_spin=default)
with DeepPot("with.pb") as dp:
    args = frames["coord"][0], frames["box"][0], frames["atype"]
    np.save("energies.npy", [dp.eval(*args)[0][0, 0], dp.eval(*args, charge_spin=[-1, 2])[0][0, 0]])
fitting = model_cases.FITTING | {"numb_fparam": 1, "default_fparam": [0.3]}
section = {"type_map": ["A", "B"], "descriptor": model_cases.SE_A, "fitting_net": fitting}
graph = dpa3_cases.frozen_graph({"model": section}, dpa3_cases.random_values(section))
dpa3_cases.write_graph_def(graph, "default.pb")
"""


def test_charge_spin_and_default_parameters(lib, frames, tmp_path):
    """Numbers of frames that a model may have defaults for; Python, in a process of its own, gives the reference."""
    np.savez(tmp_path / "frames.npz", **{k: frames[k] for k in ("coord", "box", "atype")})
    env = dict(os.environ, PYTHONPATH=str(Path(__file__).resolve().parents[2]))
    subprocess.run([sys.executable, "-c", MODELS_WITH_DEFAULTS], cwd=tmp_path, env=env, check=True)
    coord, box, types = frames["coord"][0], frames["box"][0], frames["atype"]
    of_default, of_anion = np.load(tmp_path / "energies.npy")
    assert abs(of_default - of_anion) > 1e-6
    for name, given, expected in (
        ("with", None, of_default), ("with", [-1, 2], of_anion), ("without", [-1, 2], of_anion), ("without", None, None)
    ):  # fmt: skip
        handle = Handle(lib, "DeepPot", lib.DP_NewDeepPot(str(tmp_path / f"{name}.pb").encode()))
        assert handle.call("GetDimChgSpin") == 2 and handle.call("HasDefaultChgSpin") == (name == "with")
        energy = handle.compute("3", coord, types, box, charge_spin=given)[0]
        if expected is None:
            assert "charge_spin has 0 numbers, the model needs 2" in handle.error
        else:
            np.testing.assert_allclose(energy, expected, rtol=1e-12)
        handle.delete()
    handle = Handle(lib, "DeepPot", lib.DP_NewDeepPot(str(tmp_path / "default.pb").encode()))
    assert handle.call("HasDefaultFParam")
    default, same, other = (handle.compute("2", coord, types, box, fparam=f)[0][0] for f in (None, [0.3], [0.7]))
    assert default == same != other and handle.error == ""
    handle.delete()


def test_blocks_of_atoms_without_a_list(lib, frames, tmp_path, monkeypatch, capfd):
    """A model with message passing that does not fit in memory: the list is made here."""
    env = dict(os.environ, PYTHONPATH=str(Path(__file__).resolve().parents[2]))
    program = "from tests.dptf import dpa3_cases; dpa3_cases.write_model('m.pb', repflow={'nlayers': 2})"
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=env, check=True)
    results = []
    for memory in ("", "300K"):
        monkeypatch.setenv("DPTF_MEMORY", memory)
        handle = Handle(lib, "DeepPot", lib.DP_NewDeepPot(str(tmp_path / "m.pb").encode()))
        for cell in (frames["box"][0], None):
            results.append(handle.compute("", frames["coord"][0], frames["atype"], cell))
        assert handle.error == ""
        assert ("in blocks of at most" in capfd.readouterr().err) == bool(memory)
        handle.delete()
    for a, b in zip(results[:2], results[2:]):
        for x, y in zip(a, b):
            np.testing.assert_allclose(y, x, atol=1e-11)


def test_missing_parameters_are_told(lib, frames_params):
    d, handle = frames_params, new(lib, "se_e2_a_fparam_aparam")
    handle.compute("", d["coord"][0], d["atype"], d["box"][0])
    assert "fparam has 0 numbers, the model needs 2 per frame" in handle.error
    # An error stays until the handle is deleted.
    handle.compute("2", d["coord"][0], d["atype"], d["box"][0], fparam=d["fparam"][0], aparam=d["aparam"][0])
    assert "fparam has 0" in handle.error
    handle.delete()


def test_getters(lib, dp):
    assert dp.call("GetCutoff") == 4.0
    assert (dp.call("GetNumbTypes"), dp.call("GetNumbTypesSpin"), dp.call("GetDimFParam")) == (2, 0, 0)
    assert dp.call("GetDimChgSpin") == 0 and not dp.call("HasDefaultFParam")
    names = text(lib, dp.call("GetTypeMap")).split()
    assert len(names) == 2
    base = Handle(lib, "DeepBaseModel", dp.address.value)
    assert base.call("GetCutoff") == dp.call("GetCutoff") and base.error == ""
    assert text(lib, base.call("GetTypeMap")).split() == names
    for name in ("SupportsDeviceEdgeInference", "UsesFP32EdgeVectors", "UsesCanonicalGraphInference"):
        assert dp.call(name) is False
    assert "kernels" in text(lib, dp.call("GetRuntimeReport"))


@pytest.mark.parametrize(
    "content, words",
    [
        (None, "cannot open the model file"),
        (b"", "is empty"),
        (b"\x0a\x10garbage, no graph", "is not a frozen graph, or it is truncated"),
    ],
)
def test_bad_files(lib, tmp_path, content, words):
    path = tmp_path / "bad.pb"
    if content is not None:
        path.write_bytes(content)
    handle = Handle(lib, "DeepPot", lib.DP_NewDeepPot(str(path).encode()))
    error = handle.error
    assert error.startswith("DeePMD-kit Error: ") and words in error and str(path) in error
    assert handle.call("GetCutoff") == 0.0  # getters of a failed handle answer, they do not crash
    handle.delete()


def test_functions_of_other_backends_say_so(lib):
    handle = new(lib)
    handle.call("SetChargeSpin", pointer(np.zeros(2)))
    assert "DP_DeepPotSetChargeSpin is not supported by the TensorFlow backend" in handle.error
    handle.delete()


def test_unknown_format(lib):
    for name, words in ((b"model.xyz", "Unsupported model file format"), (b"model.pth", "belongs to another backend")):
        handle = Handle(lib, "DeepPot", lib.DP_NewDeepPot(name))
        assert words in handle.error
        handle.delete()


def test_model_of_another_kind(lib):
    handle = new(lib, "dipole")
    assert "is of type 'dipole', an energy model is needed" in handle.error
    handle.delete()


def test_truncated_file(lib, tmp_path):
    data = (MODELS / "se_e2_a.pb").read_bytes()
    (tmp_path / "cut.pb").write_bytes(data[: len(data) // 2])
    handle = Handle(lib, "DeepPot", lib.DP_NewDeepPot(str(tmp_path / "cut.pb").encode()))
    assert "truncated" in handle.error
    handle.delete()


def test_content_instead_of_file(lib, frames):
    data = (MODELS / "se_e2_a.pb").read_bytes()
    handle = Handle(lib, "DeepPot", lib.DP_NewDeepPotWithParam2(b"in_memory.pb", 0, data, len(data)))
    check(handle.compute("", frames["coord"][0], frames["atype"], frames["box"][0]), frames, "pbc")
    handle.delete()
    refused = Handle(lib, "DeepPot", lib.DP_NewDeepPotWithParam(b"in_memory.pb", 0, b"text"))
    assert "DP_NewDeepPotWithParam2" in refused.error
    refused.delete()
    from_file = Handle(lib, "DeepPot", lib.DP_NewDeepPotWithParam(str(MODELS / "se_e2_a.pb").encode(), 0, b""))
    assert from_file.error == ""
    lib.DP_DeleteDeepBaseModel(from_file.address)  # deleting through the base is the same


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda a: a.update(ago=1), "call with ago 0 first"),
        (lambda a: a["rows"].pop(), "rows for 23 of 24"),
        (lambda a: a["rows"][3].__setitem__(0, 9999), "names atom 9999"),
        (lambda a: a["x"].__setitem__((5, 1), np.nan), "coordinate 1 of atom 5 in frame 0 is not finite"),
        (lambda a: a.update(nghost=10**6), "do not fit"),
    ],
)
def test_bad_calls(lib, frames, change, words):
    handle = new(lib)
    x, owner, rows = full_list(frames["coord"][0].reshape(-1, 3), frames["box"][0], handle.call("GetCutoff"))
    args = {"x": x, "rows": rows, "ago": 0, "nghost": len(x) - 24}
    change(args)
    nlist = Nlist(lib, args["rows"])
    handle.compute(
        "NList", args["x"], frames["atype"][owner], None, list_args=[args["nghost"], nlist.address, args["ago"]]
    )
    assert words in handle.error
    nlist.delete()
    handle.delete()


def test_frames_of_different_types_need_such_a_model(lib, frames):
    handle = new(lib)
    types = np.stack([frames["atype"], frames["atype"][::-1]])
    handle.compute("MixedType", frames["coord"][:2], types, frames["box"][:2], nframes=2, mixed=True)
    assert "mixed" in handle.error.lower()
    handle.delete()


@pytest.fixture(scope="module")
def devi(lib):
    files = (ctypes.c_char_p * 2)(*[str(MODELS / "se_e2_a.pb").encode()] * 2)
    handle = Handle(lib, "DeepPotModelDevi", lib.DP_NewDeepPotModelDevi(files, 2))
    assert handle.error == ""
    yield handle
    handle.delete()


@pytest.mark.parametrize("form", ["", "f", "2", "f2", "3", "f3"])
def test_model_deviation(devi, frames, form):
    found = devi.compute(form, frames["coord"][0], frames["atype"], frames["box"][0], models=2)
    assert devi.error == ""
    for k in range(2):
        check([np.split(x, 2)[k] for x in found], frames, "pbc", tolerance=2e-6 if "f" in form else 1e-10)


@pytest.mark.parametrize("form", ["NList", "NListf", "NList2", "NListf2", "NList3", "NListf3"])
def test_model_deviation_with_list(lib, devi, frames, form):
    x, owner, rows = full_list(frames["coord"][0].reshape(-1, 3), frames["box"][0], devi.call("GetCutoff"))
    nlist = Nlist(lib, rows)
    found = devi.compute(form, x, frames["atype"][owner], None, models=2, list_args=[len(x) - 24, nlist.address, 0])
    assert devi.error == ""
    tolerance = 2e-6 if "f" in form.replace("NList", "") else 1e-10
    check(folded([np.split(v, 2)[1] for v in found], owner, 24), frames, "pbc", tolerance=tolerance)
    nlist.delete()


def test_model_deviation_getters_and_errors(lib, devi, frames):
    assert devi.call("GetNumbTypes") == 2 and devi.call("GetDimChgSpin") == 0 and not devi.call("IsAParamNAll")
    base = Handle(lib, "DeepBaseModelDevi", devi.address.value)
    assert base.call("GetCutoff") == devi.call("GetCutoff") and base.error == ""
    contents = [(MODELS / "se_e2_a.pb").read_bytes()] * 2
    names = (ctypes.c_char_p * 2)(b"a.pb", b"b.pb")
    data = (ctypes.c_char_p * 2)(*contents)
    sizes = (ctypes.c_int * 2)(*map(len, contents))
    address = lib.DP_NewDeepPotModelDeviWithParam(names, 2, 0, data, 2, sizes)
    handle = Handle(lib, "DeepPotModelDevi", address)
    assert handle.error == ""
    handle.compute("2", frames["coord"][:2], frames["atype"], frames["box"][:2], models=2, nframes=2)
    assert "one frame at a time" in handle.error
    lib.DP_DeleteDeepBaseModelDevi(handle.address)
    files = (ctypes.c_char_p * 2)(str(MODELS / "se_e2_a.pb").encode(), b"absent.pb")
    handle = Handle(lib, "DeepPotModelDevi", lib.DP_NewDeepPotModelDevi(files, 2))
    assert "absent.pb" in handle.error
    handle.delete()


def test_files_and_selections(lib, tmp_path):
    size = ctypes.c_int()
    path = MODELS / "se_e2_a.pb"
    address = lib.DP_ReadFileToChar2(str(path).encode(), ctypes.byref(size))
    assert size.value == path.stat().st_size and ctypes.string_at(address, size.value) == path.read_bytes()
    lib.DP_DeleteChar(ctypes.c_void_p(address))
    error = text(lib, lib.DP_ReadFileToChar2(b"absent", ctypes.byref(size)))
    assert "absent" in error and size.value == -len(error)
    (tmp_path / "small").write_text("text")
    assert text(lib, lib.DP_ReadFileToChar(str(tmp_path / "small").encode())) == "text"

    atype = np.array([1, 0, 2, 1, 1, 0], np.int32)
    sel = np.array([1, 2], np.int32)
    fwd, bkw = np.full(6, 9, np.int32), np.full(6, 9, np.int32)
    nreal, nghost = ctypes.c_int(), ctypes.c_int()
    lib.DP_SelectByType(
        6, pointer(atype), 2, 2, pointer(sel), pointer(fwd), ctypes.byref(nreal), pointer(bkw), ctypes.byref(nghost)
    )
    assert (nreal.value, nghost.value) == (4, 1)
    assert fwd.tolist() == [0, -1, 1, 2, 3, -1] and bkw[:4].tolist() == [0, 2, 3, 4]
    none = ctypes.c_void_p(None)
    lib.DP_SelectByType(6, pointer(atype), 2, 2, pointer(sel), none, none, none, none)
    out = np.zeros(8, np.int32)
    lib.DP_SelectMapInt(pointer(np.arange(12, dtype=np.int32)), pointer(fwd), 2, 6, 4, pointer(out))
    assert out.tolist() == [0, 1, 4, 5, 6, 7, 8, 9]


def test_text_graphs_and_summary(lib, tmp_path, frames, capfd):
    from google.protobuf import text_format

    from dptf.env import import_tensorflow

    graph = import_tensorflow().GraphDef.FromString((MODELS / "se_e2_a.pb").read_bytes())
    (tmp_path / "m.pbtxt").write_text(text_format.MessageToString(graph))
    lib.DP_ConvertPbtxtToPb(str(tmp_path / "m.pbtxt").encode(), str(tmp_path / "m.pb").encode())
    handle = Handle(lib, "DeepPot", lib.DP_NewDeepPot(str(tmp_path / "m.pb").encode()))
    check(handle.compute("", frames["coord"][0], frames["atype"], frames["box"][0]), frames, "pbc")
    handle.delete()
    capfd.readouterr()
    lib.DP_PrintSummary(b">>> ")
    lines = capfd.readouterr().out.splitlines()
    assert lines and all(line.startswith(">>> ") for line in lines)
    assert any("support model ver.:" in line and line.endswith("1.1") for line in lines)
