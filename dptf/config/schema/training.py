"""Learning rate, optimizer, training, and the sections that other backends use."""

from dptf.config.schema.common import ABSENT, NULL, NUMBER, arg, choice, variant


def learning_rate():
    exp = [
        arg("decay_steps", int, 5000, "The rate falls every so many steps."),
        arg("decay_rate", [float, NULL], None, "Factor per fall; by default the one that ends at stop_lr."),
        arg("smooth", bool, False, "Fall continuously instead of in steps."),
    ]
    wsd = [
        arg("decay_phase_ratio", float, 0.1, "Share of the training in which the rate falls."),
        arg("decay_type", str, "inverse_linear", "How it falls: inverse_linear, cosine or linear."),
    ]
    kinds = [
        choice("exp", exp, "Exponential decay."),
        choice("cosine", [], "Half a cosine from start to stop."),
        choice("wsd", wsd, "Constant, then a short decay."),
    ]
    fields = [
        arg("start_lr", float, doc="Learning rate at the start."),
        arg(
            "stop_lr", [float, NULL], None, "Learning rate at the end; 5e-8 when neither it nor stop_lr_ratio is given."
        ),
        arg("stop_lr_ratio", [float, NULL], None, "The same as a share of start_lr."),
        arg("warmup_steps", int, 0, "Steps in which the rate rises linearly to start_lr."),
        arg("warmup_ratio", [float, NULL], None, "The same as a share of all steps."),
        arg("warmup_start_factor", float, 0.0, "Share of start_lr at which the rise begins."),
        arg("scale_by_worker", str, "linear", "Factor of the rate in parallel training: linear, sqrt or none."),
    ]
    sub = [variant(kinds, "exp", "How the learning rate falls.")]
    return arg("learning_rate", dict, ABSENT, "The learning rate.", sub_fields=fields, sub_variants=sub)


def optimizer():
    adam = [
        arg("adam_beta1", float, 0.9, "Decay of the running mean of gradients."),
        arg("adam_beta2", float, 0.999, "Decay of the running mean of squared gradients."),
        arg("weight_decay", float, 0.0, "Weight decay."),
    ]
    kalman = [
        arg("kf_blocksize", int, 1024, "Weights whose covariances are kept together; memory and time grow with it."),
        arg("kf_groups", int, 4, "Parts of the atoms whose force errors are measured one by one."),
        arg("kf_lambda", float, 0.98, "Forgetting factor at the start; it rises to 1."),
        arg("kf_nue", float, 0.9987, "How slowly the forgetting factor rises."),
        arg("kf_start_pref_e", float, 1.0, "Factor of steps from energies and virials at the start."),
        arg("kf_limit_pref_e", float, 1.0, "The same in the end."),
        arg("kf_start_pref_f", float, 1.0, "Factor of steps from forces at the start."),
        arg("kf_limit_pref_f", float, 1.0, "The same in the end."),
    ]
    kinds = [
        choice("Adam", adam, "Adam."),
        choice(
            "LKF", kalman, "Block extended Kalman filter: few steps, each of them expensive; for small nets in float64."
        ),
    ]
    sub = [variant(kinds, "Adam", "The method.")]
    # An empty default brings the defaults of Adam in.
    return arg("optimizer", dict, {}, "The optimizer.", sub_variants=sub)


def _data(name, default, doc, extra):
    fields = [
        arg("systems", [str, list[str]], doc="Folders or file.hdf5#/group; each is searched for systems."),
        arg("rglob_patterns", [list[str], NULL], None, "Only folders that match one of these patterns are systems."),
        arg(
            "batch_size", [int, list[int], str], "auto",
            "Frames per batch: a number, one per system, or auto[:N] (at least N=32 atoms), max:N, filter:N, mixed:N.",
        ),
        arg(
            "auto_prob", str, "prob_sys_size",
            "Probability of systems: prob_uniform, prob_sys_size, or prob_sys_size;begin:end:weight;...",
            alias=["auto_prob_style"],
        ),
        arg("sys_probs", [list[float], NULL], None, "Probability of every system; negative entries share the rest.",
            alias=["sys_weights"]),
        *extra,
    ]  # fmt: skip
    return arg(name, [dict, NULL], default, doc, sub_fields=fields)


def _training_data():
    extra = [arg("min_pair_dist", float, 0.0, "Needs another backend.")]
    return _data("training_data", ABSENT, "The data to train with.", extra)


def _validation_data():
    extra = [arg("numb_btch", int, 1, "Batches that are averaged for a line of output.", alias=["numb_batch"])]
    return _data("validation_data", None, "Data whose errors are shown beside those of the training data.", extra)


