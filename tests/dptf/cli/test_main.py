"""The command line as a whole: start-up cost, exit status, and what an error looks like."""

import argparse
import logging
import os
import subprocess
import sys
import time
import types

import pytest

from dptf.cli import logs, main
from dptf.errors import UserError


@pytest.fixture
def command(monkeypatch):
    """Install a subcommand ``probe`` whose work is the given function."""

    def install(work):
        module = types.SimpleNamespace(add_parser=lambda sub: sub.add_parser("probe"), run=work)
        monkeypatch.setattr(main, "_modules", lambda: [("probe", module)])

    return install


def test_help_is_quick_and_imports_nothing_heavy():
    code = (
        "import sys\nfrom dptf.cli.main import main\ntry:\n    main(['-h'])\nexcept SystemExit as e:\n    assert e.code == 0\n"
        "heavy = {'tensorflow', 'numpy', 'h5py', 'dargs', 'scipy'} & set(sys.modules)\nassert not heavy, heavy\n"
    )
    best = 1e9
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        best = min(best, time.perf_counter() - start)
        assert done.returncode == 0, done.stderr
    assert best < 0.2 * float(os.environ.get("DPTF_SLOW_MACHINE", "4"))  # 0.1 s on a quiet machine


def test_no_command_prints_help(capsys):
    assert main.main([]) == 0
    assert "COMMAND" in capsys.readouterr().out


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith("DeePMD-kit v")


@pytest.mark.parametrize("argv", [["--pt"], ["-b", "jax"], ["-b", "nonsense"], ["frobnicate"], ["--tf", "-b", "tf"]])
def test_wrong_usage_exits_with_2(argv, capsys):
    with pytest.raises(SystemExit) as stop:
        main.main(argv)
    assert stop.value.code == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("argv", [["--tf"], ["--tensorflow"], ["-b", "tf"], ["--backend", "tensorflow"]])
def test_own_backend_is_accepted(argv, command):
    command(lambda args: None)
    assert main.main([*argv, "probe"]) == 0


def test_backend_variable(monkeypatch, capsys):
    monkeypatch.setenv("DP_BACKEND", "pt")
    with pytest.raises(SystemExit) as stop:
        main.main([])
    assert stop.value.code == 2
    assert "DP_BACKEND" in capsys.readouterr().err


def test_user_error_is_short(command, capsys):
    def work(args):
        raise UserError("energy has 3 values, expected 4", where="set.000/energy.npy", fix="remove the extra frame")

    command(work)
    assert main.main(["probe"]) == 1
    err = capsys.readouterr().err
    assert err.splitlines() == [
        "Error: set.000/energy.npy: energy has 3 values, expected 4",
        "  fix: remove the extra frame",
    ]
    assert main.main(["probe", "-v", "DEBUG"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_system_error_names_the_file(command, capsys):
    command(lambda args: open("/nonexistent/file"))
    assert main.main(["probe"]) == 1
    assert capsys.readouterr().err == "Error: /nonexistent/file: No such file or directory\n"


def test_bug_shows_where(command, capsys):
    command(lambda args: 1 / 0)
    assert main.main(["probe"]) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err and err.endswith("Error: unexpected ZeroDivisionError: division by zero\n")


def test_interrupt(command, capsys):
    def work(args):
        raise KeyboardInterrupt

    command(work)
    assert main.main(["probe"]) == 130
    assert capsys.readouterr().err == "Error: interrupted\n"


def test_log_lines_and_file(command, tmp_path, capsys):
    def work(args):
        logging.getLogger("dptf.probe").info("hello")
        logging.getLogger("dptf.probe").debug("hidden")
        raise UserError("stop here")

    command(work)
    path = tmp_path / "new" / "x.log"
    assert main.main(["probe", "-l", str(path), "-v", "2"]) == 1
    line = capsys.readouterr().err.splitlines()[0]
    assert line.startswith("[2") and line.endswith("] DEEPMD INFO    hello")
    first, last = path.read_text().splitlines()
    assert " DEEPMD INFO    dptf.probe" in first and first.endswith(" hello")
    assert last.endswith("stop here")


@pytest.mark.parametrize("mode, names", [("workers", ["x_1.log"]), ("collect", ["x.log"]), ("master", [])])
def test_logs_of_parallel_runs(mode, names, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PMI_RANK", "1")
    monkeypatch.setenv("PMI_SIZE", "2")
    logs.setup("INFO", tmp_path / "x.log", mode)
    logging.getLogger("dptf").info("from one")
    assert sorted(p.name for p in tmp_path.iterdir()) == names
    err = capsys.readouterr().err
    assert ("rank:1 INFO    from one" in err) == (mode != "master")
    monkeypatch.delenv("PMI_RANK")
    logs.setup()


def test_user_setting_of_tensorflow_log_level_survives(monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    logs.setup("DEBUG")
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "3"


def test_every_command_has_the_shared_options():
    parser = main.build_parser()
    (subparsers,) = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    for name, sub in subparsers.choices.items():
        options = sub._option_string_actions
        assert {"-v", "--log-level", "-l", "--log-path"} <= set(options), name
