"""Checks of meaning that need no data: ranges, names, and keys that must agree with each other."""

import re

from dptf.config.check_model import check_model

#: Learning rate at the end when neither `stop_lr` nor `stop_lr_ratio` is given.
DEFAULT_STOP_LR = 5e-8

_LOSS_OF_FITTING = {"ener": ("ener", "ener_spin"), "dos": ("dos",), "dipole": ("tensor",), "polar": ("tensor",),
                    "property": ("property",)}  # fmt: skip


def default_loss(model):
    """Type of the loss that goes with the model when the input does not say."""
    fitting = model.get("fitting_net") if isinstance(model, dict) else None
    kind = fitting.get("type", "ener") if isinstance(fitting, dict) else "ener"
    return _LOSS_OF_FITTING.get(kind, ("ener",))[0]


def check_meaning(config, problems):
    """Add every violation to `problems`; `config` is normalised."""
    check_model(config["model"], ("model",), problems)
    _loss(config, problems)
    _learning_rate(config, problems)
    _training(config["training"], problems)
    _validating(config, problems)


def _loss(config, problems):
    loss, model = config.get("loss"), config["model"]
    if loss is None:
        return
    if model["type"] == "standard":
        fitting = model["fitting_net"]["type"]
        if loss["type"] not in _LOSS_OF_FITTING.get(fitting, ()):
            wanted = " or ".join(_LOSS_OF_FITTING.get(fitting, ()))
            problems.add(
                ("loss", "type"), f"'{loss['type']}' does not fit fitting_net of type '{fitting}'; use {wanted}"
            )
    for key, value in loss.items():
        if "pref" in key and isinstance(value, (int, float)) and not isinstance(value, bool) and value < 0:
            problems.add(("loss", key), f"is {value}; prefactors cannot be negative")
    used = lambda term: loss.get(f"start_pref_{term}", 0) or loss.get(f"limit_pref_{term}", 0)  # noqa: E731
    if loss["type"] == "tensor" and loss["pref"] == 0 and loss["pref_atomic"] == 0:
        problems.add(("loss",), "pref and pref_atomic are both 0: nothing is fitted")
    if loss["type"] == "ener":
        if used("gf") and loss["numb_generalized_coord"] < 1:
            problems.add(("loss", "numb_generalized_coord"), "must be at least 1 when a prefactor of gf is not 0")
        if loss["use_huber"] and (used("pf") or used("gf") or loss.get("relative_f") is not None):
            problems.add(("loss", "use_huber"), "cannot be used with prefactors pf or gf, or with relative_f")
        delta = loss["huber_delta"]
        if isinstance(delta, list) and len(delta) != 3:
            problems.add(("loss", "huber_delta"), f"lists {len(delta)} numbers, expected one, or three for e, f, v")
        if min(delta if isinstance(delta, list) else [delta], default=1) <= 0:
            problems.add(("loss", "huber_delta"), "must be positive")


def _learning_rate(config, problems):
    rate, steps = config.get("learning_rate"), config["training"].get("numb_steps")
    if rate is None:
        if steps != 0:
            problems.add(("learning_rate",), 'is missing; a minimal section is {"type": "exp", "start_lr": 0.001}')
        return

    def bad(key, text):
        problems.add(("learning_rate", key), text)

    start, stop, ratio = rate["start_lr"], rate["stop_lr"], rate["stop_lr_ratio"]
    if start <= 0:
        bad("start_lr", f"is {start}; it must be positive")
    if stop is not None and ratio is not None:
        bad("stop_lr_ratio", "and stop_lr are both given; keep one")
    if stop is not None and not 0 <= stop <= start:
        bad("stop_lr", f"is {stop}; it must lie between 0 and start_lr ({start})")
    if ratio is not None and not 0 < ratio <= 1:
        bad("stop_lr_ratio", f"is {ratio}; it must lie in (0, 1]")
    if stop is None and ratio is None and 0 < start < DEFAULT_STOP_LR:
        bad("start_lr", f"is {start}, below the default of stop_lr (5e-8); give stop_lr")
    warm, share = rate["warmup_steps"], rate["warmup_ratio"]
    if warm and share is not None:
        bad("warmup_ratio", "and warmup_steps are both given; keep one")
    if warm < 0 or (steps and warm >= steps):
        bad("warmup_steps", f"is {warm}; it must be at least 0 and below numb_steps ({steps})")
    if share is not None and not 0 <= share < 1:
        bad("warmup_ratio", f"is {share}; it must lie in [0, 1)")
    if not 0 <= rate["warmup_start_factor"] <= 1:
        bad("warmup_start_factor", f"is {rate['warmup_start_factor']}; it must lie in [0, 1]")
    if rate["scale_by_worker"] not in ("linear", "sqrt", "none"):
        bad("scale_by_worker", f"is '{rate['scale_by_worker']}'; choose linear, sqrt or none")
    if rate["type"] == "exp":
        if rate["decay_steps"] < 1:
            bad("decay_steps", f"is {rate['decay_steps']}; it must be at least 1")
        if rate["decay_rate"] is not None and not 0 < rate["decay_rate"] <= 1:
            bad("decay_rate", f"is {rate['decay_rate']}; it must lie in (0, 1]")
    if rate["type"] == "wsd":
        if not 0 < rate["decay_phase_ratio"] <= 1:
            bad("decay_phase_ratio", f"is {rate['decay_phase_ratio']}; it must lie in (0, 1]")
        if rate["decay_type"] not in ("inverse_linear", "cosine", "linear"):
            bad("decay_type", f"is '{rate['decay_type']}'; choose inverse_linear, cosine or linear")


