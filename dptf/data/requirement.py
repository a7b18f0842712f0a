"""What a model or loss wants from the data."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DataRequirement:
    """One labelled quantity.

    Attributes
    ----------
    key : str
        File stem; ``atom_X`` and ``atomic_X`` are synonyms.
    ndof : int
        Numbers per frame, or per atom when `atomic`.
    atomic : bool
        One row per atom (re-ordered with the atoms).
    must : bool
        A missing file is an error; otherwise the array is filled with `default` and its find flag is 0.
    high_prec : bool
        Stays float64 when the interface precision is low.
    repeat : int
        Every number is repeated this often after loading (atom_pref: 3).
    default : float or tuple of float
        Filler for missing optional data: one number, or `ndof`.
    type_sel : tuple of int, optional
        Only atoms of these types carry the quantity; files may hold those atoms or all atoms.
    limits : tuple of (int, int), optional
        Smallest and largest whole part of every number of a frame.
    """

    key: str
    ndof: int
    atomic: bool = False
    must: bool = False
    high_prec: bool = False
    repeat: int = 1
    default: float | tuple = 0.0
    type_sel: tuple | None = None
    limits: tuple | None = None
