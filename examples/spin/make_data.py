"""Sixteen magnetic atoms on a bcc lattice, with moments that turn and breathe, from a short formula.

Energy: a pair repulsion, an exchange -J(r) S_i . S_j, and A (|S|^2 - 1)^2 for every moment; J and the repulsion end smoothly at 4 Å.
"""

from pathlib import Path

import numpy as np

LATTICE, CUTOFF, REPULSION, EXCHANGE, STIFFNESS = 2.87, 4.0, 3.0, 0.2, 0.5  # Å, Å, eV, eV, eV


def labels(x, s, box):
    """Energy (eV), forces (eV/Å) and magnetic forces -dE/dS (eV per unit of S)."""
    energy, force, mag = 0.0, np.zeros_like(x), np.zeros_like(x)
    for image in np.ndindex(5, 5, 5):
        d = x[None] + (np.array(image) - 2) @ box - x[:, None]
        r = np.linalg.norm(d, axis=-1)
        i, j = np.nonzero((r > 1e-9) & (r < CUTOFF))
        r, d = r[i, j], d[i, j]
        end = 1 - r / CUTOFF
        dot = (s[i] * s[j]).sum(1)
        u, slope = REPULSION * end**4, -4 * REPULSION * end**3 / CUTOFF
        w, turn = EXCHANGE * end**3, -3 * EXCHANGE * end**2 / CUTOFF
        energy += 0.5 * (u - w * dot).sum()
        pull = ((slope - turn * dot) / r)[:, None] * d
        np.add.at(force, i, pull)  # the pair and its mirror image count half each
        np.add.at(mag, i, w[:, None] * s[j])
    size = (s**2).sum(1)
    energy += STIFFNESS * ((size - 1) ** 2).sum()
    return energy, force, mag - 4 * STIFFNESS * (size - 1)[:, None] * s


def write(folder, nframes, seed):
    """Write a system in the public layout."""
    rng, path = np.random.default_rng(seed), Path(folder)
    (path / "set.000").mkdir(parents=True, exist_ok=True)
    corner = np.stack(np.meshgrid(*[np.arange(2)] * 3, indexing="ij"), -1).reshape(-1, 3)
    lattice = np.concatenate([corner, corner + 0.5]) * LATTICE
    np.savetxt(path / "type.raw", np.zeros(16, int), fmt="%d")
    (path / "type_map.raw").write_text("Fe\n")
    rows = {key: [] for key in ("coord", "box", "spin", "energy", "force", "force_mag")}
    for _ in range(nframes):
        box = 2 * LATTICE * (np.eye(3) + rng.uniform(-0.02, 0.02, (3, 3)))
        x = (lattice / (2 * LATTICE)) @ box + rng.normal(scale=0.08, size=(16, 3))
        s = np.array([0, 0, 1.0]) + rng.normal(scale=0.4, size=(16, 3))
        s *= rng.uniform(0.9, 1.1, (16, 1)) / np.linalg.norm(s, axis=1, keepdims=True)
        for key, value in zip(rows, (x, box, s, *labels(x, s, box))):
            rows[key].append(np.ravel(value))
    for key, value in rows.items():
        np.save(path / "set.000" / f"{key}.npy", np.array(value))


if __name__ == "__main__":
    write("data_0", 30, 1)
    write("data_1", 6, 2)
