"""The input reference covers every key and says something about each."""

import json

import pytest

from dptf.cli.main import main
from dptf.config.schema.root import sections


def walk(arg, path=""):
    """Yield every argument with its path."""
    yield path + arg.name, arg
    for sub in arg.sub_fields.values():
        yield from walk(sub, f"{path}{arg.name}/")
    for variant in arg.sub_variants.values():
        for choice in variant.choice_dict.values():
            for sub in choice.sub_fields.values():
                yield from walk(sub, f"{path}{arg.name}[{choice.name}]/")


def test_every_key_is_explained():
    arguments = [pair for section in sections() for pair in walk(section)]
    assert len(arguments) > 300
    assert [path for path, arg in arguments if not arg.doc.endswith(".")] == []


@pytest.mark.parametrize("kind", ["rst", "json", "json_schema"])
def test_command(kind, capsys):
    assert main(["doc-train-input", "--out-type", kind]) == 0
    text = capsys.readouterr().out
    if kind == "rst":
        assert "model/type_map" in text and "model[standard]/descriptor[se_e2_a]/axis_neuron" in text
        return
    data = json.loads(text)
    if kind == "json":
        assert [a["name"] for a in data][:2] == ["model", "learning_rate"]
        assert {"object", "name", "type", "optional", "alias", "doc", "repeat", "sub_fields", "sub_variants"} <= set(
            data[0]
        )
    else:
        assert data["$schema"].endswith("2020-12/schema") and set(data["required"]) == {"model", "training"}


def test_multi_task_is_refused(capsys):
    assert main(["doc-train-input", "--multi-task"]) == 1
    assert "multi-task" in capsys.readouterr().err
