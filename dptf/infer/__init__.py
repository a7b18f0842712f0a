"""Evaluate frozen models: `DeepPot` and its relatives, model deviation, the ASE calculator.

TensorFlow is imported when the first model is loaded, not before.
"""

from dptf.infer.deep_dos import DeepDOS
from dptf.infer.deep_eval import DeepEval, DeepPotential, ModelTypeError
from dptf.infer.deep_pot import DeepPot
from dptf.infer.deep_property import DeepProperty
from dptf.infer.deep_tensor import DeepDipole, DeepGlobalPolar, DeepPolar, DeepWFC
from dptf.infer.model_devi import calc_model_devi

__all__ = [
    "DeepDOS",
    "DeepDipole",
    "DeepEval",
    "DeepGlobalPolar",
    "DeepPolar",
    "DeepPot",
    "DeepPotential",
    "DeepProperty",
    "DeepWFC",
    "ModelTypeError",
    "calc_model_devi",
]
