"""The training (or validation) data: systems, and the reproducible stream of batches drawn from them."""

import numpy as np

from dptf.data.batching import batch_sizes, system_probabilities
from dptf.data.sources import expand_systems, open_source
from dptf.data.system import System
from dptf.errors import UserError


class _Cursor:
    """Where the stream stands in one system: which set, the shuffled frames of it, and the next frame."""

    def __init__(self, system, size):
        self.system, self.size = system, size
        self.iset, self.frames, self.next = -1, np.arange(0), 0

    def draw(self, rng):
        """Set index and frames of the next batch; a rest smaller than a batch is dropped, as users are used to."""
        if self.next + self.size > len(self.frames) or self.iset < 0:
            previous = self.iset
            self.iset = (self.iset + 1) % len(self.system.set_names)
            if self.iset != previous:
                n = self.system.set_frames(self.iset)
                copies = self.system.frame_copies(self.iset)
                self.frames = np.arange(n) if copies is None else np.repeat(np.arange(n), copies)
            shuffled = np.arange(len(self.frames))
            rng.shuffle(shuffled)
            self.frames, self.next = self.frames[shuffled], 0
        begin, self.next = self.next, self.next + self.size
        return self.iset, self.frames[begin : self.next]

    def state(self):
        # Frames are replaced, never changed in place, so a reference is enough.
        return self.iset, self.frames, self.next

    def set_state(self, state):
        self.iset, self.frames, self.next = state[0], np.array(state[1], int), state[2]


