"""The whole input."""

from functools import lru_cache

from dptf.config.schema.common import arg
from dptf.config.schema.loss import loss
from dptf.config.schema.model import model
from dptf.config.schema.training import learning_rate, optimizer, training, validating


@lru_cache(maxsize=1)
def sections():
    """The top-level arguments (also the entry point for editors that draw forms)."""
    return [model(), learning_rate(), optimizer(), loss(), training(), validating()]


@lru_cache(maxsize=1)
def root():
    """One argument that holds all sections."""
    return arg("input", dict, doc="Input of dp train.", sub_fields=sections())
