"""Descriptors with type embedding and message passing: DPA-1, DPA-2, DPA-3."""

from dptf.config.schema.common import (
    ABSENT,
    NULL,
    SEL_TOTAL,
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

_STYLE = "How updates are added: res_avg, res_incr or res_residual."


def _attention_common(set_davg_zero):
    return [
        arg("sel", [int, list[int], str], "auto", SEL_TOTAL),
        *rcut_pair(),
        neuron([10, 20, 40]),
        axis_neuron(),
        activation(),
        resnet_dt(False),
        arg("type_one_side", bool, False, "Use the type of the neighbor only, not that of the central atom."),
        precision(),
        trainable(),
        seed(),
        exclude_types(),
        env_protection(),
        arg("set_davg_zero", bool, set_davg_zero, "Do not shift the environment matrix by its average."),
        arg("attn", int, 128, "Width of the attention."),
        arg("attn_layer", int, 2, "Attention layers; 0 for none, needed for compression."),
        arg("attn_dotr", bool, True, "Weight the attention with the cosine between the neighbor directions."),
        arg("attn_mask", bool, False, "Mask the diagonal of the attention matrix."),
        arg("trainable_ln", bool, True, "Whether layer normalisation has trainable shift and scale."),
        arg("ln_eps", [float, NULL], None, "Regularisation of the layer normalisation; null takes 1e-3."),
        arg("scaling_factor", float, 1.0, "Factor in the attention temperature."),
        arg("normalize", bool, True, "Normalise queries, keys and values."),
        arg("temperature", float, ABSENT, "Attention temperature; overrides the scaling."),
        arg("concat_output_tebd", bool, True, "Append the type embedding to the descriptor."),
        arg("tebd_dim", int, 8, "Width of the type embedding."),
        *element_embedding(),
        arg("lmax", int, ABSENT, "Highest angular order of the product (1 to 4); needs another backend."),
    ]


def se_atten():
    extra = [
        arg("tebd_input_mode", str, "concat", "How types enter the embedding: concat or strip."),
        arg("stripped_type_embedding", [bool, NULL], None, "Old spelling of tebd_input_mode; overrides it unless null."),
        arg(
            "smooth_type_embedding", bool, False, "Whether the type embedding is switched off smoothly at the cutoff.",
            alias=["smooth_type_embdding"],
        ),
    ]  # fmt: skip
    return choice("se_atten", _attention_common(True) + extra, "Attention among the neighbors (DPA-1).", ["dpa1"])


def se_atten_v2():
    doc = "DPA-1 with stripped and smooth type embedding."
    return choice("se_atten_v2", _attention_common(False), doc)


def _repinit():
    fields = [
        arg("rcut", float, doc="Cutoff radius of the initial block (Å)."),
        arg("rcut_smth", float, doc="Where its smoothing starts (Å)."),
        arg("nsel", [int, str], doc="Its neighbors in total, or auto[:F]."),
        neuron([25, 50, 100]),
        axis_neuron(16, alias=None),
        arg("tebd_dim", int, 8, "Width of the type embedding."),
        arg("tebd_input_mode", str, "concat", "How types enter: concat or strip."),
        arg("set_davg_zero", bool, True, "Do not shift the environment matrix by its average."),
        activation(),
        arg("type_one_side", bool, False, "Use the type of the neighbor only."),
        resnet_dt(False),
        arg("use_three_body", bool, False, "Add a three-body channel."),
        arg("three_body_neuron", list[int], [2, 4, 8], "Widths of the three-body embedding network."),
        arg("three_body_rcut", float, 4.0, "Its cutoff radius (Å)."),
        arg("three_body_rcut_smth", float, 0.5, "Where its smoothing starts (Å)."),
        arg("three_body_sel", [int, str], 40, "Its neighbors in total, or auto[:F]."),
    ]
    return arg("repinit", dict, doc="Initial block.", sub_fields=fields)


def _repformer():
    updates = (
        ("update_g1_has_conv", "Node update: convolution over neighbors."),
        ("update_g1_has_drrd", "Node update: product of the symmetrised pair representation with itself."),
        ("update_g1_has_grrg", "Node update: product of the symmetrised node representation with itself."),
        ("update_g1_has_attn", "Node update: local attention."),
        ("update_g2_has_g1g1", "Pair update: product of the two nodes."),
        ("update_g2_has_attn", "Pair update: gated attention."),
    )
    fields = [
        arg("rcut", float, doc="Cutoff radius of the message passing layers (Å); below that of repinit."),
        arg("rcut_smth", float, doc="Where its smoothing starts (Å)."),
        arg("nsel", [int, str], doc="Its neighbors in total, or auto[:F]; below that of repinit."),
        arg("nlayers", int, 3, "Number of layers."),
        arg("g1_dim", int, 128, "Width of the node representation."),
        arg("g2_dim", int, 16, "Width of the pair representation."),
        axis_neuron(4, alias=None),
        arg("direct_dist", bool, False, "Start from distances instead of their inverse."),
        *[arg(name, bool, True, doc) for name, doc in updates],
        arg("use_sqrt_nnei", bool, True, "Normalise sums with the square root of the number of neighbors."),
        arg("g1_out_conv", bool, True, "Pass the convolution update separately to the output."),
        arg("g1_out_mlp", bool, True, "Pass the node representation through its own network to the output."),
        arg("update_h2", bool, False, "Update the equivariant pair vectors too."),
        arg("attn1_hidden", int, 64, "Width of the node attention."),
        arg("attn1_nhead", int, 4, "Heads of the node attention."),
        arg("attn2_hidden", int, 16, "Width of the pair attention."),
        arg("attn2_nhead", int, 4, "Heads of the pair attention."),
        arg("attn2_has_gate", bool, False, "Gate the pair attention."),
        activation(),
        arg("update_style", str, "res_avg", _STYLE),
        arg("update_residual", float, 0.001, "Initial size of the residual weights (res_residual)."),
        arg("update_residual_init", str, "norm", "How they are initialised: norm or const."),
        arg("set_davg_zero", bool, True, "Do not shift the environment matrix by its average."),
        arg("trainable_ln", bool, True, "Whether layer normalisation has trainable shift and scale."),
        arg("ln_eps", [float, NULL], None, "Regularisation of the layer normalisation; null takes the default."),
    ]
    return arg("repformer", dict, doc="Message passing layers.", sub_fields=fields)


def dpa2():
    fields = [
        _repinit(),
        _repformer(),
        arg("concat_output_tebd", bool, True, "Append the type embedding to the descriptor."),
        precision(),
        trainable(),
        seed(),
        arg("smooth", bool, True, "Whether attention is switched off smoothly at the cutoff."),
        exclude_types(),
        env_protection(),
        arg(
            "add_tebd_to_repinit_out", bool, False, "Add the type embedding to the output of the initial block.",
            alias=["repformer_add_type_ebd_to_seq"],
        ),
        *element_embedding(),
    ]  # fmt: skip
    return choice("dpa2", fields, "DPA-2: initial block and message passing with pair representations.")


def _repflow():
    fields = [
        arg("n_dim", int, 128, "Width of the node representation."),
        arg("e_dim", int, 64, "Width of the edge representation."),
        arg("a_dim", int, 64, "Width of the angle representation."),
        arg("nlayers", int, 6, "Number of layers."),
        arg("e_rcut", float, doc="Cutoff radius of edges (Å)."),
        arg("e_rcut_smth", float, doc="Where its smoothing starts (Å)."),
        arg("e_sel", [int, str], doc="Edges per atom, or auto[:F]."),
        arg("a_rcut", float, doc="Cutoff radius of angles (Å); at most e_rcut."),
        arg("a_rcut_smth", float, doc="Where its smoothing starts (Å)."),
        arg("a_sel", [int, str], doc="Neighbors that form angles, or auto[:F]; at most e_sel."),
        arg("a_compress_rate", int, 0, "Divide the widths in angle messages by this; 0 keeps them."),
        arg("a_compress_e_rate", int, 1, "Factor of the edge width in angle messages."),
        arg("a_compress_use_split", bool, False, "Compress by taking a slice instead of a linear map."),
        arg("n_multi_edge_message", int, 1, "Heads of the edge message."),
        axis_neuron(4, alias=None),
        arg("fix_stat_std", float, 0.3, "Scale of the environment matrix; 0 takes it from the data."),
        arg("skip_stat", bool, False, "Old spelling of a fixed scale."),
        arg("update_angle", bool, True, "Update the angle representation."),
        arg("update_style", str, "res_residual", _STYLE),
        arg("update_residual", float, 0.1, "Initial size of the residual weights."),
        arg("update_residual_init", str, "const", "How they are initialised: norm or const."),
        arg("optim_update", bool, True, "Form that saves memory; the same mathematics."),
        arg("smooth_edge_update", bool, False, "Smooth edge update; needed with use_dynamic_sel."),
        arg(
            "edge_init_use_dist",
            bool,
            False,
            "Start edges from distances instead of inverses.",
            alias=["edge_use_dist"],
        ),
        arg("use_exp_switch", bool, False, "Exponential switching function.", alias=["use_env_envelope"]),
        arg("use_dynamic_sel", bool, False, "As many neighbors as there are instead of a fixed number."),
        arg("sel_reduce_factor", float, 10.0, "With use_dynamic_sel: sums are normalised with sel divided by this."),
        arg("sequential_update", bool, False, "Update one after the other; needs res_residual and update_angle."),
    ]
    return arg("repflow", dict, doc="Message passing layers over nodes, edges and angles.", sub_fields=fields)


def dpa3():
    fields = [
        _repflow(),
        arg("concat_output_tebd", bool, False, "Append the type embedding to the descriptor."),
        arg("add_chg_spin_ebd", bool, False, "Embed charge and multiplicity of the frame."),
        arg("default_chg_spin", [list, NULL], None, "Charge and multiplicity of frames that do not give them."),
        activation("silu"),
        precision(),
        exclude_types(),
        env_protection(),
        trainable(),
        seed(),
        *element_embedding(),
        arg("use_loc_mapping", bool, True, "Ghost atoms take the representation of their local image."),
    ]
    return choice("dpa3", fields, "DPA-3: message passing over nodes, edges and angles.")
