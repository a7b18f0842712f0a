"""Systems on disk in every format, and the stream of batches drawn from them."""

import pickle

import numpy as np
import pytest

from dptf.data import DataRequirement, DataSystems, expand_systems
from dptf.errors import UserError

ENERGY = DataRequirement("energy", 1, high_prec=True)
FORCE = DataRequirement("force", 3, atomic=True)


def data(systems, requirements=(ENERGY, FORCE), type_map=("O", "H"), seed=42, **section):
    return DataSystems({"systems": systems, **section}, type_map and list(type_map), list(requirements), seed=seed)


def test_atoms_are_sorted_by_model_type_with_their_labels(make):
    path = make(types=[1, 0, 1, 0, 0, 1])  # data: H O; model: O H
    d = data(path, batch_size=5)
    batch = d.next_batch()
    order = [0, 2, 5, 1, 3, 4]
    frames = batch["energy"][:, 0].astype(int)
    force = np.load(f"{path}/set.000/force.npy").reshape(5, 6, 3)[frames][:, order]
    coord = np.load(f"{path}/set.000/coord.npy").reshape(5, 6, 3)[frames][:, order]
    assert np.array_equal(batch["force"], force.reshape(5, -1)) and np.array_equal(batch["coord"], coord.reshape(5, -1))
    assert batch["type"].tolist() == [[0, 0, 0, 1, 1, 1]] * 5 and batch["type"].dtype == np.int32
    assert batch["natoms_vec"].tolist() == [6, 6, 3, 3] and batch["natoms_vec"].dtype == np.int32
    assert batch["mesh"].shape == (6,) and batch["box"].shape == (5, 9) and batch["find_force"] == 1.0
    assert d.ntypes == 2 and d.pbc == [True] and not d.mixed_type


def test_public_order_of_batches(make):
    """The sequence that the public package draws for these systems and this seed."""
    paths = [make("s1", 6, (7,)), make("s2", 5, (4, 3, 6)), make("s3", 9, (10,))]
    d = data(paths, batch_size=[2, 2, 3])
    assert d.nbatches == [3, 6, 3] and d.probs.tolist() == [0.25, 0.5, 0.25] and d.total_batches == 12
    first = [b["energy"].ravel().astype(int).tolist() for s in d.stat_batches(2) for b in s]
    assert first == [[0, 4], [1, 6], [2, 3], [0, 1], [3, 9, 7], [8, 0, 6]]
    drawn = []
    for _ in range(30):
        b = d.next_batch()
        drawn.append((b["system"][-1], b["energy"].ravel().astype(int).tolist()))
    assert drawn[:12] == [
        ("2", [6, 4]), ("2", [9, 7]), ("2", [10, 8]), ("1", [2, 3]), ("3", [2, 5, 4]), ("3", [4, 8, 5]), ("1", [1, 0]),
        ("1", [3, 2]), ("2", [12, 11]), ("2", [3, 0]), ("1", [5, 6]), ("2", [2, 1]),
    ]  # fmt: skip
    assert drawn[-3:] == [("2", [0, 3]), ("2", [2, 1]), ("2", [4, 6])]


def test_state_continues_the_stream_exactly(make):
    paths = [make("s1", 6, (7,)), make("s2", 5, (4, 3, 6))]
    a, b = data(paths, batch_size=2), data(paths, batch_size=2, seed=1)
    for _ in range(11):
        a.next_batch()
    b.set_state(pickle.loads(pickle.dumps(a.state())))
    for _ in range(40):
        assert np.array_equal(a.next_batch()["coord"], b.next_batch()["coord"])
    with pytest.raises(UserError, match="systems differ"):
        data(paths[:1]).set_state(a.state())


def test_seeds_draw_differently(make):
    section = {"systems": make(sets=(50,)), "batch_size": 5}
    draws = [
        DataSystems(section, ["O", "H"], [ENERGY], seed=seed).next_batch()["energy"].ravel().tolist()
        for seed in (1, 2, 1, 1 + 2**32)
    ]
    assert draws[0] == draws[2] == draws[3] != draws[1]


