"""Systems on disk, batches, type maps and statistics of the training data. Nothing here imports TensorFlow."""

from dptf.data.requirement import DataRequirement
from dptf.data.sources import expand_systems
from dptf.data.systems import DataSystems

__all__ = ["DataRequirement", "DataSystems", "expand_systems"]
