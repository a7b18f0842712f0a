"""The TensorFlow ops of dptf: loads the library and registers the gradients. The only place that does either.

``op_module`` holds one function per op (``op_module.prod_env_mat_a(...)``); ``tf`` is ``tensorflow.compat.v1``.
"""

import ctypes
from pathlib import Path

from dptf import ops_attention, ops_ragged
from dptf.env import import_tensorflow

tf = import_tensorflow()
LIB_DIR = Path(__file__).parent / "lib"
_OP_LIB = LIB_DIR / "libdeepmd_op.so"
_GPU_LIB = LIB_DIR / "libdeepmd_op_cuda.so"


def _load():
    if not _OP_LIB.exists():
        raise ImportError(f"{_OP_LIB.name} is missing: dptf was not built; run 'pip install .' in its source tree")
    # TensorFlow has to be the first to load the library: it lists the ops that register while it loads.
    try:
        module = tf.load_op_library(str(_OP_LIB))
        library = ctypes.CDLL(str(_OP_LIB))
    except (OSError, tf.errors.NotFoundError) as err:
        raise ImportError(
            f"{_OP_LIB.name} does not load with TensorFlow {tf.__version__} ({err}); "
            "reinstall dptf, or the TensorFlow version it was built for (pip install 'tensorflow-cpu==2.21.*')"
        ) from err
    if _GPU_LIB.exists():  # built with DPTF_CUDA=1; its kernels are used where TensorFlow sees a GPU
        tf.load_library(str(_GPU_LIB))
    library.dptf_op_tensorflow_version.restype = ctypes.c_char_p
    library.dptf_sel_overflow.restype = library.dptf_shared_area_bytes.restype = ctypes.c_int64
    built = library.dptf_op_tensorflow_version().decode()
    if built.split(".")[:2] != tf.__version__.split(".")[:2]:
        raise ImportError(
            f"{_OP_LIB.name} was built for TensorFlow {built}, found {tf.__version__}; "
            f"run: pip install 'tensorflow-cpu=={'.'.join(built.split('.')[:2])}.*'"
        )
    return library, module


library, op_module = _load()


def sel_overflow(reset=True):
    """Number of neighbors that found no slot in ``sel`` since the last reset."""
    return library.dptf_sel_overflow(int(reset))


#: Up to so many ranks of one machine add by themselves; each reads the arrays of all, so more are better off with MPI.
_SHARING_RANKS = 8


def set_allreduce(mpi, communicator):
    """Let the op of means over ranks use a communicator of mpi4py, whose module ``mpi`` is given.

    Returns
    -------
    window : mpi4py.MPI.Win or None
        Memory that the ranks share, where they are few and on one machine. They add in it then; keep it.
    """
    number = ctypes.c_int64
    handles = (communicator, mpi.SUM, mpi.FLOAT, mpi.DOUBLE)
    library.dptf_set_allreduce(
        ctypes.cast(ctypes.CDLL(mpi.__file__).MPI_Allreduce, ctypes.c_void_p), int(mpi._sizeof(mpi.Comm) > 4),
        communicator.Get_size(), *[number(mpi._handleof(h)) for h in handles],
    )  # fmt: skip
    return _share_memory(mpi, communicator)


def _share_memory(mpi, communicator):
    rank, size = communicator.Get_rank(), communicator.Get_size()
    node = communicator.Split_type(mpi.COMM_TYPE_SHARED)
    if not 1 < size == node.Get_size() <= _SHARING_RANKS:
        library.dptf_set_shared_areas(0, 0, None)
        return None
    window = mpi.Win.Allocate_shared(library.dptf_shared_area_bytes(), 1, comm=node)
    areas = (ctypes.c_int64 * size)(*[window.Shared_query(r)[0].address for r in range(size)])
    library.dptf_set_shared_areas(rank, size, areas)
    communicator.Barrier()  # nobody counts before all counters are zero
    return window


def _sel_attrs(op):
    return {"n_a_sel": op.get_attr("n_a_sel"), "n_r_sel": op.get_attr("n_r_sel")}


@tf.RegisterGradient("ProdForceSeA")
def _prod_force_grad(op, grad):
    return [op_module.prod_force_se_a_grad(grad, *op.inputs, **_sel_attrs(op)), None, None, None]


@tf.RegisterGradient("ProdForceSeR")
def _prod_force_r_grad(op, grad):
    return [op_module.prod_force_se_r_grad(grad, *op.inputs), None, None, None]


def _prod_virial_grad(ncomp):
    def gradient(op, grad, grad_atom):
        return [op_module.dptf_virial_grad(grad, grad_atom, *op.inputs, ncomp=ncomp), None, None, None, None]

    return gradient


tf.RegisterGradient("ProdVirialSeA")(_prod_virial_grad(4))
tf.RegisterGradient("ProdVirialSeR")(_prod_virial_grad(1))


