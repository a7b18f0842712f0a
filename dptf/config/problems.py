"""Collected mistakes of an input, told at once with file, line, key path and fix."""

import difflib

from dptf.errors import UserError


class Problems:
    """Gather ``(path, text)`` pairs; raise them together.

    Parameters
    ----------
    where : str
        Name of the input file.
    lines : dict, optional
        Line of every key, by path; see :mod:`dptf.config.text`.
    """

    def __init__(self, where, lines=None):
        self.where, self.lines = where, lines or {}
        self.items = []

    def add(self, path, text):
        self.items.append((tuple(path), text))

    def raise_if_any(self):
        if not self.items:
            return
        told = [f"{'/'.join(path)}: {text}" if path else text for path, text in self.items]
        lines = [self._line(path) for path, _ in self.items]
        if len(told) == 1:
            raise UserError(told[0], self.where + (f", line {lines[0]}" if lines[0] else ""))
        listed = [f"\n  {f'line {n}: ' if n else ''}{text}" for n, text in zip(lines, told)]
        raise UserError(f"{len(told)} mistakes" + "".join(listed), self.where)

    def _line(self, path):
        # Of a missing or renamed key the nearest enclosing one is known.
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)


def nearest(word, valid):
    """``; did you mean 'x'?`` for the closest valid word, or the list of valid ones when it is short."""
    valid = sorted(valid)
    match = difflib.get_close_matches(str(word), valid, n=1, cutoff=0.6)
    if not match:
        match = [v for v in valid if v.lower() == str(word).lower()]
    if match:
        return f"; did you mean '{match[0]}'?"
    return f"; choose from {', '.join(valid)}" if 0 < len(valid) <= 16 else ""
