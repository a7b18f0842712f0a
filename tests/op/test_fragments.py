"""Sub-systems of QM/MM frames (DprcPairwiseIdx, ConvertForwardMap) and parameters of neighbors (MapAparam)."""

import numpy as np
import pytest

from dptf.ops import op_module, tf
from tests.op.slots import neighbor_slots, with_ghosts

KEYS = ["forward_qm", "backward_qm", "forward_qmmm", "backward_qmmm", "natoms_qm", "natoms_qmmm", "frame"]


def split(ids, natoms):
    with tf.Graph().as_default(), tf.Session() as session:
        out = op_module.dprc_pairwise_idx(np.array(ids, np.int32), np.array(natoms, np.int32))
        return dict(zip(KEYS, session.run(list(out))))


def merge(forward, sub_natoms, natoms):
    with tf.Graph().as_default(), tf.Session() as session:
        return session.run(list(op_module.convert_forward_map(forward, sub_natoms, np.array(natoms, np.int32))))


def parse_mesh(mesh):
    """Neighbors of each atom of a list given by value."""
    n = mesh[0]
    assert (mesh[1:16] == 0).all() and (mesh[16 : 16 + n] == np.arange(n)).all()
    counts, at, out = mesh[16 + n : 16 + 2 * n], 16 + 2 * n, []
    for count in counts:
        out.append(mesh[at : at + count].tolist())
        at += count
    assert at == len(mesh)
    return out


def test_two_fragments_and_virtual_atoms():
    out = split([[1, 1, 0, 0, 2, 2, -1, -1]], [8, 8, 8])
    expected = {
        "forward_qm": [[2, 3]],
        "backward_qm": [[-1, -1, 0, 1, -1, -1, -1, -1]],
        "forward_qmmm": [[2, 3, 0, 1], [2, 3, 4, 5]],
        "backward_qmmm": [[2, 3, 0, 1, -1, -1, -1, -1], [-1, -1, 0, 1, 2, 3, -1, -1]],
        "natoms_qm": [2, 2, 2],
        "natoms_qmmm": [4, 4, 4],
        "frame": [0, 0],
    }
    assert {k: v.tolist() for k, v in out.items()} == expected
    forward, backward, natoms, mesh = merge(out["forward_qmmm"], out["natoms_qmmm"], [8, 8, 8])
    assert forward.tolist() == [[2, 3, 0, 1, 2, 3, 4, 5]] and natoms.tolist() == [8, 8, 8]
    assert backward.tolist() == [[2, 3, 0, 1, -1, -1, -1, -1], [-1, -1, 4, 5, 6, 7, -1, -1]]
    assert parse_mesh(mesh)[5] == [4, 6, 7]


def test_frames_with_different_fragments_and_ghosts():
    """Values of the public package for two frames with 5 local and 4 ghost atoms."""
    out = split([[0, 1, 2, 0, 1, 0, 0, 2, 3], [2, 0, 1, 3, 4, 0, 0, 1, 1]], [5, 9, 3, 2])
    assert out["forward_qm"].tolist() == [[0, 3, 5, 6], [1, -1, 5, 6]]
    assert out["natoms_qm"].tolist() == [2, 4, 2, 0] and out["natoms_qmmm"].tolist() == [4, 8, 4, 0]
    assert out["forward_qmmm"].tolist() == [
        [0, 3, 1, 4, 5, 6, -1, -1], [0, 3, 2, -1, 5, 6, 7, -1], [0, 3, -1, -1, 5, 6, 8, -1], [1, 2, -1, -1, 5, 6, 7, 8],
        [1, 0, -1, -1, 5, 6, -1, -1], [1, 3, -1, -1, 5, 6, -1, -1], [1, 4, -1, -1, 5, 6, -1, -1],
    ]  # fmt: skip
    assert out["frame"].tolist() == [0, 0, 0, 1, 1, 1, 1]
    forward, backward, natoms, mesh = merge(out["forward_qmmm"], out["natoms_qmmm"], [5, 9, 3, 2])
    assert natoms.tolist() == [17, 35, 17, 0] and forward.shape == (1, 35)
    neighbors = parse_mesh(mesh)
    assert neighbors[2] == [0, 1, 3, 17, 18] and neighbors[9] == [10, 25, 26, 27, 28]
    assert backward[0].tolist() == [0, 2, -1, 1, 3, 17, 18, -1, -1]


