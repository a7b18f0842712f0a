"""What all fittings share: nets per center type or one net for all types, frame and atomic parameters, their statistics."""

import numpy as np

from dptf.data.requirement import DataRequirement
from dptf.env import GLOBAL_NP_FLOAT
from dptf.errors import UserError
from dptf.nn.embedding import Seeder
from dptf.nn.fitting import FittingNet, fused_nets, fusion_wanted
from dptf.nn.parameters import get_precision, global_dtype
from dptf.ops import tf


class Fitting:
    """Base of the fittings.

    The input of a net is ``[descriptor, (type features), (frame parameters), (atomic parameters), (task)]``. With one net per type,
    atoms are sorted by type and the nets act on slices; variables end in ``_type_<t>``. With mixed types one net serves
    all atoms in any order, and what depends on the type (a bias, say) is gathered atom by atom. Virtual atoms (type -1) give zeros.

    A member sets ``model_type``, implements ``build`` with :meth:`evaluate`, and overrides :meth:`shift` where it has a bias.

    Parameters
    ----------
    section : dict
        ``model/fitting_net`` of the normalised input.
    descriptor : object
        Gives ``dim_out`` and ``dim_rot``.
    ntypes : int
    where : str
        Key path for messages.
    mixed_types : bool
        One net for all types.
    dim_type : int
        Length of the type features beside the descriptor; 0 for none.
    """

    #: What the graph says it computes (``model_attr/model_type``).
    model_type = ""
    #: Floating type that the hidden layers work in (mixed precision); None for that of the weights.
    compute = None

    def __init__(self, section, descriptor, ntypes, where="model/fitting_net", *, mixed_types=False, dim_type=0):
        self.ntypes, self.dim_descrpt, self.where = ntypes, descriptor.dim_out, where
        self.mixed_types, self.dim_type = mixed_types, dim_type
        self.neuron = [int(n) for n in section["neuron"]]
        self.numb_fparam, self.numb_aparam = section.get("numb_fparam", 0), section.get("numb_aparam", 0)
        self.activation, self.resnet_dt = section["activation_function"], bool(section["resnet_dt"])
        self.precision = get_precision(section["precision"], f"{where}/precision")
        self.seed, self.rcond = section.get("seed"), section.get("rcond")
        self.use_aparam_as_mask = bool(section.get("use_aparam_as_mask", False))
        self.trainable = self._per_layer(section.get("trainable", True), f"{where}/trainable")
        # Of imported models: the hidden layers that add their input, and those with a time step.
        self.residual, self.timestep = section.get("residual_layers"), section.get("timestep_layers")
        self.layer_name = section.get("layer_name")
        if self.layer_name is not None and len(self.layer_name) != len(self.neuron) + 1:
            raise UserError(f"needs {len(self.neuron) + 1} entries (one per layer)", f"{where}/layer_name")
        # One task among several: a constant vector that tells which one is an input too (`case` is its number).
        self.dim_case, self.case = int(section.get("case_length") or section.get("dim_case_embd") or 0), None
        # The frame parameters of callers and data that give none.
        self.frame_default = section.get("frame_default") or section.get("default_fparam")
        if self.frame_default is not None and len(self.frame_default) != self.numb_fparam:
            raise UserError(
                f"has {len(self.frame_default)} numbers, numb_fparam is {self.numb_fparam}", f"{where}/default_fparam"
            )
        self.param_stat = {}

    def lower_precision(self, dtype):
        """Mixed precision: weights in float32, hidden layers in `dtype`."""
        self.precision, self.compute = tf.float32, dtype

    def _per_layer(self, value, where):
        if isinstance(value, bool):
            return [value] * (len(self.neuron) + 1)
        if len(value) != len(self.neuron) + 1:
            raise UserError(f"needs {len(self.neuron) + 1} entries (one per layer)", where)
        return [bool(v) for v in value]

    # -- data -----------------------------------------------------------------------------------------------------

    def data_requirements(self):
        """Frame and atomic parameters, if the net takes them."""
        out = []
        if self.numb_fparam:
            default = self.frame_default
            out.append(
                DataRequirement("fparam", self.numb_fparam, must=default is None, default=tuple(default or [0.0]))
            )
        if self.numb_aparam:
            out.append(DataRequirement("aparam", self.numb_aparam, atomic=True, must=True))
        return out

    def statistics(self, batches, stat_file=None, protection=0.01):
        """Mean and inverse deviation of fparam and aparam over the batches."""
        for key, dim in (("fparam", self.numb_fparam), ("aparam", self.numb_aparam)):
            if not dim:
                continue
            sums = stat_file.read(key) if stat_file else None
            if sums is None:
                rows = np.concatenate([b[key].reshape(-1, dim) for system in batches for b in system])
                sums = np.stack([np.full(dim, len(rows)), rows.sum(0), (rows**2).sum(0)], axis=1)
                if stat_file:
                    stat_file.write(key, sums)
            n, s, s2 = sums.T
            avg = s / n
            std = np.maximum(np.sqrt(np.maximum(s2 / n - avg**2, 0.0)), protection)
            self.param_stat[key] = (avg, 1.0 / std)

    def preset_bias(self, values):
        """Take the biases of ``model/preset_out_bias`` instead of fitting them."""
        raise UserError(
            f"biases cannot be given for models of type '{self.model_type}'", "model/preset_out_bias", "remove it"
        )

    def output_statistics(self, batches, stat_file=None, excluded=()):
        """Bias (or the like) of the outputs from labels of the training data; `excluded` types have no output."""

    # -- the graph ------------------------------------------------------------------------------------------------

    def constants(self, suffix=""):
        """Attribute nodes."""
        tf.constant(self.numb_fparam, dtype=tf.int32, name=f"fitting_attr{suffix}/dfparam")
        tf.constant(self.numb_aparam, dtype=tf.int32, name=f"fitting_attr{suffix}/daparam")
        if self.frame_default is not None:
            tf.constant(self.frame_default, dtype=tf.float64, name=f"fitting_attr{suffix}/default_fparam")

    def build(self, descriptor, natoms, atype, params, suffix="", *, rot_mat=None, **inputs):
        """Atomic outputs.

        Parameters
        ----------
        descriptor : tensor, shape (nf, nloc, dim)
        natoms : int32 tensor
        atype : int32 tensor, shape (nf, nall)
        params : Parameters
        rot_mat : tensor, shape (nf * nloc, dim_rot, 3)
            Of fittings that need a direction.
        **inputs
            ``type_features`` (nf, nloc, dim_type), ``fparam`` (nf, numb_fparam), ``aparam`` (nf, nloc, numb_aparam).
        """
        raise NotImplementedError

    def evaluate(
        self,
        descriptor,
        natoms,
        atype,
        params,
        suffix="",
        *,
        width=None,
        types=None,
        vacuum=(),
        type_features=None,
        fparam=None,
        aparam=None,
    ):
        """Outputs of the nets after :meth:`shift`, not yet masked for virtual atoms.

        Parameters
        ----------
        width : int, optional
            Numbers per atom; by default one, without an axis of its own.
        types : list of int, optional
            With one net per type: the types that have one; by default all.
        vacuum : collection of int
            Types whose net counts relative to its value for a zero descriptor; with mixed types all count so if there is any.

        Returns
        -------
        tensor, shape (nf, n) or (nf, n, width)
            n is the number of local atoms, of the given types, sorted as they are.
        """
        n_in = self.dim_descrpt
        extra = []
        if self.dim_type:
            extra.append(type_features)
            n_in += self.dim_type
        if self.numb_fparam:
            f = self._normalised(fparam, "fparam", self.numb_fparam, params, suffix)
            extra.append(tf.tile(f[:, None, :], [1, natoms[0], 1]))
            n_in += self.numb_fparam
        if self.numb_aparam and not self.use_aparam_as_mask:
            extra.append(self._normalised(aparam, "aparam", self.numb_aparam, params, suffix))
            n_in += self.numb_aparam
        if self.dim_case:
            name, value = f"fitting_attr{suffix}/t_case_embd", np.zeros(self.dim_case, GLOBAL_NP_FLOAT)
            if self.case is not None:
                value[self.case] = 1.0
            case = params.get(name, [self.dim_case], value, global_dtype(), trainable=False)
            extra.append(tf.tile(case[None, None, :], [tf.shape(descriptor)[0], natoms[0], 1]))
            n_in += self.dim_case
        seeder = Seeder(self.seed)
        kinds = [None] if self.mixed_types else [t for t in range(self.ntypes) if types is None or t in types]
        # The vacuum value is exact: these nets count only relative to an atom without neighbors.
        relative = [t for t in kinds if t in vacuum or (t is None and vacuum)]
        nets = {}
        for t in kinds:
            nets[t] = FittingNet(
                params, self._layer_scopes(t, suffix), n_in, self.neuron, width or 1, self.precision, self.activation,
                self.resnet_dt, seeder, self.trainable, self.residual, self.timestep, self.compute,
            )  # fmt: skip
            if t in relative:
                # The public package counts the vacuum as a net of its own; so the next one starts with equal weights.
                seeder.advance(3 * (len(self.neuron) + 1))
        if fusion_wanted(params) and not (relative and extra) and nets[kinds[0]].can_fuse():
            return self._fused(descriptor, extra, natoms, atype, params, suffix, nets, relative, width)
        nframes = tf.shape(descriptor)[0]

        def rows(t, cut, count):
            """Outputs of the atoms of a slice, by the net of type t (None: of all types)."""
            net, d = nets[t], tf.reshape(descriptor[:, cut], [-1, self.dim_descrpt])
            rest = [tf.reshape(x[:, cut], [-1, int(x.shape[-1])]) for x in extra]
            out = net(tf.cast(tf.concat([d, *rest], 1) if rest else d, self.precision))
            if t in relative:
                out -= net(tf.cast(tf.concat([tf.zeros_like(d), *rest], 1), self.precision))
            center = tf.reshape(atype[:, cut], [-1]) if t is None else t
            out = self.shift(tf.cast(out, global_dtype()), center, params, suffix)
            return tf.reshape(out, [nframes, count] if width is None else [nframes, count, width])

        if self.mixed_types:
            return rows(None, slice(0, natoms[0]), natoms[0])
        parts = [rows(t, cut, count) for t, cut, count in self._slices(natoms, kinds)]
        return tf.concat(parts, axis=1) if len(parts) > 1 else parts[0]

    def _slices(self, natoms, types):
        """(type, slice of the atoms, number of atoms) of the given types."""
        out, start = [], 0
        for t in range(self.ntypes):
            count = natoms[2 + t]
            if t in types:
                out.append((t, slice(start, start + count), count))
            start += count
        return out

    def _fused(self, descriptor, extra, natoms, atype, params, suffix, nets, relative, width):
        """The same by one op for all types, in training; nets of the types in `relative` count relative to a zero descriptor."""
        x = tf.cast(tf.concat([descriptor, *extra], 2) if extra else descriptor, self.precision)
        kinds = list(nets)
        net_of = [] if self.mixed_types else [kinds.index(t) if t in kinds else -1 for t in range(self.ntypes)]
        # Of energies the forces are differentiated again.
        out = fused_nets(x, natoms, list(nets.values()), net_of, gradient=width is None)
        center = tf.reshape(atype[:, : natoms[0]], [-1])
        out = tf.cast(tf.reshape(out, [-1, width or 1]), global_dtype())
        if relative:
            zero = tf.zeros([1, self.dim_descrpt], self.precision)
            empty = [nets[t](zero) if t in relative else tf.zeros([1, width or 1], self.precision) for t in kinds]
            empty = tf.cast(tf.concat(empty, axis=0), global_dtype())
            out -= empty if self.mixed_types else self.by_type(empty, center)
        out = self.shift(out, center, params, suffix)
        out = tf.reshape(out, tf.concat([tf.shape(x)[:2], [] if width is None else [width]], axis=0))
        if self.mixed_types or len(kinds) == self.ntypes:
            return out
        parts = [out[:, cut] for _, cut, _ in self._slices(natoms, kinds)]
        return tf.concat(parts, axis=1) if len(parts) > 1 else parts[0]

    def shift(self, out, center, params, suffix):
        """Add what depends on the type alone to net outputs (n, width); `center` is a type, or the types of n atoms."""
        return out

    def _add_imported_bias(self, out, center, params, suffix, width):
        """Add the bias of the net outputs (ntypes, width), where the model came with one."""
        name = f"fitting_attr{suffix}/t_bias_atom_e"
        if not params.has(name):
            return out
        shape = [self.ntypes, width]
        bias = params.get(name, shape, np.zeros(shape, GLOBAL_NP_FLOAT), global_dtype(), trainable=False)
        return out + self.by_type(bias, center)

    @staticmethod
    def by_type(table, center):
        """Rows of a table per type for a `center` as :meth:`shift` has it."""
        return table[center] if isinstance(center, int) else tf.gather(table, tf.maximum(center, 0))

    def _normalised(self, value, key, dim, params, suffix):
        """(value - avg) * istd with stored statistics; value has `dim` as last axis."""
        avg, istd = self.param_stat.get(key, (np.zeros(dim), np.ones(dim)))
        scope = f"fitting_attr{suffix}"
        avg = params.get(f"{scope}/t_{key}_avg", [dim], np.asarray(avg, GLOBAL_NP_FLOAT), global_dtype(), False)
        istd = params.get(f"{scope}/t_{key}_istd", [dim], np.asarray(istd, GLOBAL_NP_FLOAT), global_dtype(), False)
        return (value - avg) * istd

    def _layer_scopes(self, t, suffix):
        tail = "" if t is None else f"_type_{t}"
        own = [f"layer_{k}{tail}{suffix}" for k in range(len(self.neuron))] + [f"final_layer{tail}{suffix}"]
        names = self.layer_name or [None] * len(own)
        return [scope if name is None else f"share_{name}{tail}" for scope, name in zip(own, names)]


def solve_bias(counts, labels, preset=None, rcond=None, width=None):
    """Minimum-norm least-squares values per type; `preset` entries that are not None are kept.

    Parameters
    ----------
    counts : array, shape (nframes, ntypes)
        Atoms of each type.
    labels : array, shape (nframes,) or (nframes, n)
    width : array, shape (ntypes,), optional
        The norm is that of the values divided by it.
    """
    x, y = counts.copy(), labels.copy()
    fixed = [t for t, e in enumerate(preset or []) if e is not None]
    for t in fixed:
        y -= x[:, t] * preset[t]
        x[:, t] = 0.0
    width = np.ones(x.shape[1]) if width is None else width
    bias = (np.linalg.lstsq(x * width, y, rcond=rcond)[0].T * width).T
    for t in fixed:
        bias[t] = preset[t]
    return bias
