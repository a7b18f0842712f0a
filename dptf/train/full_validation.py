"""Errors over all validation data while training, and the checkpoints with the smallest ones."""

import logging
import os

import numpy as np

from dptf.errors import UserError
from dptf.train.checkpoint import CheckpointWriter

log = logging.getLogger(__name__)

#: Letter, output and label, components, and whether the numbers are divided by the atoms of a frame.
_QUANTITIES = (("E", "energy", 1, True), ("F", "force", 3, False), ("V", "virial", 9, True))
_CHUNK_ATOMS = 4096


class FullValidation:
    """The ``validating`` section at work.

    Parameters
    ----------
    trainer : Trainer
    section : dict
        Normalised.
    append : bool
        Continue the file of an earlier run.
    """

    def __init__(self, trainer, section, append):
        self._t, self._section = trainer, section
        start = section["full_val_start"]
        self._start = start * trainer.options["numb_steps"] if start < 1 else start
        for branch in trainer.branches:
            if branch.validation is None or "energy" not in branch.outputs or "force" not in branch.outputs:
                raise UserError(
                    "is for energy models with validation data", "validating/full_validation", "set it to false"
                )
        folder = section["save_best_dir"] or os.path.dirname(trainer.options["save_ckpt"]) or "."
        self._writer = None
        if section["save_best"]:
            # Which ones are the best is decided here, so the writer keeps all.
            self._writer = CheckpointWriter(os.path.join(folder, "best.ckpt"), 0, announce=False)
        self._metric = section["validation_metric"]
        names = [f"{q}:{kind}{b.label}" for b in trainer.branches for q, *_ in _QUANTITIES for kind in ("MAE", "RMSE")]
        self._file = open(section["full_val_file"], "a" if append else "w", buffering=1)
        self._file.write(f"# {'step':>7s} " + " ".join(f"{n:>12s}" for n in names) + "\n")
        self._file.write("# all validation frames; E, V in eV/atom, F in eV/Å\n")

    @classmethod
    def make(cls, trainer, append):
        """The object, or None when it is off."""
        section = trainer.config.get("validating") or {}
        if not (section.get("full_validation") or section.get("ema_full_validation")):
            return None
        return cls(trainer, section, append)

    def due(self, step):
        """Whether this step has one."""
        return step >= self._start and (step % self._section["validation_freq"] == 0)

    def run(self):
        """Evaluate, write the line, and save the checkpoint if it is among the best."""
        t = self._t
        with t.averaged_weights() if self._section["ema_full_validation"] else t.present_weights():
            errors = {}
            for branch in t.branches:
                errors |= {k + branch.label: v for k, v in _errors(t.session, branch).items()}
        self._file.write(f"{t.step:>9d} " + " ".join(f"{v:12.4e}" for v in errors.values()) + "\n")
        value = float(np.mean([errors[self._metric + b.label] for b in t.branches]))
        best, keep = t.best, self._section["max_best_ckpt"]
        kept = self._writer is not None and np.isfinite(value) and (len(best) < keep or value < best[-1][0])
        log.info("full validation at step %d: %s = %.4e%s", t.step, self._metric, value, ", kept" if kept else "")
        if not kept:
            return
        best.append([value, t.step])
        best.sort()
        self._writer.share(t.writer)
        self._writer.save(t.session, t.step, t.state())
        for _, step in best[keep:]:
            self._writer.remove(step)
        del best[keep:]

    def close(self):
        self._file.close()


def _errors(session, branch):
    """Mean absolute and root mean square errors over all validation frames; NaN where there is no label."""
    sums = {q: np.zeros(3) for q, *_ in _QUANTITIES}
    for isys, system in enumerate(branch.validation.systems):
        for batch in branch.validation.frames_in_chunks(isys, max(1, _CHUNK_ATOMS // system.natoms)):
            found = session.run({k: branch.outputs[k] for _, k, *_ in _QUANTITIES}, branch.feed(batch))
            n = int(batch["natoms_vec"][0])
            real = (batch["type"] >= 0).sum(axis=1, keepdims=True)
            for q, key, _, per_atom in _QUANTITIES:
                if not batch.get(f"find_{key}"):
                    continue
                value = found[key][:, : 3 * n] if key == "force" else found[key]
                diff = value.reshape(len(real), -1) - batch[key].reshape(len(real), -1)
                if per_atom:
                    diff = diff / real
                else:
                    diff = diff[np.repeat(batch["type"] >= 0, 3, axis=1)]
                sums[q] += [diff.size, np.abs(diff).sum(), (diff**2).sum()]
    out = {}
    for q, (n, absolute, square) in sums.items():
        out[f"{q}:MAE"] = absolute / n if n else float("nan")
        out[f"{q}:RMSE"] = float(np.sqrt(square / n)) if n else float("nan")
    return out
