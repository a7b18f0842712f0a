// Environment matrix ops with the public names: ProdEnvMatA, ProdEnvMatR, ProdEnvMatAMix and their older
// aliases.
#include "dptf/env_mat.h"
#include "mesh.h"
#include "op_utils.h"
#include "sel_overflow.h"

namespace dptf {

std::atomic<int64_t> sel_overflow_count{0};

namespace {

#define DPTF_ATOM_INPUTS                  \
  .Attr("T: {float, double} = DT_DOUBLE") \
      .Input("coord: T")                  \
      .Input("type: int32")               \
      .Input("natoms: int32")             \
      .Input("box: T")                    \
      .Input("mesh: int32")
#define DPTF_ENV_INPUTS DPTF_ATOM_INPUTS.Input("davg: T").Input("dstd: T")
#define DPTF_ENV_ATTRS_A          \
  .Attr("rcut_a: float")          \
      .Attr("rcut_r: float")      \
      .Attr("rcut_r_smth: float") \
      .Attr("sel_a: list(int)")   \
      .Attr("sel_r: list(int)")
#define DPTF_ENV_OUTPUTS \
  .Output("descrpt: T").Output("descrpt_deriv: T").Output("rij: T").Output("nlist: int32")

#define DPTF_REGISTER_ENV_A(NAME) \
  REGISTER_OP(NAME) DPTF_ENV_INPUTS DPTF_ENV_ATTRS_A DPTF_ENV_OUTPUTS.SetShapeFn(matrices)
DPTF_REGISTER_ENV_A("ProdEnvMatA");
DPTF_REGISTER_ENV_A("DescrptSeA");
DPTF_REGISTER_ENV_A("DescrptNorot");

#define DPTF_REGISTER_ENV_R(NAME)     \
  REGISTER_OP(NAME)                   \
  DPTF_ENV_INPUTS.Attr("rcut: float") \
      .Attr("rcut_smth: float")       \
      .Attr("sel: list(int)") DPTF_ENV_OUTPUTS.SetShapeFn(matrices)
DPTF_REGISTER_ENV_R("ProdEnvMatR");
DPTF_REGISTER_ENV_R("DescrptSeR");

#define DPTF_REGISTER_ENV_FIELD(NAME)                               \
  REGISTER_OP(NAME)                                                 \
  DPTF_ATOM_INPUTS.Input("ef: T").Input("davg: T").Input("dstd: T") \
      DPTF_ENV_ATTRS_A DPTF_ENV_OUTPUTS.SetShapeFn(matrices)
DPTF_REGISTER_ENV_FIELD("DescrptSeAEf");
DPTF_REGISTER_ENV_FIELD("DescrptSeAEfPara");
DPTF_REGISTER_ENV_FIELD("DescrptSeAEfVert");

REGISTER_OP("ProdEnvMatAMix")
DPTF_ENV_INPUTS DPTF_ENV_ATTRS_A DPTF_ENV_OUTPUTS.Output("ntype: int32")
    .Output("nmask: bool")
    .SetShapeFn(matrices);

template <typename T, EnvRows ROWS, bool MIXED = false>
class ProdEnvMatOp : public OpKernel {
 public:
  explicit ProdEnvMatOp(OpKernelConstruction* context) : OpKernel(context) {
    if constexpr (ROWS == EnvRows::radial) {
      OP_REQUIRES_OK(context, context->GetAttr("rcut", &rcut_));
      OP_REQUIRES_OK(context, context->GetAttr("rcut_smth", &rcut_smth_));
      OP_REQUIRES_OK(context, context->GetAttr("sel", &sel_));
    } else {
      std::vector<int> sel_r;
      OP_REQUIRES_OK(context, context->GetAttr("rcut_r", &rcut_));
      OP_REQUIRES_OK(context, context->GetAttr("rcut_r_smth", &rcut_smth_));
      OP_REQUIRES_OK(context, context->GetAttr("sel_a", &sel_));
      OP_REQUIRES_OK(context, context->GetAttr("sel_r", &sel_r));
      int radial = 0;
      for (int s : sel_r) radial += s;
      OP_REQUIRES(
          context, radial == 0 && sel_r.size() == sel_.size(),
          invalid_argument("sel_r must be zeros, one for each of the ", sel_.size(), " entries of sel_a"));
    }
    for (int s : sel_) OP_REQUIRES(context, s >= 0, invalid_argument("sel has a negative entry: ", s));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor &coord = context->input(0), &type = context->input(1), &natoms = context->input(2),
                 &box = context->input(3), &mesh = context->input(4), &davg = context->input(5 + kField),
                 &dstd = context->input(6 + kField);
    OP_REQUIRES(context, natoms.NumElements() >= 3, invalid_argument("natoms needs at least 3 entries"));
    EnvMat<T> p;
    p.nloc = natoms.flat<int>()(0);
    p.nall = natoms.flat<int>()(1);
    p.ntypes = natoms.NumElements() - 2;
    p.rows = ROWS;
    p.mixed = MIXED;
    p.rcut = rcut_;
    p.rcut_smth = rcut_smth_;
    p.sel = sel_;
    OP_REQUIRES(context, coord.dims() == 2 && type.dims() == 2 && box.dims() == 2,
                invalid_argument("coord, type and box must be matrices (frames first)"));
    p.nf = coord.dim_size(0);
    OP_REQUIRES(context, type.dim_size(0) == p.nf && box.dim_size(0) == p.nf && box.dim_size(1) == 9,
                invalid_argument("coord has ", p.nf, " frames, type ", type.dim_size(0), ", box ",
                                 box.shape().DebugString(), " (9 numbers a frame)"));
    OP_REQUIRES(
        context, coord.dim_size(1) == 3 * p.nall && type.dim_size(1) == p.nall && p.nloc <= p.nall,
        invalid_argument("natoms says ", p.nloc, " local of ", p.nall, " atoms; a frame of coord has ",
                         coord.dim_size(1), " numbers and of type ", type.dim_size(1)));
    const int nnei = p.nnei(), width = nnei * p.ncomp();
    for (const Tensor* t : {&davg, &dstd})
      OP_REQUIRES(context, t->dims() == 2 && t->dim_size(0) == p.ntypes && t->dim_size(1) == width,
                  invalid_argument("davg and dstd must be [", p.ntypes, ", ", width, "], got ",
                                   t->shape().DebugString()));
    Mesh parsed;
    OP_REQUIRES_OK(context, parsed.parse(mesh, p.nloc, MIXED, kField));
    OP_REQUIRES(context, parsed.has_list || parsed.own_ghosts || p.nloc == p.nall,
                invalid_argument("without a neighbor list all ", p.nall, " atoms must be local, natoms says ",
                                 p.nloc));
    p.coord = coord.flat<T>().data();
    p.type = type.flat<int>().data();
    p.box = box.flat<T>().data();
    p.periodic = parsed.periodic;
    p.list = parsed.has_list ? &parsed.list : nullptr;
    p.davg = davg.flat<T>().data();
    p.dstd = dstd.flat<T>().data();

    if constexpr (kField) {
      const Tensor& field = context->input(5);
      OP_REQUIRES(
          context, field.NumElements() == p.nf * p.nloc * 3,
          invalid_argument("ef must be [", p.nf, ", ", p.nloc * 3, "], got ", field.shape().DebugString()));
      p.field = field.flat<T>().data();
    }

    Tensor *em, *deriv, *rij, *nlist;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({p.nf, p.nloc * width}), &em));
    OP_REQUIRES_OK(context, context->allocate_output(1, TensorShape({p.nf, p.nloc * width * 3}), &deriv));
    OP_REQUIRES_OK(context, context->allocate_output(2, TensorShape({p.nf, p.nloc * nnei * 3}), &rij));
    OP_REQUIRES_OK(context, context->allocate_output(3, TensorShape({p.nf, p.nloc * nnei}), &nlist));
    EnvMatOut<T> out;
    out.em = em->flat<T>().data();
    out.deriv = deriv->flat<T>().data();
    out.rij = rij->flat<T>().data();
    out.nlist = nlist->flat<int>().data();
    if constexpr (MIXED) {
      Tensor *ntype, *nmask;
      OP_REQUIRES_OK(context, context->allocate_output(4, TensorShape({p.nf, p.nloc * nnei}), &ntype));
      OP_REQUIRES_OK(context, context->allocate_output(5, TensorShape({p.nf, p.nloc * nnei}), &nmask));
      out.ntype = ntype->flat<int>().data();
      out.nmask = nmask->flat<bool>().data();
    }
    try {
      sel_overflow_count += env_mat(p, out, intra_op_parallel(context));
    } catch (const std::invalid_argument& e) {
      context->CtxFailure(invalid_argument(e.what()));
    }
  }

