"""The standard energy model: descriptor, energy fitting, forces and virials, and the nodes of the frozen-graph contract."""

import numpy as np

from dptf.descriptor import make_descriptor
from dptf.env import GLOBAL_NP_FLOAT
from dptf.errors import UserError
from dptf.fitting import make_fitting
from dptf.nn.parameters import global_dtype
from dptf.ops import tf

MODEL_VERSION = "1.1"


class EnergyModel:
    """Energy model of a ``model`` section.

    Attributes
    ----------
    type_map : list of str
    ntypes : int
    rcut : float
        Å.
    descriptor, fitting : objects
    """

    model_type = "ener"

    def __init__(self, section, *, min_nbor_dist=None):
        self.section, self.min_nbor_dist = section, min_nbor_dist
        self.type_map = list(section.get("type_map") or [])
        self.ntypes = len(self.type_map) or _count_types(section["descriptor"])
        for key in ("preset_out_bias", "use_srtab", "modifier", "spin",
                    "type_embedding", "compress"):  # fmt: skip
            if section.get(key):
                raise UserError("is not supported by this version in training", f"model/{key}", "remove it")
        self.descriptor = make_descriptor(section["descriptor"], self.ntypes)
        self.descriptor.pair_excluded = {
            p for a, b in section.get("pair_exclude_types") or [] for p in ((a, b), (b, a))
        }
        self.atom_excluded = [int(t) for t in section.get("atom_exclude_types") or []]
        self.fitting = make_fitting(section["fitting_net"], self.descriptor, self.ntypes)
        self.rcut = self.descriptor.rcut

    def data_requirements(self):
        """What the model itself reads from the data."""
        return self.fitting.data_requirements()

    def statistics(self, batches, stat_file=None):
        """Descriptor normalisation, parameter normalisation and energy bias from batches of the training data."""
        self.descriptor.statistics(batches, stat_file)
        self.fitting.statistics(batches, stat_file, self.section.get("data_stat_protect", 0.01))
        self.fitting.energy_bias(batches, stat_file)

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
        return inputs

    def constants(self, training_script=None):
        """Attribute nodes that every frozen graph carries."""
        tf.constant("original_model", name="model_type", dtype=tf.string)
        tf.constant(" ".join(self.type_map), name="model_attr/tmap", dtype=tf.string)
        tf.constant(self.model_type, name="model_attr/model_type", dtype=tf.string)
        tf.constant(MODEL_VERSION, name="model_attr/model_version", dtype=tf.string)
        if self.min_nbor_dist is not None:
            tf.constant(self.min_nbor_dist, name="train_attr/min_nbor_dist", dtype=tf.float64)
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
            See :meth:`dptf.descriptor.se_e2_a.SeE2A.build`.

        Returns
        -------
        dict of tensors
            energy (nf,) float64, force (nf, nall*3), virial (nf, 9), atom_energy (nf, nloc), atom_virial (nf, nall*9).
        """
        natoms = inputs["natoms"]
        coord = tf.reshape(inputs["coord"], [-1, natoms[1] * 3])
        atype = tf.reshape(inputs["type"], [-1, natoms[1]])
        box = tf.reshape(inputs["box"], [-1, 9])
        d = self.descriptor.build(coord, atype, natoms, box, inputs["mesh"], params, suffix, tabulated=tabulated)
        extra = {}
        if self.fitting.numb_fparam:
            extra["fparam"] = tf.reshape(inputs["fparam"], [-1, self.fitting.numb_fparam])
        if self.fitting.numb_aparam:
            extra["aparam"] = tf.reshape(inputs["aparam"], [-1, natoms[0], self.fitting.numb_aparam])
        atom_energy = self.fitting.build(d, natoms, atype, params, suffix, **extra)
        atom_energy = self._out_affine(atom_energy, atype[:, : natoms[0]], params, suffix)
        atom_energy = tf.identity(atom_energy, name=f"o_atom_energy{suffix}")
        energy = tf.reduce_sum(tf.cast(atom_energy, tf.float64), axis=1, name=f"o_energy{suffix}")
        # The sum in the working precision is what forces are taken of; its gradient is the same.
        force, virial, atom_virial = self.descriptor.force_and_virial(tf.reduce_sum(atom_energy), suffix)
        return {
            "energy": energy,
            "force": tf.reshape(force, [-1, 3 * natoms[1]], name=f"o_force{suffix}"),
            "virial": tf.reshape(virial, [-1, 9], name=f"o_virial{suffix}"),
            "atom_energy": atom_energy,
            "atom_virial": tf.reshape(atom_virial, [-1, 9 * natoms[1]], name=f"o_atom_virial{suffix}"),
        }

    def _out_affine(self, atom_energy, loc_type, params, suffix):
        """E_i * t_out_std[type] + t_out_bias[type] (the doubled scope is the released spelling)."""
        scope, shape = f"model_attr{suffix}/model_attr{suffix}", [1, self.ntypes, 1]
        bias = params.get(f"{scope}/t_out_bias", shape, np.zeros(shape, GLOBAL_NP_FLOAT), global_dtype(), False)
        std = params.get(f"{scope}/t_out_std", shape, np.ones(shape, GLOBAL_NP_FLOAT), global_dtype(), False)
        safe = tf.maximum(loc_type, 0)
        real = tf.cast(loc_type >= 0, atom_energy.dtype)
        result = atom_energy * tf.gather(std[0, :, 0], safe) + tf.gather(bias[0, :, 0], safe) * real
        if self.atom_excluded:
            keep = np.ones(self.ntypes)
            keep[self.atom_excluded] = 0.0
            result *= tf.gather(tf.constant(keep, dtype=result.dtype), safe)
        return result


def _count_types(descriptor):
    """Number of types of a descriptor section, from its slots."""
    return len(descriptor["sel"]) if "sel" in descriptor else _count_types(descriptor["list"][0])
