"""A small data set with labels from an analytic pair potential, and an input for it."""

import json

import numpy as np


def write_system(path, nframes=6, seed=0, nopbc=False, sets=1):
    """Twelve atoms of two types in a triclinic cell; energy sum of exp(-r) pairs within 4 Å (open boundary images ignored)."""
    rng = np.random.default_rng(seed)
    path.mkdir(parents=True, exist_ok=True)
    n = 12
    types = np.array([0, 1, 1] * 4)
    np.savetxt(path / "type.raw", types, fmt="%d")
    (path / "type_map.raw").write_text("A\nB\n")
    if nopbc:
        (path / "nopbc").touch()
    box = np.array([[7.0, 0, 0], [0.5, 6.5, 0], [-0.3, 0.4, 6.8]])
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3)[:n] / 3.0
    for s in range(sets):
        folder = path / f"set.{s:03d}"
        folder.mkdir(exist_ok=True)
        coord = (grid @ box)[None] + rng.normal(scale=0.15, size=(nframes, n, 3))
        energy, force, virial = np.zeros(nframes), np.zeros((nframes, n, 3)), np.zeros((nframes, 3, 3))
        images = [np.zeros(3)] if nopbc else [np.array(k) @ box for k in np.ndindex(3, 3, 3)]
        shift = np.zeros(3) if nopbc else box.sum(0)
        for f in range(nframes):
            for image in images:
                d = coord[f][None] + (image - shift) - coord[f][:, None]
                r = np.linalg.norm(d, axis=-1)
                near = (r > 1e-9) & (r < 4.0)
                e = np.where(near, np.exp(-np.where(near, r, 1.0)), 0.0)
                energy[f] += 0.5 * e.sum()
                g = np.where(near, -e / np.where(near, r, 1.0), 0.0)[..., None] * d  # d e / d r_j
                force[f] += g.sum(axis=1)
                virial[f] -= 0.5 * np.einsum("ijk,ijl->kl", g, d)
        np.save(folder / "coord.npy", coord.reshape(nframes, -1))
        if not nopbc:
            np.save(folder / "box.npy", np.tile(box.ravel(), (nframes, 1)))
        np.save(folder / "energy.npy", energy)
        np.save(folder / "force.npy", force.reshape(nframes, -1))
        np.save(folder / "virial.npy", virial.reshape(nframes, -1))
    return path


def write_mixed_system(path, nframes=6, seed=0):
    """The system of :func:`write_system` with types that differ from frame to frame (energy shifted by 0.3 eV per atom of B).

    Returns
    -------
    path, types : Path and int array, shape (nframes, 12)
    """
    write_system(path, nframes, seed)
    types = np.random.default_rng(seed + 1).integers(0, 2, (nframes, 12))
    np.savetxt(path / "type.raw", np.zeros(12, int), fmt="%d")
    np.save(path / "set.000/real_atom_types.npy", types)
    energy = np.load(path / "set.000/energy.npy")
    np.save(path / "set.000/energy.npy", energy + 0.3 * types.sum(1))
    return path, types


def write_tensors(path, chosen=(0,)):
    """Add dipoles, polarizabilities, densities of states and a property to a system, smooth functions of the near neighbors.

    Atomic tensors are those of the `chosen` types; the density of states has 4 points, the property 2 components.
    """
    types = np.loadtxt(path / "type.raw", dtype=int)
    for folder in sorted(path.glob("set.*")):
        coord = np.load(folder / "coord.npy")
        coord = coord.reshape(len(coord), -1, 3)
        box = np.load(folder / "box.npy").reshape(-1, 3, 3)
        d = coord[:, None] - coord[:, :, None]
        s = d @ np.linalg.inv(box)[:, None]
        d = (s - np.rint(s)) @ box[:, None]
        r = np.linalg.norm(d, axis=-1)
        w = np.where((r > 1e-9) & (r < 3.0), (1 - np.minimum(r, 3.0) / 3.0) ** 3, 0.0)
        dipole = np.einsum("fij,fijk->fik", w, d)
        polar = np.einsum("fij,fija,fijb->fiab", w, d, d) + (1.0 + types)[:, None, None] * np.eye(3)
        level = w.sum(axis=2)
        dos = level[..., None] * np.array([0.1, 0.4, 0.3, 0.2]) + types[:, None]
        keep = np.isin(types, chosen)
        nf = len(coord)
        for key, value in (("dipole", dipole), ("polarizability", polar)):
            np.save(folder / f"atomic_{key}.npy", value[:, keep].reshape(nf, -1))
            np.save(folder / f"{key}.npy", value[:, keep].sum(axis=1).reshape(nf, -1))
        np.save(folder / "atom_dos.npy", dos.reshape(nf, -1))
        np.save(folder / "dos.npy", dos.sum(axis=1))
        np.save(folder / "gap.npy", dos.mean(axis=1)[:, :2])
    return path


def write_input(folder, systems, **changes):
    """A small input; `changes` are ``section__key=value`` (``training__numb_steps=5``)."""
    config = {
        "model": {
            "type_map": ["A", "B"],
            "descriptor": {
                "type": "se_e2_a", "sel": "auto", "rcut": 4.0, "rcut_smth": 1.0, "neuron": [4, 8], "axis_neuron": 3,
                "type_one_side": True, "seed": 1,
            },
            "fitting_net": {"neuron": [10, 10], "seed": 1},
        },
        "learning_rate": {"start_lr": 0.003, "stop_lr": 1e-5},
        "loss": {"start_pref_v": 0.1, "limit_pref_v": 0.1},
        "training": {
            "training_data": {"systems": [str(s) for s in systems], "batch_size": 2},
            "numb_steps": 20, "seed": 3, "disp_freq": 5, "save_freq": 10,
        },
    }  # fmt: skip
    for key, value in changes.items():
        section = config
        *parents, last = key.split("__")
        for p in parents:
            section = section[p]
        if value is None:
            section.pop(last, None)
        else:
            section[last] = value
    path = folder / "input.json"
    path.write_text(json.dumps(config))
    return path
