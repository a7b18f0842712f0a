"""Compiler and linker options for programs that use the C or C++ library: ``cc prog.c $(python -m dptf.flags c)``.

``c`` gives the options of libdeepmd_c (C programs, and C++ programs with ``deepmd/deepmd.hpp``), ``cc`` those of
libdeepmd_cc, ``include`` and ``lib`` the folders, ``cmake`` the prefix for ``find_package(DeePMD)``.
"""

import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parent
INCLUDE, LIB = _ROOT / "include", _ROOT / "lib"


def options(library):
    """Options that compile and link a program with ``libdeepmd_c`` (``"c"``) or ``libdeepmd_cc`` (``"cc"``).

    The folder of the libraries is stored in the program, so that it runs without LD_LIBRARY_PATH.
    """
    # What the libraries themselves need is found through their own run paths, not by the linker.
    return [
        f"-I{INCLUDE}", f"-L{LIB}", f"-ldeepmd_{library}", f"-Wl,-rpath,{LIB}",
        "-Wl,--unresolved-symbols=ignore-in-shared-libs",
    ]  # fmt: skip


def main(argv=None):
    """Print what is asked for."""
    args = sys.argv[1:] if argv is None else argv
    answers = {
        "c": lambda: " ".join(options("c")),
        "cc": lambda: " ".join(options("cc")),
        "include": lambda: str(INCLUDE),
        "lib": lambda: str(LIB),
        "cmake": lambda: str(LIB / "cmake"),
    }
    if len(args) != 1 or args[0] not in answers:
        print(f"usage: python -m dptf.flags {{{','.join(answers)}}}", file=sys.stderr)
        return 2
    if not (INCLUDE / "deepmd" / "c_api.h").exists():
        print(f"{INCLUDE}: the headers are not installed here; run: pip install .", file=sys.stderr)
        return 1
    print(answers[args[0]]())
    return 0


if __name__ == "__main__":
    sys.exit(main())