@pytest.mark.parametrize("rule", [3, "mixed:3"])
def test_ranks_share_out_what_one_would_draw(make, rule):
    paths = [make("a", sets=(30,)), make("b", sets=(12, 30))]
    whole = 6 if rule == 3 else "mixed:6"
    one = DataSystems({"systems": paths, "batch_size": whole}, ["O", "H"], [ENERGY], seed=4)
    ranks = [
        DataSystems({"systems": paths, "batch_size": rule}, ["O", "H"], [ENERGY], seed=4, shard=(r, 2)) for r in (0, 1)
    ]
    assert ranks[0].total_batches == one.total_batches or rule != 3
    for _ in range(20):
        parts = [r.next_batch() for r in ranks]
        batch = one.next_batch()
        assert np.array_equal(batch["energy"], np.concatenate([p["energy"] for p in parts]))
        assert np.array_equal(batch["coord"], np.concatenate([p["coord"] for p in parts]))
    assert str(ranks[0].state()) == str(ranks[1].state())


def test_a_set_too_small_for_all_ranks_is_given_out_again(make):
    path = make(sets=(2,))
    ranks = [
        DataSystems({"systems": path, "batch_size": 2}, ["O", "H"], [ENERGY], seed=4, shard=(r, 3)) for r in range(3)
    ]
    parts = [r.next_batch()["energy"].ravel().tolist() for r in ranks]
    assert [len(p) for p in parts] == [1, 1, 1] and parts[0] == parts[2] != parts[1]


def test_missing_labels_have_a_flag_and_the_default(make):
    path = make(force=None)
    coeff = DataRequirement("atom_ener_coeff", 1, atomic=True, default=1.0)
    d = data(path, [ENERGY, FORCE, coeff])
    batch = d.next_batch()
    assert batch["find_energy"] == 1.0 and batch["find_force"] == 0.0 and not batch["force"].any()
    assert np.all(batch["atom_ener_coeff"] == 1.0) and batch["atom_ener_coeff"].shape[1] == 6
    assert d.missing_labels("force") == [path] and d.missing_labels("energy") == []
    with pytest.raises(UserError, match=r"fparam\.npy is required but missing"):
        data(path, [DataRequirement("fparam", 2, must=True)]).next_batch()


def test_open_boundary(make):
    batch = data(make(nopbc=True)).next_batch()
    assert batch["mesh"].size == 0 and not batch["box"].any()


def test_frame_and_atomic_parameters_and_repeated_numbers(make):
    types = [1, 0, 0]
    path = make(
        natoms=3,
        types=types,
        fparam=np.arange(10.0).reshape(5, 2),
        aparam=np.arange(15.0),
        atom_pref=np.arange(15.0).reshape(5, 3),
    )
    reqs = [
        ENERGY,
        DataRequirement("fparam", 2, must=True),
        DataRequirement("aparam", 1, atomic=True, must=True),
        DataRequirement("atom_pref", 1, atomic=True, repeat=3),
    ]
    with pytest.raises(UserError, match=r"aparam\.npy: shape \(5,\)"):
        data(path, reqs).next_batch()
    np.save(f"{path}/set.000/aparam.npy", np.arange(15.0).reshape(5, 3, 1))
    batch = data(path, reqs, batch_size=5).next_batch()
    f = batch["energy"][:, 0].astype(int)
    assert np.array_equal(batch["fparam"], np.arange(10.0).reshape(5, 2)[f])
    assert np.array_equal(batch["aparam"], np.arange(15.0).reshape(5, 3)[f][:, [0, 1, 2]])
    assert np.array_equal(batch["atom_pref"], np.repeat(np.arange(15.0).reshape(5, 3)[f], 3, axis=1))


