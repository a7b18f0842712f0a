"""Writers that the data scripts of the examples share: a system in npy form, and a LAMMPS data file of one frame."""

import numpy as np


def write_system(folder, types, type_map, coord, box, energy, force, virial):
    """Write labelled frames as one system with one set.

    Coordinates, cells, forces and virials are stored in single precision (rounding them is harmless; labels must belong
    to the rounded coordinates), energies in double, because they are small differences of large numbers.

    Parameters
    ----------
    folder : Path
    types : (n,) int array
        Index of every atom into ``type_map``.
    type_map : list of str
    coord, force : (frames, n, 3) array
        Å and eV/Å.
    box, virial : (frames, 3, 3) array
        Cell vectors as rows [Å]; virial [eV].
    energy : (frames,) array
        eV.
    """
    frames = len(energy)
    (folder / "set.000").mkdir(parents=True, exist_ok=True)
    np.savetxt(folder / "type.raw", types, fmt="%d")
    (folder / "type_map.raw").write_text("\n".join(type_map) + "\n")
    np.save(folder / "set.000" / "energy.npy", np.asarray(energy, np.float64))
    for key, value in (("coord", coord), ("box", box), ("force", force), ("virial", virial)):
        np.save(folder / "set.000" / f"{key}.npy", np.asarray(value, np.float32).reshape(frames, -1))


def write_lammps(path, title, types, masses, coord, box):
    """Write one frame with an orthogonal cell as a LAMMPS data file (``atom_style atomic``), atoms wrapped into it."""
    edges = np.diag(box)
    wrapped = np.asarray(coord, float) % edges
    with open(path, "w") as f:
        f.write(f"{title}\n\n{len(types)} atoms\n{len(masses)} atom types\n\n")
        f.writelines(f"0 {edge:.10g} {d}lo {d}hi\n" for d, edge in zip("xyz", edges))
        f.write("\nMasses\n\n")
        f.writelines(f"{k + 1} {mass}\n" for k, mass in enumerate(masses))
        f.write("\nAtoms # atomic\n\n")
        f.writelines(
            f"{i + 1} {t + 1} {r[0]:.8f} {r[1]:.8f} {r[2]:.8f}\n" for i, (t, r) in enumerate(zip(types, wrapped))
        )
