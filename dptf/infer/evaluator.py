"""Run a frozen graph on frames: what every model class (`DeepPot`, `DeepDipole`, ...) is built on.

Callers give atoms in any order; graphs want them sorted by type. Frames are sorted, absent atoms (type -1) are taken out,
frames of equal composition are run together, and every output comes back in the caller's order, with zeros for
absent atoms.
"""

import json
import logging

import numpy as np

from dptf.data.guard import CHARGE_SPIN_LIMITS, check_limits
from dptf.errors import UserError
from dptf.graph.load import constants, load_graph_def
from dptf.infer import block_run, blocks, guard
from dptf.infer.batch_size import make_batch_size
from dptf.infer.neighbor_mesh import ghosts_and_mesh, with_owners
from dptf.kernels import block_cost

log = logging.getLogger(__name__)

# How the rows of an output are laid out: per frame; per atom and ghost with components in front; per atom; per
# selected atom.
FRAME, EXTENDED, LOCAL, SELECTED = range(4)
_LAYOUT = {
    "o_energy": FRAME,
    "o_virial": FRAME,
    "o_global_dipole": FRAME,
    "o_global_polar": FRAME,
    "o_dos": FRAME,
    "o_property": FRAME,
    "o_force": EXTENDED,
    "o_atom_virial": EXTENDED,
    "o_atom_energy": LOCAL,
    "o_atom_dos": LOCAL,
    "o_atom_property": LOCAL,
    "o_descriptor": LOCAL,
    "o_last_layer_features": LOCAL,
    "o_atom_uncertainty": LOCAL,
    "o_dipole": SELECTED,
    "o_polar": SELECTED,
    "o_wfc": SELECTED,
}
#: Outputs that are sums over atoms, or belong to one.
_ADDITIVE = {
    "o_energy", "o_virial", "o_force", "o_atom_virial", "o_atom_energy", "o_descriptor", "o_dos",
    "o_atom_dos",
}  # fmt: skip
_EXTENDED_WIDTH = {"o_force": 3, "o_atom_virial": 9}


