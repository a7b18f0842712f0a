import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def golden_dir():
    """Folder of the reference cases, or None where it is not beside the checkout."""
    path = Path(os.environ.get("DPTF_GOLDEN", ROOT.parent / "shared" / "golden"))
    return path if path.is_dir() else None


@pytest.fixture(scope="session")
def golden():
    path = golden_dir()
    if path is None:
        pytest.skip("the reference cases (shared/golden, or DPTF_GOLDEN) are not beside this checkout")
    return path
