"""pairwise_dprc: from training to evaluation, the sum over fragments, forces, compression."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from toy import write_input

from dptf.cli.main import main
from dptf.data.fragments import fragment_batches, members, most_neighbors
from dptf.errors import UserError
from dptf.infer import DeepPot
from dptf.model import build_model

NAMES = ["C", "H", "OW", "HW"]
IDS = np.array([4, 4, 4, 7, 7, 7, 5, 5, 5])  # numbers need not be consecutive; the lowest is the QM region
TYPES = np.array([0, 1, 1, 2, 3, 3, 2, 3, 3])


def frames(nf, seed=0):
    rng = np.random.default_rng(seed)
    base = np.array([[0, 0, 0], [1.1, 0, 0], [-0.4, 1.0, 0], [2.6, 1.4, 0.3], [3.2, 2.1, 0.1], [2.9, 0.5, 0.8]])
    base = np.concatenate([base, [[-2.2, -1.2, 0.5], [-2.9, -0.6, 0.1], [-2.5, -2.1, 0.7]]])
    return base + rng.normal(scale=0.08, size=(nf, 9, 3))


def write_fragments(path, nf=4, seed=0):
    folder = path / "set.000"
    folder.mkdir(parents=True)
    np.savetxt(path / "type.raw", TYPES, fmt="%d")
    (path / "type_map.raw").write_text("\n".join(NAMES))
    (path / "nopbc").touch()
    rng, coord = np.random.default_rng(seed + 1), frames(nf, seed)
    np.save(folder / "coord.npy", coord.reshape(nf, -1))
    np.save(folder / "energy.npy", -3 + 0.1 * rng.normal(size=nf))
    np.save(folder / "force.npy", 0.1 * rng.normal(size=(nf, 27)))
    ids = np.tile(IDS, (nf, 1))
    ids[0, 6:] = -1
    np.save(folder / "aparam.npy", ids.astype(float))
    return path


def part(sel, seed, **descriptor):
    section = {"type": "se_atten_v2", "sel": sel, "rcut": 4.0, "rcut_smth": 0.5, "neuron": [4, 8], "axis_neuron": 3}
    return {
        "descriptor": {**section, "attn_layer": 0, "seed": seed, **descriptor},
        "fitting_net": {"neuron": [6, 6], "seed": seed},
    }


MODEL = {
    "type": "pairwise_dprc",
    "type_map": NAMES,
    "type_embedding": {"neuron": [4], "seed": 1},
    "qm_model": part("auto", 1) | {"type_map": NAMES[:2]},
    "qmmm_model": {
        "descriptor": {
            "type": "hybrid",
            "list": [
                part("auto", 3, exclude_types=[[0, 0], [0, 1], [1, 1]])["descriptor"],
                {"type": "se_a_ebd_v2", "sel": [1, 2, 1, 2], "rcut": 3.5, "neuron": [4, 8], "axis_neuron": 2, "seed": 3},
            ],
        },
        "fitting_net": {"neuron": [6, 6], "seed": 4, "atom_ener": [0.0] * 4},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("dprc")
    write_input(
        root, [write_fragments(root / "a")], model=MODEL, training__numb_steps=2, training__disp_freq=1,
        loss__start_pref_v=0, loss__limit_pref_v=0,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as m:
        m.chdir(root)
        assert main(["train", "input.json"]) == 0
        assert main(["freeze", "-o", "m.pb"]) == 0
        assert main(["compress", "-i", "m.pb", "-o", "c.pb"]) == 0
    return root


def test_training(folder):
    """Slots are those of the largest fragments; every row of the learning curve is a number."""
    model = json.loads((folder / "out.json").read_text())["model"]
    assert model["qm_model"]["descriptor"]["sel"] == 4
    assert model["qmmm_model"]["descriptor"]["list"][0]["sel"] == 8
    assert np.isfinite(np.loadtxt(folder / "lcurve.out")).all()


def test_sum_over_fragments(folder):
    """E(all) = E(QM) + sum over residues (E(QM, residue) - E(QM)); atoms that are left out have no part in anything."""
    coord = frames(2, 5)
    with DeepPot(folder / "m.pb") as dp:
        assert dp.get_dim_aparam() == 1

        def energy(chosen, ids=IDS):
            keep = np.isin(IDS, chosen)
            own = np.tile(ids[keep], (2, 1))
            return dp.eval(coord[:, keep], None, TYPES[keep], aparam=own)[0].ravel()

        qm, whole = energy([4]), energy([4, 5, 7])
        np.testing.assert_allclose(whole, energy([4, 5]) + energy([4, 7]) - qm, atol=1e-12)
        left_out = dp.eval(coord, None, TYPES, atomic=True, aparam=np.where(IDS == 7, -1, IDS))
        np.testing.assert_allclose(left_out[0].ravel(), energy([4, 5]), atol=1e-12)
        for value in (left_out[1], left_out[3], left_out[4]):
            assert (value[:, IDS == 7] == 0).all()
        # Fragments may differ between frames.
        ids = np.array([IDS, np.where(IDS == 7, 5, np.where(IDS == 5, 7, IDS))])
        ids[1, :] -= 4
        np.testing.assert_allclose(dp.eval(coord, None, TYPES, aparam=ids)[0].ravel(), whole, atol=1e-12)


def test_forces_and_order(folder):
    coord, order, h = frames(2, 6), np.random.default_rng(0).permutation(9), 1e-5
    with DeepPot(folder / "m.pb") as dp:
        energy, force, virial, atom_energy, atom_virial = dp.eval(coord, None, TYPES, atomic=True, aparam=IDS)
        for atom, x in ((0, 0), (4, 1), (8, 2)):
            step = np.zeros_like(coord)
            step[:, atom, x] = h
            up, down = (dp.eval(coord + s, None, TYPES, aparam=IDS)[0] for s in (step, -step))
            np.testing.assert_allclose(force[:, atom, x], -(up - down).ravel() / (2 * h), atol=1e-8)
        np.testing.assert_allclose(atom_energy.sum(1), energy, atol=1e-12)
        np.testing.assert_allclose(atom_virial.sum(1), virial, atol=1e-12)
        again = dp.eval(coord[:, order], None, TYPES[order], aparam=IDS[order])
        np.testing.assert_allclose(again[0], energy, atol=1e-12)
        np.testing.assert_allclose(again[1], force[:, order], atol=1e-12)
        with pytest.raises(UserError, match="aparam"):
            dp.eval(coord, None, TYPES)


def test_compression(folder):
    coord = frames(2, 7)
    with DeepPot(folder / "m.pb") as a, DeepPot(folder / "c.pb") as b:
        for x, y in zip(*(dp.eval(coord, None, TYPES, atomic=True, aparam=IDS) for dp in (a, b))):
            np.testing.assert_allclose(y, x, atol=1e-9 * max(1, np.abs(x).max()))


@pytest.mark.parametrize("form", ["dp", "yaml"])
def test_model_file(folder, form, monkeypatch, capsys):
    """A file of our own form keeps every number; a compressed model has no nets to write."""
    monkeypatch.chdir(folder)
    assert main(["convert-backend", "m.pb", f"m.{form}"]) == 0
    assert "for dptf alone" in capsys.readouterr().err
    assert main(["convert-backend", f"m.{form}", "back.pb"]) == 0
    coord = frames(2, 7)
    with DeepPot("m.pb") as a, DeepPot("back.pb") as b:
        for x, y in zip(*(dp.eval(coord, None, TYPES, atomic=True, aparam=IDS) for dp in (a, b))):
            np.testing.assert_array_equal(y, x)
    assert main(["convert-backend", "c.pb", "c.dp"]) == 1


def test_fragments_of_a_frame():
    assert [m.tolist() for m in members(np.array([3, -1, 3, 9, 5]), True)] == [[0, 2, 4], [0, 2, 3]]
    assert members(np.array([-1, -1]), False) == []
    coord = frames(1)[0]
    counts = most_neighbors(coord, TYPES, IDS, 100.0, 4, True, False)
    assert counts.tolist() == [1, 2, 1, 2]
    assert most_neighbors(coord, TYPES, IDS, 100.0, 4, False, True).tolist() == [2]
    batch = {
        "aparam": IDS, "type": TYPES[None], "coord": coord.reshape(1, -1), "box": np.zeros((1, 9)), "system": "x",
        "energy": np.array([1.5]),
    }  # fmt: skip
    own = fragment_batches(batch, True, 4)
    assert own["type"].tolist() == [[0, 1, 1, 2, 3, 3]] * 2 and own["energy"].tolist() == [1.5] * 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"type_embedding": None}, "type_embedding"),
        ({"type_map": None}, "type_map"),
        ({"qm_model": {"type_map": ["H", "C"]}}, "first types"),
        ({"qm_model": {"fitting_net": {"numb_fparam": 1}}}, "numb_fparam"),
    ],
)
def test_what_does_not_fit(folder, change, words):
    section = json.loads((folder / "out.json").read_text())["model"]
    for key, value in change.items():
        if isinstance(value, dict):
            for inner, x in value.items():
                section[key][inner] = {**section[key][inner], **x} if isinstance(x, dict) else x
        else:
            section[key] = value
    with pytest.raises(UserError, match=words):
        build_model(section)
