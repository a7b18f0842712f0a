"""Every graph family frozen by the public TensorFlow backend, plain and compressed, gives the public numbers."""

import numpy as np
import pytest

from dptf.infer import DeepPotential

PLAIN = [
    "dipole", "dos", "hybrid", "loc_frame", "polar", "se_atten", "se_atten_no_attn", "se_atten_strip", "se_atten_v2",
    "se_e2_a", "se_e2_a_exclude", "se_e2_a_fp32", "se_e2_a_fparam_aparam", "se_e2_a_tebd", "se_e2_a_two_side",
    "se_e2_r", "se_e3",
]  # fmt: skip
COMPRESSED = [
    f"{name}.compressed"
    for name in (
        "dipole",
        "se_atten_strip",
        "se_atten_v2",
        "se_e2_a",
        "se_e2_a_exclude",
        "se_e2_a_two_side",
        "se_e2_r",
        "se_e3",
    )
]


def evaluate(model, data, box):
    params = {}
    if model.get_dim_fparam():
        params["fparam"] = data["fparam"][:, : model.get_dim_fparam()]
    if model.get_dim_aparam():
        params["aparam"] = data["aparam"]
    out = model.eval(data["coord"], box, data["atype"], atomic=True, **params)
    return out if isinstance(out, tuple) else (out,)


@pytest.mark.parametrize("name", PLAIN + COMPRESSED)
def test_golden(golden, name):
    data = np.load(golden / "pb" / f"{name}.npz")
    tolerance = 1e-5 if "fp32" in name else 1e-10
    with DeepPotential(golden / "pb" / f"{name}.pb") as model:
        for prefix, box in (("pbc_", data["box"]), ("nopbc_", None)):
            found = evaluate(model, data, box)
            keys = ["energy", "force", "virial", "atom_energy", "atom_virial"]
            if prefix + "energy" not in data:
                keys = sorted(key[len(prefix) :] for key in data if key.startswith(prefix))
            assert len(found) == len(keys)
            for key, value in zip(keys, found):
                expected = data[prefix + key]
                assert value.shape == expected.shape, key
                np.testing.assert_allclose(
                    value, expected, rtol=0, atol=tolerance * max(1, np.abs(expected).max()), err_msg=f"{prefix}{key}"
                )


def test_no_file_is_left_out(golden):
    assert {path.stem for path in (golden / "pb").glob("*.pb")} == set(PLAIN + COMPRESSED)
