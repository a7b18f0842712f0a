from pathlib import Path

import numpy as np
import pytest

DATA = Path(__file__).resolve().parents[2] / "data" / "infer"


@pytest.fixture(scope="session")
def model_dir():
    """Small frozen models with reference numbers."""
    return DATA


@pytest.fixture(scope="session")
def frames():
    """Inputs and reference outputs of the se_e2_a model: 3 frames of 24 atoms in a triclinic cell."""
    return dict(np.load(DATA / "se_e2_a.npz"))


@pytest.fixture(scope="session")
def dp():
    from dptf.infer import DeepPot

    with DeepPot(DATA / "se_e2_a.pb") as model:
        yield model


@pytest.fixture(scope="session")
def dp_params():
    from dptf.infer import DeepPot

    with DeepPot(DATA / "se_e2_a_fparam_aparam.pb") as model:
        yield model


@pytest.fixture(scope="session")
def dipole():
    from dptf.infer import DeepDipole

    with DeepDipole(DATA / "dipole.pb") as model:
        yield model
