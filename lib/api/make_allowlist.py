"""Write the op allow-list of the Python package as a C++ header."""

import importlib.util
import sys
from pathlib import Path

# Loaded by file name: importing the package's sub-module must not need TensorFlow or a finished build.
path = Path(__file__).resolve().parents[2] / "dptf" / "graph" / "allowlist.py"
spec = importlib.util.spec_from_file_location("allowlist", path)
allowlist = importlib.util.module_from_spec(spec)
spec.loader.exec_module(allowlist)
names = sorted(allowlist.TENSORFLOW_OPS | allowlist.DEEPMD_OPS)
lines = ",\n".join(f'    "{n}"' for n in names)
Path(sys.argv[1]).write_text(
    "#pragma once\n\nnamespace deepmd {\n"
    f'constexpr const char* kOwnOpPrefix = "{allowlist.OWN_PREFIX}";\n'
    f"constexpr const char* kAllowedOps[] = {{\n{lines}}};\n}}  // namespace deepmd\n"
)