@tf.RegisterGradient("ProdForce")
def _frame_force_grad(op, grad):
    return [op_module.prod_force_grad(grad, *op.inputs, **_sel_attrs(op)), *[None] * 4]


@tf.RegisterGradient("ProdVirial")
def _frame_virial_grad(op, grad, grad_atom):
    return [op_module.dptf_frame_virial_grad(grad, grad_atom, *op.inputs, **_sel_attrs(op)), *[None] * 5]


@tf.RegisterGradient("ProdForceSeAMask")
def _masked_force_grad(op, grad):
    out = op_module.prod_force_se_a_mask_grad(grad, *op.inputs, total_atom_num=op.get_attr("total_atom_num"))
    return [out, None, None, None]


@tf.RegisterGradient("Gelu")
@tf.RegisterGradient("GeluCustom")
def _gelu_grad(op, dy):
    return op_module.gelu_grad_custom(dy, op.inputs[0])


@tf.RegisterGradient("GeluGrad")
@tf.RegisterGradient("GeluGradCustom")
def _gelu_grad_grad(op, grad):
    dy, x = op.inputs
    return [op_module.gelu_grad_custom(grad, x), op_module.gelu_grad_grad_custom(grad, dy, x)]


@tf.RegisterGradient("SoftMinForce")
def _soft_min_force_grad(op, grad):
    return [*op_module.dptf_slot_force_grad(grad, *op.inputs), None, None]


@tf.RegisterGradient("SoftMinVirial")
def _soft_min_virial_grad(op, grad, grad_atom):
    return [*op_module.dptf_slot_virial_grad(grad, grad_atom, *op.inputs), None, None, None]


@tf.RegisterGradient("DptfVectorForce")
def _edge_force_grad(op, grad):
    return [op_module.dptf_vector_force_grad(grad, *op.inputs), None, None]


@tf.RegisterGradient("DptfVectorVirial")
def _edge_virial_grad(op, grad, grad_atom):
    return [op_module.dptf_vector_virial_grad(grad, grad_atom, *op.inputs), None, None, None]


for _name in (
    "SoftMinSwitch", "SoftMinForceGrad", "SoftMinVirialGrad", "DptfSlotForceGrad", "DptfSlotVirialGrad", "PairTab", "TabInter", "EwaldRecp",
    "DptfPairTable", "DptfSoftMinSwitch",
):  # fmt: skip
    tf.NotDifferentiable(_name)


def _embed_attrs(op):
    return {"sel": list(op.get_attr("sel")), "net_of": list(op.get_attr("net_of"))}


@tf.RegisterGradient("DptfEmbedContract")
def _embed_contract_grad(op, da):
    env_grad, weight_grad = op_module.dptf_embed_contract_grad_env(da, *op.inputs, **_embed_attrs(op))
    node_grad = op_module.dptf_embed_contract_grad_nodes(da, *op.inputs, **_embed_attrs(op))
    return [env_grad, None, None, node_grad, None, None, weight_grad]


@tf.RegisterGradient("DptfEmbedContractGradEnv")
def _embed_contract_grad_env_grad(op, *z):
    dda, dnodes = op_module.dptf_embed_contract_grad_grad(*z, *op.inputs, **_embed_attrs(op))
    denv, dweight = op_module.dptf_embed_contract_grad_grad_env(*z, *op.inputs, **_embed_attrs(op))
    return [dda, denv, None, None, dnodes, None, None, dweight]


@tf.RegisterGradient("DptfActivation")
def _activation_grad(op, g):
    x, *factors = op.inputs
    if len(factors) > 1:
        raise LookupError(f"{op.name}: third derivatives of a fused activation are not available")
    attrs = {k: op.get_attr(k) for k in ("activation", "threshold")}
    of_factors = [op_module.dptf_activation(x, [g], **attrs)] if factors else []
    return [op_module.dptf_activation(x, [*factors, g], **attrs), *of_factors]


@tf.RegisterGradient("DptfAxisProduct")
def _axis_product_grad(op, dd):
    return op_module.dptf_axis_product_grad(dd, op.inputs[0], axis=op.get_attr("axis"))


@tf.RegisterGradient("DptfAxisProductGrad")
def _axis_product_grad_grad(op, z):
    dd, a = op.inputs
    axis = op.get_attr("axis")
    return [op_module.dptf_axis_product_both(a, z, axis=axis), op_module.dptf_axis_product_grad(dd, z, axis=axis)]


def _fitting_attrs(op):
    lists = {k: list(op.get_attr(k)) for k in ("net_of", "residual", "timestep")}
    return {**lists, **{k: op.get_attr(k) for k in ("activation", "gradient", "linear_top")}}


