"""Descriptors of the smooth-edition family and their predecessor."""

from dptf.config.schema.common import (
    ABSENT,
    SEL_PER_TYPE,
    activation,
    arg,
    axis_neuron,
    choice,
    element_embedding,
    env_protection,
    exclude_types,
    neuron,
    precision,
    rcut_pair,
    resnet_dt,
    seed,
    trainable,
)

SMALL = [10, 20, 40]


def _sel():
    return arg("sel", [list[int], str], "auto", SEL_PER_TYPE)


def _type_one_side():
    return arg("type_one_side", bool, False, "One embedding network per neighbor type instead of per pair of types.")


def _set_davg_zero(default=False):
    return arg("set_davg_zero", bool, default, "Do not shift the environment matrix by its average.")


def _network(axis, one_side):
    return [
        neuron(SMALL),
        *([axis_neuron()] if axis else []),
        activation(),
        resnet_dt(False),
        *([_type_one_side()] if one_side else []),
        precision(),
        trainable(),
        seed(),
    ]


def _classic(axis=True, one_side=True):
    tail = [exclude_types(), env_protection(), _set_davg_zero()]
    return [_sel(), *rcut_pair(), *_network(axis, one_side), *tail]


def loc_frame():
    return choice(
        "loc_frame",
        [
            arg("sel_a", list[int], doc="Neighbors per type that enter with radial and angular information."),
            arg("sel_r", list[int], doc="Neighbors per type that enter with radial information only."),
            arg("rcut", float, 6.0, "Cutoff radius (Å)."),
            arg(
                "axis_rule",
                list[int],
                doc="Six numbers per type: class, type and index of the two atoms that span the frame.",
            ),
        ],
        "Coordinates in a local frame that two neighbors define; not smooth.",
    )


def se_e2_a():
    return choice("se_e2_a", _classic(), "Two-body embedding with full distance and angular information.", ["se_a"])


def se_e2_r():
    return choice("se_e2_r", _classic(axis=False), "Two-body embedding of distances only.", ["se_r"])


def se_e3():
    fields = _classic(axis=False, one_side=False)
    return choice("se_e3", fields, "Three-body embedding of angles.", ["se_at", "se_a_3be", "se_t"])


def se_a_tpe():
    extra = [
        arg("type_nchanl", int, 4, "Width of the type embedding."),
        arg("type_nlayer", int, 2, "Layers of the type embedding network."),
        arg("numb_aparam", int, 0, "Number of atomic parameters that are embedded with the type."),
    ]
    return choice("se_a_tpe", _classic() + extra, "se_e2_a with its own type embedding (legacy).", ["se_a_ebd"])


def se_a_ebd_v2():
    doc = "se_e2_a with type embedding applied as a factor; compressible."
    return choice("se_a_ebd_v2", _classic(), doc, ["se_a_tpe_v2"])


def se_a_mask():
    fields = [_sel(), *_network(axis=True, one_side=True), exclude_types()]
    return choice(
        "se_a_mask", fields, "Atoms of a non-periodic cluster of varying size, switched by a mask; no cutoff."
    )


def se_a_ef():
    doc = "se_e2_a in an electric field, of which every atom has its own (efield.npy)."
    return choice("se_a_ef", _classic(), doc)


def se_e3_tebd():
    fields = [
        arg("sel", [int, list[int], str], "auto", "Neighbors in total; a number, a list that is summed, or auto[:F]."),
        *rcut_pair(),
        neuron(SMALL),
        arg("tebd_dim", int, 8, "Width of the type embedding."),
        arg("tebd_input_mode", str, "concat", "How types enter: concat or strip."),
        resnet_dt(False),
        _set_davg_zero(True),
        activation(),
        env_protection(),
        arg("smooth", bool, True, "Whether the type embedding is switched off smoothly at the cutoff."),
        exclude_types(),
        precision(),
        trainable(),
        seed(ABSENT),
        arg("concat_output_tebd", bool, True, "Append the type embedding to the descriptor."),
        *element_embedding(tebd_bias=True),
    ]
    return choice("se_e3_tebd", fields, "Three-body embedding of angles with type embedding.")
