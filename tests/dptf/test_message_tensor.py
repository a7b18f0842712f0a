"""Atomic virials of dipole models that pass messages: they are split by the atoms whose dipoles they come from."""

import numpy as np
import pytest

from dptf.graph.freeze import frozen_graph
from dptf.graph.load import write_graph_def
from dptf.infer import DeepDipole
from tests.dptf.dpa3_cases import FITTING, random_values, section


@pytest.mark.parametrize("selected", [[0, 1], [0]])
def test_atomic_virials_of_dipoles_follow_their_definition(tmp_path, selected):
    model_section = section({"nlayers": 2})
    model_section["fitting_net"] = FITTING | {"type": "dipole", "neuron": [6], "sel_type": selected}
    path = str(tmp_path / "dipole.pb")
    write_graph_def(frozen_graph({"model": model_section}, random_values(model_section)), path)
    model = DeepDipole(path)
    types = np.array([0, 1, 0, 1, 1, 0])
    coord = np.random.default_rng(1).uniform(0, 4, (6, 3))
    _, _, virial, _, atomic = model.eval_full(coord[None], None, types, atomic=True)
    atomic = np.reshape(atomic, (3, 6, 3, 3))
    np.testing.assert_allclose(atomic.sum(axis=1), np.reshape(virial, (3, 3, 3)), atol=1e-12)

    # sum_l dp_l/dr_k (r_l - r_k), component by component of p, by central differences.
    step = 1e-4
    moves = step * np.eye(18).reshape(18, 6, 3)
    frames = np.concatenate([coord + moves, coord - moves])
    # Dipoles of the selected atoms, then nothing for the others.
    dipoles = model.eval(frames, None, types, atomic=True).reshape(2, 6, 3, -1, 3)
    chosen = np.flatnonzero(np.isin(types, selected))
    if dipoles.shape[3] == len(types):
        dipoles = dipoles[:, :, :, chosen]
    slope = (dipoles[0] - dipoles[1]) / (2 * step)
    want = np.einsum("kalc,klb->ckab", slope, coord[chosen][None] - coord[:, None])
    np.testing.assert_allclose(atomic, want, atol=1e-6)