@tf.RegisterGradient("DptfFittingNet")
def _fitting_net_grad(op, dy, ddydx, *_):
    x, counts, *weights = op.inputs
    _, dydx, pre, adjoint = op.outputs
    # Gradients of the energy alone (forces) know no adjoint of dydx; the second time, dydx has one.
    first = not op.get_attr("gradient") or ddydx.op.type == "ZerosLike"
    if first:
        ddydx = tf.zeros([0], x.dtype)
    dx, *dw = op_module.dptf_fitting_net_grad(dy, ddydx, pre, adjoint, x, counts, weights, **_fitting_attrs(op))
    if first and op.get_attr("gradient"):
        dx = op_module.dptf_scale_rows(dydx, dy)
    return [dx, None, *(dw[0] if isinstance(dw[0], list) else dw)]


@tf.RegisterGradient("DptfScaleRows")
def _scale_rows_grad(op, dz):
    x, factor = op.inputs
    return [op_module.dptf_scale_rows(dz, factor), tf.reshape(tf.reduce_sum(dz * x, -1), tf.shape(factor))]


@tf.RegisterGradient("DptfFittingNetGrad")
def _fitting_net_grad_grad(op, *_):
    raise LookupError(
        f"{op.name}: derivatives of this order of a fused fitting net are not available; set DPTF_PLAIN=1"
    )


# Tables of compressed models: value -> gradient -> second gradient, which is linear in the adjoint of the value. The table is
# a constant, and the chain rule to positions is taken explicitly, so second derivatives in the arguments never arise.


def _tabulate_gradient(function, n_inputs, **attrs):
    def gradient(op, dy):
        outputs = function(*op.inputs, dy, op.outputs[0], **{k: op.get_attr(k) for k in attrs})
        outputs = [outputs] if n_inputs == 1 else list(outputs)
        return [None, None, *outputs]

    return gradient


def _tabulate_second_gradient(function, n_inputs, **attrs):
    def gradient(op, *adjoints):
        inputs = list(op.inputs)  # table, table_info, arguments, dy, descriptor
        taken = {k: op.get_attr(k) if v is None else v for k, v in attrs.items()}
        ddy = function(*inputs[: 2 + n_inputs], *adjoints[:n_inputs], inputs[-1], **taken)
        return [*[None] * (2 + n_inputs), ddy, None]

    return gradient


for _name, _form, _n, _first, _second in (
    ("TabulateFusion", "se_a", 2, {}, {"is_sorted": True}),
    ("TabulateFusionSeA", "se_a", 2, {}, {"is_sorted": True}),
    ("TabulateFusionSeAtten", "se_atten", 3, {"is_sorted": None}, {"is_sorted": None}),
    ("TabulateFusionSeT", "se_t", 2, {}, {}),
    ("TabulateFusionSeR", "se_r", 1, {}, {}),
):
    _op = f"tabulate_fusion_{_form}"
    tf.RegisterGradient(_name)(_tabulate_gradient(getattr(op_module, f"{_op}_grad"), _n, **_first))
    tf.RegisterGradient(f"{_name}Grad")(
        _tabulate_second_gradient(getattr(op_module, f"{_op}_grad_grad"), _n, **_second)
    )
    tf.NotDifferentiable(f"{_name}GradGrad")

for _name in (
    "DptfEmbedGrid",
    "ProdEnvMatA", "ProdEnvMatR", "ProdEnvMatAMix", "DescrptSeA", "DescrptSeR", "DescrptNorot",
    "ProdForceSeAGrad", "ProdForceSeRGrad", "ProdVirialSeAGrad", "ProdVirialSeRGrad", "DptfVirialGrad",
    "DescrptSeAMask", "ProdForceSeAMaskGrad", "GeluGradGrad", "GeluGradGradCustom",
    "UnaggregatedDyDxS", "UnaggregatedDy2DxS", "UnaggregatedDyDx", "UnaggregatedDy2Dx",
    "DescrptSeAEf", "DescrptSeAEfPara", "DescrptSeAEfVert",
    "Descrpt", "ProdForceGrad", "ProdVirialGrad", "DptfFrameVirialGrad",
    "MapAparam", "DprcPairwiseIdx", "ConvertForwardMap",
    "DptfVectorForceGrad", "DptfVectorVirialGrad", "DptfNeighborRows", "DptfFilledSlots",
    "DptfEmbedContractGradNodes", "DptfEmbedContractGradGrad", "DptfEmbedContractGradGradEnv",
    "DptfAxisProductBoth", "DptfNetTable",
):  # fmt: skip
    # The chain rule to positions is taken explicitly (ProdForce*, ProdVirial*); training needs no derivative beyond these.
    tf.NotDifferentiable(_name)

#: ``halo(x, natoms, mesh)``: rows of local atoms to rows of all atoms (several processes), x itself otherwise; with gradient.
halo = ops_ragged.register(tf, op_module)
ops_attention.register(tf, op_module)
