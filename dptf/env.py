"""Process-wide settings from the environment, read once.

``DP_INTERFACE_PREC`` (``high`` or ``low``) fixes the floating type of coordinates,
statistics, forces and atomic outputs; energies are float64 in both cases.
"""

import contextlib
import importlib.util
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from dptf.errors import UserError
from dptf.parallel.affinity import cores_per_rank
from dptf.parallel.launcher import local_size

_PREC = os.environ.get("DP_INTERFACE_PREC", "high").lower()
if _PREC not in ("high", "low"):
    raise UserError(f"DP_INTERFACE_PREC is '{_PREC}'", fix="set it to 'high' (float64) or 'low' (float32)")

GLOBAL_NP_FLOAT = np.float64 if _PREC == "high" else np.float32
ENER_NP_FLOAT = np.float64


def threads(inter_default=None):
    """Return ``(intra, inter)`` op thread numbers for TensorFlow sessions; 0 lets TensorFlow decide.

    Ranks that share a machine share its cores, unless the environment says how many threads each may use. `inter_default`
    holds where the environment does not name the second number.
    """

    def read(kind):
        for prefix in ("DP", "TF"):
            value = os.environ.get(f"{prefix}_{kind}_OP_PARALLELISM_THREADS")
            if value:
                return int(value)
        return 0

    intra, inter = read("INTRA"), read("INTER") or inter_default or 0
    if local_size() > 1:
        intra = intra or cores_per_rank()
        inter = inter or intra
    return intra, inter


@contextlib.contextmanager
def held_back_stderr():
    """Keep what libraries print to file descriptor 2; show it only when the block fails."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(saved, 2)
            held.seek(0)
            sys.stderr.write(held.read().decode(errors="replace"))
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)


@contextlib.contextmanager
def without_keras():
    """Import TensorFlow without Keras, and without what its copy of an old Keras asks for and can do without.

    TensorFlow imports all of it to register optimizers; nothing here needs them, and they take 70 MB and half a second. Who asks
    for Keras afterwards (``tf.keras``, ``import tensorflow.keras``) gets it.
    """
    if "tensorflow" in sys.modules or "keras" in sys.modules or os.environ.get("TF_USE_LEGACY_KERAS"):
        yield
        return
    hidden = [name for name in ("keras", "h5py", "scipy") if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
    spec = importlib.util.find_spec("keras")
    if spec is not None and spec.origin:
        # What TensorFlow does itself where it finds Keras.
        sys.modules["tensorflow"].__path__.insert(0, str(Path(spec.origin).parent / "_tf_keras"))


def import_tensorflow():
    """Import ``tensorflow.compat.v1`` in graph mode, quiet unless the user set TF_CPP_MIN_LOG_LEVEL below 2."""
    quiet = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2") >= "2"
    with held_back_stderr() if quiet else contextlib.nullcontext():
        with without_keras():
            import tensorflow.compat.v1 as tf

        if quiet:
            tf.logging.set_verbosity(tf.logging.ERROR)
            # Looking for devices is noisy where there are none; a session would do it later, in the middle of the log.
            tf.config.list_physical_devices("GPU")
        tf.disable_v2_behavior()
    return tf
