"""Names of model files on the command line."""

from dptf.errors import UserError

_OTHERS = (".pth", ".pt", ".pte", ".pt2", ".hlo", ".jax", ".savedmodel", ".savedmodeltf", ".json", ".pd")
_TREES = (".dp", ".yaml", ".yml")


def model_file(name):
    """Append ``.pb`` to a name without the suffix of a model; refuse those of other backends.

    Parameters
    ----------
    name : str

    Returns
    -------
    str
    """
    lower = name.lower()
    if lower.endswith(".pb"):
        return name
    if lower.endswith(_TREES):
        stem = name.rsplit(".", 1)[0]
        raise UserError(
            "is a model in backend-neutral form, which has to become a graph first", name,
            f"dp convert-backend {name} {stem}.pb",
        )  # fmt: skip
    if lower.endswith(_OTHERS):
        raise UserError("belongs to another backend; this package runs frozen graphs (.pb)", name)
    return name + ".pb"
