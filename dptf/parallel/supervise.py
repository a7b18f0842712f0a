"""Watch a training run, and continue it from its last intact checkpoint when a process is lost."""

import contextlib
import logging
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from dptf.errors import UserError

log = logging.getLogger(__name__)

_NOTE = "DPTF_FAILURE_NOTE"


@contextlib.contextmanager
def noted_failure():
    """Leave a note for the supervisor about an error that another attempt would meet again."""
    try:
        yield
    except UserError as err:
        if os.environ.get(_NOTE):
            Path(os.environ[_NOTE]).write_text(str(err))
        raise


def _stamps(prefix):
    from dptf.train.checkpoint import steps_on_disk

    return {s: os.stat(f"{prefix}-{s}.index").st_mtime_ns for s in steps_on_disk(prefix)}


def _command(args, restart):
    """The command of one attempt."""
    words = shlex.split(args.launcher) if args.launcher else []
    words += [sys.executable, "-m", "dptf", "train", args.INPUT, "-o", args.output, "-v", args.log_level]
    words += ["-m", args.mpi_log]
    if args.log_path:
        words += ["-l", args.log_path]
    starts = {"--init-model": args.init_model, "--restart": args.restart, "--init-frz-model": args.init_frz_model,
              "--finetune": args.finetune}  # fmt: skip
    if restart:
        starts = {"--restart": restart}
    for option, value in starts.items():
        if value:
            words += [option, value]
    words += ["--use-pretrain-script"] if args.use_pretrain_script and not restart else []
    words += ["--skip-neighbor-stat"] if args.skip_neighbor_stat else []
    words += ["--model-branch", args.model_branch] if args.model_branch and not restart else []
    return words


def _attempt(command, env):
    """Run a command to its end, passing on signals; returns its exit status."""
    try:
        child = subprocess.Popen(command, env=env)
    except OSError as err:
        raise UserError(f"cannot be started ({err.strerror})", "--launcher", f"is '{command[0]}' installed?") from None
    asked = []

    def forward(number, _):
        asked.append(number)
        child.send_signal(number)

    old = {s: signal.signal(s, forward) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        return child.wait(), bool(asked)
    finally:
        for s, handler in old.items():
            signal.signal(s, handler)


def supervise(args):
    """``dp train --launcher ... --retries N``; returns the exit status.

    An attempt that ends with an error of input or data is not repeated; one that lost a process is, from the newest
    checkpoint that this run wrote and that is whole.
    """
    from dptf.config.load import read_input
    from dptf.train.checkpoint import newest_intact

    training = read_input(args.INPUT).data.get("training")
    prefix = (training if isinstance(training, dict) else {}).get("save_ckpt", "model.ckpt")
    before, restart = _stamps(prefix), None
    env = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="dptf-") as folder:
        env[_NOTE] = os.path.join(folder, "note")
        for attempt in range(args.retries + 1):
            status, asked = _attempt(_command(args, restart), env)
            if status == 0 or asked or os.path.exists(env[_NOTE]):
                return status if status >= 0 else 128 - status
            written = [s for s, stamp in _stamps(prefix).items() if before.get(s) != stamp]
            restart = newest_intact(prefix, written)
            if attempt < args.retries:
                log.warning(
                    "the run lost a process (status %d); attempt %d of %d %s", status, attempt + 1, args.retries,
                    f"continues from {restart}" if restart else "starts it again",
                )  # fmt: skip
                env["DPTF_CONTINUED"] = "1"
    raise UserError(
        f"the run lost a process {args.retries + 1} time(s)", None,
        f"continue with: dp train --restart {restart} {args.INPUT}" if restart else "look at the output of the processes",
    )  # fmt: skip
