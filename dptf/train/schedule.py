"""Learning rate as a function of the step: exponential, cosine and warm-up/stable/decay, each with optional warm-up."""

import math

from dptf.config.checks import DEFAULT_STOP_LR
from dptf.errors import UserError


class Schedule:
    """Learning rate of a normalised ``learning_rate`` section.

    Parameters
    ----------
    section : dict
    num_steps : int
        Total number of steps.
    """

    def __init__(self, section, num_steps, where="learning_rate"):
        self.kind = section.get("type", "exp")
        self.start = float(section["start_lr"])
        if not (self.start > 0 and math.isfinite(self.start)):
            raise UserError(f"is {self.start}, it must be positive", f"{where}/start_lr")
        stop, ratio = section.get("stop_lr"), section.get("stop_lr_ratio")
        if stop is not None and ratio is not None:
            raise UserError("give either stop_lr or stop_lr_ratio", where)
        self.stop = float(stop) if stop is not None else self.start * ratio if ratio is not None else DEFAULT_STOP_LR
        if self.stop > self.start:
            raise UserError(f"stop_lr {self.stop:g} is larger than start_lr {self.start:g}", f"{where}/stop_lr")
        warmup, wratio = section.get("warmup_steps") or 0, section.get("warmup_ratio")
        if warmup and wratio:
            raise UserError("give either warmup_steps or warmup_ratio", where)
        self.warmup = int(wratio * num_steps) if wratio else int(warmup)
        if self.warmup and self.warmup >= num_steps:
            raise UserError(f"{self.warmup} warm-up steps do not fit in {num_steps} steps", f"{where}/warmup_steps")
        self.warmup_factor = float(section.get("warmup_start_factor", 0.0) or 0.0)
        self.steps, self.total = num_steps - self.warmup, num_steps
        maker = {"exp": self._exp, "cosine": self._cosine, "wsd": self._wsd}.get(self.kind)
        if maker is None:
            raise UserError(f"'{self.kind}' is not a schedule", f"{where}/type", "use exp, cosine or wsd")
        self._value = maker(section, where)

    def __call__(self, step):
        """Learning rate used by the update after `step` updates."""
        if step < self.warmup:
            return self.start * (self.warmup_factor + (1.0 - self.warmup_factor) * step / self.warmup)
        return self._value(step - self.warmup)

    def _exp(self, section, where):
        every, rate = int(section.get("decay_steps", 5000)), section.get("decay_rate")
        if every < 1:
            raise UserError(f"is {every}, it must be positive", f"{where}/decay_steps")
        steps = self.steps
        if rate is None and every >= steps:
            every = 100 if steps // 10 > 100 else steps // 100 + 1
        if rate is None:
            rate = math.exp(math.log(max(self.stop, 1e-10) / self.start) / (steps / every)) if steps else 1.0
        elif not 0 < rate <= 1:
            raise UserError(f"is {rate}, it must be in (0, 1]", f"{where}/decay_rate")
        smooth = bool(section.get("smooth", False))
        return lambda s: max(self.start * rate ** (s / every if smooth else s // every), self.stop)

    def _cosine(self, section, where):
        def value(s):
            if s >= self.steps:
                return self.stop
            return self.stop + 0.5 * (self.start - self.stop) * (1.0 + math.cos(math.pi * s / self.steps))

        return value

    def _wsd(self, section, where):
        ratio, kind = float(section.get("decay_phase_ratio", 0.1)), section.get("decay_type", "inverse_linear")
        if not 0 < ratio <= 1:
            raise UserError(f"is {ratio}, it must be in (0, 1]", f"{where}/decay_phase_ratio")
        if kind not in ("inverse_linear", "cosine", "linear"):
            raise UserError(f"'{kind}' is not known", f"{where}/decay_type", "use inverse_linear, cosine or linear")
        length = max(1, min(int(ratio * self.total), self.steps))

        def value(s):
            if s >= self.steps:
                return self.stop
            tau = (s - (self.steps - length)) / length
            if tau < 0:
                return self.start
            if kind == "linear":
                return self.start + (self.stop - self.start) * tau
            if kind == "cosine":
                return self.stop + 0.5 * (self.start - self.stop) * (1.0 + math.cos(math.pi * tau))
            return 1.0 / (tau / self.stop + (1.0 - tau) / self.start)

        return value
