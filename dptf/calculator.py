"""Public location of the ASE calculator: ``from dptf.calculator import DP``."""

from dptf.infer.ase import DP

__all__ = ["DP"]
