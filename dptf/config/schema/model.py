"""The model section."""

from dptf.config.schema import descriptor_dpa as dpa
from dptf.config.schema import descriptor_se as se
from dptf.config.schema.common import ABSENT, NULL, arg, choice, variant
from dptf.config.schema.fitting import fitting_net, type_embedding


def descriptor(name="descriptor"):
    """The descriptor argument with all its types."""
    single = [
        se.loc_frame, se.se_e2_a, se.se_e2_r, se.se_e3, se.se_a_tpe, se.se_a_ebd_v2, se.se_a_mask, se.se_a_ef, se.se_e3_tebd,
        dpa.se_atten, dpa.se_atten_v2, dpa.dpa2, dpa.dpa3,
    ]  # fmt: skip
    members = arg(
        "list", list, doc="The descriptors.", repeat=True,
        sub_variants=[variant([make() for make in single], doc="Type of the member.")],
    )  # fmt: skip
    hybrid = choice("hybrid", [members], "Several descriptors side by side.")
    kinds = variant([*[make() for make in single], hybrid], doc="Type of the descriptor.")
    return arg(name, dict, doc="How the surroundings of an atom are described.", sub_variants=[kinds])


def _modifier():
    charges = [
        arg("model_name", str, doc="Frozen dipole model."),
        arg("model_charge_map", list[float], doc="Charge of the centroid, per selected type of the dipole model (e)."),
        arg("sys_charge_map", list[float], doc="Charge of the atoms, per type (e)."),
        arg("ewald_beta", float, 0.4, "Splitting parameter of the Ewald sum (1/Å)."),
        arg("ewald_h", float, 1.0, "Grid spacing of the Ewald sum (Å)."),
    ]
    kinds = variant([choice("dipole_charge", charges, "Long-range electrostatics of dipoles as displaced charges.")])
    return arg("modifier", dict, ABSENT, "Contribution that is subtracted from the labels.", sub_variants=[kinds])


def _spin():
    fields = [
        arg("use_spin", list, doc="For every type whether it has a spin."),
        arg("spin_norm", list[float], ABSENT, "Size of the magnetic moment per spin type."),
        arg("virtual_len", list[float], ABSENT, "Distance of the virtual atom per spin type (Å)."),
        arg("virtual_scale", [list[float], float], ABSENT, "Needs another backend."),
        arg("scheme", str, ABSENT, "Needs another backend unless it is deepspin."),
        arg("allow_missing_label", bool, ABSENT, "Needs another backend."),
    ]
    return arg("spin", dict, ABSENT, "Magnetic moments as virtual atoms.", sub_fields=fields)


def _compress():
    fields = [
        arg("type", str, ABSENT, "Descriptor type."),
        arg("model_file", str, doc="Graph to compress."),
        arg("table_config", list, doc="Table range and strides."),
        arg("min_nbor_dist", float, doc="Smallest distance in the training data (Å)."),
    ]
    return arg("compress", dict, ABSENT, "Used by dp compress itself.", sub_fields=fields)


def _common():
    return [
        arg("type_map", list[str], ABSENT, "Names of the atom types; the position is the index."),
        arg("data_stat_nbatch", int, 10, "Batches per system from which input statistics are taken."),
        arg("data_stat_protect", float, 0.01, "Smallest standard deviation that is divided by."),
        arg("data_bias_nsample", int, 10, "Frames per system from which a changed bias is taken."),
        arg("use_srtab", str, ABSENT, "File with a short-range pair table: r, then energies of the type pairs."),
        arg("smin_alpha", float, ABSENT, "Width of the soft minimum of distances (Å); needed with use_srtab."),
        arg("sw_rmin", float, ABSENT, "Below this distance (Å) the table alone counts; needed with use_srtab."),
        arg("sw_rmax", float, ABSENT, "Above this distance (Å) the network alone counts; needed with use_srtab."),
        arg("srtab_add_bias", bool, True, "Add the atomic energy bias to the table."),
        arg("pair_exclude_types", list[list[int]], [], "Pairs of types that do not interact in the model."),
        arg("atom_exclude_types", list[int], [], "Types whose atoms contribute nothing."),
        arg("preset_out_bias", [dict, NULL], None, "Given biases of the outputs, per type."),
        type_embedding(),
        _modifier(),
        _compress(),
        _spin(),
        arg("finetune_head", str, ABSENT, "Needs another backend."),
    ]


def _standard():
    fields = [
        descriptor(),
        fitting_net(),
        arg("model_branch_alias", list[str], [], "Needs another backend."),
        arg("info", dict, {}, "Anything; kept with the model."),
        arg("bridging_method", [str, NULL], ABSENT, "Needs another backend."),
        arg("bridging_r_inner", float, ABSENT, "Needs another backend."),
        arg("bridging_r_outer", float, ABSENT, "Needs another backend."),
    ]
    return choice("standard", fields, "Descriptor and fitting network.")


def _frozen():
    return choice("frozen", [arg("model_file", str, doc="Frozen graph.")], "A frozen model; not trainable.")


def _pairtab():
    fields = [
        arg("tab_file", str, doc="Text file: r (Å), then energies (eV) of the type pairs."),
        arg("rcut", float, doc="Cutoff radius (Å)."),
        arg("sel", [int, list[int], str], doc="Neighbors in total."),
    ]
    return choice("pairtab", fields, "Tabulated pair energies.")


def _pairwise_dprc():
    fields = [
        arg("qm_model", dict, doc="Model of the QM fragment; a complete model section."),
        arg("qmmm_model", dict, doc="Model of QM and one MM fragment; a complete model section."),
    ]
    return choice("pairwise_dprc", fields, "QM/MM correction over pairs of fragments.")


def _linear():
    fields = [
        arg("models", [list, dict], doc="Complete model sections."),
        arg("weights", [list[float], str], doc="Weight of each model, or mean or sum."),
        arg("shared_dict", dict, {}, "Parts that the models share by name."),
    ]
    return choice("linear_ener", fields, "Weighted sum of energy models.")


def model():
    """The model argument."""
    kinds = [_standard(), _frozen(), _pairtab(), _pairwise_dprc(), _linear()]
    return arg("model", dict, doc="The model.", sub_fields=_common(), sub_variants=[variant(kinds, "standard")])
