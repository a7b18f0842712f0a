"""Fitting networks (``model/fitting_net``) and the type embedding."""

from dptf.config.schema.common import (
    ABSENT,
    NULL,
    activation,
    arg,
    choice,
    element_embedding,
    neuron,
    precision,
    resnet_dt,
    seed,
    trainable,
    variant,
)

_LIST_TRAINABLE = [bool, list[bool]]


def _fitting_neuron(alias=True):
    return arg(
        "neuron", list[int], [120, 120, 120], "Widths of the hidden layers.", alias=["n_neuron"] if alias else None
    )  # fmt: skip


def _parameters():
    return [
        arg("numb_fparam", int, 0, "Length of the frame parameter (fparam.npy), an input of the network."),
        arg("numb_aparam", int, 0, "Length of the atomic parameter (aparam.npy), an input of the network."),
        arg("default_fparam", [list[float], NULL], None, "Frame parameter of frames without a file."),
        arg("dim_case_embd", int, 0, "Width of a data set embedding for shared training."),
    ]


def ener():
    fields = [
        *_parameters(),
        _fitting_neuron(),
        activation(),
        precision(),
        resnet_dt(True),
        trainable(_LIST_TRAINABLE),
        arg("rcond", [float, NULL], None, "Singular values below this share are dropped when fitting energy biases."),
        seed(),
        arg("atom_ener", list, [], "Energies of isolated atoms (eV), per type; null where unknown."),
        arg("layer_name", list[str], ABSENT, "Names of the layers; layers of equal name share parameters."),
        arg("use_aparam_as_mask", bool, False, "Take the atomic parameter as a mask of the atoms, not as an input."),
    ]
    return choice("ener", fields, "Atomic energies.")


def dos():
    fields = [
        *_parameters(),
        _fitting_neuron(alias=False),
        activation(),
        precision("float64"),
        resnet_dt(True),
        trainable(_LIST_TRAINABLE),
        arg("rcond", [float, NULL], None, "Singular values below this share are dropped when fitting biases."),
        seed(),
        arg("numb_dos", int, 300, "Number of grid points of the density of states."),
    ]
    return choice("dos", fields, "Density of states.")


def _sel_type(alias, what):
    doc = f"Types that carry {what}; all types when missing."
    return arg("sel_type", [list[int], int, NULL], ABSENT, doc, alias=[alias])


def _tensor_net():
    return [*_parameters(), _fitting_neuron(), activation(), resnet_dt(True), precision()]


def polar():
    fields = [
        *_tensor_net(),
        arg("fit_diag", bool, True, "Fit the diagonal of the polarizability in the local frame, then rotate it."),
        arg("scale", [list[float], float], 1.0, "Factor of the output, per type or for all."),
        arg("shift_diag", bool, True, "Shift the diagonal by its average."),
        _sel_type("pol_type", "a polarizability"),
        seed(),
    ]
    return choice("polar", fields, "Polarizabilities.")


def dipole():
    return choice("dipole", [*_tensor_net(), _sel_type("dipole_type", "a dipole"), seed()], "Dipoles.")


def property_():
    fields = [
        *_parameters(),
        _fitting_neuron(),
        activation(),
        precision(),
        resnet_dt(True),
        trainable(_LIST_TRAINABLE),
        seed(),
        arg("task_dim", int, 1, "Length of the property."),
        arg("intensive", bool, False, "Average over atoms instead of summing."),
        arg("distinguish_types", bool, True, "A bias for every type."),
        arg("property_name", str, doc="Name of the property; its labels are <name>.npy."),
    ]
    return choice("property", fields, "Any scalar or vector property of a frame.")


def fitting_net():
    kinds = variant([ener(), dos(), polar(), dipole(), property_()], "ener", "What the network predicts.")
    return arg("fitting_net", dict, doc="The network that maps the descriptor to the result.", sub_variants=[kinds])


def type_embedding():
    fields = [
        neuron([8], "Widths of the layers of the type embedding network."),
        activation(),
        resnet_dt(False),
        precision(),
        trainable(),
        seed(None),
        *element_embedding(),
    ]
    return arg("type_embedding", dict, ABSENT, "Embedding of the atom types.", sub_fields=fields)
