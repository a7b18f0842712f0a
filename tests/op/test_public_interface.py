"""Every public op has the public inputs, outputs, attributes and defaults."""

import json
from pathlib import Path

import pytest
from tensorflow.python.framework import dtypes, op_def_registry

import dptf.ops  # noqa: F401
from dptf.graph.allowlist import DEEPMD_OPS

PUBLIC = json.loads((Path(__file__).parents[1] / "data" / "op" / "public_ops.json").read_text())
NAMES = [name for name in PUBLIC if "Nvnmd" not in name]


def signature(op_def):
    def arguments(args):
        return [f"{a.name}: {a.type_attr or dtypes.as_dtype(a.type).name.replace('float64', 'double')}" for a in args]

    def default(attr):
        if not attr.HasField("default_value"):
            return ""
        kind = attr.default_value.WhichOneof("value")
        value = getattr(attr.default_value, kind)
        return " = " + {"type": "DT_DOUBLE", "b": str(value).lower(), "f": f"{value:g}"}.get(kind, str(value))

    return {
        "in": arguments(op_def.input_arg),
        "out": arguments(op_def.output_arg),
        "attr": [f"{a.name}: {a.type}{default(a)}" for a in op_def.attr],
    }


@pytest.mark.parametrize("name", NAMES)
def test_signature(name):
    op_def = op_def_registry.get(name)
    assert op_def is not None, f"{name} is not registered"
    found, public = signature(op_def), dict(PUBLIC[name])
    found["attr"], public["attr"] = sorted(found["attr"]), sorted(public["attr"])  # named, so their order is free
    assert found == public
    for attr in op_def.attr:
        if attr.name == "T":
            assert set(attr.allowed_values.list.type) == {1, 2}


def test_old_name_of_the_pair_table():
    assert signature(op_def_registry.get("TabInter")) == signature(op_def_registry.get("PairTab"))


def test_loaders_let_exactly_these_ops_through():
    assert set(NAMES) | {"TabInter"} == DEEPMD_OPS
