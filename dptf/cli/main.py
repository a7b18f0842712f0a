"""The ``dp`` command: global options, choice of the subcommand, and how errors reach the user.

A subcommand is a module ``dptf.cli.<name with underscores>`` with ``add_parser(subparsers)``, which calls
``subparsers.add_parser("<name>", ...)`` once, and ``run(args)``. Neither the module nor ``add_parser`` may import
TensorFlow or NumPy: ``dp -h`` imports every one of them.
"""

import argparse
import importlib
import importlib.util
import logging
import os
import sys
import traceback

from dptf import __version__
from dptf.cli import logs
from dptf.errors import UserError
from dptf.parallel.launcher import launched

COMMANDS = (
    "train", "freeze", "test", "compress", "model-devi", "neighbor-stat", "convert-from", "convert-backend",
    "transfer", "show", "change-bias", "eval-desc", "embed", "doc-train-input", "doctor", "selftest",
    "bench", "uncertainty", "plot",
)  # fmt: skip

_OWN_BACKEND = ("tensorflow", "tf")
_OTHER_BACKENDS = (
    "tensorflow2", "tf2", "pytorch", "pt", "pytorch-exportable", "pt-expt", "jax", "numpy", "np", "dpmodel", "dp",
    "paddle", "pd",
)  # fmt: skip
_OTHER_BACKEND_TEXT = "is not available: this package runs the TensorFlow graph backend only"

log = logging.getLogger("dptf")


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Defaults are shown, except where there is none."""

    def _get_help_string(self, action):
        if action.default in (None, False, argparse.SUPPRESS):
            return action.help
        return super()._get_help_string(action)


class _Parser(argparse.ArgumentParser):
    def __init__(self, *args, **kwargs):
        kwargs.setdefault("formatter_class", _HelpFormatter)
        super().__init__(*args, **kwargs)


class _Backend(argparse.Action):
    """Accept the names of this backend, refuse the others with a sentence."""

    def __call__(self, parser, namespace, value, option_string=None):
        name = value if isinstance(value, str) else option_string.lstrip("-")
        if name in _OTHER_BACKENDS:
            parser.error(f"backend '{name}' {_OTHER_BACKEND_TEXT}")
        if name not in _OWN_BACKEND:
            parser.error(f"unknown backend '{name}': choose tensorflow (tf)")


def _add_shared_options(name, parser):
    parser.add_argument(
        "-v", "--log-level", choices=list(logs.LEVELS), default="INFO",
        help="how much is logged; 3 to 0 stand for the four names (default: INFO)", metavar="{DEBUG,INFO,WARNING,ERROR}",
    )  # fmt: skip
    parser.add_argument("-l", "--log-path", metavar="FILE", help="write the log to this file too")
    if name in ("train", "compress"):
        parser.add_argument(
            "-m", "--mpi-log", choices=("master", "collect", "workers"), default="master",
            help="with several processes: only the first logs; all log, into one file; all log, one file each",
        )  # fmt: skip


def _modules():
    """Yield the name and the module of every subcommand that is installed."""
    for name in COMMANDS:
        path = f"dptf.cli.{name.replace('-', '_')}"
        if importlib.util.find_spec(path) is not None:
            yield name, importlib.import_module(path)


def build_parser():
    """Return the parser of the whole command line."""
    parser = _Parser(
        prog="dp",
        description="Deep Potential interatomic potentials on TensorFlow: train, freeze, test and use models.",
        epilog="'dp COMMAND -h' explains a command. Errors exit with status 1, wrong usage with 2.",
    )
    backend = parser.add_mutually_exclusive_group()
    backend.add_argument("-b", "--backend", action=_Backend, metavar="{tensorflow,tf}", help="backend; only this one")
    backend.add_argument("--tf", "--tensorflow", action=_Backend, nargs=0, help="the same as -b tensorflow")
    others = [f"--{name}" for name in _OTHER_BACKENDS]
    backend.add_argument(*others, action=_Backend, nargs=0, help=argparse.SUPPRESS, dest="other_backend")
    parser.add_argument("--version", action="version", version=f"DeePMD-kit v{__version__} (dptf)")
    subparsers = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND")
    for name, module in _modules():
        module.add_parser(subparsers)
        _add_shared_options(name, subparsers.choices[name])
        subparsers.choices[name].set_defaults(run=module.run)
    return parser


def _check_backend_variable(parser):
    name = os.environ.get("DP_BACKEND", "tensorflow").lower()
    if name in _OTHER_BACKENDS:
        parser.error(f"backend '{name}' (environment variable DP_BACKEND) {_OTHER_BACKEND_TEXT}")
    if name not in _OWN_BACKEND:
        parser.error(f"environment variable DP_BACKEND is '{name}': set it to tensorflow, or unset it")


def _report(text):
    """Put an error on standard error, and into the log file where there is one."""
    sys.stdout.flush()
    print(f"Error: {text}", file=sys.stderr, flush=True)
    for handler in log.handlers:
        if not isinstance(handler, (logging.StreamHandler, logging.NullHandler)):
            handler.handle(log.makeRecord("dptf", logging.ERROR, "", 0, text, None, None))


def error_text(err):
    """Return what to tell about an error that is not a fault of the program, None otherwise."""
    if isinstance(err, UserError):
        return str(err)
    if isinstance(err, OSError):
        reason = err.strerror or str(err)
        return reason if err.filename is None else f"{os.fspath(err.filename)}: {reason}"
    if isinstance(err, MemoryError):
        return "out of memory; use a smaller batch_size, or a machine with more memory"
    return None


def main(argv=None):
    """Run the command line and return the exit status.

    Parameters
    ----------
    argv : list of str, optional
        Arguments without the program name; those of the process by default.
    """
    parser = build_parser()
    args = parser.parse_args(argv)
    _check_backend_variable(parser)
    if args.command is None:
        parser.print_help()
        return 0
    debug = logs.LEVELS[args.log_level] <= logging.DEBUG
    try:
        logs.setup(args.log_level, args.log_path, getattr(args, "mpi_log", "master"))
        return args.run(args) or 0
    except BrokenPipeError:
        # The reader of our output went away (dp ... | head); nothing is left to tell it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        if launched()[0] == 0:
            _report("interrupted")
        return 130
    except Exception as err:
        text = error_text(err)
        if debug or text is None:
            traceback.print_exc()
        _report(text or f"unexpected {type(err).__name__}: {err}")
        return 1
