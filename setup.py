"""Compile the native libraries with CMake as the extension step of the build."""

import os
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent


class CMakeBuild(build_ext):
    """Configure and build the project; libraries are placed in ``dptf/lib``."""

    def run(self):
        # CMake puts the libraries where they belong, so none of the copying of the base class takes place:
        # an editable install keeps them in the source tree, a wheel takes them from the build tree.
        editable = bool(self.inplace or self.editable_mode)
        package = (ROOT if editable else Path(self.build_lib).resolve()) / "dptf"
        build = ROOT / "build" / ("editable" if editable else "wheel")
        configure = [
            "cmake", "-S", str(ROOT), "-B", str(build), "-G", "Ninja",
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-DDPTF_LIB_DIR={package / 'lib'}",
            f"-DDPTF_CUDA={os.environ.get('DPTF_CUDA', '0')}",
            f"-DDPTF_TESTS={'ON' if editable else 'OFF'}",
        ]  # fmt: skip
        try:
            subprocess.run(configure, check=True)
            subprocess.run(["cmake", "--build", str(build)], check=True)
        except FileNotFoundError as err:
            raise SystemExit(
                f"building dptf needs '{err.filename}'; install cmake, ninja and a C++17 compiler"
            ) from err
        except subprocess.CalledProcessError as err:
            raise SystemExit(
                f"building dptf failed (exit status {err.returncode}); see the compiler's message above"
            ) from err

    def get_outputs(self):
        return []

    def get_output_mapping(self):
        return {}


setup(ext_modules=[Extension("dptf.lib._kernels", sources=[])], cmdclass={"build_ext": CMakeBuild})