 private:
  static constexpr bool kField = ROWS != EnvRows::angular && ROWS != EnvRows::radial;
  float rcut_ = 0, rcut_smth_ = 0;
  std::vector<int> sel_;
};

#define DPTF_KERNEL(NAME, T, ...) \
  REGISTER_KERNEL_BUILDER(Name(NAME).Device(DEVICE_CPU).TypeConstraint<T>("T"), ProdEnvMatOp<T, __VA_ARGS__>)
#define DPTF_KERNELS(T)                                        \
  DPTF_KERNEL("ProdEnvMatA", T, EnvRows::angular);             \
  DPTF_KERNEL("DescrptSeA", T, EnvRows::angular);              \
  DPTF_KERNEL("DescrptNorot", T, EnvRows::angular);            \
  DPTF_KERNEL("ProdEnvMatR", T, EnvRows::radial);              \
  DPTF_KERNEL("DescrptSeR", T, EnvRows::radial);               \
  DPTF_KERNEL("DescrptSeAEf", T, EnvRows::field);              \
  DPTF_KERNEL("DescrptSeAEfPara", T, EnvRows::field_parallel); \
  DPTF_KERNEL("DescrptSeAEfVert", T, EnvRows::field_vertical); \
  DPTF_KERNEL("ProdEnvMatAMix", T, EnvRows::angular, true)
DPTF_KERNELS(float);
DPTF_KERNELS(double);

}  // namespace
}  // namespace dptf

/// Neighbors left out for want of a slot since the last reset.
extern "C" __attribute__((visibility("default"))) int64_t dptf_sel_overflow(int reset) {
  return reset ? dptf::sel_overflow_count.exchange(0) : dptf::sel_overflow_count.load();
}
