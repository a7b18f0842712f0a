"""Ask the op library for an equivalent, faster form of a frozen graph."""

import ctypes
import logging

log = logging.getLogger(__name__)


def _library():
    from dptf.ops import library as lib

    lib.dptf_rewrite_graph.restype = ctypes.c_int
    lib.dptf_rewrite_graph.argtypes = [
        ctypes.c_char_p, ctypes.c_size_t, ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(ctypes.c_size_t),
        ctypes.POINTER(ctypes.c_void_p), ctypes.c_char_p,
    ]  # fmt: skip
    lib.dptf_free.argtypes = [ctypes.c_void_p]
    lib.dptf_free.restype = None
    return lib


def rewrite_graph(graph_def, precision=None, *, plain=False):
    """Replace the compute part of ``graph_def`` by fused ops where the op library knows how.

    The library compares both forms on a small configuration and keeps the given graph unless energies, forces and virials
    agree (1e-10 relative in float64). ``DPTF_PLAIN=1`` in the environment keeps the graph as it is; ``DPTF_PRECISION=float32``
    computes a float64 model in single precision (sums over atoms stay in double).

    Parameters
    ----------
    graph_def : GraphDef
    precision : {"float64", "float32"}, optional
        Precision of the fused kernels; by default that of the graph, or ``DPTF_PRECISION``.
    plain : bool
        Keep the graph as it is.

    Returns
    -------
    graph_def : GraphDef
        The rewritten graph, or the given one.
    report : str
        What was done, or why not.
    """
    from dptf.errors import UserError
    from dptf.ops import tf
    from dptf.parallel.launcher import local_size
    from dptf.session import new_session

    if plain:
        return graph_def, "graph run as it is (on request)"
    if precision not in (None, "", "float32", "float64"):
        raise UserError(f"'{precision}' is not a precision", "precision", "use float32 or float64")
    if local_size() > 1:  # the test configuration would give the pools of threads the size of the machine
        new_session(tf.Graph()).close()
    lib = _library()
    data = graph_def.SerializeToString()
    out, report, size = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_size_t()
    code = lib.dptf_rewrite_graph(
        data, len(data), ctypes.byref(out), ctypes.byref(size), ctypes.byref(report),
        (precision or "").encode(),
    )  # fmt: skip
    text = ctypes.string_at(report.value).decode()
    if code == 0:
        fused = type(graph_def)()
        fused.ParseFromString(ctypes.string_at(out.value, size.value))
        graph_def = fused
        lib.dptf_free(out)
    lib.dptf_free(report)
    if code == 2:
        raise UserError(text)
    if code and precision == "float32":
        log.warning("float32 was asked for, but the %s", text)
    log.debug("%s", text)
    return graph_def, text
