"""Deep Potential interatomic potentials on TensorFlow in graph mode."""

from pathlib import Path

__version__ = (Path(__file__).parent / "VERSION").read_text().strip()
