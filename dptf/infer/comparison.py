"""Compare models with labelled systems: what ``dp test`` computes, per kind of model."""

import numpy as np

from dptf.errors import UserError
from dptf.infer.errors_table import ErrorSums, Line, both

_XYZ = ("x", "y", "z")
_PAIRS = [a + b for a in _XYZ for b in _XYZ]


def _columns(names):
    return " ".join(f"{side}_{name}" for side in ("data", "pred") for name in names)


class EnergyComparison:
    """Energies, forces, virials and stresses.

    Parameters
    ----------
    atomic : bool
        Compare atomic energies, which then must be labelled.
    """

    def __init__(self, model, atomic):
        self.model, self.atomic = model, atomic
        ev, force, stress = "eV", "eV/Å", "eV/Å³"
        forces = both("Force  {}", "f", force)
        if model.has_spin:
            forces = [*both("Force atom {}", "fr", force, 20), *both("Force spin {}", "fm", "eV/uB", 20)]
        self.lines = [
            *both("Energy {}", "e", ev),
            *both("Energy {}/Natoms", "e_atom", ev),
            *forces,
            *both("Force weighted {}", "f_weighted", force),
            *both("Virial {}", "v", ev),
            *both("Virial {}/Natoms", "v_atom", ev),
            *both("Stress {}", "s", stress),
            *both("Atomic ener {}", "ae", ev, in_average=False),
        ]
        self.labels = ("energy", "force", "virial")

    def run(self, system, index, _isys, files):
        """Errors of some frames; writes detail files.

        Returns
        -------
        ErrorSums
        """
        args = system.arguments(self.model, index)
        energy, force, virial, *rest = self.model.eval(atomic=self.atomic, **args)
        if "spin" in args:
            rest, magnetic = rest[:-2], rest[-2:]
        else:
            magnetic = None
        real = np.broadcast_to(np.asarray(args["atom_types"]) >= 0, (len(index), system.natoms))
        natoms = np.maximum(real.sum(axis=1), 1)[:, None]
        sums, name = ErrorSums(), system.name
        data, here = system.label("energy", index, 1)
        if here.any():
            sums.add("e", (energy - data)[here])
            sums.add("e_atom", ((energy - data) / natoms)[here])
            header = f"{name}: data_e pred_e"
            files.write("e.out", header, data[here], energy[here])
            files.write("e_peratom.out", header, (data / natoms)[here], (energy / natoms)[here])
        data, here = system.label("force", index, 3, atomic=True)
        if here.any() and self.model.has_spin:
            self._spin_forces(sums, system, index, (force, data, real & here[:, None]), args, magnetic, files)
        elif here.any():
            self._forces(sums, system, index, force, data, here, real)
            rows = real & here[:, None]
            files.write("f.out", f"{name}: {_columns(['fx', 'fy', 'fz'])}", data[rows], force[rows])
        data, here = system.label("virial", index, 9)
        if here.any() and system.periodic:
            volume = np.abs(np.linalg.det(args["cells"].reshape(-1, 3, 3)))[:, None]
            for key, scale, suffix in (
                ("v", 1.0, "v.out"),
                ("v_atom", natoms, "v_peratom.out"),
                ("s", -volume, "s.out"),
            ):
                sums.add(key, ((virial - data) / scale)[here])
                unit = " (eV/Å³)" if key == "s" else ""
                columns = _columns([("s" if key == "s" else "v") + pair for pair in _PAIRS])
                files.write(suffix, f"{name}{unit}: {columns}", (data / scale)[here], (virial / scale)[here])
        if self.atomic:
            data, here = system.label("atom_ener", index, 1, atomic=True, must=True)
            n = rest[0].shape[1]  # virtual atoms, which come last, may have no energies
            sums.add("ae", (rest[0] - data[:, :n])[(real & here[:, None])[:, :n]])
        return sums

    def _spin_forces(self, sums, system, index, forces, args, magnetic, files):
        """Forces on atoms, and magnetic ones: of their own label, or those of virtual atoms in the data."""
        force, data, rows = forces
        count = self.model.get_ntypes() - self.model.get_ntypes_spin()
        virtual = np.broadcast_to(np.asarray(args["atom_types"]) >= count, rows.shape)
        atoms, spins, predicted, labels = rows & ~virtual, rows & virtual, force, data
        if magnetic is not None:
            (predicted, mask), (labels, here) = magnetic, system.label("force_mag", index, 3, atomic=True)
            spins = mask[..., 0] & here[:, None]
        for key, chosen, a, b, names in (
            ("fr", atoms, data, force, ["fx", "fy", "fz"]),
            ("fm", spins, labels, predicted, ["fmx", "fmy", "fmz"]),
        ):
            if chosen.any():
                sums.add(key, (b - a)[chosen])
                files.write(f"{key}.out", f"{system.name}: {_columns(names)}", a[chosen], b[chosen])

    def _forces(self, sums, system, index, force, data, here, real):
        rows = real & here[:, None]
        sums.add("f", (force - data)[rows])
        weight, weighted = system.label("atom_pref", index, 1, atomic=True)
        rows &= weighted[:, None]
        if rows.any():
            sums.add("f_weighted", (force - data)[rows], weight[rows])


