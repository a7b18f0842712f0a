"""What a model asks of a descriptor. A new one is a module with a subclass of :class:`Descriptor` and a line in ``KINDS``.

Order of calls: ``__init__(section, ntypes, where)``; the model sets ``pair_excluded`` and, in training, calls ``statistics``; then
``build`` once per graph, and ``force_and_virial`` with a scalar made from its result as often as needed.
"""

import contextlib
from dataclasses import dataclass
from types import MappingProxyType

from dptf.errors import UserError

_splitting = [True]


@contextlib.contextmanager
def totals_only():
    """While graphs are made of which nobody reads atomic virials of message passing, which cost three more derivative passes."""
    _splitting.append(False)
    try:
        yield
    finally:
        _splitting.pop()


def splits_virial():
    """Whether atomic virials are split by the atoms whose energies they come from."""
    return _splitting[-1]


@dataclass(frozen=True)
class FrameInput:
    """Numbers of a frame that a descriptor reads beside the positions.

    Attributes
    ----------
    width : int
    default : tuple of float or None
        Of frames that give none; without it they have to.
    limits : tuple of (int, int) or None
        Smallest and largest whole part of every number.
    """

    width: int
    default: tuple | None = None
    limits: tuple | None = None


class Descriptor:
    """Base of all descriptors.

    Attributes
    ----------
    rcut : float
        Å.
    sel : list of int
        Slots per neighbor type; one number where the list is not divided by type.
    dim_out : int
        Features per atom.
    dim_rot : int
        Rows of the rotation matrices; 0 where there are none (then dipoles and polarizabilities cannot be fitted).
    rot_mat : tensor or None
        After ``build``: rotation matrices, shape (nf * nloc, dim_rot, 3).
    table_error : tensor or None
        After ``build``: interpolation error of tabulated nets, scalar, relative.
    type_map : list of str
        Names of the types, set by the model; may be empty.
    pair_excluded : set of (int, int)
        Pairs of types without interaction in the whole model, both orders; their slots stay empty.
    """

    #: Whether one fitting net serves all types (and, unless ``any_order`` says otherwise, ``natoms[2:]`` is not used).
    mixed_types = False
    #: Options of the type embedding the model makes when the input has no ``type_embedding`` section; None for none.
    own_type_embedding = None
    #: Whether that embedding has a zero row for the type of empty slots.
    type_padding = False
    #: Whether the fitting net gets the type embedding of the center beside the descriptor; False where the descriptor holds it.
    fitting_sees_types = True

    where = "model/descriptor"
    #: Whether ``build`` gets the atomic parameters as ``mask``, 1 for real atoms and 0 for padding.
    needs_mask = False
    #: Whether ``build`` gets the electric field at the atoms as ``field``.
    needs_field = False
    #: Numbers per atom that neighbors read in every layer of message passing; 0 for descriptors without.
    message_width = 0
    #: Numbers per atom that blocks of atoms read of each other for energies and forces: all layers, with derivatives.
    relayed = 0
    #: Whether nearly all work is in large ops of the graph as it is built: what TensorFlow rewrites before the first step then
    #: costs time and memory and gains nothing.
    rewriting_gains = True
    #: Whether an op of the frozen graph compares the memory that an evaluation needs with what there is.
    counts_memory = False
    #: Inputs of frames beside positions: key -> :class:`FrameInput`; ``build`` gets them under these names, shape (nf, width).
    frame_inputs = MappingProxyType({})
    #: Set by the model before ``compress``: the vectors of all types, an array, where it has a type embedding.
    known_types = None
    #: Set by the model: whether ``rot_mat`` will be read.
    rotation_needed = False
    #: Whether there are nets that :meth:`compress` can try to store as tables.
    can_compress = True

    #: Of models with virtual atoms: their real ones (:class:`dptf.model.virtual_atoms.Hosts`), at whose places virials are taken.
    hosts = None
    dim_rot = 0
    rot_mat = None
    table_error = None

    def __init__(self):
        self.type_map, self.pair_excluded = [], set()

    @property
    def nnei(self):
        """Slots per atom."""
        return sum(self.sel)

    def lower_precision(self, dtype):
        """Mixed precision: weights in float32, layers of the nets in `dtype`."""
        raise UserError(
            "this descriptor does not work in mixed precision", "training/mixed_precision",
            "remove it, or use se_e2_a, se_e2_r, se_e3 or a hybrid of these",
        )  # fmt: skip

    def statistics(self, batches, stat_file=None):
        """Normalisation from batches of the training data (per system a list of dicts)."""
        raise NotImplementedError

    def build(self, coord, atype, natoms, box, mesh, params, suffix="", *, tabulated=None, type_table=None):
        """Assemble the descriptor.

        Parameters
        ----------
        coord : tensor, shape (nf, nall * 3), Å
        atype : int32 tensor, shape (nf, nall)
        natoms : int32 tensor, shape (2 + ntypes,)
        box : tensor, shape (nf, 9), Å
        mesh : int32 tensor
        params : Parameters
        suffix : str
            Of all names (scopes and nodes).
        tabulated : float or scalar tensor, optional
            Grid spacing of tabulated nets; None evaluates the nets in every slot with ops that every runtime has.
        type_table : tensor, shape (ntypes or ntypes + 1, width), optional
            Type embedding, given when the model has one.

        Returns
        -------
        tensor, shape (nf, nloc, dim_out)
            With the node name ``o_descriptor<suffix>``.
        """
        raise NotImplementedError

    @property
    def any_order(self):
        """Whether atoms may come in any order, and frames of a batch may differ in their types."""
        return self.mixed_types

    def force_and_virial(self, scalar, suffix="", *, atomic=None):
        """Forces (nf, nall*3), virial (nf, 9) and atomic virials (nf, nall*9) of minus the derivative of a scalar.

        Parameters
        ----------
        scalar : scalar tensor
        suffix : str
        atomic : tensor, shape (nf, nloc)
            Contributions of the atoms to it. Where they depend on atoms beyond the cutoff (message passing), the atomic virials
            are split by them.
        """
        raise NotImplementedError

    def memory(self, compressed=False):
        """Forecast for an evaluation of energies and forces.

        Parameters
        ----------
        compressed : bool
            Of the compressed form.

        Returns
        -------
        (float, str) or None
            Bytes per atom, and the neighbors they hold for; None where it is not known.
        """

    def can_tabulate(self):
        """Whether the nets may be tabulated in training."""
        return False

    def tabulation_pays(self, atoms_per_batch):
        """Whether a grid costs less than the slots of a batch of so many atoms."""
        return False

    def compress(self, values, settings, suffix=""):
        """Replace the embedding nets among the arrays of a model by tables.

        Parameters
        ----------
        values : dict of str to array
            All arrays by name; changed in place.
        settings : dptf.nn.table.TableSettings
        suffix : str
        """
        raise UserError(
            "this descriptor has no compressed form", f"{self.where}/type",
            "known: se_e2_a, se_a_ebd_v2, se_e2_r, se_e3, se_e3_tebd, se_a_ef, se_atten, dpa2, dpa3, and hybrids of these",
        )  # fmt: skip

    def stored_names(self, suffix=""):
        """(scope, tail) of the nets that a compressed graph holds, in the order in which they are built."""
        return []