def _training(training, problems):
    def bad(key, text):
        problems.add(("training", key), text)

    if training.get("training_data") is None:
        bad("training_data", "is missing; it needs at least 'systems'")
    given = [k for k in ("numb_steps", "numb_epoch") if k in training]
    if not given:
        bad("numb_steps", "is missing (or numb_epoch)")
    elif len(given) == 2:
        bad("numb_epoch", "and numb_steps are both given; keep one")
    lowest = {"numb_steps": 0, "disp_freq": 1, "save_freq": 0, "max_ckpt_keep": 0, "tensorboard_freq": 1}
    for key, low in lowest.items():
        if key in training and training[key] < low:
            bad(key, f"is {training[key]}; it must be at least {low}")
    if "numb_epoch" in training and training["numb_epoch"] <= 0:
        bad("numb_epoch", f"is {training['numb_epoch']}; it must be positive")
    mixed = training.get("mixed_precision")
    if mixed and mixed["output_prec"] != "float32":
        bad("mixed_precision/output_prec", f"is '{mixed['output_prec']}'; it must be float32")
    if mixed and mixed["compute_prec"] not in ("float16", "bfloat16"):
        bad("mixed_precision/compute_prec", f"is '{mixed['compute_prec']}'; choose float16 or bfloat16")
    norm = training.get("gradient_max_norm")
    if norm is not None and norm <= 0:
        bad("gradient_max_norm", f"is {norm}; it must be positive")
    table = training["tabulated_embedding"]
    if (isinstance(table, str) and table != "auto") or (not isinstance(table, (str, bool)) and table < 8):
        bad("tabulated_embedding", f'is {table!r}; choose "auto", true, false, or at least 8 nodes')
    for name in ("training_data", "validation_data"):
        if isinstance(training.get(name), dict):
            _data_section(training[name], ("training", name), problems)


def _validating(config, problems):
    section, training = config.get("validating"), config["training"]
    decay = training.get("ema_decay")
    if decay is not None and not 0 <= decay < 1:
        problems.add(("training", "ema_decay"), f"is {decay}; it must lie in [0, 1)")
    if not section or not (section["full_validation"] or section["ema_full_validation"]):
        return

    def bad(key, text):
        problems.add(("validating", key), text)

    if section["ema_full_validation"] and not training.get("enable_ema"):
        bad("ema_full_validation", "needs training/enable_ema: true")
    if not training.get("validation_data"):
        bad("full_validation", "needs training/validation_data")
    if not re.fullmatch(r"[EFV]:(MAE|RMSE)", section["validation_metric"]):
        bad("validation_metric", f"is '{section['validation_metric']}'; choose E, F or V, then :MAE or :RMSE")
    for key in ("validation_freq", "max_best_ckpt"):
        if section[key] < 1:
            bad(key, f"is {section[key]}; it must be at least 1")
    if section["full_val_start"] < 0:
        bad("full_val_start", f"is {section['full_val_start']}; it must not be negative")


def _data_section(data, path, problems):
    systems = data["systems"]
    if not systems or (isinstance(systems, list) and not all(s.strip() for s in systems)):
        problems.add((*path, "systems"), "names no folder")
    size = data["batch_size"]
    rule = re.compile(r"auto(:\s*[1-9]\d*)?|(max|filter|mixed):\s*[1-9]\d*")
    if isinstance(size, str):
        if not rule.fullmatch(size.strip()):
            problems.add(
                (*path, "batch_size"),
                f"'{size}' is not a rule; use a number, a list, auto, auto:N, max:N, filter:N or mixed:N",
            )
    elif min(size if isinstance(size, list) else [size], default=0) < 1:
        problems.add((*path, "batch_size"), f"is {size}; it must be at least 1")
    probs = data["sys_probs"]
    if probs is not None:
        fixed = sum(p for p in probs if p >= 0)
        if fixed > 1 + 1e-6 or (all(p >= 0 for p in probs) and abs(fixed - 1) > 1e-6):
            problems.add(
                (*path, "sys_probs"), f"sum to {fixed:g}; they must sum to 1 (negative entries share the rest)"
            )
    number = r"\s*[\d.eE+-]+\s*"
    auto = rf"prob_uniform|prob_sys_size(;{number}:{number}:{number})*;?\s*"
    if probs is None and not re.fullmatch(auto, data["auto_prob"].strip()):
        problems.add(
            (*path, "auto_prob"),
            f"'{data['auto_prob']}' is not known; use prob_uniform, prob_sys_size or prob_sys_size;b:e:w;...",
        )
    if data.get("numb_btch", 1) < 1:
        problems.add((*path, "numb_btch"), f"is {data['numb_btch']}; it must be at least 1")
