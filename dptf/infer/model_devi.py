"""Deviation between models, or between models and reference data.

For K models and a frame: standard deviations over the models (population, not sample), of the force vector of an
atom, of the virial per atom and of the energy per atom.
"""

import numpy as np

from dptf.errors import UserError


def calc_model_devi_f(fs, real_f=None, relative=None, atomic=False):
    """Force deviation.

    Parameters
    ----------
    fs : (K, nf, n, 3) array
        Forces [eV/Å].
    real_f : (nf, n, 3) array, optional
        Reference; root mean square errors are computed instead.
    relative : float, optional
        Level [eV/Å]: divide by the norm of the mean (or reference) force plus this.
    atomic : bool, optional
        Also return the deviation of every atom.

    Returns
    -------
    max, min, avg : (nf,) arrays
    devi : (nf, n) array
        Only if ``atomic``.
    """
    fs = np.asarray(fs)
    mean = fs.mean(axis=0)
    center = mean if real_f is None else np.reshape(real_f, mean.shape)
    devi = np.sqrt(np.square(fs - center).mean(axis=0).sum(axis=-1))
    if relative is not None:
        devi = devi / (np.linalg.norm(center, axis=-1) + relative)
    if devi.shape[1] == 0:
        zero = np.zeros(len(devi))
        return (zero, zero, zero, devi) if atomic else (zero, zero, zero)
    result = (devi.max(axis=1), devi.min(axis=1), devi.mean(axis=1))
    return (*result, devi) if atomic else result


def calc_model_devi_v(vs, real_v=None, relative=None):
    """Virial deviation.

    Parameters
    ----------
    vs : (K, nf, 9) array
        Virials, divided by the number of atoms [eV].
    real_v : (nf, 9) array, optional
        Reference; root mean square errors are computed instead.
    relative : float, optional
        Level [eV]: divide by the norm of the mean (or reference) virial of the frame plus this.

    Returns
    -------
    max, min, avg : (nf,) arrays
        Over the nine components; avg is the root of their mean square.
    """
    vs = np.asarray(vs)
    mean = vs.mean(axis=0)
    center = mean if real_v is None else np.reshape(real_v, mean.shape)
    devi = np.sqrt(np.square(vs - center).mean(axis=0))
    if relative is not None:
        devi = devi / (np.linalg.norm(center, axis=-1, keepdims=True) + relative)
    return devi.max(axis=1), devi.min(axis=1), np.linalg.norm(devi, axis=1) / 3


def calc_model_devi_e(es, real_e=None):
    """Energy deviation.

    Parameters
    ----------
    es : (K, nf) array
        Energies per atom [eV].
    real_e : (nf,) array, optional
        Reference; root mean square errors are computed instead.

    Returns
    -------
    (nf,) array
    """
    es = np.asarray(es)
    center = es.mean(axis=0) if real_e is None else np.reshape(real_e, es.shape[1:])
    return np.sqrt(np.square(es - center).mean(axis=0))


def write_model_devi_out(devi, fname, header="", atomic=False):
    """Append rows of deviations to a file.

    Parameters
    ----------
    devi : (nf, 8 or 8+n) array
        Step, then max, min, avg of virial and force deviations, energy deviation, then those of the atoms.
    fname : str
    header : str, optional
        Text of a comment line before the column names.
    atomic : bool, optional
        The rows hold the deviations of the atoms too.

    Returns
    -------
    array
        ``devi``.
    """
    names = ["max_devi_v", "min_devi_v", "avg_devi_v", "max_devi_f", "min_devi_f", "avg_devi_f", "devi_e"]
    columns = "step".ljust(10) + "".join(name.ljust(19) for name in names)
    if atomic:
        columns += "atm_devi_f(N)".ljust(19)
    with open(fname, "a") as file:
        file.write(f"# {header}\n# {columns}\n")
        for row in devi:
            file.write(f"{int(row[0]):12d}" + "".join(f"{x:19.6e}" for x in row[1:]) + "\n")
    return devi


