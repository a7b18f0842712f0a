"""What this package can do with a legal input. The one place to edit when a feature is added.

A legal value that would change the result but is not supported is an error. A key that has no influence on the result here
is a warning. Nothing is ignored silently.
"""

from dptf.config.problems import nearest

# Values of the ``type`` keys that work.
TYPES = {
    "model": {"standard", "pairtab", "linear_ener", "frozen", "pairwise_dprc"},
    "descriptor": {
        "se_e2_a",
        "se_e2_r",
        "se_e3",
        "se_atten",
        "se_atten_v2",
        "dpa2",
        "se_a_ebd_v2",
        "se_e3_tebd",
        "dpa3",
        "loc_frame",
        "se_a_mask",
        "se_a_ef",
        "hybrid",
    },
    "fitting_net": {"ener", "dipole", "polar", "dos", "property"},
    "loss": {"ener", "ener_spin", "tensor", "dos", "property"},
    "learning_rate": {"exp", "cosine", "wsd"},
    "optimizer": {"Adam", "LKF"},
}

# Keys that change the result and are not supported, by section (and type), with the values that mean "not used".
REFUSED = {
    "model": {},
    "model[standard]": {"bridging_method": (None, "none")},
    "descriptor[se_e3]": {"exclude_types": ([],)},
    "loss": {
        "start_pref_h": (0,), "limit_pref_h": (0,), "f_use_norm": (False,),
    },
    "fitting_net[dipole]": {"numb_fparam": (0,), "numb_aparam": (0,)},
    "fitting_net[polar]": {"numb_fparam": (0,), "numb_aparam": (0,)},
    "loss[ener]": {"loss_func": ("mse",)},
    "loss[ener_spin]": {"loss_func": ("mse",)},
    "optimizer": {"weight_decay": (0, 0.0)},
}  # fmt: skip

# Keys that do not change the result here, with the values about which nothing needs to be said.
NO_EFFECT = {
    "training": {
        "stat_file_mode": ("update",), "save_dir": (None,), "ckpt_keep_ratio": (None,),
        "ema_ckpt_keep": (None,), "disp_avg": (False,), "acc_freq": (1,), "zero_stage": (0,), "enable_compile": (False,),
        "enable_tf32": (False,), "neighbor_graph_method": ("auto",), "enable_profiler": (False,),
    },
    "training_data": {"min_pair_dist": (0, 0.0)},
    "validating": {"compiled_infer": (False,), "tf32_infer": (False,), "amp_infer": (False,)},
}  # fmt: skip


class _Support:
    def __init__(self, problems):
        self.problems, self.warnings = problems, []

    def section(self, kind, section, path):
        """Check one section; `kind` is its name in the tables."""
        tag = section.get("type")
        if kind in TYPES and tag not in TYPES[kind]:
            known = nearest("", TYPES[kind])
            self.problems.add((*path, "type"), f"'{tag}' is not supported by this version{known}")
            return False
        kinds = (kind, f"{kind}[{tag}]")
        for key, value in section.items():
            for k in kinds:
                if key in REFUSED.get(k, {}) and value not in REFUSED[k][key]:
                    self.problems.add((*path, key), f"is {value!r}, which this version does not support; remove it")
                if key in NO_EFFECT.get(k, {}) and value not in NO_EFFECT[k][key]:
                    self.warnings.append(f"{'/'.join((*path, key))} has no effect in this package")
        return True

    def model(self, model, path):
        """Check a model section and everything below it."""
        if not self.section("model", model, path):
            return
        if model["type"] == "standard":
            descriptor = model["descriptor"]
            if self.section("descriptor", descriptor, (*path, "descriptor")) and descriptor["type"] == "hybrid":
                for i, member in enumerate(descriptor["list"]):
                    self.section("descriptor", member, (*path, "descriptor", "list", str(i)))
            self.section("fitting_net", model["fitting_net"], (*path, "fitting_net"))
        for key, sub in sub_models(model):
            self.model(sub, (*path, *key))


def sub_models(model):
    """Yield ``(path, section)`` of the models inside a composed model."""
    if model["type"] == "pairwise_dprc":
        for name in ("qm_model", "qmmm_model"):
            yield (name,), model[name]
    if model["type"] == "linear_ener":
        models = model["models"]
        items = models.items() if isinstance(models, dict) else enumerate(models)
        for name, sub in items:
            yield ("models", str(name)), sub


def check_support(config, problems):
    """Add what is not supported to `problems`.

    Returns
    -------
    list of str
        Warnings about keys without effect.
    """
    support = _Support(problems)
    support.model(config["model"], ("model",))
    for name in ("loss", "learning_rate", "optimizer", "training", "validating"):
        if isinstance(config.get(name), dict):
            support.section(name, config[name], (name,))
    for name in ("training_data", "validation_data"):
        section = config["training"].get(name)
        if isinstance(section, dict):
            support.section(name, section, ("training", name))
    return support.warnings
