"""The framework-free C++ kernels as NumPy functions (module ``dptf.lib._kernels``)."""

try:
    from dptf.lib._kernels import *  # noqa: F403
except ImportError as err:
    raise ImportError(
        f"the compiled kernels of dptf could not be loaded ({err}); reinstall with 'pip install .' "
        "using the same Python that runs dptf"
    ) from err
