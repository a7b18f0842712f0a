"""Checkpoints with the public file names, written so that an interruption leaves the previous ones intact.

``<prefix>-<step>.{data-00000-of-00001,index,meta,state}``, step-less links to the newest, and the ``checkpoint`` state file,
which is replaced last: it never names files that are not complete. ``.state`` holds the data stream (JSON), a checksum of
``.meta``, and a last line with the checksum of itself; TensorFlow guards the other two files.
"""

import hashlib
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np

from dptf.errors import UserError
from dptf.ops import tf
from dptf.session import new_session

DATA_SUFFIX = ".data-00000-of-00001"
_ATTRIBUTES = {"train_attr", "model_attr", "model_type"}
_SUFFIXES = (DATA_SUFFIX, ".index", ".meta", ".state")


def _encode(value):
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(type(value))


def _sha256(data):
    return hashlib.sha256(data).hexdigest()


def _sync(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class CheckpointWriter:
    """Saves the variables of a graph.

    Parameters
    ----------
    prefix : str
        ``training/save_ckpt``.
    keep : int
        Number of checkpoints to keep, those of an interrupted run included; 0 or less keeps all.
    announce : bool
        Name them in the ``checkpoint`` file of the folder, and link the newest.
    """

    def __init__(self, prefix, keep, announce=True):
        self.prefix, self.keep, self._announce = Path(prefix), keep, announce
        self.prefix.parent.mkdir(parents=True, exist_ok=True)
        self._meta = None
        self.saved_step = None

    def attach(self, graph, meta=None):
        """Use the variables of this graph from now on, and store `meta` (bytes) instead of the graph itself if given."""
        with graph.as_default():
            self._saver = tf.train.Saver(max_to_keep=0, save_relative_paths=True)
        self._meta = meta_graph(graph) if meta is None else meta

    def share(self, other):
        """Use the variables that another writer uses."""
        self._saver, self._meta = other._saver, other._meta

    def save(self, session, step, state):
        """Write checkpoint `step`; returns its path."""
        target = Path(f"{self.prefix}-{step}")
        temporary = target.with_name(f".{target.name}.tmp")
        try:
            self._write(session, temporary, state)
        except (OSError, tf.errors.OpError) as err:
            for path in target.parent.glob(f"{temporary.name}*"):
                path.unlink()
            raise UserError(
                f"the checkpoint cannot be written ({getattr(err, 'strerror', None) or str(err).splitlines()[0]})",
                str(target), "make room there; the checkpoints before it are as they were",
            ) from None  # fmt: skip
        for suffix in _SUFFIXES:
            os.replace(f"{temporary}{suffix}", f"{target}{suffix}")
        self.saved_step = step
        if self._announce:
            self._link(target)
        kept = self._prune(step)
        if self._announce:
            self._write_state_file(kept, target.name)
        return str(target)

    def _write(self, session, temporary, state):
        self._saver.save(session, str(temporary), write_meta_graph=False, write_state=False)
        Path(f"{temporary}.meta").write_bytes(self._meta)
        text = json.dumps({**state, "meta_sha256": _sha256(self._meta)}, default=_encode)
        Path(f"{temporary}.state").write_text(f"{text}\n{_sha256(text.encode())}\n")
        for suffix in _SUFFIXES:
            _sync(f"{temporary}{suffix}")

    def remove(self, step):
        """Delete a checkpoint."""
        for suffix in _SUFFIXES:
            Path(f"{self.prefix}-{step}{suffix}").unlink(missing_ok=True)

    def _link(self, target):
        for suffix in _SUFFIXES:
            link, source = Path(f"{self.prefix}{suffix}"), f"{target.name}{suffix}"
            temporary = link.with_name(f".{link.name}.lnk")
            temporary.unlink(missing_ok=True)
            try:
                temporary.symlink_to(source)
            except OSError:  # no symbolic links here: copy
                shutil.copyfile(target.with_name(source), temporary)
            os.replace(temporary, link)

    def _prune(self, newest):
        # Checkpoints beyond the current step belong to a longer, abandoned run: they are not ours to delete.
        steps = [s for s in steps_on_disk(self.prefix) if s <= newest]
        old = steps[: -self.keep] if self.keep > 0 else []
        for step in old:
            self.remove(step)
        return [s for s in steps if s not in old]

    def _write_state_file(self, steps, newest):
        lines = [f'model_checkpoint_path: "{newest}"']
        lines += [f'all_model_checkpoint_paths: "{self.prefix.name}-{s}"' for s in steps]
        path = self.prefix.parent / "checkpoint"
        temporary = path.with_name(".checkpoint.tmp")
        temporary.write_text("\n".join(lines) + "\n")
        _sync(temporary)
        os.replace(temporary, path)


def steps_on_disk(prefix):
    """Steps of the checkpoints with a prefix, ascending."""
    prefix = Path(prefix)
    pattern = re.compile(re.escape(prefix.name) + r"-(\d+)\.index$")
    if not prefix.parent.is_dir():
        return []
    return sorted(int(m[1]) for p in prefix.parent.iterdir() if (m := pattern.match(p.name)))


def newest_intact(prefix, steps):
    """The newest of some steps whose files are whole, as a prefix for ``--restart``; None if there is none."""
    for step in sorted(steps, reverse=True):
        try:
            Checkpoint(f"{prefix}-{step}", suggest=False).verify()
        except UserError:
            continue
        return f"{prefix}-{step}"
    return None


class Checkpoint:
    """A checkpoint on disk, checked before anything of it is used.

    Parameters
    ----------
    path : str
        Prefix (``model.ckpt`` or ``model.ckpt-1000``), or a directory with a ``checkpoint`` file.
    suggest : bool
        Look for an intact one to name in the message about a damaged one.
    """

    def __init__(self, path, *, suggest=True):
        path, self._suggest = str(path), suggest
        if os.path.isdir(path):
            state = tf.train.get_checkpoint_state(path)
            if state is None:
                raise UserError("no checkpoint in this directory (its file 'checkpoint' is missing)", path)
            path = state.model_checkpoint_path
            if not os.path.isabs(path) and not os.path.exists(path + ".index"):
                path = os.path.join(os.path.dirname(path), os.path.basename(path))
        self.prefix = path
        if not os.path.exists(path + ".index"):
            raise UserError("no such checkpoint (looked for the .index file)", path + ".index")
        if not os.path.exists(path + DATA_SUFFIX):
            raise UserError("the data file of the checkpoint is missing", path + DATA_SUFFIX)
        try:
            self._reader = tf.train.load_checkpoint(path)
            self.shapes = self._reader.get_variable_to_shape_map()
        except (tf.errors.OpError, ValueError, IndexError, RuntimeError) as err:
            raise self._damaged(err) from None

    def _damaged(self, err):
        first = (str(err).splitlines() or ["?"])[0][:120]
        fix = None
        if self._suggest:
            index = os.path.realpath(self.prefix + ".index")
            name = re.sub(r"-\d+$", "", os.path.basename(index)[: -len(".index")])
            base = os.path.join(os.path.dirname(self.prefix), name)
            here = int(m[1]) if (m := re.search(r"-(\d+)\.index$", index)) else -1
            intact = newest_intact(base, [s for s in steps_on_disk(base) if s != here])
            fix = f"the newest intact one is {intact}" if intact else "train again, or restore a copy"
        return UserError(f"the checkpoint is damaged or incomplete ({first})", self.prefix, fix)

    def verify(self):
        """Read everything; a damaged file is an error."""
        self.values()
        self.state()
        self.constants()

    def values(self):
        """All arrays by variable name."""
        try:
            return {name: self._reader.get_tensor(name) for name in self.shapes}
        except (tf.errors.OpError, ValueError, IndexError, RuntimeError) as err:
            raise self._damaged(err) from None

    def restore(self, session, graph, optional=None):
        """Assign every variable of the graph; a missing or mismatching one is named before anything is assigned.

        Variables whose names begin with `optional` may be missing; returns whether none of them is.
        """
        with graph.as_default():
            variables = tf.global_variables()
        wrong, absent = [], set()
        for v in variables:
            name, shape = v.op.name, v.shape.as_list()
            if name not in self.shapes and optional and name.startswith(optional):
                absent.add(name)
            elif name not in self.shapes:
                wrong.append(f"{name} is missing")
            elif self.shapes[name] != shape:
                wrong.append(f"{name} has shape {self.shapes[name]}, the input asks for {shape}")
        if wrong:
            raise UserError(
                f"the checkpoint does not belong to this input: {'; '.join(wrong[:3])}"
                + (f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""),
                self.prefix, "use the input it was trained with",
            )  # fmt: skip
        values = self.values()
        for v in variables:
            if v.op.name not in absent:
                v.load(values[v.op.name], session)
        return not absent

    def state(self):
        """The saved data stream, or None for checkpoints without one (those of the public package)."""
        path = self.prefix + ".state"
        if not os.path.exists(path):
            return None
        try:
            text, *rest = Path(path).read_text().split("\n")
            state = json.loads(text)
        except ValueError as err:
            raise self._damaged(err) from None
        if rest and rest[0] != _sha256(text.encode()):
            raise self._damaged(f"{os.path.basename(path)} was changed")
        return state

    def constants(self):
        """String and scalar constants of the saved graph by node name (training script, smallest distance)."""
        path = self.prefix + ".meta"
        if not os.path.exists(path):
            raise UserError("the graph of the checkpoint is missing", path)
        meta, data = tf.MetaGraphDef(), Path(path).read_bytes()
        wanted = (self.state() or {}).get("meta_sha256")
        if wanted is not None and wanted != _sha256(data):
            raise self._damaged(f"{os.path.basename(path)} was changed")
        try:
            meta.ParseFromString(data)
        except Exception as err:  # the protobuf library has its own hierarchy
            raise self._damaged(err) from None
        out = {}
        for node in meta.graph_def.node:
            if node.op == "Const" and _ATTRIBUTES & set(node.name.split("/")[:2]):
                out[node.name] = tf.make_ndarray(node.attr["value"].tensor)
        return out

    def training_script(self):
        """The normalised input that the checkpoint was trained with."""
        script = self.constants().get("train_attr/training_script")
        if script is None:
            raise UserError("the checkpoint does not hold its training script", self.prefix + ".meta")
        return json.loads(script.item())


def meta_graph(graph):
    """MetaGraphDef of a graph, as bytes."""
    with graph.as_default():
        # With the nodes given; otherwise TensorFlow collects them in a time that grows with the square of their number.
        nodes = graph.as_graph_def(add_shapes=True)
        return tf.train.export_meta_graph(graph_def=nodes, clear_devices=True).SerializeToString()


def write_values(source, values, prefix):
    """Write a copy of a checkpoint with other values of its variables, under the same step.

    Parameters
    ----------
    source : Checkpoint
    values : dict of str to array
    prefix : str
    """
    with tf.Graph().as_default() as graph:
        variables = {name: tf.get_variable(name, initializer=tf.zeros(v.shape, v.dtype)) for name, v in values.items()}
        with new_session() as session:
            for name, variable in variables.items():
                variable.load(values[name], session)
            writer = CheckpointWriter(prefix, 0)
            writer.attach(graph, Path(source.prefix + ".meta").read_bytes())
            state = {k: v for k, v in (source.state() or {}).items() if k != "meta_sha256"}
            writer.save(session, int(values.get("global_step", 0)), state)
