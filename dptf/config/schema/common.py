"""Shorthand for the schema and the arguments that many sections share."""

from dargs import Argument, Variant

REQUIRED, ABSENT = object(), object()
NUMBER = [int, float]
NULL = type(None)


def arg(name, dtype, default=REQUIRED, doc="", **kwargs):
    """One key. `default` REQUIRED: must be given; ABSENT: may be missing and then stays missing."""
    if default is REQUIRED:
        return Argument(name, dtype, doc=doc, **kwargs)
    if default is ABSENT:
        return Argument(name, dtype, optional=True, doc=doc, **kwargs)
    return Argument(name, dtype, optional=True, default=default, doc=doc, **kwargs)


def choice(tag, fields, doc="", alias=None):
    """One value of a ``type`` key with the keys that belong to it."""
    return Argument(tag, dict, fields, doc=doc, alias=alias)


def variant(choices, default="", doc="", flag="type"):
    """A ``type`` key that decides which other keys are legal."""
    return Variant(flag, choices, optional=bool(default), default_tag=default, doc=doc)


ACTIVATIONS = (
    "relu", "relu6", "softplus", "sigmoid", "tanh", "gelu", "gelu_tf", "silu", "silut", "none", "linear",
)  # fmt: skip
PRECISIONS = ("default", "float16", "bfloat16", "float32", "float64")


def activation(default="tanh"):
    return arg("activation_function", [str, NULL], default, f"Activation function: one of {', '.join(ACTIVATIONS)}.")


def precision(default="default"):
    return arg(
        "precision", str, default,
        f"Floating point precision of the network: one of {', '.join(PRECISIONS)}; default is that of the interface.",
    )  # fmt: skip


def seed(default=ABSENT):
    return arg("seed", [int, NULL], default, "Seed of the random initial weights; drawn from the system when missing.")


def trainable(dtype=bool):
    return arg("trainable", dtype, True, "Whether the parameters are optimised.")


def neuron(default, doc="Widths of the layers of the embedding network."):
    return arg("neuron", list[int], default, doc)


def resnet_dt(default):
    return arg("resnet_dt", bool, default, "Scale the residual connections with trainable time steps.")


def exclude_types():
    return arg(
        "exclude_types", list[list[int]], [],
        "Pairs of types that do not see each other, e.g. [[0, 1]]; both orders are excluded.",
    )  # fmt: skip


def env_protection():
    return arg(
        "env_protection", float, 0.0, "Length (Å) added to distances before they are inverted; 0 changes nothing."
    )


def element_embedding(tebd_bias=False):
    return [
        arg("use_econf_tebd", bool, False, "Start the type embedding from electronic configurations of the elements."),
        arg("use_tebd_bias", bool, tebd_bias, "Add biases in the type embedding network."),
    ]


def rcut_pair(rcut=6.0, rcut_smth=0.5):
    return [
        arg("rcut", float, rcut, "Cutoff radius (Å)."),
        arg("rcut_smth", float, rcut_smth, "Distance (Å) where the smoothing starts; at most rcut."),
    ]


AXIS_NEURON = (
    "Number of columns of the embedding that enter the second side of the product; at most the last of neuron."
)


def axis_neuron(default=4, alias=("n_axis_neuron",)):
    return arg("axis_neuron", int, default, AXIS_NEURON, alias=list(alias) if alias else None)


SEL_PER_TYPE = (
    "Slots for neighbors within the cutoff, one number per type; 'auto' or 'auto:F' takes F (default 1.1) times the "
    "largest number in the training data, rounded up to a multiple of 4."
)
SEL_TOTAL = (
    "Slots for neighbors within the cutoff: one number for all types (a list is summed), 'auto' or 'auto:F' as F "
    "(default 1.1) times the largest number in the training data, rounded up to a multiple of 4."
)
