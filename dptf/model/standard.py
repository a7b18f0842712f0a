"""What the standard models share: a descriptor, an optional type embedding, a fitting; inputs and attribute nodes of the contract."""

import numpy as np

from dptf.data.requirement import DataRequirement
from dptf.descriptor import make_descriptor
from dptf.env import GLOBAL_NP_FLOAT
from dptf.errors import UserError
from dptf.fitting import make_fitting
from dptf.nn.parameters import global_dtype
from dptf.nn.type_embedding import TypeEmbedding, type_rows
from dptf.ops import tf

MODEL_VERSION = "1.1"


class StandardModel:
    """Model of a ``model`` section; a member makes the outputs of its property from the atomic ones.

    Attributes
    ----------
    type_map : list of str
    ntypes : int
    rcut : float
        Å.
    descriptor, fitting : objects
    type_embedding : TypeEmbedding or None
    """

    #: Whether the embedding nets are tables (see dptf.nn.table).
    compressed = False
    #: Whether something is fitted to the data before training.
    has_statistics = True
    #: Whether every part of the model takes batches of its own for that.
    draws_by_part = False
    #: Set by composed models whose members share a type embedding: its table, before `build`.
    given_type_table = None

    def __init__(self, section, *, min_nbor_dist=None):
        self.section, self.min_nbor_dist = section, min_nbor_dist
        self.type_map = list(section.get("type_map") or [])
        self.ntypes = len(self.type_map) or _count_types(section["descriptor"])
        for key in ("compress",):
            if section.get(key):
                raise UserError("is not supported by this version in training", f"model/{key}", "remove it")
        embedding = section.get("type_embedding")
        self.descriptor = make_descriptor(section["descriptor"], self.ntypes, typed=embedding is not None)
        self.descriptor.type_map = self.type_map
        self.descriptor.pair_excluded = {
            p for a, b in section.get("pair_exclude_types") or [] for p in ((a, b), (b, a))
        }
        self.atom_excluded = [int(t) for t in section.get("atom_exclude_types") or []]
        embedding = self.descriptor.own_type_embedding if embedding is None else embedding
        self.type_embedding = None
        if embedding is not None:
            self.type_embedding = TypeEmbedding(
                embedding, self.ntypes, self.type_map, padding=self.descriptor.type_padding
            )
        self.fitting = make_fitting(
            section["fitting_net"], self.descriptor, self.ntypes, mixed_types=self.mixed_types,
            dim_type=self.type_embedding.dim_out if self._fitting_sees_types else 0,
        )  # fmt: skip
        if section.get("preset_out_bias"):
            self.fitting.preset_bias(section["preset_out_bias"])
        if self.descriptor.needs_mask and not (self.fitting.numb_aparam == 1 and self.fitting.use_aparam_as_mask):
            raise UserError(
                "se_a_mask needs the mask of the atoms as atomic parameter", "model/fitting_net",
                "set numb_aparam to 1 and use_aparam_as_mask to true",
            )  # fmt: skip
        self.descriptor.rotation_needed = self.model_type in ("dipole", "polar")
        self.rcut = self.descriptor.rcut

    @property
    def mixed_types(self):
        """Whether one fitting net serves all types."""
        return self.descriptor.mixed_types or self.type_embedding is not None

    @property
    def _fitting_sees_types(self):
        return self.type_embedding is not None and self.descriptor.fitting_sees_types

    @property
    def model_type(self):
        """What the graph says it computes."""
        return self.fitting.model_type

    def data_requirements(self):
        """What the model itself reads from the data."""
        frame = [
            DataRequirement(key, x.width, must=x.default is None, default=x.default or 0.0, limits=x.limits)
            for key, x in self.descriptor.frame_inputs.items()
        ]
        if self.descriptor.needs_field:
            frame.append(DataRequirement("efield", 3, atomic=True, must=True))
        return self.fitting.data_requirements() + frame

    @property
    def transform(self):
        """What training data go through after they were read: the long-range part leaves the labels. None for nothing."""
        if not self.section.get("modifier"):
            return None
        from dptf.infer.data_modifier import LabelModifier

        return LabelModifier(self.section["modifier"], self.ntypes)

    def statistics(self, batches, stat_file=None):
        """Descriptor normalisation, parameter normalisation and output bias from batches of the training data."""
        self.descriptor.statistics(batches, stat_file)
        self.fitting.statistics(batches, stat_file, self.section.get("data_stat_protect", 0.01))
        self.fitting.output_statistics(batches, stat_file, self.atom_excluded)

    def placeholders(self):
        """The inputs of the contract: every one is of rank 1 and reshaped at its first use."""
        fp = global_dtype()
        inputs = {
            "coord": tf.placeholder(fp, [None], name="t_coord"),
            "type": tf.placeholder(tf.int32, [None], name="t_type"),
            "natoms": tf.placeholder(tf.int32, [self.ntypes + 2], name="t_natoms"),
            "box": tf.placeholder(fp, [None], name="t_box"),
            "mesh": tf.placeholder(tf.int32, [None], name="t_mesh"),
        }
        if self.fitting.numb_fparam:
            inputs["fparam"] = tf.placeholder(fp, [None], name="t_fparam")
        if self.fitting.numb_aparam:
            inputs["aparam"] = tf.placeholder(fp, [None], name="t_aparam")
        for key, x in self.descriptor.frame_inputs.items():
            if x.default is None:
                inputs[key] = tf.placeholder(fp, [None], name=f"t_{key}")
            else:
                inputs[key] = tf.placeholder_with_default(
                    tf.constant(x.default, fp, name=f"descrpt_attr/default_{key}"), [None], name=f"t_{key}"
                )
        if self.descriptor.needs_field:
            inputs["efield"] = tf.placeholder(fp, [None], name="t_efield")
        return inputs

    def constants(self, training_script=None):
        """Attribute nodes that every frozen graph carries."""
        kind = "compressed_model" if self.compressed else "original_model"
        tf.constant(kind, name="model_type", dtype=tf.string)
        tf.constant(" ".join(self.type_map), name="model_attr/tmap", dtype=tf.string)
        tf.constant(self.model_type, name="model_attr/model_type", dtype=tf.string)
        tf.constant(MODEL_VERSION, name="model_attr/model_version", dtype=tf.string)
        need = self.descriptor.memory(self.compressed)
        if need is not None:
            tf.constant(need[0], name="memory_attr/bytes_per_atom", dtype=tf.float64)
        if self.descriptor.counts_memory:
            tf.constant(True, name="memory_attr/counted", dtype=tf.bool)
        if self.min_nbor_dist is not None:
            tf.constant(self.min_nbor_dist, name="train_attr/min_nbor_dist", dtype=tf.float64)
        if self.descriptor.needs_mask:
            tf.constant(True, name="fitting_attr/aparam_nall", dtype=tf.bool)
        if training_script is not None:
            tf.constant(training_script, name="train_attr/training_script", dtype=tf.string)

    def build(self, inputs, params, suffix="", *, tabulated=None):
        """Assemble the graph.

        Parameters
        ----------
        inputs : dict of tensors
            ``coord``, ``type``, ``natoms``, ``box``, ``mesh`` and where needed ``fparam``, ``aparam``, flat.
        params : Parameters
        tabulated : optional
            See :meth:`dptf.descriptor.base.SmoothDescriptor.build`.

        Returns
        -------
        dict of tensors
            See :meth:`outputs` of the member.
        """
        natoms = inputs["natoms"]
        coord = tf.reshape(inputs["coord"], [-1, natoms[1] * 3])
        atype = tf.reshape(inputs["type"], [-1, natoms[1]])
        box = tf.reshape(inputs["box"], [-1, 9])
        extra, more = {}, self._further_inputs(inputs, coord, params, suffix)
        d = self.descriptor.build(
            coord, atype, natoms, box, inputs["mesh"], params, suffix, tabulated=tabulated, **more
        )
        if self._fitting_sees_types:
            extra["type_features"] = type_rows(more["type_table"], atype[:, : natoms[0]])
        if self.fitting.numb_fparam:
            extra["fparam"] = tf.reshape(inputs["fparam"], [-1, self.fitting.numb_fparam])
        if self.fitting.numb_aparam:
            extra["aparam"] = tf.reshape(inputs["aparam"], [-1, natoms[0], self.fitting.numb_aparam])
        atomic = self.fitting.build(d, natoms, atype, params, suffix, rot_mat=self.descriptor.rot_mat, **extra)
        return self.outputs(atomic, natoms, atype, params, suffix)

    def bias_counts(self, batch):
        """Atoms of every type in each frame, as the energy bias counts them."""
        return [np.bincount(t[t >= 0], minlength=self.ntypes) for t in batch["type"]]

    def lower_precision(self, dtype):
        """Mixed precision: weights in float32, layers of the nets in `dtype`."""
        self.descriptor.lower_precision(dtype)
        self.fitting.lower_precision(dtype)

    def compress(self, values, settings, suffix=""):
        """Replace the embedding nets by tables; see :meth:`dptf.descriptor.interface.Descriptor.compress`."""
        if self.type_embedding is not None:
            self.descriptor.known_types = self.type_embedding.evaluate(values, suffix)
        self.descriptor.compress(values, settings, suffix)

    def _further_inputs(self, inputs, coord, params, suffix):
        """What the descriptor gets beside positions."""
        more = {}
        if self.type_embedding is not None:
            more["type_table"] = self.given_type_table
            if self.given_type_table is None:
                more["type_table"] = self.type_embedding.build(params, suffix)
        if self.descriptor.needs_mask:
            more["mask"] = inputs["aparam"]
        for key, x in self.descriptor.frame_inputs.items():
            rows = tf.reshape(inputs[key], [-1, x.width])
            more[key] = tf.broadcast_to(rows, [tf.shape(coord)[0], x.width])
        if self.descriptor.needs_field:
            more["field"] = inputs["efield"]
        return more

    def outputs(self, atomic, natoms, atype, params, suffix):
        """Output nodes from what the fitting gives.

        Parameters
        ----------
        atomic : tensor
            Of ``fitting.build``.
        natoms : int32 tensor
        atype : int32 tensor, shape (nf, nall)
        params : Parameters
        suffix : str

        Returns
        -------
        dict of tensors
        """
        raise NotImplementedError

    def _out_stat(self, params, suffix, width=1):
        """Output bias and deviation per type, shape (1, ntypes, width) (the doubled scope is the released spelling)."""
        scope, shape = f"model_attr{suffix}/model_attr{suffix}", [1, self.ntypes, width]
        bias = params.get(f"{scope}/t_out_bias", shape, np.zeros(shape, GLOBAL_NP_FLOAT), global_dtype(), False)
        std = params.get(f"{scope}/t_out_std", shape, np.ones(shape, GLOBAL_NP_FLOAT), global_dtype(), False)
        return bias, std

    def _affine(self, atomic, loc_type, params, suffix):
        """y_i * t_out_std[type] + t_out_bias[type] for values (nf, nloc, width); 0 for virtual and excluded atoms."""
        bias, std = self._out_stat(params, suffix, int(atomic.shape[-1]))
        safe = tf.maximum(loc_type, 0)
        if not self.section.get("ignore_out_std"):
            atomic = atomic * tf.gather(std[0], safe)
        result = atomic + tf.gather(bias[0], safe)
        result *= tf.cast(loc_type >= 0, result.dtype)[:, :, None]
        kept = self._kept(safe, result.dtype)
        return result if kept is None else result * kept[:, :, None]

    def _kept(self, safe_type, dtype):
        """1 for atoms whose type has an output, 0 for excluded types; None when there are none."""
        if not self.atom_excluded:
            return None
        keep = np.ones(self.ntypes)
        keep[self.atom_excluded] = 0.0
        return tf.gather(tf.constant(keep, dtype=dtype), safe_type)


def _count_types(descriptor):
    """Number of types of a descriptor section, from its slots."""
    for key in ("sel", "sel_a"):
        if key in descriptor:
            return len(descriptor[key])
    return _count_types(descriptor["list"][0])
