"""The C library through ctypes, with declarations read from its header."""

import ctypes
import re
from pathlib import Path

import numpy as np

import dptf
from dptf.flags import INCLUDE

LIBRARY = Path(dptf.__file__).parent / "lib" / "libdeepmd_c.so"


def declared_functions():
    """Names of all functions that ``c_api.h`` declares."""
    import subprocess

    text = subprocess.run(
        ["gcc", "-E", "-P", INCLUDE / "deepmd" / "c_api.h"], capture_output=True, check=True, text=True
    )
    return sorted(set(re.findall(r"\b(DP_\w+)\s*\(", text.stdout)))


def exported_functions():
    """Names of all symbols that the library defines for others."""
    import subprocess

    text = subprocess.run(["nm", "-D", "--defined-only", LIBRARY], capture_output=True, check=True, text=True).stdout
    return sorted(line.split()[-1] for line in text.splitlines())


def load():
    """The library; functions that give text return ``bytes`` and free what the library allocated."""
    lib = ctypes.CDLL(str(LIBRARY))
    for name in exported_functions():
        getattr(lib, name).restype = ctypes.c_void_p if re.search(r"New|CheckOK|TypeMap|Report|ToChar", name) else None
        if re.search(r"GetCutoff$", name):
            getattr(lib, name).restype = ctypes.c_double
        elif re.search(r"Get(Numb|Dim)\w+$", name):
            getattr(lib, name).restype = ctypes.c_int
        elif re.search(r"Is\w+$|Has\w+$|Uses\w+$|Supports\w+$", name):
            getattr(lib, name).restype = ctypes.c_bool
    return lib


def text(lib, address):
    """Text returned by the library; its memory is given back."""
    out = ctypes.string_at(address).decode()
    lib.DP_DeleteChar(ctypes.c_void_p(address))
    return out


def pointer(array):
    """Address of an array, or a null pointer."""
    return ctypes.c_void_p(None if array is None else array.ctypes.data)


class Handle:
    """A model handle and its family of functions, such as ``DeepPot`` or ``DeepPotModelDevi``."""

    def __init__(self, lib, family, address):
        self.lib, self.family, self.address = lib, family, ctypes.c_void_p(address)

    def call(self, name, *args):
        return getattr(self.lib, f"DP_{self.family}{name}")(self.address, *args)

    @property
    def error(self):
        return text(self.lib, self.call("CheckOK"))

    def delete(self):
        getattr(self.lib, f"DP_Delete{self.family}")(self.address)

    def compute(self, form, coord, atype, cell, *, models=1, nframes=1, list_args=None, fparam=None, aparam=None,
                charge_spin=None, atomic=True, mixed=False):  # fmt: skip
        """Call ``Compute{form}``: form is any of the suffixes "", "f", "2", "f2", "3", "f3", with a list "NList" in front.

        Returns
        -------
        list of array
            energy, force, virial, atomic energy, atomic virial
        """
        real = np.float32 if "f" in form.replace("NList", "").replace("MixedType", "") else np.float64
        natoms = np.size(atype) // (nframes if mixed else 1)
        keep = [None if x is None else np.ascontiguousarray(x, real) for x in (coord, cell, fparam, aparam)]
        coord, cell, fparam, aparam = keep
        atype = np.ascontiguousarray(atype, np.int32)
        n = models * nframes
        out = [np.full(n, np.nan)] + [np.full(n * k, np.nan, real) for k in (natoms * 3, 9, natoms, natoms * 9)]
        outputs = [pointer(x if atomic or k < 3 else None) for k, x in enumerate(out)]
        args = [nframes] if form[-1:] in ("2", "3") or mixed else []
        args += [natoms, pointer(coord), pointer(atype), pointer(cell), *(list_args or [])]
        if form[-1:] in ("2", "3") or mixed:
            args += [pointer(fparam), pointer(aparam)]
        if form.endswith("3"):
            charge_spin = None if charge_spin is None else np.ascontiguousarray(charge_spin, np.float64)
            args.append(pointer(charge_spin))
        self.call(f"Compute{form}", *args, *outputs)
        return out
