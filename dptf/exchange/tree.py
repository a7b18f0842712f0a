"""Read and write the dictionary tree of ``.dp`` (HDF5) and ``.yaml`` files.

Every leaf below a key ``@variables`` is an array; in HDF5 it is a dataset named in the JSON text that holds the rest, in
YAML a mapping with ``@is_variable``.
"""

import json
import os
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from dptf import __version__
from dptf.errors import UserError

SUFFIXES = (".dp", ".yaml", ".yml")


def read_tree(path):
    """Read a model file.

    Parameters
    ----------
    path : str or Path
        ``.dp``, ``.yaml`` or ``.yml``.

    Returns
    -------
    dict
        With ``model``; arrays are NumPy arrays.
    """
    path = Path(path)
    if not path.exists():
        raise UserError("no such model file", str(path))
    if path.stat().st_size == 0:
        raise UserError("the model file is empty (0 bytes)", str(path))
    tree = _read_hdf5(path) if path.suffix == ".dp" else _read_yaml(path)
    if not isinstance(tree, dict) or not isinstance(tree.get("model"), dict):
        raise UserError("holds no model (top-level key 'model' is missing)", str(path))
    return tree


def write_tree(tree, path):
    """Write a model file; ``software``, ``version`` and ``time`` are put in front.

    Parameters
    ----------
    tree : dict
        With ``model``.
    path : str or Path
        The suffix decides the form. Written to a temporary name first, then renamed.
    """
    path = Path(path)
    stamp = datetime.now(timezone.utc).isoformat(sep=" ", timespec="microseconds")
    head = {"software": "dptf", "version": __version__, "time": stamp}
    tree = head | {key: value for key, value in tree.items() if key not in head}
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        (_write_hdf5 if path.suffix == ".dp" else _write_yaml)(tree, scratch)
        os.replace(scratch, path)
    except OSError as err:
        raise UserError(f"cannot be written ({err.strerror or err})", str(path)) from None
    finally:
        scratch.unlink(missing_ok=True)


def map_variables(tree, function, inside=False):
    """Copy a tree with ``function`` applied to every non-null leaf below a key ``@variables``."""
    if isinstance(tree, dict):
        return {key: map_variables(value, function, inside or key == "@variables") for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [map_variables(value, function, inside) for value in tree]
    if inside and tree is not None:
        return function(tree)
    return _plain(tree)


def _plain(value):
    """NumPy scalars and arrays outside ``@variables`` as JSON values."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value


def _read_hdf5(path):
    import h5py

    try:
        with h5py.File(path, "r") as file:
            if "json" not in file.attrs:
                raise UserError("is an HDF5 file without a model (attribute 'json' is missing)", str(path))
            tree = json.loads(file.attrs["json"])
            return map_variables(tree, lambda name: file[name][()])
    except (OSError, KeyError) as err:
        raise UserError(f"is not a readable model file ({err})", str(path), "copy or write it again") from None


def _write_hdf5(tree, path):
    import h5py

    count = 0
    with h5py.File(path, "w") as file:

        def store(value):
            nonlocal count
            name = f"variable_{count:04d}"
            count += 1
            file.create_dataset(name, data=np.asarray(value))
            return f"/{name}"

        text = json.dumps(map_variables(tree, store), separators=(",", ":"))
        # Variable length: an attribute of fixed length ends at 64 kB.
        file.attrs.create("json", text, dtype=h5py.string_dtype())


def _read_yaml(path):
    import yaml

    try:
        with open(path) as file:
            tree = yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, UnicodeDecodeError) as err:
        raise UserError(f"is not a readable YAML file ({str(err).splitlines()[0]})", str(path)) from None
    return _arrays(tree)


def _arrays(tree):
    if isinstance(tree, dict):
        if tree.get("@is_variable"):
            return np.array(tree["value"], dtype=tree["dtype"])
        return {key: _arrays(value) for key, value in tree.items()}
    return [_arrays(value) for value in tree] if isinstance(tree, list) else tree


def _write_yaml(tree, path):
    import yaml

    def encode(value):
        array = np.asarray(value)
        if array.ndim == 0:
            return array.item()
        return {
            "@class": "np.ndarray",
            "@is_variable": True,
            "@version": 1,
            "dtype": array.dtype.name,
            "value": array.tolist(),
        }

    with open(path, "w") as file:
        yaml.dump(
            map_variables(tree, encode), file, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False
        )
