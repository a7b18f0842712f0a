"""Names of variables when several models live in one graph and share parts."""

from dptf.config.multitask import is_multitask, links, member_of, tasks_of


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
        uses, members = {}, {}
        for task, parts in tied.items():
            for part, (name, level) in parts.items():
                if member_of(part) is not None:
                    members.setdefault(name, []).append((task, member_of(part)))
                    continue
                uses.setdefault((part, name), []).append((level, self.tasks.index(task), task))
        # The first user of the lowest level holds the variables.
        self._holder = {
            (part, task): (min(found)[2], level) for (part, _), found in uses.items() for level, _, task in found
        }

        #: Members of hybrid descriptors by (task, place): all that are the same, the one that holds the variables first.
        self.members = {one: found for found in members.values() for one in found}

    def _member(self, task, name):
        """The place of a variable's member in the hybrid descriptor of a task, if it is shared by itself."""
        head = name.split("/")[0]
        found = [k for t, k in self.members if t == task and head.endswith(f"_{k}")]
        return found[0] if found and part_of(name) == "descriptor" else None

    @staticmethod
    def _moved(name, old, new):
        """Name of a variable of member `old` as that of member `new`."""
        head, _, rest = name.partition("/")
        return f"{head.removesuffix(f'_{old}')}_{new}/{rest}"

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
        k = self._member(task, name)
        if k is not None:
            holder, place = self.members[task, k][0]
            return f"{holder}/{self._moved(name, k, place)}"
        return f"{self.owner(task, name)}/{name}" if task else name

    def view(self, values, task):
        """The arrays of one task by the names that it has alone."""
        if not task:
            return values
        out = {}
        for full, value in values.items():
            owner, _, name = full.partition("/")
            if owner not in self.tasks:
                continue
            names = [name]
            for (t, k), found in self.members.items():
                if t == task and found[0][0] == owner and name.split("/")[0].endswith(f"_{found[0][1]}"):
                    names.append(self._moved(name, found[0][1], k))
            out |= {n: value for n in names if self.name(task, n) == full}
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
        self.constant, self.portable, self.used = params.constant, params.portable, set()

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