class DosComparison:
    """Densities of states."""

    def __init__(self, model, atomic):
        self.model, self.atomic = model, atomic
        unit = "Occupation/eV"
        self.lines = [
            *both("DOS {}", "dos", unit),
            *both("DOS {}/Natoms", "dos_atom", unit),
            *both("Atomic DOS {}", "ados", unit, in_average=False),
        ]
        self.labels = ("dos",)

    def run(self, system, index, isys, files):
        """Errors of some frames; see `EnergyComparison.run`."""
        out = self.model.eval(atomic=self.atomic, **system.arguments(self.model, index))
        width, sums = self.model.numb_dos, ErrorSums()
        data, _ = system.label("dos", index, width, must=True)
        sums.add("dos", out[0] - data)
        sums.add("dos_atom", (out[0] - data) / system.natoms)
        infix = f"{isys}." if isys else ""
        for frame, d, p in zip(index, data, out[0]):
            files.write(f"dos.out.{infix}{frame}", f"{system.name} - {frame}: data_dos pred_dos", d, p)
        if self.atomic:
            data, _ = system.label("atom_dos", index, width, atomic=True, must=True)
            sums.add("ados", out[1] - data)
            for frame, d, p in zip(index, data, out[1]):
                header = f"{system.name} - {frame}: data_ados pred_ados"
                files.write(f"ados.out.{infix}{frame}", header, d.ravel(), p.ravel())
        return sums


class TensorComparison:
    """Dipoles and polarizabilities: the sum over the selected atoms, or every one of them."""

    def __init__(self, model, atomic):
        self.model, self.atomic = model, atomic
        kind = model.model_types[0].replace("global_", "")
        if kind not in ("dipole", "polar"):
            raise UserError(f"models of type '{kind}' cannot be tested", model.deep_eval.model_file)
        self.width = 3 if kind == "dipole" else 9
        self.key = "dipole" if kind == "dipole" else "polarizability"
        self.names = list(_XYZ) if kind == "dipole" else [f"p{pair}" for pair in _PAIRS]
        title = self.key.capitalize()
        self.lines = [Line(f"{title}  RMSE       ", "rmse", "t")]
        if not atomic:
            self.lines += [
                Line(f"{title}  RMSE/sqrtN ", "rmse", "t_sqrt", in_average=False),
                Line(f"{title}  RMSE/N     ", "rmse", "t_atom", in_average=False),
            ]
        self.labels = (f"atomic_{self.key}",) if atomic else (self.key,)

    def run(self, system, index, isys, files):
        """Errors of some frames; see `EnergyComparison.run`."""
        args, sums = system.arguments(self.model, index), ErrorSums()
        if system.mixed:
            raise UserError("mixed-type systems cannot be used to test tensor models", system.name)
        selected = np.isin(args["atom_types"], self.model.get_sel_type())
        count = max(int(selected.sum()), 1)
        if self.atomic:
            data, _ = system.label(
                f"atomic_{self.key}", index, self.width, atomic=True, sel_type=self.model.get_sel_type(), must=True
            )
            predicted = self.model.eval(atomic=True, **args)[:, selected]
            sums.add("t", predicted - data)
            names = [f"{name}{k + 1}" for k in range(count) for name in self.names]
        else:
            data, _ = system.label(self.key, index, self.width, must=True)
            if self.model.deep_eval.has(self.model.global_node):
                predicted = self.model.eval(atomic=False, **args)
            else:
                predicted = self.model.eval(atomic=True, **args).sum(axis=1)
            for key, scale in (("t", 1.0), ("t_sqrt", np.sqrt(count)), ("t_atom", count)):
                sums.add(key, (predicted - data) / scale)
            names = self.names
        suffix = f"out.{isys}" if isys else "out"
        rows = len(index)
        files.write(suffix, _columns(names), data.reshape(rows, -1), predicted.reshape(rows, -1))
        return sums


class PropertyComparison:
    """A property of frames, and with `atomic` its contributions of atoms."""

    def __init__(self, model, atomic):
        self.model, self.atomic = model, atomic
        self.key = model.get_var_name()
        self.lines = [*both("Property {}", "p", ""), *both("Atomic property {}", "ap", "", in_average=False)]
        self.labels = (self.key,)

    def run(self, system, index, isys, files):
        """Errors of some frames; see `EnergyComparison.run`."""
        out = self.model.eval(atomic=self.atomic, **system.arguments(self.model, index))
        width, sums = self.model.task_dim, ErrorSums()
        data, _ = system.label(self.key, index, width, must=True)
        sums.add("p", out[0] - data)
        infix = f".{isys}" if isys else ""
        columns = _columns([f"{self.key}{k + 1}" if width > 1 else self.key for k in range(width)])
        files.write(f"property.out{infix}", f"{system.name}: {columns}", data, out[0])
        if self.atomic:
            data, _ = system.label(f"atom_{self.key}", index, width, atomic=True, must=True)
            sums.add("ap", out[1] - data)
            rows = data.reshape(-1, width), out[1].reshape(-1, width)
            files.write(f"aproperty.out{infix}", f"{system.name}: {columns}", *rows)
        return sums


def comparison_for(model, atomic):
    """The comparison that fits a model."""
    from dptf.infer.deep_dos import DeepDOS
    from dptf.infer.deep_pot import DeepPot
    from dptf.infer.deep_property import DeepProperty

    kinds = {DeepPot: EnergyComparison, DeepDOS: DosComparison, DeepProperty: PropertyComparison}
    return kinds.get(type(model), TensorComparison)(model, atomic)
