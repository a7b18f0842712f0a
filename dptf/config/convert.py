"""Old layouts of the input: flat files without sections (v0), ``training/systems`` (v1), and keys that moved since (v2)."""

from copy import deepcopy

from dptf.errors import UserError

_MOVED_DATA = ("systems", "batch_size", "sys_prob", "sys_probs", "auto_prob", "sys_weights", "auto_prob_style")
_MOVED_OPTIMIZER = (
    "kf_blocksize", "kf_start_pref_e", "kf_limit_pref_e", "kf_start_pref_f", "kf_limit_pref_f", "weight_decay", "momentum",
    "muon_momentum", "adam_beta1", "adam_beta2", "lr_adjust", "lr_adjust_coeff", "muon_2d_only", "min_2d_dim",
)  # fmt: skip
_MOVED_WARMUP = ("warmup_steps", "warmup_ratio", "warmup_start_factor")
_V0_TRAINING = (
    "systems", "set_prefix", "stop_batch", "batch_size", "disp_freq", "numb_test", "save_freq", "save_ckpt", "disp_training",
    "time_training", "profiling", "profiling_file",
)  # fmt: skip


def convert(data, where="input"):
    """Bring an input to the layout of version 2.

    Parameters
    ----------
    data : dict
        Input as read; not changed.
    where : str
        Name of the file, for messages.

    Returns
    -------
    dict
        The input in the layout of version 2, still with the user's spelling and without defaults.
    list of str
        What was changed; empty when the file is of version 2 already.
    """
    data, notes = deepcopy(data), []
    if "model" not in data and _is_v0(data):
        data = _from_v0(data, where)
        notes.append("flat input (version 0) sorted into sections")
    _join_radial(data, notes)
    training = data.get("training")
    if isinstance(training, dict):
        if "systems" in training:
            _from_v1(data, notes, where)
        _clean_v2(data, notes, where)
    return data, notes


def _join_radial(data, notes):
    """``se_ar`` of version 1 is a hybrid of its two parts."""
    model = data.get("model")
    descriptor = model.get("descriptor") if isinstance(model, dict) else None
    if not isinstance(descriptor, dict) or descriptor.get("type") != "se_ar":
        return
    parts = [("se_e2_a", "a"), ("se_e2_r", "r")]
    if all(isinstance(descriptor.get(key), dict) for _, key in parts):
        model["descriptor"] = {"type": "hybrid", "list": [{**descriptor[key], "type": kind} for kind, key in parts]}
        notes.append("model/descriptor: se_ar became a hybrid of se_e2_a and se_e2_r")


def _is_v0(data):
    return "use_smooth" in data or "sel_a" in data or "fitting_neuron" in data or "n_neuron" in data


def _pick(data, *names):
    for name in names:
        if name in data:
            return data[name]
    return None


def _need(data, where, *names):
    value = _pick(data, *names)
    if value is None:
        raise UserError(f"key '{names[0]}' is missing (flat input of version 0)", where)
    return value


def _from_v0(data, where):
    need = lambda *names: _need(data, where, *names)  # noqa: E731
    if need("use_smooth"):
        descriptor = {
            "type": "se_a", "sel": need("sel_a"), "rcut": need("rcut"), "rcut_smth": data.get("rcut_smth", data["rcut"]),
            "neuron": need("filter_neuron"), "axis_neuron": need("axis_neuron", "n_axis_neuron"),
            "resnet_dt": data.get("filter_resnet_dt", False),
        }  # fmt: skip
    else:
        descriptor = {"type": "loc_frame", **{k: need(k) for k in ("sel_a", "sel_r", "rcut", "axis_rule")}}
    resnet_dt = data.get("fitting_resnet_dt", data.get("resnet_dt", True))
    fitting = {"neuron": need("fitting_neuron", "n_neuron"), "resnet_dt": resnet_dt}
    rate = {"type": "exp", **{k: need(k) for k in ("decay_steps", "decay_rate", "start_lr")}}
    terms = ("e", "f", "v", "ae")
    loss = {k: data[k] for t in terms for k in (f"start_pref_{t}", f"limit_pref_{t}") if k in data}
    training = {k: data[k] for k in _V0_TRAINING if k in data}
    training["disp_file"] = data.get("disp_file", "lcurve.out")
    if "seed" in data:
        # The local frame draws no weights.
        for section in (descriptor, fitting, training) if data["use_smooth"] else (fitting, training):
            section["seed"] = data["seed"]
    model = {"descriptor": descriptor, "fitting_net": fitting}
    if "type_map" in data:
        model["type_map"] = data["type_map"]
    return {"model": model, "learning_rate": rate, "loss": loss, "training": training}


def _from_v1(data, notes, where):
    training = data["training"]
    if "training_data" in training:
        raise UserError("gives both 'systems' (version 1) and 'training_data' (version 2)", f"{where}: training",
                        "move systems into training_data")  # fmt: skip
    moved = {k: training.pop(k) for k in _MOVED_DATA if k in training}
    if "sys_prob" in moved:
        moved.setdefault("sys_probs", moved.pop("sys_prob"))
    training["training_data"] = moved
    notes.append(f"training: {', '.join(sorted(moved))} moved to training/training_data")
    rate = data.get("learning_rate")
    if isinstance(rate, dict) and rate.get("decay_rate") is not None:
        try:
            steps = _pick(training, "stop_batch", "numb_steps", "num_steps", "num_step", "numb_step")
            decay = rate["decay_rate"]
            rate["stop_lr"] = rate["start_lr"] * decay ** (steps / rate.get("decay_steps", 5000))
        except (TypeError, KeyError):
            raise UserError("decay_rate of a version 1 input needs learning_rate/start_lr and training/stop_batch",
                            where) from None  # fmt: skip
        del rate["decay_rate"]
        notes.append(f"learning_rate/decay_rate = {decay:g} became stop_lr = {rate['stop_lr']:g}")


def _clean_v2(data, notes, where):
    training = data["training"]
    for key in ("numb_test", "load_ckpt", "set_prefix"):
        if key in training:
            del training[key]
            notes.append(f"training/{key} dropped; it has no effect any more")
    for name in ("training_data", "validation_data"):
        section = training.get(name)
        if isinstance(section, dict) and "set_prefix" in section:
            prefix = section.pop("set_prefix")
            if prefix != "set":
                raise UserError(f"set_prefix '{prefix}' is not supported", f"{where}: training/{name}",
                                "rename the folders to set.000, set.001, ...")  # fmt: skip
            notes.append(f"training/{name}/set_prefix dropped; sets are always set.*")
    _move(data, "learning_rate", {k: k for k in _MOVED_WARMUP}, notes, where)
    _move(data, "optimizer", {"opt_type": "type", **{k: k for k in _MOVED_OPTIMIZER}}, notes, where)


def _move(data, section, names, notes, where):
    """Move keys of training into another section."""
    training = data["training"]
    for old, new in names.items():
        if old not in training:
            continue
        target = data.setdefault(section, {})
        value = training.pop(old)
        if target.get(new, value) != value:
            raise UserError(f"training/{old} and {section}/{new} differ", where, f"keep {section}/{new} only")
        target[new] = value
        notes.append(f"training/{old} moved to {section}/{new}")
