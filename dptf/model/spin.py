"""Energy models of atoms with spins (``model/spin``), which act through virtual atoms.

The graph is fed real and virtual atoms. The rows of ``o_force`` of real atoms hold the whole force on them, those of virtual
atoms the magnetic force -dE/dS. Two schemes differ in details, and each gives the numbers of the package it comes from:
with ``virtual_len`` and ``spin_norm`` only spin types have virtual types and energies of their own; with ``virtual_scale`` all
types have virtual ones, whose atoms have no energy.
"""

import numpy as np

from dptf.descriptor.base import SmoothDescriptor
from dptf.descriptor.dpa3 import DPA3
from dptf.descriptor.mixed_base import MixedDescriptor
from dptf.errors import UserError
from dptf.model.ener import EnergyModel, energy_outputs
from dptf.model.virtual_atoms import Hosts, VirtualAtoms
from dptf.nn.parameters import global_dtype
from dptf.nn.type_embedding import type_rows
from dptf.ops import tf

#: Descriptors whose lists are not divided by type.
MIXED_LISTS = ("se_atten", "dpa1", "se_atten_v2", "dpa2", "dpa3", "se_e3_tebd")
#: Protection of 1/r from virtual atoms on top of their real ones, Å; used where the input gives none.
PROTECTION = 0.01