class DataSystems:
    """All systems of a data section.

    Parameters
    ----------
    section : dict
        ``training_data`` or ``validation_data`` of the normalised input.
    type_map : list of str or None
        The model's type names.
    requirements : list of DataRequirement
        What every batch must hold.
    seed : int or None
        Seed of the stream; None draws one from the operating system.
    rank : int
        Rank in a parallel run; ranks draw different streams.
    ntypes : int, optional
        Number of model types (default: length of `type_map`, or what the data need).
    """

    def __init__(self, section, type_map, requirements=(), *, seed=None, rank=0, ntypes=None, where="training_data"):
        self.requirements = list(requirements)
        paths = expand_systems(section["systems"], section.get("rglob_patterns"), f"{where}/systems")
        systems = [System(open_source(p), type_map) for p in paths]
        if len({s.mixed for s in systems}) > 1:
            odd = next(s for s in systems if s.mixed != systems[0].mixed)
            raise UserError("mixed-type and ordinary systems cannot be used together", odd.name)
        sizes = batch_sizes(section.get("batch_size", "auto"), [s.natoms for s in systems], f"{where}/batch_size")
        self.dropped = [s.name for s, b in zip(systems, sizes) if b is None]
        self.systems = [s for s, b in zip(systems, sizes) if b is not None]
        self.batch_sizes = [b for b in sizes if b is not None]
        self.mixed_type = self.systems[0].mixed
        needed = max(int(s.types.max()) + 1 for s in self.systems)
        self.ntypes = ntypes or (len(type_map) if type_map else needed)
        if needed > self.ntypes:
            raise UserError(f"the data hold {needed} types, the model {self.ntypes}", where, "extend model/type_map")
        self.nbatches = [
            sum(max(1, s.set_frames(k) // b) for k in range(len(s.set_names))) for s, b in zip(self.systems, self.batch_sizes)
        ]
        self.probs = system_probabilities(
            self.nbatches, section.get("auto_prob", "prob_sys_size"), section.get("sys_probs"), where
        )
        self.rng = np.random.RandomState(None if seed is None else [rank, seed % 2**32])
        self._cursors = [_Cursor(s, b) for s, b in zip(self.systems, self.batch_sizes)]

    @property
    def names(self):
        return [s.name for s in self.systems]

    @property
    def natoms(self):
        return [s.natoms for s in self.systems]

    @property
    def pbc(self):
        return [s.periodic for s in self.systems]

    @property
    def total_batches(self):
        """Batches of one epoch, such that the rarest system is seen once on average."""
        return int(np.ceil(max(n / p for n, p in zip(self.nbatches, self.probs) if p > 0)))

    def next_batch(self):
        """A batch of one system drawn at random; see :meth:`batch_of`."""
        isys = int(self.rng.choice(len(self.systems), p=self.probs))
        return self.batch_of(isys)

    def batch_of(self, isys):
        """The next batch of a system.

        Returns
        -------
        dict
            ``coord`` (nf, natoms*3), ``box`` (nf, 9), ``type`` (nf, natoms), ``natoms_vec`` (2 + ntypes), ``mesh``, and for
            each requirement its array and ``find_<key>``; ``system`` names the source.
        """
        cursor = self._cursors[isys]
        iset, frames = cursor.draw(self.rng)
        return self._assemble(self.systems[isys], iset, frames)

    def _assemble(self, system, iset, frames):
        coord, box, types = system.coordinates(iset, frames)
        batch = {"coord": coord, "box": box, "type": types, "system": system.name}
        batch["natoms_vec"] = self._natoms(system, types)
        batch["mesh"] = np.zeros(6 * system.periodic + system.mixed, np.int32)
        for req in self.requirements:
            value, found = system.load(iset, frames, req)
            batch[req.key], batch["find_" + req.key] = value, np.float32(found)
        return batch

    def _natoms(self, system, types):
        n = system.natoms
        if system.mixed:
            return np.array([n, n, n] + [0] * (self.ntypes - 1), np.int32)
        return np.concatenate([[n, n], np.bincount(types[0], minlength=self.ntypes)]).astype(np.int32)

    def stat_batches(self, n):
        """For every system `n` consecutive batches of its stream (they count as drawn)."""
        return [[self.batch_of(i) for _ in range(n)] for i in range(len(self.systems))]

    def all_frames(self, isys, max_frames=None):
        """All frames of a system (all sets, file order of frames) as one batch."""
        system, parts, left = self.systems[isys], [], max_frames or self.systems[isys].nframes
        for iset in range(len(system.set_names)):
            n = min(left, system.set_frames(iset))
            if n > 0:
                parts.append(self._assemble(system, iset, np.arange(n)))
                left -= n
        out = dict(parts[0])
        for key in ["coord", "box", "type"] + [r.key for r in self.requirements]:
            out[key] = np.concatenate([p[key] for p in parts])
        for req in self.requirements:
            out["find_" + req.key] = min(p["find_" + req.key] for p in parts)
        return out

    def missing_labels(self, key):
        """Names of the systems that have no file for a key in any set."""
        return [s.name for s in self.systems if not any(s.find_key(n, key) for n in s.set_names)]

    def state(self):
        """Everything that decides the following batches; cheap to take, made of numbers, strings and arrays."""
        return {"rng": self.rng.get_state(), "names": self.names, "cursors": [c.state() for c in self._cursors]}

    def set_state(self, state):
        if state["names"] != self.names:
            raise UserError("the systems differ from those of the interrupted run", "training_data/systems",
                            "restart with the same list of systems, or start anew with --init-model")  # fmt: skip
        kind, keys, pos, has_gauss, cached = state["rng"]
        self.rng.set_state((kind, np.array(keys, np.uint32), pos, has_gauss, cached))
        for cursor, saved in zip(self._cursors, state["cursors"]):
            cursor.set_state(saved)

    def summary(self, title):
        """Table of the systems in the layout that users know."""
        lines = [f"---Summary of DataSystem: {title:13s}-----------------------------------------------"]
        lines.append(f"Found {len(self.systems)} System(s):")
        lines.append(f"{'system':>42s}  {'natoms':>6s}  {'bch_sz':>6s}  {'n_bch':>6s}  {'prob':>9s}  pbc")
        for s, b, n, p in zip(self.systems, self.batch_sizes, self.nbatches, self.probs):
            name = s.name if len(s.name) <= 42 else "-- " + s.name[-39:]
            lines.append(f"{name:>42s}  {s.natoms:>6d}  {b:>6d}  {n:>6d}  {p:9.3e}  {'T' if s.periodic else 'F':>3s}")
        lines.append("-" * len(lines[0]))
        return "\n".join(lines)

