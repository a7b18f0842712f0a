"""What evaluators and ``dp show`` tell of every graph of the public TensorFlow backend."""

import json

import numpy as np
import pytest

from dptf.cli.main import main
from dptf.infer import DeepPotential
from tests.dptf.infer.test_golden_pb import COMPRESSED, PLAIN

ALL = PLAIN + COMPRESSED


@pytest.mark.parametrize("name", ALL)
def test_attributes(golden, name):
    plain = name.split(".")[0]
    section = json.loads((golden / "pb" / f"{plain}.json").read_text())["model"]
    descriptor, fitting = section["descriptor"], section["fitting_net"]
    parts = descriptor.get("list", [descriptor])
    with DeepPotential(golden / "pb" / f"{name}.pb") as model:
        assert model.get_type_map() == section["type_map"] and model.get_ntypes() == 2
        assert model.get_rcut() == pytest.approx(max(p["rcut"] for p in parts))
        assert model.get_dim_fparam() == fitting.get("numb_fparam", 0)
        assert model.get_dim_aparam() == fitting.get("numb_aparam", 0)
        kind = fitting.get("type", "ener")
        chosen = fitting.get("sel_type", fitting.get(f"{kind}_type"))
        if kind in ("dipole", "polar"):
            assert sorted(model.get_sel_type()) == sorted(chosen if chosen is not None else [0, 1])
        assert model.get_numb_dos() == (fitting["numb_dos"] if kind == "dos" else 0)
        assert model.get_ntypes_spin() == 0 and not model.has_spin and not model.has_efield
        assert model.get_model_def_script()["type_map"] == section["type_map"]
        size = model.get_model_size()
        assert size["total"] == size["descriptor"] + size["fitting-net"] and size["fitting-net"] > 0
        tables = name != plain and not plain.startswith("se_atten")  # whose type embedding stays a net
        assert (size["descriptor"] == 0) == (plain == "loc_frame" or tables)
        assert model.get_observed_types()["observed_type"] == section["type_map"]
        data = np.load(golden / "pb" / f"{plain}.npz")
        if not model.get_dim_fparam():
            features = model.eval_descriptor(data["coord"], data["box"], data["atype"])
            assert features.shape[:2] == (3, data["coord"].shape[1] // 3) and np.isfinite(features).all()


@pytest.mark.parametrize("name", ALL)
def test_show(golden, name, capsys):
    asked = ["type-map", "descriptor", "fitting-net", "size", "observed-type"]
    assert main(["show", str(golden / "pb" / f"{name}.pb"), *asked]) == 0
    told = capsys.readouterr().err
    for words in (
        "The type_map is ['O', 'H']",
        "The descriptor parameter is {",
        "The fitting_net parameter is {",
        "The total number of parameters is ",
    ):
        assert words in told
