"""``dp transfer``: the trained arrays of one frozen graph in the structure of another."""

import logging
import re

from dptf.errors import UserError
from dptf.graph.load import constants, load_graph_def, set_constant, write_graph_def

log = logging.getLogger(__name__)

#: Names of arrays that hold what was learned or measured.
_ARRAYS = re.compile(
    r"(filter_type_[^/]+/((matrix|bias|idt)_\w+|table(_info)?_\w+)"
    r"|((final_)?layer|share)_[^/]+/(matrix|bias|idt)|(final_layer)[^/]*/(matrix|bias|idt)"
    r"|type_embed_net[^/]*/(matrix|bias|idt)_\w+"
    r"|attention_layer_[^/]+/[\w/]+/?(matrix|bias|gamma|beta)"
    r"|descrpt_attr[^/]*/t_(avg|std)"
    r"|fitting_attr[^/]*/t_([fa]param_(avg|istd)|bias_\w+|constant_matrix)"
    r"|model_attr[^/]*(/model_attr[^/]*)?/t_(tab_info|tab_data|out_bias|out_std))"
)
#: Of these an older graph may lack some: shifts that it holds elsewhere.
_OPTIONAL = re.compile(r"(fitting_attr|model_attr)[^/]*/")


def is_trained_array(name):
    """Whether an array of this name holds what was learned or measured."""
    return bool(_ARRAYS.fullmatch(name))


def transfer(raw, old, output):
    """Write the graph `raw` with the arrays of the graph `old`.

    Parameters
    ----------
    raw, old, output : str
        Files.

    Returns
    -------
    list of str
        Names of the arrays that were copied.
    """
    graph = load_graph_def(raw)
    given = constants(load_graph_def(old))
    copied = []
    for name, value in constants(graph).items():
        if not _ARRAYS.fullmatch(name):
            continue
        if name not in given:
            if _OPTIONAL.match(name):
                log.warning("%s is not in %s and keeps its value", name, old)
                continue
            raise UserError(f"has no array {name}", old, "both models must have the same structure")
        new = given[name]
        if new.shape != value.shape and not (new.size == value.size and new.squeeze().shape == value.squeeze().shape):
            raise UserError(
                f"{name} has shape {list(new.shape)}, in {raw} it has {list(value.shape)}", old,
                "both models must have the same structure",
            )  # fmt: skip
        set_constant(graph, name, new)
        log.info("%s is passed from old graph (%s) to raw graph (%s)", name, new.dtype, value.dtype)
        copied.append(name)
    if not copied:
        raise UserError("holds no array that can be transferred", raw)
    write_graph_def(graph, output)
    return copied