class GraphEvaluator:
    """A frozen graph in a session.

    Parameters
    ----------
    model_file : str or Path
        Frozen graph of any release.
    load_prefix : str, optional
        Name scope under which the graph is imported.
    default_tf_graph : bool, optional
        Import into TensorFlow's default graph instead of a fresh one.
    input_map : dict, optional
        Replacements of graph inputs, as in ``tf.import_graph_def``.
    neighbor_list : object, optional
        Makes the neighbor list outside the graph (see `ghosts_and_mesh`).
    skip_modifier : bool, optional
        Leave the long-range part of a model with a data modifier out.
    auto_batch_size : bool, int or AutoBatchSize, optional
        Atoms per run.
    precision, plain : optional
        See `rewrite_graph`.

    Attributes
    ----------
    graph, sess : tf.Graph, tf.Session
    ntypes, dfparam, daparam, numb_dos, ntypes_spin, output_dim : int
    rcut : float
    tmap, sel_type : list
    model_type, model_version : str
    """

    def __init__(
        self,
        model_file,
        *,
        load_prefix="load",
        default_tf_graph=False,
        input_map=None,
        neighbor_list=None,
        skip_modifier=False,
        auto_batch_size=True,
        precision=None,
        plain=False,
    ):
        from dptf.graph.rewrite import rewrite_graph
        from dptf.ops import sel_overflow, tf
        from dptf.session import new_session

        self.model_file = str(model_file)
        graph_def = load_graph_def(model_file)
        self._const = constants(graph_def)
        self._read_attributes()
        self.modifier = None
        if self.modifier_type:
            graph_def = self._take_modifier(graph_def, skip_modifier)
        graph_def, self._report = rewrite_graph(graph_def, precision, plain=plain)
        sel_overflow()  # of the frame on which both graphs were compared
        self.prefix = load_prefix
        self.graph = tf.get_default_graph() if default_tf_graph else tf.Graph()
        with self.graph.as_default():
            try:
                tf.import_graph_def(graph_def, name=load_prefix, input_map=input_map)
            except (ValueError, tf.errors.NotFoundError) as err:
                raise UserError(
                    f"TensorFlow refuses the graph: {str(err).splitlines()[0][:300]}", self.model_file
                ) from err
        self.sess = new_session(self.graph)
        self.neighbor_list = neighbor_list
        gpu = bool(tf.config.experimental.list_physical_devices("GPU"))
        self.batch_size = make_batch_size(auto_batch_size, gpu)
        self._callables, self._exchanges = {}, {}
        self._warned_sel = self._told_blocks = False
        self._lost = 0
        self._inputs = {
            name: self.tensor(name)
            for name in (
                "t_coord",
                "t_type",
                "t_natoms",
                "t_box",
                "t_mesh",
                "t_fparam",
                "t_aparam",
                "t_efield",
                "t_charge_spin",
            )
            if self.has(name) and not (input_map and f"{name}:0" in input_map)
        }

    def _take_modifier(self, graph_def, skip):
        """The graph without its data modifier, which is evaluated beside it."""
        from dptf.graph.dipole_charge import split_modifier

        section, dipoles, rest = split_modifier(graph_def)
        if not skip:
            from dptf.infer.data_modifier import DipoleChargeModifier

            keys = ("model_charge_map", "sys_charge_map", "ewald_h", "ewald_beta")
            self.modifier = DipoleChargeModifier(dipoles, **{k: section[k] for k in keys})
        return rest

    def _add_long_range(self, result, coords, cells, types):
        """Add the electrostatics of a data modifier to energies, forces and virials."""
        if cells is None:
            raise UserError(
                "the long-range part of the model needs periodic cells", self.model_file,
                "give cells, or pass skip_modifier=True for the short-range part alone",
            )  # fmt: skip
        for f in range(len(types)):
            energy, force, virial = self.modifier.eval(coords[f], cells[f], types[f])
            for name, value in (("o_energy", energy), ("o_force", force), ("o_virial", virial)):
                if name in result:
                    result[name][f] += value.reshape(result[name][f].shape)

    def _read_attributes(self):
        const = self._const

        def number(name, default=0):
            return const[name].item() if name in const else default

        def text(name, default=""):
            return number(name).decode() if name in const else default

        self.model_type = text("model_attr/model_type", "ener")
        self.model_version = text("model_attr/model_version", "0.0")
        self.ntypes = int(number("descrpt_attr/ntypes"))
        self.rcut = float(number("descrpt_attr/rcut"))
        self.tmap = text("model_attr/tmap").split()
        self.dfparam = int(number("fitting_attr/dfparam"))
        self.daparam = int(number("fitting_attr/daparam"))
        self.numb_dos = int(number("fitting_attr/numb_dos"))
        self.ntypes_spin = int(number("spin_attr/ntypes_spin"))
        self.output_dim = int(number("model_attr/output_dim"))
        self.passes_messages = bool(number("descrpt_attr/message_width"))
        self.sel_type = [int(t) for t in np.ravel(const.get("model_attr/sel_type", ()))]
        self.modifier_type = text("modifier_attr/type", None)

    # -- access to the graph --------------------------------------------------------------------------------------

    def has(self, name):
        """Tell whether the graph has a node of this name (without prefix)."""
        try:
            self.graph.get_operation_by_name(f"{self.prefix}/{name}" if self.prefix else name)
        except KeyError:
            return False
        return True

    def tensor(self, name):
        """First output tensor of a node (name without prefix)."""
        return self.graph.get_tensor_by_name(f"{self.prefix}/{name}:0" if self.prefix else f"{name}:0")

    def constant(self, name):
        """Value of a Const node, ``None`` if absent."""
        return self._const.get(name)

    def constants(self):
        """All Const nodes of the file: name -> array."""
        return self._const

    def training_script(self):
        """The input.json stored in the graph as a dict; empty if there is none."""
        script = self._const.get("train_attr/training_script")
        return json.loads(script.item()) if script is not None and script.item() else {}

    def report(self):
        """What was done to the graph to run it faster, as text."""
        return self._report

    def close(self):
        """Release the session."""
        self.sess.close()

    # -- evaluation -----------------------------------------------------------------------------------------------

    def evaluate(
        self, outputs, coords, cells, atom_types, fparam=None, aparam=None, efield=None, mixed_type=False, charge_spin=None
    ):  # fmt: skip
        """Evaluate graph outputs on frames.

        Parameters
        ----------
        outputs : list of str
            Names of output nodes; those the graph lacks are left out of the result.
        coords : array_like
            nf*n*3 numbers [Å].
        cells : array_like or None
            nf*9 numbers [Å]; ``None`` for open boundaries.
        atom_types : array_like
            (n,), or (nf, n) with ``mixed_type``.
        fparam, aparam, efield, charge_spin : array_like, optional
        mixed_type : bool, optional
            Types differ between frames.

        Returns
        -------
        dict
            name -> array in the caller's order: (nf, w) for values per frame, (nf, m, n, 3 or 9) for forces and
            atomic virials (m components, 1 for energies), (nf, n, w) for values per atom.
        """
        types = guard.as_types(atom_types, self.ntypes, self.tmap)
        natoms = types.shape[-1] if types.ndim else 0
        coords = guard.as_coords(coords, natoms)
        nframes = len(coords)
        if mixed_type:
            if types.shape != (nframes, natoms):
                raise UserError(
                    f"mixed_type needs types of shape ({nframes}, n), found {types.shape}",
                    "atom_types",
                    "give one row per frame",
                )
        elif types.ndim != 1:
            raise UserError(
                f"types have shape {types.shape}",
                "atom_types",
                "give one type per atom, or mixed_type=True with one row per frame",
            )
        else:
            types = np.broadcast_to(types, (nframes, natoms))
        cells = guard.as_cells(cells, nframes, natoms, self.rcut)
        frames = {
            "coord": coords,
            "box": cells,
            "fparam": guard.as_parameters(
                self._const.get("fitting_attr/default_fparam") if fparam is None else fparam,
                "fparam",
                self.dfparam,
                nframes,
            ),
            "aparam": guard.as_parameters(aparam, "aparam", self.daparam, nframes, natoms),
            "efield": guard.as_parameters(efield, "efield", 3 if "t_efield" in self._inputs else 0, nframes, natoms),
            "charge_spin": self._charge_spin(charge_spin, nframes),
        }
        outputs = [name for name in outputs if self.has(name)]
        result = {}
        for members, order in self._compositions(types):
            part = self._run_group(outputs, frames, types, members, order)
            for name, value in part.items():
                if name not in result:
                    result[name] = np.zeros((nframes, *value.shape[1:]))
                result[name][members] = value
        if self.modifier is not None:
            self._add_long_range(result, coords, cells, types)
        self._warn_sel_overflow()
        self._check_results(result, coords, types)
        return result

    def _charge_spin(self, given, nframes):
        """Charge and multiplicity of the frames, (nf, 2), or None for models without."""
        if "t_charge_spin" not in self._inputs:
            return guard.as_parameters(given, "charge_spin", 0, nframes)
        given = self.default_chg_spin if given is None else given
        values = guard.as_parameters(given, "charge_spin", 2, nframes)
        check_limits(values, "charge_spin", CHARGE_SPIN_LIMITS)
        return values

    @property
    def default_chg_spin(self):
        """Charge and multiplicity of frames that give none, or None."""
        return self._const.get("descrpt_attr/default_charge_spin")

    @staticmethod
    def _check_results(result, coords, types):
        """Refuse results that are not numbers, and say why where the reason shows."""
        for name, value in result.items():
            finite = np.isfinite(value).reshape(len(value), -1).all(axis=1)
            if finite.all():
                continue
            frame = int(np.argmin(finite))
            atoms = np.flatnonzero(types[frame] >= 0)
            _, first, count = np.unique(coords[frame][atoms], axis=0, return_index=True, return_counts=True)
            reason = "atoms may overlap, also with periodic images"
            if (count > 1).any():
                reason = f"atom {atoms[first[np.argmax(count)]]} and another are at the same place"
            raise UserError(f"the model gives no finite {name[2:]} ({reason})", f"frame {frame}", "repair the frame")

    def _compositions(self, types):
        """Split frames into groups with equal numbers of atoms per type.

        Yields
        ------
        members : (k,) int array
            Frames of the group.
        order : (k, nreal) int array
            Atoms that are there, stably sorted by type.
        """
        nframes = len(types)
        if nframes == 0:
            return
        if types.strides[0] == 0 or (types == types[0]).all():
            order = np.argsort(types[0], kind="stable")[np.count_nonzero(types[0] < 0) :]
            yield np.arange(nframes), np.broadcast_to(order, (nframes, len(order)))
            return
        order = np.argsort(types, axis=1, kind="stable")
        counts = np.array([np.bincount(row + 1, minlength=self.ntypes + 1) for row in types])
        _, group = np.unique(counts, axis=0, return_inverse=True)
        for k in range(group.max() + 1):
            members = np.flatnonzero(group.ravel() == k)
            yield members, order[members][:, counts[members[0], 0] :]

    def _run_group(self, outputs, frames, types, members, order):
        from tensorflow.python.framework.errors_impl import ResourceExhaustedError

        natoms = types.shape[1]
        nreal = order.shape[1]
        if nreal == 0:
            return self._empty(outputs, len(members), natoms)
        sorted_types = types[members[0]][order[0]]

        def pick(key, width):
            value = frames[key]
            if value is None:
                return None
            value = value[members].reshape(len(members), natoms, width)
            return np.take_along_axis(value, order[:, :, None], axis=1)

        coord, aparam, efield = pick("coord", 3), pick("aparam", self.daparam), pick("efield", 3)
        box = None if frames["box"] is None else frames["box"][members]
        fparam, charge_spin = (
            None if frames[key] is None else frames[key][members] for key in ("fparam", "charge_spin")
        )
        if self.neighbor_list is not None and len(types) > 1:
            raise UserError("an external neighbor list takes one frame at a time", "neighbor_list")

        size = self._block_size(outputs, nreal)

        def run(start, stop):
            part = slice(start, stop)
            frame = coord[part], None if box is None else box[part], sorted_types
            fp, ap, ef, cs = (None if v is None else v[part] for v in (fparam, aparam, efield, charge_spin))
            if size is not None:
                return self._run_blocks(outputs, *frame, size, fp, ap, cs)
            try:
                return self._run_sorted(outputs, *frame, fp, ap, ef, cs)
            except ResourceExhaustedError:
                fewer_frames = stop - start > 1 and self.batch_size is not None
                if fewer_frames or not self.passes_messages or self._why_whole(outputs):
                    raise
            return self._run_blocks(outputs, *frame, self._message_blocks(outputs, nreal), fp, ap, cs)

        if self.batch_size is None:
            parts = [run(0, len(members))]
        else:
            parts = self.batch_size.chunks(len(members), nreal, run)
        raw = {
            name: np.concatenate([p[name] for p in parts]) if len(parts) > 1 else parts[0][name] for name in parts[0]
        }
        return {name: self._unsort(name, value, sorted_types, order, natoms) for name, value in raw.items()}

    def _block_size(self, outputs, natoms):
        """Atoms of a block where a frame is evaluated in blocks, None where it is not, or not before it was tried as a whole."""
        if self._report.startswith("fused"):  # has blocks of its own
            return None
        if not self.passes_messages:
            return None if self._why_whole(outputs) else blocks.atoms_per_block(natoms, self._bytes_per_atom)
        blocks.budget()  # refuses what is no number
        if "memory_attr/counted" in self._const or blocks.atoms_per_block(natoms, self._bytes_per_atom, 1.0) is None:
            return None  # what its neighbors need is compared when the graph is run
        if why := self._why_whole(outputs):
            blocks.check_whole(natoms, self._bytes_per_atom, self.model_file, why)
            return None
        return self._message_blocks(outputs, natoms)

    @property
    def _bytes_per_atom(self):
        """Forecast of the memory of an evaluation."""
        return float(self._const.get("memory_attr/bytes_per_atom", 0.0))

    def _why_whole(self, outputs):
        """Why outputs cannot be evaluated in blocks, in words; None where they can."""
        if self.neighbor_list is not None:
            return "with an external neighbor list"
        if self.ntypes_spin:
            return "with spins"
        if "fitting_attr/aparam_nall" in self._const or "t_efield" in self._inputs:  # of ghosts too
            return "with parameters or fields at ghosts"
        other = set(outputs) - _ADDITIVE
        return f"for {', '.join(sorted(other))}" if other else None

    def _message_blocks(self, outputs, natoms):
        """Atoms of a block of a model with message passing, told once."""
        links = self._links(outputs)
        size = block_run.first_size(
            natoms, self._bytes_per_atom, "memory_attr/counted" in self._const, links, self.model_file
        )
        if not self._told_blocks:
            self._told_blocks = True
            log.warning(
                "%d atoms do not fit in memory at once: evaluated in blocks of at most %d atoms, with about %.2g times the arithmetic (%s; "
                "more memory: %s=8G, or more machines in LAMMPS)",
                natoms, size, block_cost(len(links)), self.model_file, blocks.VARIABLE,
            )  # fmt: skip
        return size

    def _links(self, outputs):
        """Exchanges of features between blocks that outputs need."""
        if not self.passes_messages:
            return []
        key = tuple(outputs)
        if key not in self._exchanges:
            self._exchanges[key] = block_run.exchanges([self.tensor(name) for name in outputs])
        return self._exchanges[key]

    def _run_blocks(self, outputs, coord, box, types, size, fparam, aparam, charge_spin):
        """Frames one after the other, each in blocks of atoms."""
        from dptf.ops import sel_overflow

        nframes, natoms = coord.shape[:2]
        result = {name: self._zeros(name, nframes, natoms) for name in outputs}
        links = self._links(outputs)
        for f in range(nframes):
            cell = None if box is None else box[f].reshape(3, 3)

            def call(block, mesh, fetches, feeds, f=f, cell=cell):
                values = (
                    None if fparam is None else fparam[f : f + 1],
                    None if aparam is None else aparam[f : f + 1, block.centers],
                    None,
                    None if charge_spin is None else charge_spin[f : f + 1],
                )
                feed = self._feed(block.coord[None], types[block.owner], len(block.centers), mesh, cell, *values)
                run = self._call(fetches, [tensor for tensor, _ in feeds])
                return run(*feed, *(value for _, value in feeds))

            def add(block, arrays, f=f):
                for name, array in self._shaped(outputs, arrays, 1, len(block.owner)).items():
                    if _LAYOUT[name] == EXTENDED:
                        np.add.at(result[name][f], (slice(None), block.owner), array[0])
                    elif _LAYOUT[name] == LOCAL:
                        result[name][f].reshape(natoms, -1)[block.centers] = array.reshape(len(block.centers), -1)
                    else:
                        result[name][f] += array[0]

            frame = blocks.Frame(coord[f], cell, types, self.rcut)
            run = block_run.BlockRun(frame, size, links, call)
            self._lost += sel_overflow()
            run.relay()
            sel_overflow()  # the last sweep counts the same again
            run.sweep([self.tensor(name) for name in outputs], add)
        return result

    def _zeros(self, name, nframes, natoms):
        """An output of so many atoms, to be filled."""
        if _LAYOUT[name] == EXTENDED:
            return np.zeros((nframes, 1, natoms, _EXTENDED_WIDTH[name]))
        width = 9 if name == "o_virial" else self._width(name)
        return np.zeros((nframes, width * (natoms if _LAYOUT[name] == LOCAL else 1)))

    def _run_sorted(self, outputs, coord, box, types, fparam, aparam, efield, charge_spin):
        """One run of the graph; ghosts of an external list are folded back to their owners."""
        nloc = coord.shape[1]
        owner = np.zeros(0, np.int64)
        if self.neighbor_list is not None:
            all_coord, owner, mesh = ghosts_and_mesh(
                self.neighbor_list, coord[0], None if box is None else box[0].reshape(3, 3)
            )
            coord, types_all = all_coord[None], np.concatenate([types, types[owner]])
            if self.passes_messages:
                mesh = with_owners(mesh, nloc, owner)
            if aparam is not None and self._const.get("fitting_attr/aparam_nall", False):
                aparam = np.concatenate([aparam, aparam[:, owner]], axis=1)
        else:
            mesh, types_all = np.zeros(0 if box is None else 6, np.int32), types
        result = self._run_listed(outputs, coord, types_all, nloc, mesh, box, fparam, aparam, efield, charge_spin)
        for name, array in result.items():
            if _LAYOUT[name] == EXTENDED:
                local = array[:, :, :nloc]
                if len(owner):
                    local = local.copy()
                    np.add.at(local, (slice(None), slice(None), owner), array[:, :, nloc:])
                result[name] = local
        return result

    def _run_listed(self, outputs, coord, types_all, nloc, mesh, box, *values):
        """One run of the graph; of types and coordinates the first `nloc` are atoms, the others ghosts; values as in :meth:`_feed`."""
        arrays = self._call([self.tensor(name) for name in outputs])(
            *self._feed(coord, types_all, nloc, mesh, box, *values)
        )
        return self._shaped(outputs, arrays, len(coord), len(types_all))

    def _feed(self, coord, types_all, nloc, mesh, box, fparam, aparam, efield, charge_spin):
        """Arrays for the inputs of the graph."""
        nframes = len(coord)
        counts = np.bincount(types_all[:nloc], minlength=self.ntypes)
        natoms = np.concatenate([[nloc, len(types_all)], counts]).astype(np.int32)
        if box is None:
            box = np.tile(np.eye(3).ravel(), (nframes, 1))
        values = {
            "t_coord": coord,
            "t_type": np.tile(types_all, (nframes, 1)),
            "t_natoms": natoms,
            "t_box": box,
            "t_mesh": mesh,
            "t_fparam": fparam,
            "t_aparam": aparam,
            "t_efield": efield,
            "t_charge_spin": charge_spin,
        }
        feed = []
        for name, tensor in self._inputs.items():
            value = np.asarray(values[name], dtype=tensor.dtype.as_numpy_dtype)
            two_dimensional = tensor.shape.rank == 2
            feed.append(value.reshape(nframes, -1) if two_dimensional else value.ravel())
        return feed

    @staticmethod
    def _shaped(outputs, arrays, nframes, nall):
        """Outputs as the graph gives them by name, frames first."""
        result = {}
        for name, array in zip(outputs, arrays):
            array = np.asarray(array, dtype=np.float64)
            if array.size == {"o_virial": 9, "o_atom_virial": 9 * nall}.get(name):
                # Zeros for one frame: all that the public package freezes for se_a_mask, which has no virial.
                array = np.tile(array.ravel(), (nframes, 1))
            if _LAYOUT[name] == EXTENDED:
                result[name] = array.reshape(nframes, -1, nall, _EXTENDED_WIDTH[name])
            else:
                result[name] = array.reshape(nframes, -1)
        return result

    def _call(self, fetches, fed=()):
        """Compiled call for a set of tensors, with others fed behind the inputs (saves the session's bookkeeping per call)."""
        key = tuple(t.name for t in fetches), tuple(t.name for t in fed)
        if key not in self._callables:
            with self.graph.as_default():
                self._callables[key] = self.sess.make_callable(list(fetches), feed_list=[*self._inputs.values(), *fed])
        return self._callables[key]

    def _rows(self, name, sorted_types):
        """Which of the sorted atoms have a row in an output."""
        if _LAYOUT[name] == SELECTED:
            return np.isin(sorted_types, self.sel_type)
        if name == "o_atom_energy" and self.ntypes_spin:
            return sorted_types < self.ntypes - self.ntypes_spin
        return np.ones(len(sorted_types), bool)

    def _unsort(self, name, value, sorted_types, order, natoms):
        layout = _LAYOUT[name]
        nframes = len(value)
        if layout == FRAME:
            return value
        if layout == EXTENDED:
            out = np.zeros((nframes, value.shape[1], natoms, value.shape[3]))
            np.put_along_axis(out, order[:, None, :, None], value, axis=2)
            return out
        rows = self._rows(name, sorted_types)
        order = order[:, rows]
        width = value.shape[1] // max(order.shape[1], 1) if order.shape[1] else self._width(name)
        out = np.zeros((nframes, natoms, width))
        np.put_along_axis(out, order[:, :, None], value.reshape(nframes, order.shape[1], width), axis=1)
        if name == "o_atom_energy" and self.ntypes_spin:
            out = np.take_along_axis(out, np.sort(order, axis=1)[:, :, None], axis=1)
        return out

    def _width(self, name):
        """Numbers per atom (or frame) of an output, known without running it."""
        task_dim = int(self._const.get("fitting_attr/task_dim", 0))
        width = {
            "o_energy": 1, "o_atom_energy": 1, "o_dos": self.numb_dos, "o_atom_dos": self.numb_dos, "o_property": task_dim,
            "o_atom_property": task_dim,
        }.get(name)  # fmt: skip
        if width is None and name == "o_descriptor":
            return self.tensor(name).shape.as_list()[-1] or 0
        return self.output_dim if width is None else width

    def _empty(self, outputs, nframes, natoms):
        """Outputs of frames without atoms."""
        components = max(self.output_dim, 1)
        result = {}
        for name in outputs:
            if name == "o_virial":
                shape = (9 * components,)
            elif _LAYOUT[name] == FRAME:
                shape = (self._width(name),)
            elif _LAYOUT[name] == EXTENDED:
                shape = (components, natoms, _EXTENDED_WIDTH[name])
            else:
                shape = (natoms, self._width(name))
            result[name] = np.zeros((nframes, *shape))
        return result

    def _warn_sel_overflow(self):
        from dptf.ops import sel_overflow

        lost, self._lost = self._lost + sel_overflow(), 0
        if lost and not self._warned_sel:
            self._warned_sel = True
            log.warning(
                "%d neighbors within the cutoff found no slot in 'sel' and were left out, the farthest first: energies jump "
                "when atoms enter or leave. Train with a larger 'sel'.",
                lost,
            )
