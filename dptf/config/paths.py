"""Checks that what a training reads exists and what it writes can be written, before hours are spent."""

import os


def check_paths(config, problems):
    """Add missing systems and unwritable outputs to `problems`; all paths are relative to the working directory."""
    training = config["training"]
    for name in ("training_data", "validation_data"):
        section = training.get(name)
        if isinstance(section, dict):
            systems = section["systems"]
            for system in [systems] if isinstance(systems, str) else systems:
                _readable(system, ("training", name, "systems"), problems)
    _writable(training["disp_file"], ("training", "disp_file"), problems)
    _writable(training["save_ckpt"], ("training", "save_ckpt"), problems, create=True)
    if "stat_file" in training:
        _writable(training["stat_file"], ("training", "stat_file"), problems, create=True)
    if training["profiling"]:
        _writable(training["profiling_file"], ("training", "profiling_file"), problems)
    if training["tensorboard"]:
        _writable(training["tensorboard_log_dir"], ("training", "tensorboard_log_dir"), problems, create=True)


def _readable(system, path, problems):
    file = system.partition("#")[0]
    if any(c in file for c in "*?") and not os.path.exists(file):
        return  # a pattern; the data module expands it
    if not os.path.exists(file):
        problems.add(path, f"no such folder or HDF5 file: {system} (looked in {os.getcwd()})")


def _writable(name, path, problems, create=False):
    """`create`: missing folders on the way are created later, so the nearest existing one counts."""
    if os.path.isfile(name):
        if not os.access(name, os.W_OK):
            problems.add(path, f"cannot be written: {name}")
        return
    folder = os.path.dirname(os.path.abspath(name))
    while create and not os.path.exists(folder):
        folder = os.path.dirname(folder)
    if not os.path.isdir(folder):
        problems.add(
            path, f"the folder {folder} does not exist" if not os.path.exists(folder) else f"{folder} is not a folder"
        )
    elif not os.access(folder, os.W_OK | os.X_OK):
        problems.add(path, f"no permission to write in {folder}")