def test_shapes_of_stored_arrays_are_free(make):
    path = make(natoms=4, types=[0, 0, 1, 1])
    reference = data(path, type_map=("H", "O"), batch_size=5).all_frames(0)
    for key, shape in (("energy", (5, 1)), ("force", (5, 4, 3)), ("coord", (5, 4, 3)), ("box", (5, 3, 3))):
        file = f"{path}/set.000/{key}.npy"
        np.save(file, np.load(file).reshape(shape).astype(np.float32))
    batch = data(path, type_map=("H", "O"), batch_size=5).all_frames(0)
    for key in ("energy", "force", "coord", "box"):
        assert np.allclose(batch[key], reference[key], atol=1e-5) and batch[key].dtype == np.float64


def test_one_frame_in_one_dimension(make):
    path = make(natoms=4, sets=(1,))
    for key in ("coord", "force", "box"):
        file = f"{path}/set.000/{key}.npy"
        np.save(file, np.load(file).ravel())
    assert data(path).next_batch()["coord"].shape == (1, 12)


def test_labels_of_selected_types(make):
    types = [1, 0, 1, 0, 1]
    full = np.arange(4 * 5 * 3.0).reshape(4, 5, 3)
    path = make(natoms=5, types=types, sets=(4,), atomic_dipole=full.reshape(4, -1))
    req = DataRequirement("atom_dipole", 3, atomic=True, type_sel=(0,))  # model type 0 is O, data type 1
    every = data(path, [ENERGY, req], batch_size=4).all_frames(0)["atom_dipole"]
    assert np.array_equal(every.reshape(4, 3, 3), full[:, [0, 2, 4]])
    np.save(f"{path}/set.000/atomic_dipole.npy", full[:, [0, 2, 4]].reshape(4, -1))
    assert np.array_equal(data(path, [ENERGY, req]).all_frames(0)["atom_dipole"], every)
    np.save(f"{path}/set.000/atomic_dipole.npy", full[:, :2].reshape(4, -1))
    with pytest.raises(UserError, match=r"atomic_dipole\.npy.*expected 9 or 15"):
        data(path, [ENERGY, req]).next_batch()


def test_two_selected_types_follow_the_sorted_atoms(make):
    types = [2, 0, 1, 2, 0]
    label = np.arange(5.0)[None]
    path = make(natoms=5, types=types, sets=(1,), type_map=("A", "B", "C"), atom_x=label)
    req = DataRequirement("atomic_x", 1, atomic=True, type_sel=(0, 2))
    out = data(path, [req], type_map=("A", "B", "C")).all_frames(0)["atomic_x"]
    assert out.tolist() == [[1.0, 4.0, 0.0, 3.0]]


def test_frames_are_repeated_once(make):
    path = make(sets=(4,), numb_copy=np.array([1, 3, 0, 1]))
    d = data(path, batch_size=5)
    for _ in range(4):
        assert sorted(d.next_batch()["energy"].ravel().astype(int)) == [0, 1, 1, 1, 3]
    np.save(f"{path}/set.000/numb_copy.npy", [1, 2])
    with pytest.raises(UserError, match="numb_copy"):
        data(path).next_batch()


def test_raw_text_directory(make, tmp_path):
    path = make(sets=(4,))
    raw = tmp_path / "raw"
    raw.mkdir()
    for name in ("type.raw", "type_map.raw"):
        (raw / name).write_bytes((tmp_path / "sys" / name).read_bytes())
    for key in ("coord", "box", "energy", "force"):
        np.savetxt(raw / f"{key}.raw", np.load(f"{path}/set.000/{key}.npy"))
    a, b = data(path).all_frames(0), data(str(raw)).all_frames(0)
    for key in ("coord", "box", "energy", "force"):
        assert np.array_equal(a[key], b[key])


