"""Driver for dpdata: ``system.predict("frozen_model.pb", driver="dptf")``."""

import numpy as np
from dpdata.driver import Driver

from dptf.errors import UserError
from dptf.infer.deep_pot import DeepPot


@Driver.register("dptf")
@Driver.register("dp")
@Driver.register("deepmd")
@Driver.register("deepmd-kit")
class DPDriver(Driver):
    """Label frames with energies, forces and virials of a frozen model.

    Parameters
    ----------
    dp : DeepPot, str or Path
        A model or its file.
    """

    def __init__(self, dp):
        self.dp = dp if isinstance(dp, DeepPot) else DeepPot(dp)

    def label(self, data):
        """Add labels to the data of a dpdata System.

        Parameters
        ----------
        data : dict
            ``atom_names``, ``atom_types`` (n,), ``coords`` (nf, n, 3) [Å], ``cells`` (nf, 3, 3) [Å], maybe ``nopbc``.

        Returns
        -------
        dict
            A copy with ``energies`` (nf,) [eV], ``forces`` (nf, n, 3) [eV/Å], ``virials`` (nf, 3, 3) [eV].
        """
        type_map = self.dp.get_type_map()
        names = data["atom_names"]
        used = set(np.unique(data["atom_types"]))
        unknown = [name for k, name in enumerate(names) if k in used and name not in type_map]
        if unknown:
            raise UserError(
                f"element {unknown[0]} is not known to the model, which has {', '.join(type_map)}",
                self.dp.deep_eval.model_file,
            )
        lookup = np.array([type_map.index(name) if name in type_map else -1 for name in names])
        coords = np.asarray(data["coords"])
        nframes, natoms = coords.shape[:2]
        cells = None if data.get("nopbc", False) else np.asarray(data["cells"]).reshape(nframes, 9)
        energy, force, virial = self.dp.eval(
            coords=coords.reshape(nframes, natoms * 3), cells=cells, atom_types=lookup[np.asarray(data["atom_types"])]
        )
        return {
            **data,
            "energies": energy.reshape(nframes),
            "forces": force.reshape(nframes, natoms, 3),
            "virials": virial.reshape(nframes, 3, 3),
        }
