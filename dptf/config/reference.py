"""The input schema in forms for people, editors and form builders."""

import json

from dptf.config.schema.root import root, sections


def as_rst():
    """The reference as reStructuredText."""
    return "\n\n".join(section.gen_doc(make_anchor=True, make_link=True) for section in sections())


def as_json():
    """The sections as an array of dargs arguments in JSON."""
    from dargs.dargs import ArgumentEncoder

    return json.dumps(sections(), cls=ArgumentEncoder)


def as_json_schema():
    """The input as a JSON schema (draft 2020-12)."""
    from dargs.json_schema import generate_json_schema

    return json.dumps(generate_json_schema(root(), id="dptf-input"), indent=2)
