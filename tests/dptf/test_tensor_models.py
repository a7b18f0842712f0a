"""Dipoles and polarizabilities: derivatives of every component, with one net per type and one for all."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from model_cases import FITTING, SE_A, SE_R, TYPES, Case, check_derivatives
from test_dpa1 import ATTEN, AttentionCase

from dptf.errors import UserError

DIPOLE = FITTING | {"type": "dipole", "sel_type": [1]}
POLAR = FITTING | {"type": "polar", "sel_type": [0], "fit_diag": False, "scale": [2.0, 0.5]}
MODELS = {
    "dipole": (Case, SE_A, DIPOLE, 3),
    "polar_diagonal": (Case, SE_A, POLAR | {"sel_type": None, "fit_diag": True}, 9),
    "dipole_mixed": (AttentionCase, ATTEN, DIPOLE, 3),
    "polar_mixed": (AttentionCase, ATTEN, POLAR, 9),
}


@pytest.mark.parametrize("name", MODELS)
def test_derivatives_and_selection(name):
    kind, descriptor, fitting, width = MODELS[name]
    case = kind(descriptor, fitting)
    check_derivatives(case, f"global_{fitting['type']}", width)
    out = case.run(names=[fitting["type"], f"global_{fitting['type']}"])
    selected = fitting["sel_type"] or [0, 1]
    atoms = out[fitting["type"]].reshape(-1, width)
    assert len(atoms) == np.isin(TYPES, selected).sum()
    np.testing.assert_allclose(out[f"global_{fitting['type']}"][0], atoms.sum(axis=0), atol=1e-13)


def test_what_is_refused():
    with pytest.raises(UserError, match="knows directions"):
        Case(SE_R, DIPOLE)
    with pytest.raises(UserError, match="sel_type"):
        Case(SE_A, DIPOLE | {"sel_type": [2]})
    with pytest.raises(UserError, match="scale"):
        Case(SE_A, POLAR | {"scale": [1.0]})
