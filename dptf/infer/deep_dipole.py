"""Public location of the class."""

from dptf.infer.deep_tensor import DeepDipole

__all__ = ["DeepDipole"]