@pytest.mark.parametrize("options", [{}, {"chunks": True, "compression": "gzip"}])
def test_hdf5_at_any_depth(make, to_hdf5, options):
    path, other = make("a", sets=(3, 2)), make("b", natoms=4, nopbc=True)
    to_hdf5(path, "data.hdf5", "deep/er/H2O", **options)
    to_hdf5(other, "data.hdf5", "cluster", **options)
    assert expand_systems("data.hdf5") == ["data.hdf5#/cluster", "data.hdf5#/deep/er/H2O"]
    assert expand_systems("data.hdf5#/deep") == ["data.hdf5#/deep/er/H2O"]
    assert expand_systems(["data.hdf5#deep/er/H2O", path]) == ["data.hdf5#deep/er/H2O", path]
    a, b = data([path, other], batch_size=2), data(["data.hdf5#/deep/er/H2O", "data.hdf5#/cluster"], batch_size=2)
    assert b.pbc == [True, False] and b.natoms == [6, 4]
    for _ in range(8):
        x, y = a.next_batch(), b.next_batch()
        for key in ("coord", "box", "energy", "force", "type", "mesh"):
            assert np.array_equal(x[key], y[key])
    with pytest.raises(UserError, match="no group '/nothing'"):
        expand_systems("data.hdf5#/nothing")


def test_finding_systems(make, tmp_path):
    for name in ("z/one", "z/one/inner", "a", "z/two"):
        make(name)
    (tmp_path / "link").symlink_to(tmp_path / "z")
    (tmp_path / "z" / "loop").symlink_to(tmp_path / "z")
    assert expand_systems(["z"]) == ["z/one", "z/one/inner", "z/two"]
    assert expand_systems("link") == ["link/one", "link/one/inner", "link/two"]
    assert expand_systems(["a", "z/two"]) == ["a", "z/two"]
    assert expand_systems("z/t*") == ["z/two"]
    assert expand_systems("z", ["t*", "one"]) == ["z/one", "z/two"]
    (tmp_path / "empty").mkdir()
    for bad, told in (("nowhere", "no such system: 'nowhere'"), ("empty", "no system .* in 'empty'"), ([], "is empty")):
        with pytest.raises(UserError, match=told):
            expand_systems(bad)


def mixed(make, name, types, **kwargs):
    types = np.asarray(types)
    kwargs.setdefault("sets", (len(types),))
    return make(name, natoms=types.shape[1], types=[0] * types.shape[1], real_atom_types=types, **kwargs)


def test_mixed_types(make):
    types = np.array([[0, 1, 1, -1], [1, 1, 0, 0]])
    d = data(mixed(make, "m", types), batch_size=2)
    batch = d.all_frames(0)
    assert batch["type"].tolist() == [[1, 0, 0, -1], [0, 0, 1, 1]]  # model: O H
    assert batch["natoms_vec"].tolist() == [4, 4, 4, 0] and batch["mesh"].size == 7 and d.mixed_type
    assert batch["real_natoms_vec"].tolist() == [[4, 4, 2, 1], [4, 4, 2, 2]]
    with pytest.raises(UserError, match="mixed-type and ordinary systems"):
        data(["m", make("plain")])


def test_mixed_types_out_of_range_and_unknown(make):
    with pytest.raises(UserError, match=r"real_atom_types\.npy: frame 1, atom 2 has type 5"):
        data(mixed(make, "m", [[0, 1, 1], [0, 0, 5]])).next_batch()
    with pytest.raises(UserError, match="frame 0, atom 1 is 'O', which is not in the model's type_map"):
        data(mixed(make, "k", [[0, 1, 0], [0, 0, 0]]), type_map=["H"]).next_batch()
    assert data(mixed(make, "unused", [[0, 0, 0], [0, 0, 0]]), type_map=["H"]).next_batch()["type"].max() == 0
    with pytest.raises(UserError, match=r"need a type_map\.raw"):
        data(mixed(make, "n", [[0, 1, 1], [0, 0, 1]], type_map=None))


