"""Four water molecules in a periodic cell, with dipoles and a long-range energy, from short formulas.

The dipole of an oxygen is where its four electron pairs are (charge -8) as seen from it; the energy is a short pair energy plus the
reciprocal Ewald sum of all charges, the one that `modifier: dipole_charge` subtracts from the labels.
"""

from pathlib import Path

import numpy as np

CELL, SHIFT, CUTOFF = 8.0, 0.12, 4.0  # Å; how far the centroid goes with the arms; Å
CHARGES, PAIRS = np.array([6.0, 1.0, 1.0] * 4), -8.0  # e
TYPES = np.array([0, 1, 1] * 4)


def frame(rng):
    """Positions (12, 3) of bent, stretched molecules in any orientation, one in each of four corners."""
    places = np.array([[0, 0, 0], [1, 1, 0], [1, 0, 1], [0, 1, 1]]) * CELL / 2 + 1.5
    out = []
    for place in places + rng.normal(scale=0.25, size=(4, 3)):
        angle = np.deg2rad(104.5 + rng.normal(scale=4.0))
        arms = np.array([[1, 0, 0], [np.cos(angle), np.sin(angle), 0]]) * (0.97 + rng.normal(scale=0.03, size=(2, 1)))
        out.append(place + np.vstack([np.zeros(3), arms @ np.linalg.qr(rng.normal(size=(3, 3)))[0]]))
    return np.vstack(out)


def short_range(x):
    """Energy and forces of exp(-r) pairs that end smoothly."""
    energy, force = 0.0, np.zeros_like(x)
    for image in np.ndindex(3, 3, 3):
        d = x[None] + (np.array(image) - 1) * CELL - x[:, None]
        r = np.linalg.norm(d, axis=-1)
        i, j = np.nonzero((r > 1e-9) & (r < CUTOFF))
        r, d, end = r[i, j], d[i, j], 1 - r[i, j] / CUTOFF
        value = np.exp(-r) * end**3
        slope = -value - 3 * np.exp(-r) * end**2 / CUTOFF
        energy += 0.5 * value.sum()
        np.add.at(force, i, (slope / r)[:, None] * d)
    return energy, force


def labels(x):
    """Energy, forces, dipoles of the oxygens."""
    from dptf.infer.ewald_recp import EwaldRecp

    oxygen = np.arange(0, 12, 3)
    dipole = SHIFT * (x[oxygen + 1] + x[oxygen + 2] - 2 * x[oxygen])
    places, charges = np.vstack([x, x[oxygen] + dipole]), np.concatenate([CHARGES, [PAIRS] * 4])
    energy, force, _ = EwaldRecp(1.0, 0.4).eval(places.reshape(1, -1), charges[None], (np.eye(3) * CELL).reshape(1, 9))
    force = np.reshape(force, (-1, 3))
    total, own = short_range(x)
    own += force[:12]
    own[oxygen] += (1 - 2 * SHIFT) * force[12:]
    own[oxygen + 1] += SHIFT * force[12:]
    own[oxygen + 2] += SHIFT * force[12:]
    return total + np.ravel(energy)[0], own, dipole


def write(folder, nframes, seed):
    """Write a system in the public layout."""
    rng, path = np.random.default_rng(seed), Path(folder)
    (path / "set.000").mkdir(parents=True, exist_ok=True)
    np.savetxt(path / "type.raw", TYPES, fmt="%d")
    (path / "type_map.raw").write_text("O\nH\n")
    rows = {key: [] for key in ("coord", "box", "energy", "force", "atomic_dipole")}
    for _ in range(nframes):
        x = frame(rng)
        for key, value in zip(rows, (x, np.eye(3) * CELL, *labels(x))):
            rows[key].append(np.ravel(value))
    for key, value in rows.items():
        np.save(path / "set.000" / f"{key}.npy", np.array(value))


if __name__ == "__main__":
    write("data_0", 30, 1)
    write("data_1", 6, 2)
