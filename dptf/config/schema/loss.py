"""The loss section."""

from dptf.config.schema.common import ABSENT, NUMBER, arg, choice, variant


def _pref(key, what, start, limit):
    return [
        arg(f"start_pref_{key}", NUMBER, start, f"Prefactor of {what} at the start of the training."),
        arg(f"limit_pref_{key}", NUMBER, limit, f"Prefactor of {what} when the learning rate has vanished."),
    ]


def _options():
    return [
        arg("relative_f", [float, type(None)], ABSENT, "Divide force errors by |force| plus this (eV/Å)."),
        arg(
            "enable_atom_ener_coeff",
            bool,
            False,
            "Weight atomic energies with atom_ener_coeff.npy in the total energy.",
        ),
        arg("loss_func", str, "mse", "Measure of the errors; mse."),
        arg(
            "intensive_ener_virial", bool, False, "Divide energy and virial terms by the square of the number of atoms."
        ),
    ]


def ener():
    fields = [
        *_pref("e", "the energy", 0.02, 1),
        *_pref("f", "forces", 1000, 1),
        *_pref("v", "the virial", 0, 0),
        *_pref("h", "the Hessian (needs another backend)", 0, 0),
        *_pref("ae", "atomic energies", 0, 0),
        *_pref("pf", "forces weighted with atom_pref.npy", 0, 0),
        *_pref("gf", "generalised forces", 0, 0),
        arg("numb_generalized_coord", int, 0, "Number of generalised coordinates (drdq.npy)."),
        *_options(),
        arg("use_default_pf", bool, False, "Take 1 for all atoms of systems without atom_pref.npy."),
        arg("f_use_norm", bool, False, "Use the norm of force errors; needs another backend."),
        arg("use_huber", bool, False, "Huber loss: quadratic below huber_delta, linear above."),
        arg(
            "huber_delta", [float, list[float]], 0.01, "Bound of the Huber loss, or bounds for energy, forces, virial."
        ),
    ]
    return choice("ener", fields, "Energy, forces, virial.", ["ener_hess"])


def ener_spin():
    fields = [
        *_pref("e", "the energy", 0.02, 1),
        *_pref("fr", "forces of the atoms", 1000, 1),
        *_pref("fm", "magnetic forces", 10000, 10),
        *_pref("v", "the virial", 0, 0),
        *_pref("ae", "atomic energies", 0, 0),
        *_pref("pf", "weighted forces", 0, 0),
        *_options(),
    ]
    return choice("ener_spin", fields, "Energy, forces, magnetic forces, virial.")


def dos():
    fields = [
        *_pref("dos", "the density of states", 0, 0),
        *_pref("cdf", "its running sum", 0, 0),
        *_pref("ados", "atomic densities of states", 1, 1),
        *_pref("acdf", "their running sums", 0, 0),
    ]
    return choice("dos", fields, "Density of states.")


def tensor():
    fields = [
        arg("pref", NUMBER, doc="Prefactor of the tensor of the frame."),
        arg("pref_atomic", NUMBER, doc="Prefactor of atomic tensors."),
        arg("enable_atomic_weight", bool, False, "Weight the errors of atoms with atomic_weight.npy."),
    ]
    return choice("tensor", fields, "Dipoles or polarizabilities.")


def property_():
    fields = [
        arg("loss_func", str, "smooth_mae", "smooth_mae, mae, mse, rmse or mape."),
        arg("metric", list[str], ["mae"], "Errors that are displayed."),
        arg("beta", NUMBER, 1.0, "Bound between the quadratic and the linear part of smooth_mae."),
    ]
    return choice("property", fields, "Any property.")


def loss():
    """The loss argument."""
    kinds = variant([ener(), ener_spin(), dos(), tensor(), property_()], "ener", "What is compared with the labels.")
    return arg("loss", dict, ABSENT, "The loss function.", sub_variants=[kinds])
