"""The base of all evaluators, and the choice of the class that fits a graph."""

import numpy as np

from dptf.errors import UserError
from dptf.infer.evaluator import GraphEvaluator


class ModelTypeError(UserError, TypeError):
    """An evaluator class was given a graph of another kind."""


_CLASSES = {}


def _class_for(model_type, path):
    try:
        return _CLASSES[model_type]
    except KeyError:
        raise UserError(f"has model type '{model_type}', known are {', '.join(sorted(_CLASSES))}", path) from None


class DeepEval:
    """Evaluate a frozen model; ``DeepEval(file)`` gives an object of the class that fits the graph.

    Parameters
    ----------
    model_file : str or Path
        Frozen graph.
    auto_batch_size : bool, int or AutoBatchSize, optional
        Atoms (frames times atoms) per run of the graph: found automatically, not split, a number, or an object.
    neighbor_list : object, optional
        An ASE ``NewPrimitiveNeighborList`` that finds neighbors instead of the graph; one frame per call.
    load_prefix, default_tf_graph, input_map, skip_modifier
        See `GraphEvaluator`.
    head, nlist_backend
        Of other packages; must be unset or automatic.

    Attributes
    ----------
    deep_eval : GraphEvaluator
    """

    #: Model types (``model_attr/model_type``) that the class evaluates.
    model_types = ()

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        for name in cls.model_types:
            _CLASSES[name] = cls

    def __new__(cls, model_file, *args, **kwargs):
        if cls is DeepEval:
            from dptf.graph.load import load_graph_def, text_constant

            cls = _class_for(
                text_constant(load_graph_def(model_file), "model_attr/model_type", "ener"), str(model_file)
            )
        return super().__new__(cls)

    def __init__(
        self, model_file, *args, auto_batch_size=True, neighbor_list=None, head=None, nlist_backend="auto", **kwargs
    ):
        if head is not None:
            raise UserError("frozen graphs have no heads", "head", "leave it out")
        if nlist_backend not in ("auto", "native", None):
            raise UserError(f"is '{nlist_backend}'", "nlist_backend", "use 'auto', or pass neighbor_list=")
        self.deep_eval = GraphEvaluator(
            model_file, auto_batch_size=auto_batch_size, neighbor_list=neighbor_list, **kwargs
        )
        found = self.deep_eval.model_type
        if found not in self.model_types:
            fitting = _class_for(found, str(model_file)).__name__
            self.close()
            raise ModelTypeError(
                f"is a model of type '{found}', {type(self).__name__} evaluates {' or '.join(self.model_types)}",
                str(model_file),
                f"use {fitting}, or DeepPotential, which chooses the class",
            )

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        """Release the session."""
        self.deep_eval.close()

    # -- what the model is ----------------------------------------------------------------------------------------

    def get_rcut(self):
        """Cutoff radius [Å]."""
        return np.float64(self.deep_eval.rcut)

    def get_ntypes(self):
        """Number of atom types."""
        return np.int32(self.deep_eval.ntypes)

    def get_type_map(self):
        """Names of the types."""
        return list(self.deep_eval.tmap)

    @property
    def data_type_map(self):
        """Names of the types that data may hold: with spins also those of virtual atoms."""
        names = self.get_type_map()
        return names + [f"{name}_spin" for name in names[: self.get_ntypes_spin()]]

    def get_dim_fparam(self):
        """Number of frame parameters."""
        return np.int32(self.deep_eval.dfparam)

    def get_dim_aparam(self):
        """Number of atomic parameters."""
        return np.int32(self.deep_eval.daparam)

    def get_sel_type(self):
        """Types that a tensor model has values for; empty for models that act on all types."""
        return list(self.deep_eval.sel_type)

    def get_ntypes_spin(self):
        """Number of types that carry a spin."""
        return self.deep_eval.ntypes_spin

    def get_numb_dos(self):
        """Number of grid points of a density of states, 0 for other models."""
        return self.deep_eval.numb_dos

    def get_model_def_script(self):
        """The ``model`` section of the input that trained the model."""
        return self.deep_eval.training_script().get("model", {})

    def get_model(self):
        """The tf.Graph."""
        return self.deep_eval.graph

    def get_model_size(self):
        """Numbers of trained parameters: dict of ``descriptor``, ``fitting-net`` and ``total``."""
        from dptf.graph.info import model_size

        return model_size(self.deep_eval.constants())

    def get_observed_types(self):
        """Types that the training data held, as far as the file tells: dict of ``type_num`` and ``observed_type``."""
        from dptf.graph.info import observed_types

        return observed_types(self.deep_eval.constants())

    def has_default_fparam(self):
        """Whether the model has frame parameters for callers that give none."""
        return self.deep_eval.constant("fitting_attr/default_fparam") is not None

    def has_chg_spin_ebd(self):
        """Whether the model takes the charge and the spin multiplicity of frames."""
        return self.deep_eval.has("t_charge_spin")

    def get_dim_chg_spin(self):
        """Numbers of a frame's ``charge_spin``: 2, or 0 for models that take none."""
        return 2 if self.has_chg_spin_ebd() else 0

    def has_default_chg_spin(self):
        """Whether the model has charge and multiplicity for callers that give none."""
        return self.deep_eval.default_chg_spin is not None

    @property
    def has_efield(self):
        """Whether the model takes an electric field."""
        return self.deep_eval.has("t_efield")

    @property
    def has_spin(self):
        """Whether the model has spins."""
        return self.deep_eval.ntypes_spin > 0

    use_spin = has_spin

    @property
    def has_hessian(self):
        """Frozen graphs give no Hessian."""
        return False

    def runtime_report(self):
        """What was done to the graph to run it faster, as text."""
        return self.deep_eval.report()

    def serialize(self):
        """The model as the backend-neutral tree that ``.dp`` files hold."""
        from dptf.exchange.from_graph import serialize_graph

        return serialize_graph(self.deep_eval.constants(), self.deep_eval.training_script(), self.deep_eval.model_file)

    # -- inner quantities -----------------------------------------------------------------------------------------

    def eval_descriptor(
        self, coords, cells, atom_types, fparam=None, aparam=None, mixed_type=False, dtype="native", **kwargs
    ):
        """Descriptors of all atoms.

        Parameters
        ----------
        coords, cells, atom_types, fparam, aparam, mixed_type
            As in ``DeepPot.eval``.
        dtype : {"native", "fp32", "fp64"}
            Precision of the result; native is that of the graph.

        Returns
        -------
        (nf, n, ndesc) array
        """
        node = self.deep_eval
        if not node.has("o_descriptor"):
            raise UserError("the graph has no node 'o_descriptor'", node.model_file)
        if kwargs.get("spin") is not None:
            raise UserError(
                "descriptors are those of real and virtual atoms",
                "spin",
                "give frames with virtual atoms at R + S ratio",
            )
        native = node.tensor("o_descriptor").dtype.as_numpy_dtype
        kinds = {"native": native, "fp32": np.float32, "fp64": np.float64}
        if dtype not in kinds:
            raise UserError(f"is '{dtype}'", "dtype", f"use one of {', '.join(kinds)}")
        out = self._evaluate(["o_descriptor"], coords, cells, atom_types, fparam, aparam, mixed_type, kwargs)
        return out["o_descriptor"].astype(kinds[dtype])

    def _evaluate(self, names, coords, cells, atom_types, fparam, aparam, mixed_type, more):
        """Outputs of the graph by name; `more` are the inputs that few models have."""
        return self.deep_eval.evaluate(
            names, coords, cells, atom_types, fparam, aparam, more.get("efield"), mixed_type, more.get("charge_spin")
        )

    def eval_typeebd(self):
        """Type embedding, (ntypes, width), with one more row for padding in models of mixed types."""
        if not self.deep_eval.has("t_typeebd"):
            raise KeyError("the model has no type embedding (node 't_typeebd')")
        return self.deep_eval.sess.run(self.deep_eval.tensor("t_typeebd"))

    def eval_fitting_last_layer(self, *args, **kwargs):
        """Not stored in frozen graphs."""
        raise NotImplementedError("frozen graphs have no node for the last layer of the fitting net")


def DeepPotential(model_file, *args, **kwargs):
    """Evaluator of the class that fits the graph (`DeepPot`, `DeepDipole`, ...)."""
    return DeepEval(model_file, *args, **kwargs)