class SpinModel(EnergyModel):
    """Energy model with spins; parameters as the base has them."""

    def __init__(self, section, *, min_nbor_dist=None):
        self.atoms = VirtualAtoms(section["spin"], section.get("type_map") or [])
        for key in ("use_srtab", "type_embedding", "preset_out_bias", "modifier"):
            if section.get(key):
                raise UserError("does not go with model/spin", f"model/{key}", "remove one of them")
        inner = {k: v for k, v in section.items() if k != "spin"} | {"type_map": self.atoms.all_names}
        if not section["spin"].get("extended"):
            inner |= self._extended(section)
        super().__init__(inner, min_nbor_dist=min_nbor_dist)
        known = (DPA3, MixedDescriptor) if self.atoms.separate else ()
        parts = getattr(self.descriptor, "parts", [self.descriptor])
        if not all(isinstance(p, (SmoothDescriptor, *known)) for p in parts):
            raise UserError(
                "does not go with model/spin", "model/descriptor/type",
                "use se_e2_a" + (", se_atten, dpa2 or dpa3" if known else "; with virtual_scale also se_atten, dpa2 and dpa3"),
            )  # fmt: skip
        if not self.atoms.separate:
            # Energies belong to real atoms alone.
            from dptf.fitting import make_fitting

            self.fitting = make_fitting(section["fitting_net"], self.descriptor, self.atoms.real_types)
        self.section, self.type_map = section, self.atoms.names

    def _extended(self, section):
        """What the virtual types change in the sections."""
        atoms, descriptor = self.atoms, dict(section["descriptor"])
        mixed = descriptor["type"] in MIXED_LISTS
        if descriptor["type"] == "hybrid":
            raise UserError("is hybrid", "model/descriptor/type", "train models with spins on one descriptor")
        if not mixed and (not isinstance(descriptor.get("sel"), list) or len(descriptor["sel"]) != atoms.real_types):
            raise UserError(
                f"is {descriptor.get('sel')}",
                "model/descriptor/sel",
                f"give one number for each of the {atoms.real_types} types",
            )
        if not mixed:
            descriptor["sel"] = descriptor["sel"] + descriptor["sel"][: atoms.virtual_types]
        if not atoms.separate:
            return {"descriptor": descriptor}
        count = atoms.real_types
        descriptor["env_protection"] = descriptor.get("env_protection") or PROTECTION
        idle = [t + count for t in range(count) if not atoms.use[t]]
        pairs = [[t, other] for t in idle for other in range(atoms.ntypes)]
        if mixed:
            descriptor["exclude_types"] = list(descriptor.get("exclude_types") or []) + pairs
        virtual = list(range(count, atoms.ntypes))
        return {
            "descriptor": descriptor,
            "pair_exclude_types": list(section.get("pair_exclude_types") or []) + pairs,
            "atom_exclude_types": sorted({*(section.get("atom_exclude_types") or []), *virtual}),
        }

    # -- data -----------------------------------------------------------------------------------------------------

    @property
    def data_type_map(self):
        """Names of the types that data may hold."""
        return self.atoms.all_names

    def data_requirements(self):
        """Spins, where the data do not hold virtual atoms already."""
        from dptf.data.requirement import DataRequirement

        return [*super().data_requirements(), DataRequirement("spin", 3, atomic=True)]

    @property
    def transform(self):
        """Data get virtual atoms."""
        return self.atoms.extend

    def statistics(self, batches, stat_file=None):
        """As the base has it; the energy bias counts real atoms."""
        if not self.atoms.separate:
            count = self.atoms.real_types
            real = [[b | {"type": b["type"][:, b["type"][0] < count]} for b in system] for system in batches]
            self.descriptor.statistics(batches, stat_file)
            self.fitting.statistics(real, stat_file, self.section.get("data_stat_protect", 0.01))
            self.fitting.output_statistics(real, stat_file, self.atom_excluded, np.flatnonzero(self.atoms.use))
            return
        super().statistics(batches, stat_file)

    # -- the graph ------------------------------------------------------------------------------------------------

    def constants(self, training_script=None):
        """Attribute nodes, those of the spins among them."""
        super().constants(training_script)
        atoms = self.atoms
        tf.constant(atoms.virtual_types, dtype=tf.int32, name="spin_attr/ntypes_spin")
        for key, values in (("virtual_len", atoms.length), ("spin_norm", atoms.norm)):
            tf.constant(values[: atoms.virtual_types], dtype=global_dtype(), name=f"spin_attr/{key}")

    def build(self, inputs, params, suffix="", *, tabulated=None):
        """As the base has it; energies are those of the real atoms."""
        natoms, d = inputs["natoms"], self.descriptor
        coord = tf.reshape(inputs["coord"], [-1, natoms[1] * 3])
        atype = tf.reshape(inputs["type"], [-1, natoms[1]])
        hosts = Hosts(self.atoms, coord, atype, natoms)
        d.hosts = hosts
        box = tf.reshape(inputs["box"], [-1, 9])
        more, extra = self._further_inputs(inputs, coord, params, suffix), {}
        features = d.build(coord, atype, natoms, box, inputs["mesh"], params, suffix, tabulated=tabulated, **more)
        if not self.atoms.separate:
            counts = natoms[2 : 2 + self.atoms.real_types]
            natoms_real = tf.concat([[hosts.n_real, hosts.n_real], counts], axis=0)
            features, fitted, types = features[:, : hosts.n_real], natoms_real, atype[:, : hosts.n_real]
        else:
            fitted, types = natoms, atype
        if self._fitting_sees_types:
            extra["type_features"] = type_rows(more["type_table"], types[:, : fitted[0]])
        if self.fitting.numb_fparam:
            extra["fparam"] = tf.reshape(inputs["fparam"], [-1, self.fitting.numb_fparam])
        if self.fitting.numb_aparam:
            aparam = tf.reshape(inputs["aparam"], [-1, natoms[0], self.fitting.numb_aparam])
            extra["aparam"] = aparam[:, : fitted[0]]
        atomic = self.fitting.build(features, fitted, types, params, suffix, **extra)
        # The bias has a column for every type, also those of virtual atoms.
        atom_energy = self._out_affine(atomic, types[:, : fitted[0]], params, suffix)
        split = atom_energy if d.message_width else None
        derivatives = hosts.combine(d.force_and_virial(tf.reduce_sum(atom_energy), suffix, atomic=split))
        return energy_outputs(atom_energy[:, : hosts.n_real], derivatives, natoms, suffix)