def _mixed_precision():
    fields = [
        arg("output_prec", str, "float32", "Precision of the output; float32."),
        arg("compute_prec", str, doc="Precision of the networks: float16 or bfloat16."),
    ]
    return arg("mixed_precision", dict, ABSENT, "Train in reduced precision.", sub_fields=fields)


def _elsewhere():
    """Keys of other backends: legal, without effect here (a warning says so)."""
    note = "Needs another backend."
    return [
        arg("stat_file_mode", str, ABSENT, note),
        arg("save_dir", [str, NULL], ABSENT, note),
        arg("ckpt_keep_ratio", [float, NULL], ABSENT, note),
        arg("ema_ckpt_keep", [int, NULL], ABSENT, note),
        arg("disp_avg", bool, ABSENT, note),
        arg("acc_freq", int, ABSENT, note),
        arg("zero_stage", int, ABSENT, note),
        arg("enable_compile", bool, ABSENT, note),
        arg("enable_tf32", bool, ABSENT, note),
        arg("neighbor_graph_method", str, ABSENT, note),
    ]


def training():
    """The training argument."""
    fields = [
        _training_data(),
        _validation_data(),
        _mixed_precision(),
        arg("numb_steps", int, ABSENT, "Number of steps.", alias=["stop_batch", "num_step", "num_steps", "numb_step"]),
        arg("numb_epoch", NUMBER, ABSENT, "Number of passes over the data, instead of numb_steps.",
            alias=["num_epoch", "num_epochs", "numb_epochs"]),
        arg("seed", [int, NULL], ABSENT, "Seed of the order in which data are drawn."),
        arg("disp_file", str, "lcurve.out", "File of the learning curve."),
        arg("disp_freq", int, 1000, "Steps between lines of output."),
        arg("save_freq", int, 1000, "Steps between checkpoints; 0 for the last only."),
        arg("save_ckpt", str, "model.ckpt", "Prefix of the checkpoint files."),
        arg("max_ckpt_keep", int, 5, "Number of checkpoints that are kept."),
        arg("change_bias_after_training", bool, False, "Fit the energy bias again after the training."),
        arg("disp_training", bool, True, "Show errors while training."),
        arg("time_training", bool, True, "Show times while training."),
        arg("stat_file", str, ABSENT, "Folder or HDF5 file that keeps statistics of the data for the next run."),
        arg("profiling", bool, False, "Write a timeline of the last step."),
        arg("profiling_file", str, "timeline.json", "File of the timeline."),
        arg("enable_profiler", bool, False, "Profile with TensorFlow's profiler into tensorboard_log_dir."),
        arg("tensorboard", bool, False, "Write TensorBoard logs."),
        arg("tensorboard_log_dir", str, "log", "Folder of the TensorBoard logs."),
        arg("tensorboard_freq", int, 1, "Steps between TensorBoard records."),
        arg("gradient_max_norm", [float, NULL], ABSENT, "Scale gradients whose total norm exceeds this."),
        arg(
            "tabulated_embedding", [str, bool, int], "auto",
            "Evaluate embedding networks on nodes and interpolate in training steps: auto, true, false, or nodes per unit (16 by default).",
        ),
        arg("enable_ema", bool, ABSENT, "Keep a moving average of the weights; dp freeze --ema takes it."),
        arg("ema_decay", float, ABSENT, "Weight of the old average in every step (default 0.999)."),
        *_elsewhere(),
    ]  # fmt: skip
    return arg("training", dict, doc="How to train.", sub_fields=fields)


def validating():
    note = "Needs another backend."
    fields = [
        arg("full_validation", bool, False, "Evaluate all validation data while training, and keep the best checkpoints."),
        arg("ema_full_validation", bool, False, "The same with the moving average of the weights (training/enable_ema)."),
        arg("validation_freq", int, 5000, "Steps between full validations."),
        arg("save_best", bool, True, "Keep the checkpoints with the smallest error."),
        arg("save_best_dir", [str, NULL], None, "Folder of these checkpoints; by default that of save_ckpt."),
        arg("max_best_ckpt", int, 1, "How many of them are kept."),
        arg("validation_metric", str, "E:MAE", "Error that counts: E, F or V, then :MAE or :RMSE (energies and virials per atom)."),
        arg("full_val_file", str, "val.log", "File with all errors."),
        arg("full_val_start", NUMBER, 0.5, "First step with a full validation; below 1 a share of all steps."),
        *[arg(name, bool, ABSENT, note) for name in ("compiled_infer", "tf32_infer", "amp_infer")],
    ]  # fmt: skip
    return arg("validating", dict, ABSENT, "Full validation during training.", sub_fields=fields)
