"""Names of variables when several models live in one graph and share parts."""

from dptf.config.multitask import is_multitask, links, tasks_of


def part_of(name):
    """The part of a model that a variable belongs to: descriptor, type_embedding, fitting_net, or own (never shared)."""
    head = name.split("/")[0]
    if head.startswith(("layer_", "final_layer", "share_")):
        return "fitting_net"
    if head.startswith("fitting_attr"):
        key = name.split("/")[1]
        return "fitting_net" if key.startswith(("t_fparam", "t_aparam")) else "own"
    if head.startswith("model_attr"):
        return "own"
    if head.startswith("type_embed_net"):
        return "type_embedding"
    return "descriptor"


class Sharing:
    """Which task holds the variables of which part.

    Parameters
    ----------
    config : dict
        Input; one with a single model renames nothing.
    """

    def __init__(self, config):
        self.tasks = tasks_of(config) if is_multitask(config) else [""]
        tied = links(config) if is_multitask(config) else {}
        uses = {}
        for task, parts in tied.items():
            for part, (name, level) in parts.items():
                uses.setdefault((part, name), []).append((level, self.tasks.index(task), task))
        # The first user of the lowest level holds the variables.
        self._holder = {
            (part, task): (min(found)[2], level) for (part, _), found in uses.items() for level, _, task in found
        }

    def owner(self, task, name):
        """The task under whose name a variable of `task` is stored."""
        part = part_of(name)
        if part == "type_embedding":
            holder, level = self._holder.get(("descriptor", task), (task, 0))
            if holder != task and level <= 1:
                return holder
            return self._holder.get(("type_embedding", task), (task, 0))[0]
        holder, level = self._holder.get((part, task), (task, 0))
        return holder if level == 0 else task

    def name(self, task, name):
        """Name of a variable in the graph of all tasks."""
        return f"{self.owner(task, name)}/{name}" if task else name

    def view(self, values, task):
        """The arrays of one task by the names that it has alone."""
        if not task:
            return values
        out = {}
        for full, value in values.items():
            owner, _, name = full.partition("/")
            if owner in self.tasks and self.owner(task, name) == owner:
                out[name] = value
        return out

    def group(self, task, part):
        """Tasks that share a part with `task` entirely, itself included."""
        holder, level = self._holder.get((part, task), (task, 0))
        if level:
            return [task]
        return [t for t in self.tasks if t == task or self._holder.get((part, t)) == (holder, 0)] or [task]


class TaskParameters:
    """The :class:`dptf.nn.parameters.Parameters` of one task among several."""

    def __init__(self, params, sharing, task):
        self._params, self._sharing, self._task = params, sharing, task
        self.constant, self.used = params.constant, set()

    @property
    def values(self):
        """Known arrays, by the names of the task."""
        return self._sharing.view(self._params.values, self._task)

    def has(self, name):
        """Whether a value is known."""
        return self._params.has(self._sharing.name(self._task, name))

    def get(self, name, *args, **kwargs):
        """See :meth:`dptf.nn.parameters.Parameters.get`."""
        self.used.add(name)
        return self._params.get(self._sharing.name(self._task, name), *args, **kwargs)
