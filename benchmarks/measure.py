"""Running a command and reading off its time and memory."""

import dataclasses
import os
import re
import statistics
import subprocess
import time


@dataclasses.dataclass
class Result:
    """What one run left behind.

    Attributes
    ----------
    output : str
        Standard output and error together.
    wall : float
        Seconds from start to end.
    peak_rss : float
        Largest resident memory of the process [MB]; not below that of the caller, which the kernel counts at the fork.
    seen : float or None
        Seconds from start to the first line that matched ``watch``.
    """

    output: str
    wall: float
    peak_rss: float
    seen: float | None


class RunFailed(Exception):
    """A command ended with an error; the text holds the end of its output."""


def run(command, cwd, env, watch=None):
    """Run a command to its end.

    Parameters
    ----------
    command : list of str
    cwd : Path
    env : dict
    watch : str, optional
        Regular expression; the time of the first line that matches is kept.

    Returns
    -------
    Result

    Raises
    ------
    RunFailed
        If the exit status is not zero.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    lines, seen = [], None
    for line in process.stdout:
        lines.append(line)
        if seen is None and watch and re.search(watch, line):
            seen = time.perf_counter() - start
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    output = "".join(lines)
    if process.returncode:
        tail = "\n".join(output.splitlines()[-8:])
        raise RunFailed(f"{' '.join(map(str, command))[:120]} ended with {process.returncode}:\n{tail}")
    return Result(output, wall, usage.ru_maxrss / 1024, seen)


def number(pattern, text):
    """The last number that ``pattern`` captures in ``text``."""
    found = re.findall(pattern, text)
    if not found:
        raise RunFailed(f"no line matches {pattern!r} in:\n" + "\n".join(text.splitlines()[-8:]))
    return float(found[-1])


def alternate(rounds, runs):
    """Run measurements in turn, so that a slow spell of the machine meets all of them.

    Parameters
    ----------
    rounds : int
    runs : dict of callables
        Each returns a dictionary.

    Returns
    -------
    dict of lists
        What every measurement returned, round by round.
    """
    out = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run_once in runs.items():
            out[name].append(run_once())
    return out


def column(found, key, factor=1):
    """One number of every round, by measurement."""
    return {name: [factor * x[key] for x in rounds] for name, rounds in found.items()}


def median(values):
    return statistics.median(values)


def spread(values):
    """Half the range over the median."""
    return (max(values) - min(values)) / 2 / median(values)
