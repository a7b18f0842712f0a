"""ASE calculator."""

import numpy as np
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes

from dptf.errors import UserError
from dptf.infer.deep_pot import DeepPot


def closed_cell(positions, cell, pbc, rcut):
    """Cell for a system that is periodic in some directions only.

    A graph knows full periodicity or none. Each open direction gets a vector perpendicular to the periodic ones, so
    long that the gap between an atom and the nearest image exceeds the cutoff: no image in an open direction is ever seen, and
    energies, forces and virials are those of the slab or wire.

    Parameters
    ----------
    positions : (n, 3) array
        [Å]
    cell : (3, 3) array
        Rows are lattice vectors [Å]; those of open directions are not used.
    pbc : (3,) bool array
        Neither all nor none.
    rcut : float
        [Å]

    Returns
    -------
    (3, 3) array
    """
    periodic = [k for k in range(3) if pbc[k]]
    vectors = np.array(cell, dtype=float)
    # The last right singular vectors span what is perpendicular to the periodic vectors.
    normals = np.linalg.svd(vectors[periodic])[2][len(periodic) :]
    for k, normal in zip([k for k in range(3) if not pbc[k]], normals):
        extent = np.ptp(positions @ normal) if len(positions) else 0.0
        vectors[k] = normal * (extent + 1.1 * rcut + 1.0)
    return vectors


class DP(Calculator):
    """Energies, forces and stresses of a frozen model in ASE.

    Parameters
    ----------
    model : str or Path
        Frozen graph.
    label : str, optional
    type_dict : dict, optional
        Element symbol -> type index, instead of the type map of the model.
    neighbor_list : object, optional
        An ASE ``NewPrimitiveNeighborList`` to use instead of the search inside the graph.
    head, nlist_backend, **kwargs
        As in `DeepPot`.

    Notes
    -----
    ``atoms.info["fparam"]`` and ``atoms.info["aparam"]`` are passed on. Slabs and wires (periodic in one or two
    directions) are evaluated as such; they have no stress.
    """

    name = "DP"
    implemented_properties = ("energy", "free_energy", "forces", "virial", "stress")

    def __init__(
        self, model, label="DP", type_dict=None, neighbor_list=None, head=None, nlist_backend="auto", **kwargs
    ):
        super().__init__(label=label)
        self.dp = DeepPot(model, neighbor_list=neighbor_list, head=head, nlist_backend=nlist_backend, **kwargs)
        self.type_dict = dict(type_dict) if type_dict else {s: k for k, s in enumerate(self.dp.get_type_map())}

    def _types(self, atoms):
        try:
            return [self.type_dict[symbol] for symbol in atoms.get_chemical_symbols()]
        except KeyError as err:
            raise UserError(
                f"element {err.args[0]} is not known to the model, which has {', '.join(self.type_dict) or 'no type map'}",
                self.dp.deep_eval.model_file,
                "use atoms of these elements, or pass type_dict={'element': type, ...}",
            ) from None

    def calculate(self, atoms=None, properties=("energy", "forces"), system_changes=tuple(all_changes)):
        """Run the model; results land in ``self.results`` [eV, eV/Å, eV/Å^3]."""
        super().calculate(atoms, properties, system_changes)
        pbc = np.asarray(self.atoms.pbc)
        positions = self.atoms.get_positions()
        cell = np.asarray(self.atoms.cell)
        if not pbc.any():
            cells = None
        elif pbc.all():
            cells = cell.reshape(1, 9)
        else:
            if np.linalg.matrix_rank(cell[pbc]) < pbc.sum():
                raise UserError("the vectors of the periodic directions are zero or parallel", "atoms.cell")
            cells = closed_cell(positions, cell, pbc, float(self.dp.get_rcut())).reshape(1, 9)
        params = {key: self.atoms.info[key] for key in ("fparam", "aparam", "charge_spin") if key in self.atoms.info}
        energy, force, virial = self.dp.eval(positions.reshape(1, -1), cells, self._types(self.atoms), **params)
        self.results.update(
            energy=energy[0, 0], free_energy=energy[0, 0], forces=force[0], virial=virial[0].reshape(3, 3)
        )
        if pbc.all():
            stress = -(self.results["virial"] + self.results["virial"].T) / (2 * self.atoms.get_volume())
            self.results["stress"] = stress.ravel()[[0, 4, 8, 5, 2, 1]]
        elif "stress" in properties:
            raise PropertyNotImplementedError("stress needs a cell that is periodic in all three directions")
