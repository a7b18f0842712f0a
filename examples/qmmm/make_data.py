"""A small molecule (the QM region) among three waters, open boundary, from a short formula.

Energy: springs within the molecule, and pair energies between the molecule and the waters; the waters among themselves count nothing,
as in a correction to a QM/MM calculation. `aparam.npy` numbers the fragments: 0 is the QM region. `drdq.npy` tells how the atoms move
with a reaction coordinate, the distance of atoms 0 and 1.
"""

from pathlib import Path

import numpy as np

NAMES, TYPES = ["C", "H", "OW", "HW"], np.array([0, 1, 1, 1, 1] + [2, 3, 3] * 3)
FRAGMENTS = np.array([0] * 5 + [1] * 3 + [2] * 3 + [3] * 3)
CORNERS = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * 1.09 / np.sqrt(3)
WATER = np.array([[0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]])
CUTOFF = 6.0  # Å


def frame(rng):
    """Positions (14, 3)."""
    parts = [np.vstack([np.zeros(3), CORNERS]) + rng.normal(scale=0.05, size=(5, 3))]
    for direction in np.eye(3):
        place = direction * rng.uniform(3.0, 3.8) + rng.normal(scale=0.3, size=3)
        turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        parts.append(place + WATER @ turn + rng.normal(scale=0.03, size=(3, 3)))
    return np.vstack(parts)


def labels(x):
    """Energy (eV), forces (eV/Å), and the derivative of the positions in the reaction coordinate."""
    force, energy = np.zeros_like(x), 0.0
    d = x[None] - x[:, None]
    r = np.linalg.norm(d, axis=-1) + np.eye(len(x))
    core = FRAGMENTS == 0
    ideal = np.vstack([np.zeros(3), CORNERS])
    for i, j in zip(*np.nonzero(np.tri(14, k=-1) * (core[:, None] | core[None]))):
        if core[i] and core[j]:
            rest = np.linalg.norm(ideal[i] - ideal[j])
            value, slope = 2.0 * (r[i, j] - rest) ** 2, 4.0 * (r[i, j] - rest)
        elif r[i, j] < CUTOFF:
            size = 0.5 * (1 + TYPES[i] % 2) * (1 + (TYPES[j] == 2))
            end = 1 - r[i, j] / CUTOFF
            value = size * np.exp(-r[i, j]) * end**3
            slope = -value - 3 * size * np.exp(-r[i, j]) * end**2 / CUTOFF
        else:
            continue
        energy += value
        pull = slope * d[i, j] / r[i, j]
        force[i] += pull
        force[j] -= pull
    drdq = np.zeros((14, 3))
    drdq[1], drdq[0] = 0.5 * d[0, 1] / r[0, 1], -0.5 * d[0, 1] / r[0, 1]
    return energy, force, drdq


def write(folder, nframes, seed):
    """Write a system in the public layout."""
    rng, path = np.random.default_rng(seed), Path(folder)
    (path / "set.000").mkdir(parents=True, exist_ok=True)
    np.savetxt(path / "type.raw", TYPES, fmt="%d")
    (path / "type_map.raw").write_text("\n".join(NAMES) + "\n")
    (path / "nopbc").touch()
    rows = {key: [] for key in ("coord", "energy", "force", "drdq", "aparam")}
    for _ in range(nframes):
        x = frame(rng)
        for key, value in zip(rows, (x, *labels(x), FRAGMENTS.astype(float))):
            rows[key].append(np.ravel(value))
    for key, value in rows.items():
        np.save(path / "set.000" / f"{key}.npy", np.array(value))


if __name__ == "__main__":
    write("data_0", 40, 1)
    write("data_1", 8, 2)
