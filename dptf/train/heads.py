"""One task of a checkpoint, as if it had been trained alone."""

from dptf.config.multitask import is_multitask, split, tasks_of
from dptf.errors import UserError
from dptf.train.ema import MovingAverage
from dptf.train.sharing import Sharing


def task_of(checkpoint, head="", averaged=False):
    """Input, arrays by name, and smallest distance in the data of a task.

    Parameters
    ----------
    checkpoint : Checkpoint
    head : str
        Task or one of its aliases; empty for a checkpoint of one model.
    averaged : bool
        Take the moving average of the weights.
    """
    script, values = checkpoint.training_script(), checkpoint.values()
    if averaged:
        means = {
            k.removeprefix(MovingAverage.PREFIX): v for k, v in values.items() if k.startswith(MovingAverage.PREFIX)
        }
        if not means:
            raise UserError(
                "holds no average of the weights", checkpoint.prefix, "train with training/enable_ema: true"
            )
        values = values | means
    prefix = ""
    if is_multitask(script):
        parts = split(script)
        task = _named(parts, head)
        if task is None:
            raise UserError(
                f"has no task '{head}'" if head else "holds several tasks", checkpoint.prefix,
                f"choose with --head: {', '.join(tasks_of(script))}",
            )  # fmt: skip
        values, script, prefix = Sharing(script).view(values, task), parts[task], f"{task}/"
    elif head:
        raise UserError(f"holds one model, so no task '{head}'", checkpoint.prefix, "leave out --head")
    distance = checkpoint.constants().get(prefix + "train_attr/min_nbor_dist")
    return script, values, None if distance is None else float(distance)


def _named(parts, head):
    if head in parts:
        return head
    return next((t for t, p in parts.items() if head and head in (p["model"].get("model_branch_alias") or [])), None)
