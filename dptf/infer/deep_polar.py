"""Public location of the class."""

from dptf.infer.deep_tensor import DeepGlobalPolar, DeepPolar

__all__ = ["DeepGlobalPolar", "DeepPolar"]
