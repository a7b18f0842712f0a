"""Read a frozen graph from a file, safely, and bring old layouts up to date in memory."""

import os
from pathlib import Path

from dptf.errors import UserError
from dptf.graph.allowlist import check_ops

#: First bytes of files that users take for a frozen graph, and what they are.
_FOREIGN = (
    (b"PK\x03\x04", "a zip archive (PyTorch models look like this)"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (.dp models look like this)"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x80\x02", "a Python pickle"),
    (b"\x80\x04", "a Python pickle"),
    (b"version https://git-lfs", "a Git LFS pointer; fetch the file itself with 'git lfs pull'"),
    (b"<", "a web page or XML file, perhaps a failed download"),
    (b"{", "a JSON file"),
)


def read_bytes(path):
    """Return the content of ``path`` as bytes; `UserError` if it is missing, a directory, unreadable or empty."""
    path = Path(path)
    if path.is_dir():
        raise UserError("is a directory, not a model file", str(path))
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError("no such model file", str(path), "check the path, or freeze a model with 'dp freeze'") from None
    except OSError as err:
        raise UserError(f"cannot be read ({err.strerror})", str(path)) from None
    if not data:
        raise UserError("the model file is empty (0 bytes)", str(path), "freeze or copy it again")
    return data


def _is_text_graph(data):
    head = data[:4096].lstrip()
    return head.startswith((b"node {", b"node{", b"versions {", b"library {", b"#"))


def _refuse_foreign(data, path):
    if _is_text_graph(data):
        raise UserError(
            "is a graph in text form", path, f"convert it: dp convert-from pbtxt -i {path} -o {Path(path).stem}.pb"
        )
    for magic, what in _FOREIGN:
        if data.startswith(magic):
            raise UserError(f"is not a frozen graph but {what}", path)


def parse_graph_def(data, path):
    """Parse bytes into a GraphDef; `UserError` for foreign and truncated content.

    Protocol buffers accept any prefix that ends between two nodes, so a cut file is also recognised by
    nodes whose inputs are missing.
    """
    path = str(path)
    _refuse_foreign(data, path)
    from dptf.env import import_tensorflow

    import_tensorflow()  # quietly, before anything else pulls it in
    from google.protobuf.message import DecodeError
    from tensorflow.core.framework import graph_pb2

    graph_def = graph_pb2.GraphDef()
    try:
        graph_def.ParseFromString(data)
    except (DecodeError, UnicodeDecodeError):
        graph_def.Clear()
        if data[:1] == b"\n":  # the tag of the first node: this was a graph once
            raise UserError(
                f"the file looks truncated or damaged ({len(data)} bytes)", path, "copy or freeze it again"
            ) from None
        raise UserError("is not a frozen TensorFlow graph", path, "give a .pb file written by 'dp freeze'") from None
    names = {node.name for node in graph_def.node}
    if not names:
        raise UserError("is not a frozen TensorFlow graph (it holds no nodes)", path)
    for node in graph_def.node:
        for ref in node.input:
            if input_node(ref) not in names:
                raise UserError(
                    f"the file looks truncated ({len(data)} bytes): node '{node.name}' needs '{ref}', which is not there",
                    path,
                    "copy or freeze it again",
                )
    return graph_def


def input_node(ref):
    """Name of the node behind an input reference (``^name`` and ``name:1`` are references to ``name``)."""
    return ref.lstrip("^").split(":")[0]


def load_graph_def(path, *, upgrade=True, need_outputs=True):
    """Load a frozen graph.

    Parameters
    ----------
    path : str or Path
        A binary GraphDef.
    upgrade : bool, optional
        Bring graphs of 0.x, 1.x and 2.0 releases to the current layout, in memory.
    need_outputs : bool, optional
        Demand the nodes without which no evaluator can work.

    Returns
    -------
    GraphDef
        With allowed ops only.
    """
    path = os.fspath(path)
    graph_def = parse_graph_def(read_bytes(path), path)
    check_ops(graph_def, path)
    if upgrade:
        from dptf.graph.upgrade import upgrade_graph_def

        upgrade_graph_def(graph_def, path)
    if need_outputs:
        names = {node.name for node in graph_def.node}
        for needed in ("descrpt_attr/rcut", "descrpt_attr/ntypes"):
            if needed not in names:
                raise UserError(
                    f"is a TensorFlow graph but not a Deep Potential model: node '{needed}' is missing", path
                )
        if not any(name.startswith("o_") for name in names):
            raise UserError(
                "holds no output node (o_energy, o_dipole, ...): the file looks truncated, or was frozen with other node names",
                path,
                "freeze it again without -n",
            )
    return graph_def


def constant(graph_def, name):
    """Value of the Const node ``name`` as a NumPy array, or ``None`` if there is none."""
    from tensorflow.python.framework import tensor_util

    for node in graph_def.node:
        if node.name == name and node.op == "Const":
            return tensor_util.MakeNdarray(node.attr["value"].tensor)
    return None


def constants(graph_def):
    """All Const nodes as a dict of name -> NumPy array."""
    from tensorflow.python.framework import tensor_util

    return {n.name: tensor_util.MakeNdarray(n.attr["value"].tensor) for n in graph_def.node if n.op == "Const"}


def text_constant(graph_def, name, default=""):
    """Value of a scalar string Const as ``str``, or ``default``."""
    value = constant(graph_def, name)
    return default if value is None else value.item().decode()


def add_constant(graph_def, name, value, dtype=None):
    """Append a Const node; ``value`` may be a string, a number or an array."""
    from tensorflow.python.framework import tensor_util

    node = graph_def.node.add(name=name, op="Const")
    tensor = tensor_util.make_tensor_proto(value, dtype=dtype)
    node.attr["value"].tensor.CopyFrom(tensor)
    node.attr["dtype"].type = tensor.dtype
    return node


def set_constant(graph_def, name, value):
    """Replace the value of the existing Const ``name``, keeping its dtype and shape."""
    from tensorflow.python.framework import tensor_util

    for node in graph_def.node:
        if node.name == name and node.op == "Const":
            old = tensor_util.MakeNdarray(node.attr["value"].tensor)
            new = value.astype(old.dtype).reshape(old.shape)
            node.attr["value"].tensor.CopyFrom(tensor_util.make_tensor_proto(new))
            return
    raise KeyError(name)


def write_graph_def(graph_def, path):
    """Write a binary (``.pb``) or text (``.pbtxt``) graph: to a temporary name, then renamed, so no half file is left."""
    path = Path(path)
    if path.suffix == ".pbtxt":
        from google.protobuf import text_format

        data = text_format.MessageToString(graph_def).encode()
    else:
        data = graph_def.SerializeToString()
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(scratch, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    except OSError as err:
        scratch.unlink(missing_ok=True)
        raise UserError(f"cannot be written ({err.strerror})", str(path)) from None
