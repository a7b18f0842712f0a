"""The training (or validation) data: systems, and the reproducible stream of batches drawn from them."""

import time

import numpy as np

from dptf.data.batching import batch_sizes, system_probabilities
from dptf.data.merge import merge_frames
from dptf.data.sources import expand_systems, open_source
from dptf.data.stat_batches import share
from dptf.data.system import Recent, System
from dptf.errors import UserError


class _Cursor:
    """Where the stream stands in one system: which set, the shuffled frames of it, and the next frame.

    `size` frames are drawn at once; of a set that has fewer all are.
    """

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


def _check_maps(systems, type_map):
    """Without names in the model, the index of a type is that of the data, so the data must agree with each other."""
    if type_map is not None:
        return
    longest = max((s for s in systems if s.data_map), key=lambda s: len(s.data_map), default=None)
    for s in systems:
        if s.data_map and s.data_map != longest.data_map[: len(s.data_map)]:
            raise UserError(
                f"names the types {' '.join(s.data_map)}, but {longest.name} names them {' '.join(longest.data_map)}",
                f"{s.name}/type_map.raw", "give model/type_map; then types are matched by name",
            )  # fmt: skip


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
    shard : (int, int)
        Rank and number of ranks of a parallel run. All ranks draw the same frames, as many as a batch on every rank needs,
        and each takes its own part, so N ranks see what one would with N times the batch size.
    ntypes : int, optional
        Number of model types (default: length of `type_map`, or what the data need).
    transform : callable, optional
        Applied to every batch as it was read, before its composition is described.
    """

    def __init__(
        self,
        section,
        type_map,
        requirements=(),
        *,
        seed=None,
        shard=(0, 1),
        ntypes=None,
        where="training_data",
        transform=None,
    ):
        self.requirements, self.shard, self._transform = list(requirements), shard, transform
        paths = expand_systems(section["systems"], section.get("rglob_patterns"), f"{where}/systems")
        recent = Recent()
        systems = [System(open_source(p), type_map, recent) for p in paths]
        if len({s.mixed for s in systems}) > 1:
            odd = next(s for s in systems if s.mixed != systems[0].mixed)
            raise UserError("mixed-type and ordinary systems cannot be used together", odd.name)
        _check_maps(systems, type_map)
        sizes, self.merged = batch_sizes(
            section.get("batch_size", "auto"), [s.natoms for s in systems], f"{where}/batch_size"
        )
        self.dropped = [s.name for s, b in zip(systems, sizes) if b is None]
        self.systems = [s for s, b in zip(systems, sizes) if b is not None]
        self.batch_sizes = [b for b in sizes if b is not None]
        self.mixed_type = self.systems[0].mixed or self.merged > 0
        if self.merged and len({s.periodic for s in self.systems}) > 1:
            odd = next(s for s in self.systems if s.periodic != self.systems[0].periodic)
            raise UserError(
                "periodic and open systems cannot share a batch", odd.name, "use a batch_size other than mixed:N"
            )
        needed = max(int(s.types.max()) + 1 for s in self.systems)
        self.ntypes = ntypes or (len(type_map) if type_map else needed)
        if needed > self.ntypes:
            raise UserError(f"the data hold {needed} types, the model {self.ntypes}", where, "extend model/type_map")
        self.nbatches = [
            sum(max(1, s.set_frames(k) // ((self.merged or b) * shard[1])) for k in range(len(s.set_names)))
            for s, b in zip(self.systems, self.batch_sizes)
        ]
        self.probs = system_probabilities(
            self.nbatches, section.get("auto_prob", "prob_sys_size"), section.get("sys_probs"), where
        )
        # The order of draws (system, then its frames) is the public one, so the same seed gives the same batches.
        self.rng = np.random.RandomState(None if seed is None else [0, seed % 2**32])
        self._cursors = [_Cursor(s, b if self.merged else b * shard[1]) for s, b in zip(self.systems, self.batch_sizes)]
        self._positions = [c.state() for c in self._cursors]
        self.names = [s.name for s in self.systems]

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
        """A batch of one system drawn at random (or of several with ``mixed:N``); see :meth:`batch_of`."""
        return self.load(self.draw())

    def draw(self):
        """What the next batch is made of: system number, and system, set and frames over all ranks, one or more."""
        count = self.merged * self.shard[1] if self.merged else 1
        return [(isys, *self._draw(isys)) for isys in (self._draw_system() for _ in range(count))]

    def load(self, drawn):
        """The batch of this rank from what :meth:`draw` gave; other threads may draw meanwhile."""
        if not self.merged:
            isys, system, iset, frames = drawn[0]
            return self._finish(self._load(system, iset, self._part(frames, self.batch_sizes[isys])))
        rank = self.shard[0]
        return self._finish(self._joined(drawn[rank * self.merged : (rank + 1) * self.merged]))

    def _joined(self, drawn):
        """All frames of what :meth:`draw` gave."""
        parts = [self._load(*d[1:]) for d in drawn]
        return merge_frames(parts, self.requirements) if self.merged else parts[0]

    def skip_batch(self):
        """Draw a batch and leave it: the public package looks at one before it trains."""
        self.draw()

    def _draw_system(self):
        return int(self.rng.choice(len(self.systems), p=self.probs))

    def batch_of(self, isys):
        """The next batch of a system.

        Returns
        -------
        dict
            ``coord`` (nf, natoms*3), ``box`` (nf, 9), ``type`` (nf, natoms), ``natoms_vec`` (2 + ntypes), ``mesh``, and for
            each requirement its array and ``find_<key>``; ``system`` names the source. Of mixed types also
            ``real_natoms_vec`` (nf, 2 + ntypes), the atoms of every type in each frame.
        """
        return self.load([(isys, *self._draw(isys))])

    def _draw(self, isys):
        """System, set and frames of the next batch of a system, over all ranks."""
        iset, frames = self._cursors[isys].draw(self.rng)
        self._positions[isys] = self._cursors[isys].state()
        return self.systems[isys], iset, frames

    def _part(self, frames, size):
        """The frames of this rank; from a set with too few for all ranks, frames are given out again from the first."""
        rank, ranks = self.shard
        if ranks == 1:
            return frames
        size = min(size, max(1, len(frames) // ranks))
        return frames[(rank * size + np.arange(size)) % len(frames)]

    def _load(self, system, iset, frames):
        coord, box, types = system.coordinates(iset, frames)
        batch = {"coord": coord, "box": box, "type": types, "system": system.name}
        for req in self.requirements:
            value, found = system.load(iset, frames, req)
            batch[req.key], batch["find_" + req.key] = value, np.float32(found)
        return batch if self._transform is None else self._transform(batch)

    def _finish(self, batch):
        """Add what describes the composition: natoms_vec, mesh."""
        types, periodic = batch["type"], bool(batch["box"].any())
        n = types.shape[1]
        batch["mesh"] = np.zeros(6 * periodic + self.mixed_type, np.int32)
        if not self.mixed_type:
            batch["natoms_vec"] = np.concatenate([[n, n], np.bincount(types[0], minlength=self.ntypes)]).astype(
                np.int32
            )
            return batch
        batch["natoms_vec"] = np.array([n, n, n] + [0] * (self.ntypes - 1), np.int32)
        counts = (types[:, :, None] == np.arange(self.ntypes)).sum(axis=1)
        batch["real_natoms_vec"] = np.concatenate([np.full((len(types), 2), n), counts], axis=1).astype(np.int32)
        return batch

    def stat_batches(self, n, world=None):
        """For every system `n` consecutive batches of its stream (they count as drawn), with the frames of all ranks.

        With ``mixed:N`` there are as many, each of frames of random systems.

        Given a `world`, each rank reads its share of the systems; see :mod:`dptf.data.stat_batches`.
        """
        rank, ranks = (0, 1) if world is None else (world.rank, world.size)
        draws = [
            [self.draw() if self.merged else [(i, *self._draw(i))] for _ in range(n)] for i in range(len(self.systems))
        ]
        own = [
            [self._finish(self._joined(d)) for d in system] if i % ranks == rank else None
            for i, system in enumerate(draws)
        ]
        return own if ranks == 1 else share(own, world)

    def all_frames(self, isys, max_frames=None):
        """All frames of a system (all sets, file order of frames) as one batch."""
        system, parts, left = self.systems[isys], [], max_frames or self.systems[isys].nframes
        for iset in range(len(system.set_names)):
            n = min(left, system.set_frames(iset))
            if n > 0:
                parts.append(self._finish(self._load(system, iset, np.arange(n))))
                left -= n
        out = dict(parts[0])
        rows = ["coord", "box", "type"] + (["real_natoms_vec"] if self.mixed_type else [])
        for key in rows + [r.key for r in self.requirements]:
            out[key] = np.concatenate([p[key] for p in parts])
        for req in self.requirements:
            out["find_" + req.key] = min(p["find_" + req.key] for p in parts)
        return out

    def frames_in_chunks(self, isys, size):
        """All frames of a system as batches of at most `size` frames."""
        system = self.systems[isys]
        for iset in range(len(system.set_names)):
            n = system.set_frames(iset)
            for start in range(0, n, size):
                yield self._finish(self._load(system, iset, np.arange(start, min(start + size, n))))

    def check_all(self, seconds=np.inf):
        """Read the data once and look for faults, for at most so many seconds.

        A file that was not reached is checked when a batch is first drawn from it.
        """
        end = time.monotonic() + seconds
        for system in self.systems:
            for iset in range(len(system.set_names)):
                system.check_set(iset, self.requirements)
                if time.monotonic() > end:
                    return

    def missing_labels(self, key):
        """Names of the systems that have no file for a key in any set."""
        return [s.name for s in self.systems if not any(s.find_key(n, key) for n in s.set_names)]

    def state(self):
        """Everything that decides the following batches; cheap to take, made of numbers, strings and arrays."""
        return {"rng": self.rng.get_state(), "names": self.names, "cursors": self._positions.copy()}

    def set_state(self, state):
        if list(state["names"]) != self.names:
            raise UserError("the systems differ from those of the interrupted run", "training_data/systems",
                            "restart with the same list of systems, or start anew with --init-model")  # fmt: skip
        kind, keys, pos, has_gauss, cached = state["rng"]
        self.rng.set_state((kind, np.array(keys, np.uint32), pos, has_gauss, cached))
        for cursor, saved in zip(self._cursors, state["cursors"]):
            cursor.set_state(saved)
        self._positions = [c.state() for c in self._cursors]

    def summary(self, title):
        """Table of the systems in the layout that users know."""
        lines = [f"---Summary of DataSystem: {title.capitalize():13s}-----------------------------------------------"]
        lines.append(f"Found {len(self.systems)} System(s):")
        lines.append(f"{'system':>42s}  {'natoms':>6s}  {'bch_sz':>6s}  n_bch   prob       pbc")
        for s, b, n, p in zip(self.systems, self.batch_sizes, self.nbatches, self.probs):
            name = s.name if len(s.name) <= 42 else "-- " + s.name[-39:]
            lines.append(f"{name:>42s}  {s.natoms:>6d}  {b:>6d}  {n:>6d}  {p:9.3e}  {'T' if s.periodic else 'F':>3s}")
        lines.append("-" * len(lines[0]))
        return "\n".join(lines)
