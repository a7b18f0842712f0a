"""Water clusters with dipoles, polarizabilities, densities of states and a property, all from short formulas.

The labels are smooth functions of the positions, so that small models learn them in minutes; they stand for what a calculation
of the electrons gives. Open boundaries, four molecules per frame.
"""

import numpy as np

CHARGE, ALPHA, BETA = 0.35, 1.2, 0.4  # e; Å³; Å
GRID = np.linspace(-15.0, 5.0, 20)  # eV
MOLECULES = 4


def molecule(rng):
    """Oxygen and two hydrogens around the origin, bent and stretched a little, in any orientation (Å)."""
    angle = np.deg2rad(104.5 + rng.normal(scale=4.0))
    lengths = 0.97 + rng.normal(scale=0.03, size=2)
    arms = np.array([[1.0, 0.0, 0.0], [np.cos(angle), np.sin(angle), 0.0]]) * lengths[:, None]
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    return np.vstack([np.zeros(3), arms @ turn])


def frame(rng):
    """Positions (12, 3) of molecules whose oxygens are at least 2.6 Å apart."""
    centers = []
    while len(centers) < MOLECULES:
        c = rng.uniform(0.0, 5.0, 3)
        if all(np.linalg.norm(c - d) > 2.6 for d in centers):
            centers.append(c)
    return np.vstack([molecule(rng) + c for c in centers])


def labels(x):
    """Labels of one frame: atomic ones of oxygens (dipole, polarizability) or of all atoms (density of states)."""
    d = x[None] - x[:, None]
    r = np.linalg.norm(d, axis=-1)
    w = np.where((r > 1e-9) & (r < 4.0), (1.0 - np.minimum(r, 4.0) / 4.0) ** 3, 0.0)
    oxygen = np.arange(0, len(x), 3)
    dipole = CHARGE * np.stack([d[i, i + 1] + d[i, i + 2] for i in oxygen])
    polar = np.stack([
        ALPHA * np.eye(3) + BETA * sum(np.outer(d[i, j], d[i, j]) for j in (i + 1, i + 2)) for i in oxygen
    ])  # fmt: skip
    level = np.where(np.arange(len(x)) % 3 == 0, -10.0, -2.0) + 2.0 * w.sum(axis=1)
    dos = np.exp(-((GRID - level[:, None]) ** 2) / 2.0) / np.sqrt(2.0 * np.pi)
    gap = level[1::3].min() - level[::3].max()
    mean = level.mean()
    return {
        "atomic_dipole": dipole.ravel(), "dipole": dipole.sum(axis=0), "atomic_polarizability": polar.ravel(),
        "polarizability": polar.sum(axis=0).ravel(), "atom_dos": dos.ravel(), "dos": dos.sum(axis=0),
        "levels": np.array([mean, gap]),
    }  # fmt: skip


def write(folder, nframes, seed):
    """Write a system in the public layout."""
    from pathlib import Path

    rng = np.random.default_rng(seed)
    path = Path(folder)
    (path / "set.000").mkdir(parents=True, exist_ok=True)
    (path / "type.raw").write_text("\n".join("011" * MOLECULES) + "\n")
    (path / "type_map.raw").write_text("O\nH\n")
    (path / "nopbc").touch()
    coords = [frame(rng) for _ in range(nframes)]
    rows = [{"coord": x.ravel(), **labels(x)} for x in coords]
    for key in rows[0]:
        np.save(path / "set.000" / f"{key}.npy", np.array([row[key] for row in rows]))


if __name__ == "__main__":
    write("data_0", 40, 1)
    write("data_1", 10, 2)
