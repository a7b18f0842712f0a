"""A frozen graph as a member of a model (``frozen``): its nodes are below ``load<suffix>``; nothing of it is trained."""

from pathlib import Path

from dptf.errors import UserError
from dptf.graph.load import constants, load_graph_def
from dptf.model.ener import EnergyModel
from dptf.model.parts import JoinedDescriptors, JoinedFittings
from dptf.nn.parameters import global_dtype
from dptf.ops import tf

_OUTPUTS = ("energy", "force", "virial", "atom_energy", "atom_virial")


class FrozenModel(EnergyModel):
    """An energy model read from a file: a frozen graph, or a file that can be converted to one."""

    has_statistics = False

    def __init__(self, section, *, min_nbor_dist=None):
        self.section, self.min_nbor_dist = section, min_nbor_dist
        path = section["model_file"]
        self.graph_def = _graph(path)
        known = constants(self.graph_def)
        kind = known["model_attr/model_type"].item().decode() if "model_attr/model_type" in known else "ener"
        if kind != "ener":
            raise UserError(f"{path} is a model of type '{kind}'; only energies can be combined", "model/model_file")
        if int(known.get("spin_attr/ntypes_spin", 0)):
            raise UserError(f"{path} is a model with spins, which cannot be a member", "model/model_file")
        own = known["model_attr/tmap"].item().decode().split() if "model_attr/tmap" in known else []
        self.type_map = list(section.get("type_map") or own)
        if own and own != self.type_map:
            raise UserError(f"{path} has the types {own}, the model {self.type_map}", "model/type_map")
        self.ntypes, self.rcut = int(known["descrpt_attr/ntypes"]), float(known["descrpt_attr/rcut"])
        if self.type_map and len(self.type_map) != self.ntypes:
            raise UserError(f"{path} has {self.ntypes} types, the model {len(self.type_map)}", "model/type_map")
        self.atom_excluded = []
        self.descriptor, self.fitting = JoinedDescriptors(), JoinedFittings()
        self.fitting.numb_fparam = int(known.get("fitting_attr/dfparam", 0))
        self.fitting.numb_aparam = int(known.get("fitting_attr/daparam", 0))
        self.precision = tf.as_dtype(known["descrpt_attr/rcut"].dtype)

    def data_requirements(self):
        """Frame and atomic parameters, if the graph takes them."""
        from dptf.data.requirement import DataRequirement

        out = []
        if self.fitting.numb_fparam:
            out.append(DataRequirement("fparam", self.fitting.numb_fparam, must=True))
        if self.fitting.numb_aparam:
            out.append(DataRequirement("aparam", self.fitting.numb_aparam, atomic=True, must=True))
        return out

    def statistics(self, batches, stat_file=None):
        """Nothing is fitted."""

    def lower_precision(self, dtype):
        """Nothing of it is trained."""

    def build(self, inputs, params, suffix="", *, tabulated=None):
        """As the base has it."""
        fp = global_dtype()
        tf.constant(self.rcut, dtype=fp, name=f"descrpt_attr{suffix}/rcut")
        tf.constant(self.ntypes, dtype=tf.int32, name=f"descrpt_attr{suffix}/ntypes")
        tf.constant(self.fitting.numb_fparam, dtype=tf.int32, name=f"fitting_attr{suffix}/dfparam")
        tf.constant(self.fitting.numb_aparam, dtype=tf.int32, name=f"fitting_attr{suffix}/daparam")
        names = {node.name for node in self.graph_def.node}
        feeds = {}
        for key, tensor in inputs.items():
            if f"t_{key}" in names:
                feeds[f"t_{key}:0"] = tensor if tensor.dtype == tf.int32 else tf.cast(tensor, self.precision)
        nodes = tf.import_graph_def(
            self.graph_def, input_map=feeds, return_elements=[f"o_{key}:0" for key in _OUTPUTS], name=f"load{suffix}"
        )
        natoms = inputs["natoms"]
        width = {"force": 3 * natoms[1], "virial": 9, "atom_energy": natoms[0], "atom_virial": 9 * natoms[1]}
        found = {}
        for key, node in zip(_OUTPUTS, nodes):
            value = tf.cast(node, tf.float64 if key == "energy" else fp)
            found[key] = tf.reshape(value, [-1, width[key]] if key in width else [-1], name=f"o_{key}{suffix}")
        return found


def _graph(path):
    """GraphDef of a model file; files of other backends are converted in memory."""
    if Path(path).suffix in (".dp", ".yaml", ".yml"):
        from dptf.exchange.to_graph import graph_from_tree
        from dptf.exchange.tree import read_tree

        return graph_from_tree(read_tree(path))
    return load_graph_def(path)
