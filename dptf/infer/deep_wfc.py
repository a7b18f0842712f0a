"""Public location of the class."""

from dptf.infer.deep_tensor import DeepWFC

__all__ = ["DeepWFC"]
