"""The table in docs/feature-table.md says yes only where it is so."""

import pytest

from tests.feature_table import DESCRIPTORS, FITTINGS, PAGE, read_page, table
from tests.lmp.lammps_run import LIB

SAMPLE = ["se_e2_a, one side", "se_atten, strip form", "loc_frame"]


def test_all_descriptors_are_in_the_table():
    rows = read_page()
    assert {name for name, _ in rows} == set(DESCRIPTORS)
    assert all(rows[name, "energy"]["Python"] for name in DESCRIPTORS)


@pytest.mark.slow
def test_claims_of_a_sample():
    claimed = read_page()
    found = table(
        {name: DESCRIPTORS[name] for name in SAMPLE},
        {k: FITTINGS[k] for k in ("energy", "dipole")},
        lammps=(LIB / "libdeepmd_lmpplugin.so").exists(),
    )
    for key, row in found.items():
        for column, yes in claimed[key].items():
            assert row[column] or not yes, f"{PAGE.name}: {key}, {column}; run python tests/feature_table.py"
