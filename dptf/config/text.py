"""Reading JSON and YAML text strictly, with the line of every key."""

import json
import re
from pathlib import Path

from dptf.errors import UserError

_TOKEN = re.compile(r'\s+|"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.S)


def json_lines(text):
    """Map the path of every key (tuple of strings) to its line, for valid JSON text; list items count from 0."""
    lines, stack, line = {}, [], 1
    pending = None  # the string that turns out to be a key when ':' follows

    def path():
        return tuple(str(frame[1]) for frame in stack if frame[1] is not None)

    for match in _TOKEN.finditer(text):
        token = match[0]
        if token == "{":
            stack.append(["{", None])
        elif token == "[":
            stack.append(["[", 0])
        elif token in "}]":
            stack.pop()
        elif token == ":":
            stack[-1][1] = json.loads(pending[0])
            lines.setdefault(path(), pending[1])
        elif token == ",":
            stack[-1][1] = stack[-1][1] + 1 if stack[-1][0] == "[" else None
        elif token[0] == '"':
            pending = (token, line)
        line += token.count("\n")
    return lines


def _no_duplicates(pairs):
    seen = {}
    for key, value in pairs:
        if key in seen:
            raise _DuplicateKey(key)
        seen[key] = value
    return seen


class _DuplicateKey(Exception):
    pass


def _duplicate_lines(text, key):
    quoted = json.dumps(key, ensure_ascii=False)
    return [n for n, row in enumerate(text.splitlines(), 1) if re.search(re.escape(quoted) + r"\s*:", row)]


def _parse_json(text, where):
    try:
        return json.loads(text, object_pairs_hook=_no_duplicates), json_lines(text)
    except json.JSONDecodeError as err:
        row = text.split("\n")[err.lineno - 1].strip()
        shown = f" near '{row[:60]}'" if row else ""
        raise UserError(
            f"not valid JSON: {err.msg}{shown}", f"{where}, line {err.lineno}, column {err.colno}",
            "check commas, quotes and brackets there and on the line before",
        ) from None  # fmt: skip
    except _DuplicateKey as err:
        key = err.args[0]
        rows = ", ".join(map(str, _duplicate_lines(text, key)))
        raise UserError(f"key '{key}' is given twice in one section (it occurs on lines {rows})", where,
                        "remove one of them") from None  # fmt: skip


def _parse_yaml(text, where):
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    lines = {}

    def mapping(loader, node, deep=True):
        keys = [loader.construct_object(k, deep=True) for k, _ in node.value]
        for k, (knode, _) in zip(keys, node.value):
            if keys.count(k) > 1:
                raise UserError(f"key '{k}' is given twice in one section", f"{where}, line {knode.start_mark.line + 1}",
                                "remove one of them")  # fmt: skip
        return yaml.SafeLoader.construct_mapping(loader, node, deep=True)

    def walk(node, path):
        if isinstance(node, yaml.MappingNode):
            for k, v in node.value:
                lines[(*path, str(k.value))] = k.start_mark.line + 1
                walk(v, (*path, str(k.value)))
        elif isinstance(node, yaml.SequenceNode):
            for i, v in enumerate(node.value):
                walk(v, (*path, str(i)))

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    try:
        walk(yaml.compose(text, Loader=yaml.SafeLoader), ())
        return yaml.load(text, Loader=Loader), lines
    except yaml.YAMLError as err:
        mark = getattr(err, "problem_mark", None)
        at = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise UserError(f"not valid YAML: {getattr(err, 'problem', None) or err}", f"{where}{at}") from None


def read(path):
    """Read an input file.

    Parameters
    ----------
    path : str or Path
        File ending in ``.json``, ``.yaml`` or ``.yml``.

    Returns
    -------
    dict
        The content as written.
    dict
        Line of every key, by path.
    """
    path = Path(path)
    if not path.name.endswith(("json", "yml", "yaml")):
        raise UserError("the name of an input file ends in .json, .yaml or .yml", str(path))
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError("no such file", str(path), f"looked in {path.absolute().parent}") from None
    except UnicodeDecodeError as err:
        raise UserError(f"not a text file ({err.reason} at byte {err.start})", str(path)) from None
    data, lines = (_parse_json if path.name.endswith("json") else _parse_yaml)(text, str(path))
    if not isinstance(data, dict):
        raise UserError("the file must hold one object with the sections model, training, ...", str(path))
    return data, lines