def test_batches_of_several_systems(make):
    paths = [make("a", natoms=3, types=[0, 1, 1]), make("b", natoms=5, types=[0, 0, 1, 1, 1], seed=1)]
    d = data(paths, batch_size="mixed:8")
    batch = d.next_batch()
    assert batch["coord"].shape == (8, 15) and batch["force"].shape == (8, 15) and batch["mesh"].size == 7
    short = batch["type"][:, -1] == -1
    assert 0 < short.sum() < 8 and np.all(batch["type"][short, 3:] == -1) and not batch["force"][short, 9:].any()
    assert batch["natoms_vec"].tolist() == [5, 5, 5, 0]
    frame = int(np.flatnonzero(short)[0])
    energy = int(batch["energy"][frame, 0])
    expected = np.load(f"{paths[0]}/set.000/force.npy")[energy].reshape(3, 3)[[1, 2, 0]]
    assert np.array_equal(batch["force"][frame, :9], expected.ravel())
    with pytest.raises(UserError, match="periodic and open"):
        data([paths[0], make("c", nopbc=True)], batch_size="mixed:2")


def test_batches_of_several_systems_are_the_public_ones(make):
    """The frames that release 3.2.0 drew with this seed, after its batches for statistics and the one it looks at."""
    paths = [make("a", natoms=3, types=[0, 1, 1], sets=(6,)), make("b", natoms=3, types=[0, 1, 1], sets=(5,), seed=1)]
    d = data(paths, batch_size="mixed:2", seed=3)
    assert d.probs.tolist() == [0.6, 0.4]
    batches = d.stat_batches(1)
    assert [len(s) for s in batches] == [1, 1] and batches[0][0]["coord"].shape == (2, 9)
    d.skip_batch()
    drawn = [[(isys, int(frames[0])) for isys, _system, _set, frames in d.draw()] for _ in range(4)]
    assert drawn == [[(1, 2), (0, 5)], [(0, 4), (0, 2)], [(0, 5), (0, 3)], [(0, 1), (0, 0)]]


def test_model_without_type_map(make):
    paths = [make("a", type_map=("H", "O")), make("b", type_map=("H", "O", "C"))]
    assert data(paths, type_map=None).next_batch()["natoms_vec"].shape == (4,)
    with pytest.raises(UserError, match="names the types O H"):
        data([*paths, make("c", type_map=("O", "H"))], type_map=None)


def test_summary_has_the_public_layout(make):
    make("a_very_long_directory_name_for_the_table/with_sub_directories/s2", 5, (13,), nopbc=True)
    d = data([make("s1", 6, (7,)), "a_very_long_directory_name_for_the_table"], batch_size=2)
    assert d.summary("training").splitlines() == [
        "---Summary of DataSystem: Training     -----------------------------------------------",
        "Found 2 System(s):",
        "                                    system  natoms  bch_sz  n_bch   prob       pbc",
        f"{d.names[0]:>42s}       6       2       3  3.333e-01    T"
        if len(d.names[0]) <= 42
        else f"-- {d.names[0][-39:]}       6       2       3  3.333e-01    T",
        "-- e_for_the_table/with_sub_directories/s2       5       2       6  6.667e-01    F",
        "--------------------------------------------------------------------------------------",
    ]


def test_all_frames_keeps_file_order(make):
    d = data(make(sets=(3, 4)))
    assert d.all_frames(0)["energy"].ravel().tolist() == list(range(7))
    assert d.all_frames(0, 5)["energy"].ravel().tolist() == list(range(5))


def test_files_are_memory_mapped(make):
    path = make()
    source = data(path).systems[0].source
    assert isinstance(source.array("set.000", "coord"), np.memmap)


def test_a_replaced_file_is_read_anew(make):
    path = make(sets=(1,))
    assert data(path).next_batch()["energy"][0, 0] == 0
    np.save(f"{path}/set.000/energy.npy", np.array([7.5]))
    assert data(path).next_batch()["energy"][0, 0] == 7.5