def check_type_maps(models):
    """Demand that all models have the same type map."""
    first = models[0]
    for other in models[1:]:
        if other.get_type_map() != first.get_type_map():
            raise UserError(
                f"type map {other.get_type_map()} differs from {first.get_type_map()} of {first.deep_eval.model_file}",
                other.deep_eval.model_file,
                "compare only models with the same type_map",
            )


def calc_model_devi(
    coord,
    box,
    atype,
    models,
    fname=None,
    frequency=1,
    mixed_type=False,
    fparam=None,
    aparam=None,
    real_data=None,
    atomic=False,
    relative=None,
    relative_v=None,
    spin=None,
):
    """Deviation of models on frames.

    Parameters
    ----------
    coord, box, atype, mixed_type, fparam, aparam, spin
        As in ``DeepPot.eval``.
    models : list of DeepPot
    fname : str, optional
        File to append the rows to.
    frequency : int, optional
        Steps between frames, for the first column.
    real_data : dict, optional
        Reference ``energy``, ``force`` and ``virial``: errors instead of deviations.
    atomic : bool, optional
        Add the force deviation of every atom.
    relative, relative_v : float, optional
        Levels of relative force [eV/Å] and virial [eV] deviations.

    Returns
    -------
    (nf, 8 or 8+n) array
        step, max_devi_v, min_devi_v, avg_devi_v, max_devi_f, min_devi_f, avg_devi_f, devi_e, (atoms).
    """
    check_type_maps(models)
    given = {"fparam": fparam, "aparam": aparam, "mixed_type": mixed_type} | ({} if spin is None else {"spin": spin})
    results = [m.eval(coord, box, atype, **given) for m in models]
    energies, forces, virials = (np.stack([r[k] for r in results]) for k in range(3))
    types = np.asarray(atype)
    natoms = np.maximum(np.count_nonzero(types >= 0, axis=-1), 1)  # per frame when mixed
    natoms = np.broadcast_to(natoms, (forces.shape[1],))
    real_e = real_f = real_v = None
    if real_data is not None:
        for key in ("energy", "force", "virial"):
            if real_data.get(key) is None:
                raise UserError(f"errors against reference data need the label '{key}'", "real_data")
        real_e = np.reshape(real_data["energy"], -1) / natoms
        real_f = real_data["force"]
        real_v = np.reshape(real_data["virial"], (-1, 9)) / natoms[:, None]
    devi_f = calc_model_devi_f(forces, real_f, relative, atomic=True)
    devi_v = calc_model_devi_v(virials / natoms[:, None], real_v, relative_v)
    devi_e = calc_model_devi_e(energies[..., 0] / natoms, real_e)
    steps = np.arange(forces.shape[1]) * frequency
    devi = np.column_stack([steps, *devi_v, *devi_f[:3], devi_e] + ([devi_f[3]] if atomic else []))
    if fname:
        write_model_devi_out(devi, fname, atomic=atomic)
    return devi


def calc_uncertainty_devi(model, frame, atomic=False):
    """Rows as of :func:`calc_model_devi` from the uncertainty of one model.

    The expected length of the error of a force, sqrt(3) times the deviation of a component, stands where several models would have the
    deviation of theirs; energies and virials have none (NaN).

    Parameters
    ----------
    model : DeepPot
    frame : dict
        Arguments of ``model.eval``.
    atomic : bool, optional
        Add the values of the atoms.

    Returns
    -------
    (nf, 8 or 8+n) array
    """
    std = np.sqrt(3.0) * model.eval_uncertainty(**frame)
    there = np.broadcast_to(np.asarray(frame["atom_types"]) >= 0, std.shape)
    nothing = np.full(len(std), np.nan)
    high, low = np.where(there, std, -np.inf).max(axis=1), np.where(there, std, np.inf).min(axis=1)
    mean = np.where(there, std, 0.0).sum(axis=1) / there.sum(axis=1)
    columns = [np.arange(len(std)), nothing, nothing, nothing, high, low, mean, nothing]
    return np.column_stack(columns + ([std] if atomic else []))
