"""What every potential must fulfil, tried on a generated configuration: symmetries, forces that are derivatives, smoothness."""

import numpy as np

from dptf.check.sample import parameters, sample
from dptf.errors import UserError


class SelfTest:
    """The checks of an energy model.

    Parameters
    ----------
    path : str
        Frozen model.
    seed : int
    """

    def __init__(self, path, seed=0):
        from dptf.infer import DeepPotential

        self.path = path
        self.model = DeepPotential(path)
        if self.model.deep_eval.model_type != "ener":
            raise UserError(
                f"is a model of type '{self.model.deep_eval.model_type}'; energies and forces are needed", path
            )
        self.coord, self.cell, self.types = sample(self.model, seed=seed)
        self._rng, self._more = np.random.default_rng(seed + 1), parameters(self.model, len(self.types))
        # Graphs that compute in single precision carry its rounding.
        self.single = self.model.deep_eval.tensor("o_atom_energy").dtype.size < 8 or self._single_nets()
        self.energy, self.force, self.virial = self._eval(self.coord, self.cell, self.types)
        self.scale = max(1.0, float(np.abs(self.force).max()))

    def _single_nets(self):
        return any(
            v.dtype == np.float32 and v.ndim == 2
            for k, v in self.model.deep_eval.constants().items()
            if k.endswith("matrix")
        )

    def _eval(self, coord, cell, types, model=None, **more):
        out = (model or self.model).eval(
            np.reshape(coord, (1, -1)),
            None if cell is None else np.reshape(cell, (1, 9)),
            types,
            **(more or self._more),
        )
        return float(out[0].ravel()[0]), out[1].reshape(-1, 3), out[2].reshape(3, 3)

    def _rotation(self):
        q, _ = np.linalg.qr(self._rng.normal(size=(3, 3)))
        return q * np.sign(np.linalg.det(q))

    def _worst(self, energy, force, virial):
        n = len(self.types)
        return max(
            abs(energy - self.energy) / n, np.abs(force - self.force).max(), np.abs(virial - self.virial).max() / n
        )

    def translation(self):
        """Shifted atoms, some of them outside of the cell."""
        return self._worst(*self._eval(self.coord + self._rng.uniform(-9, 9, 3), self.cell, self.types))

    def rotation(self):
        """A rotated cell."""
        r = self._rotation()
        e, f, v = self._eval(self.coord @ r, self.cell @ r, self.types)
        return self._worst(e, f @ r.T, r @ v @ r.T)

    def reflection(self):
        """A mirror image."""
        m = np.diag([1.0, 1.0, -1.0])
        r = self._rotation() @ m
        e, f, v = self._eval(self.coord @ r, self.cell @ r, self.types)
        return self._worst(e, f @ r.T, r @ v @ r.T)

    def permutation(self):
        """Atoms in another order."""
        p = self._rng.permutation(len(self.types))
        more = dict(self._more)
        if "aparam" in more:
            more["aparam"] = more["aparam"][p]
        e, f, v = self._eval(self.coord[p], self.cell, self.types[p], **more)
        back = np.empty_like(f)
        back[p] = f
        return self._worst(e, back, v)

    def supercell(self):
        """Twice the cell has twice the energy and the same forces."""
        more = {k: (np.concatenate([v, v]) if k == "aparam" else v) for k, v in self._more.items()}
        cell = self.cell * [[2.0], [1.0], [1.0]]
        e, f, v = self._eval(
            np.concatenate([self.coord, self.coord + self.cell[0]]), cell, np.concatenate([self.types] * 2), **more
        )
        return self._worst(e / 2, f[: len(self.types)], v / 2)

    def forces(self):
        """Forces against central differences of the energy, along random directions."""
        worst, h = 0.0, 1e-3 if self.single else 2e-4
        for _ in range(3):
            d = self._rng.normal(size=self.coord.shape)
            d /= np.linalg.norm(d)
            e = [self._eval(self.coord + s * h * d, self.cell, self.types)[0] for s in (2, 1, -1, -2)]
            slope = (8 * (e[1] - e[2]) - (e[0] - e[3])) / (12 * h)
            worst = max(worst, abs(slope + np.sum(d * self.force)))
        return worst

    def virials(self):
        """Virial against central differences of the energy under strain, per atom."""
        worst, h = 0.0, 1e-3 if self.single else 1e-4
        for a, b in ((0, 0), (1, 1), (0, 2), (2, 1)):
            e = []
            for s in (2, 1, -1, -2):
                strain = np.eye(3)
                strain[a, b] += s * h
                e.append(self._eval(self.coord @ strain, self.cell @ strain, self.types)[0])
            slope = (8 * (e[1] - e[2]) - (e[0] - e[3])) / (12 * h)
            worst = max(worst, abs(slope + self.virial[a, b]) / len(self.types))
        return worst

    def cutoff(self):
        """A far pair crosses the cutoff: the largest force just inside of it (it must vanish there)."""
        rcut = float(self.model.get_rcut())
        types = np.array([0, int(self.model.get_ntypes()) - 1])
        more = {k: (v[:2] if k == "aparam" else v) for k, v in self._more.items()}
        pair = lambda r: self._eval([[0.0, 0, 0], [r, 0, 0]], None, types, **more)  # noqa: E731
        inside, outside = pair(rcut - 1e-4), pair(rcut + 1e-4)
        return max(np.abs(inside[1]).max(), abs(inside[0] - outside[0]))

    def batch(self):
        """Two frames at once against one after the other."""
        moved = self.coord + self._rng.normal(scale=0.01, size=self.coord.shape)
        both = self.model.eval(
            np.stack([self.coord, moved]).reshape(2, -1), np.stack([self.cell.ravel()] * 2), self.types, **self._more
        )
        return self._worst(float(both[0][0, 0]), both[1][0].reshape(-1, 3), both[2][0].reshape(3, 3))

    def fused(self):
        """The fast form that is run against the graph as it is in the file."""
        from dptf.infer import DeepPotential

        with DeepPotential(self.path, plain=True) as plain:
            return self._worst(*self._eval(self.coord, self.cell, self.types, plain))

    #: check, tolerance in double and in single precision (relative to the largest force where that exceeds 1 eV/Å)
    CHECKS = (
        ("translation", 1e-9, 1e-3), ("rotation", 1e-9, 1e-3), ("reflection", 1e-9, 1e-3), ("permutation", 1e-9, 1e-3),
        ("supercell", 1e-9, 1e-3), ("forces", 1e-6, 2e-2), ("virials", 1e-6, 2e-2), ("cutoff", 1e-6, 1e-4),
        ("batch", 1e-10, 1e-4), ("fused", 1e-9, 1e-3),
    )  # fmt: skip

    def run(self):
        """Yield (name, meaning, worst deviation, tolerance)."""
        for name, double, single in self.CHECKS:
            tolerance = (single if self.single else double) * self.scale
            yield name, getattr(self, name).__doc__, float(getattr(self, name)()), tolerance

    def close(self):
        """Release the model."""
        self.model.close()
