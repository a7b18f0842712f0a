"""Check a value against the schema, rename aliases and fill in defaults, collecting every mistake.

The schema is written with dargs; this walker gives the same normal form as dargs (tested), but goes on after a mistake,
reports aliases given twice, and takes integral floats (1e6) where integers are wanted.
"""

import math
import typing
from copy import deepcopy

from dargs.dargs import _Flags

from dptf.config.problems import nearest

_NAMES = {int: "an integer", float: "a number", str: "a string", bool: "true or false", dict: "a section {...}",
          list: "a list", type(None): "null"}  # fmt: skip


def type_name(dtype):
    """A type in words."""
    origin = typing.get_origin(dtype)
    if origin is list:
        (item,) = typing.get_args(dtype)
        inner = {int: "integers", float: "numbers", str: "strings", bool: "true/false"}.get(item)
        return f"a list of {inner or 'lists'}"
    return _NAMES.get(dtype, getattr(dtype, "__name__", str(dtype)))


def _shown(value):
    text = {True: "true", False: "false", None: "null"}.get(value) if isinstance(value, bool | None) else repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _fit(value, dtype):
    """Return ``(fits, value)``; exact types only, floats take ints, ints take integral floats."""
    if typing.get_origin(dtype) is list:
        if not isinstance(value, list):
            return False, value
        (item,) = typing.get_args(dtype)
        fitted = [_fit(v, item) for v in value]
        return all(ok for ok, _ in fitted), [v for _, v in fitted]
    if dtype is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value), value
    if dtype is int:
        if isinstance(value, float) and value.is_integer():
            return True, int(value)
        return isinstance(value, int) and not isinstance(value, bool), value
    return type(value) is dtype, value


def _coerce(value, dtypes):
    # A float that is legal as a float stays one, so integers come after floats.
    for dtype in sorted(dtypes, key=lambda d: d is int):
        ok, fitted = _fit(value, dtype)
        if ok:
            return True, fitted
    return False, value


class Normalizer:
    """Walk a value along an argument; mistakes go to `problems`."""

    def __init__(self, problems):
        self.problems = problems

    def value(self, value, arg, path):
        """Return the normal form of the value of one key."""
        ok, value = _coerce(value, arg.dtype)
        if not ok:
            wanted = " or ".join(sorted(type_name(d) for d in arg.dtype))
            hint = " (remove the quotes)" if isinstance(value, str) and _is_number(value) else ""
            self.problems.add(path, f"is {_shown(value)}, expected {wanted}{hint}")
            return value
        if not (arg.sub_fields or arg.sub_variants):
            return value
        if arg.repeat and isinstance(value, list):
            return [self._section_or_complain(v, arg, (*path, str(i))) for i, v in enumerate(value)]
        return self.section(value, arg, path) if isinstance(value, dict) else value

    def _section_or_complain(self, value, arg, path):
        if isinstance(value, dict):
            return self.section(value, arg, path)
        self.problems.add(path, f"is {_shown(value)}, expected a section {{...}}")
        return value

    def section(self, value, arg, path):
        """Return the normal form of a section (a dict)."""
        value = {k: v for k, v in value.items() if not str(k).startswith("_") and k != "$schema"}
        fields = dict(arg.sub_fields)
        for variant in arg.sub_variants.values():
            if not self._choose(variant, value, fields, path):
                return value
        out = {}
        names = {alias: name for name, field in fields.items() if field is not None for alias in field.alias}
        for key, item in value.items():
            name = key if key in fields else names.get(key)
            if name is None:
                self.problems.add((*path, str(key)), f"unknown key{nearest(key, {*fields, *names})}")
            elif name in out:
                spelled = key if key != name else next(a for a in value if names.get(a) == name)
                self.problems.add((*path, name), f"is given twice ('{spelled}' is another name of it)")
            else:
                out[name] = item if fields[name] is None else self.value(item, fields[name], (*path, key))
        self._fill(out, fields, path)
        return out

    def _choose(self, variant, value, fields, path):
        """Add the keys of the chosen variant to `fields`; False when the choice is not valid."""
        flag = variant.flag_name
        if flag not in value:
            if not variant.optional:
                self.problems.add((*path, flag), f"is missing; choose from {', '.join(variant.choice_dict)}")
                return False
            value[flag] = variant.default_tag
        tag = value[flag]
        known = [*variant.choice_dict, *variant.choice_alias]
        if tag not in known:
            self.problems.add((*path, flag), f"{_shown(tag)} is not known{nearest(tag, known)}")
            return False
        value[flag] = variant.choice_alias.get(tag, tag)
        choice = variant.choice_dict[value[flag]]
        fields[flag] = None
        fields.update(choice.sub_fields)
        return all(self._choose(sub, value, fields, path) for sub in choice.sub_variants.values())

    def _fill(self, out, fields, path):
        for name, field in fields.items():
            if field is None or name in out:
                continue
            if not field.optional:
                self.problems.add((*path, name), "is missing")
            elif field.default is not _Flags.NONE:
                default = deepcopy(field.default)
                out[name] = self.value(default, field, (*path, name)) if isinstance(default, dict) else default


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True
