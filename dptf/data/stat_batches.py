"""Batches for statistics, of which every rank holds a part.

Their sums are taken where the batches are and added in the order of the batches, so any number of ranks gets the bits of one.
"""

#: What a batch leaves behind on its own rank: statistics of the outputs need none of it.
_HEAVY = ("coord", "box", "mesh", "force", "force_mag", "virial", "hessian", "atom_ener", "atom_pref", "efield", "drdq")


class StatBatch(dict):
    """A batch, or what is left of one that another rank holds.

    Attributes
    ----------
    world : object
        The ranks of the run.
    here : bool
        Whether this rank holds all of it.
    """

    world, here = None, True


def share(batches, world):
    """The batches of all ranks on every rank, in order; of those of others the labels alone.

    Parameters
    ----------
    batches : list of (list of dict or None)
        Per system; None where another rank holds the batches.
    """
    if world.size == 1:
        return batches
    light = [
        system and [{k: v for k, v in b.items() if k not in _HEAVY} for b in system] for system in batches
    ]  # fmt: skip
    out = []
    for own, *found in zip(batches, *world.gather(light)):
        system = []
        for batch in own or next(f for f in found if f is not None):
            batch = StatBatch(batch)
            batch.world, batch.here = world, own is not None
            system.append(batch)
        out.append(system)
    return out


def total(batches, function):
    """Sum of ``function(batch)`` over all batches of all systems, in their order."""
    flat = [b for system in batches for b in system]
    rows = [function(b) if getattr(b, "here", True) else None for b in flat]
    world = getattr(flat[0], "world", None) if flat else None
    if world is not None:
        rows = [next(r for r in found if r is not None) for found in zip(*world.gather(rows))]
    return sum(rows[1:], rows[0]) if rows else 0.0