@pytest.mark.parametrize("seed", range(4))
def test_maps_are_inverse(seed):
    """In random frames every atom of a sub-system is found back, and neighbors are exactly the other members."""
    rng = np.random.default_rng(seed)
    nf, nloc, nall = 3, 7, 12
    ids = rng.integers(-1, 4, size=(nf, nall))
    natoms = [nloc, nall, 4, 3]
    out = split(ids, natoms)
    for kind in ("qm", "qmmm"):
        forward, backward = out[f"forward_{kind}"], out[f"backward_{kind}"]
        for row, back in zip(forward, backward):
            for place, atom in enumerate(row):
                if atom >= 0:
                    assert back[atom] == place and (atom < nloc) == (place < out[f"natoms_{kind}"][0])
            assert (back >= 0).sum() == (row >= 0).sum()
    rows = []
    for f in range(nf):
        numbers = sorted(set(ids[f][ids[f] >= 0]))
        core = np.flatnonzero(ids[f] == numbers[0])
        np.testing.assert_array_equal(out["backward_qm"][f] >= 0, ids[f] == numbers[0])
        rows += [set(core) | set(np.flatnonzero(ids[f] == k)) for k in numbers[1:]]
    assert [set(row[row >= 0]) for row in out["forward_qmmm"]] == rows
    forward, backward, merged, mesh = merge(out["forward_qmmm"], out["natoms_qmmm"], natoms)
    owner = {place: r for r, back in enumerate(backward) for place in back if place >= 0}
    assert len(owner) == merged[1] == forward.shape[1]
    for place, others in enumerate(parse_mesh(mesh)):
        assert forward[0, place] < nloc
        assert set(others) == {k for k, r in owner.items() if r == owner[place]} - {place}


def test_only_a_core_and_only_virtual_atoms():
    out = split([[0, 0, 0]], [3, 3, 3])
    assert out["forward_qm"].tolist() == [[0, 1, 2]] and len(out["forward_qmmm"]) == 0
    forward, backward, natoms, mesh = merge(out["forward_qmmm"], out["natoms_qmmm"], [3, 3, 3])
    assert forward.tolist() == [[-1]] and natoms.tolist() == [1, 1, 1] and backward.shape == (0, 3)
    assert parse_mesh(mesh) == [[]]
    out = split([[-1, -1]], [2, 2, 2])
    assert out["forward_qm"].tolist() == [[-1]] and out["natoms_qm"].tolist() == [1, 1, 1]


def test_split_errors():
    with pytest.raises(tf.errors.InvalidArgumentError, match="3 entries a frame"):
        split([[0, 1]], [3, 3, 3])
    with pytest.raises(tf.errors.InvalidArgumentError, match="names atom 9 of 3"):
        merge(np.array([[0, 9]], np.int32), np.array([2, 2, 2], np.int32), [3, 3, 3])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_map_aparam(dtype):
    for slots in (neighbor_slots("liquid"), with_ghosts(neighbor_slots("sel overflows"))):
        n, nall = slots["natoms"][:2]
        aparam = np.random.default_rng(0).normal(size=(2, nall, 3)).astype(dtype)
        nlist = np.tile(slots["nlist"].reshape(1, -1), (2, 1))
        with tf.Graph().as_default(), tf.Session() as session:
            out = session.run(
                op_module.map_aparam(
                    aparam.reshape(2, -1), nlist, slots["natoms"], n_a_sel=nlist.shape[1] // n, n_r_sel=0
                )
            )
        expected = np.where(nlist[..., None] >= 0, aparam[np.arange(2)[:, None], nlist], 0)
        np.testing.assert_array_equal(out.reshape(expected.shape), expected)
