// Force and virial ops with the public names, and their gradients.
#include "dptf/force_virial.h"
#include "force_inputs.h"
#include "op_utils.h"

namespace dptf {
namespace {

#define DPTF_T .Attr("T: {float, double} = DT_DOUBLE")
#define DPTF_SEL .Attr("n_a_sel: int").Attr("n_r_sel: int")
#define DPTF_FORCE_IN .Input("net_deriv: T").Input("in_deriv: T").Input("nlist: int32").Input("natoms: int32")
#define DPTF_VIRIAL_IN \
  .Input("net_deriv: T").Input("in_deriv: T").Input("rij: T").Input("nlist: int32").Input("natoms: int32")

REGISTER_OP("ProdForceSeA") DPTF_T DPTF_FORCE_IN DPTF_SEL.Output("force: T").SetShapeFn(matrices);
REGISTER_OP("ProdForceNorot") DPTF_T DPTF_FORCE_IN DPTF_SEL.Output("force: T").SetShapeFn(matrices);
REGISTER_OP("ProdForceSeR") DPTF_T DPTF_FORCE_IN.Output("force: T").SetShapeFn(matrices);
REGISTER_OP("ParallelProdForceSeA")
DPTF_T DPTF_FORCE_IN DPTF_SEL.Attr("parallel: bool = false")
    .Attr("start_frac: float = 0.")
    .Attr("end_frac: float = 1.")
    .Output("force: T")
    .SetShapeFn(matrices);
REGISTER_OP("ProdVirialSeA")
DPTF_T DPTF_VIRIAL_IN DPTF_SEL.Output("virial: T").Output("atom_virial: T").SetShapeFn(matrices);
REGISTER_OP("ProdVirialNorot")
DPTF_T DPTF_VIRIAL_IN DPTF_SEL.Output("virial: T").Output("atom_virial: T").SetShapeFn(matrices);
REGISTER_OP("ProdVirialSeR")
DPTF_T DPTF_VIRIAL_IN.Output("virial: T").Output("atom_virial: T").SetShapeFn(matrices);
REGISTER_OP("ProdForceSeAGrad")
DPTF_T.Input("grad: T") DPTF_FORCE_IN DPTF_SEL.Output("grad_net: T").SetShapeFn(matrices);
REGISTER_OP("ProdForceSeRGrad")
DPTF_T.Input("grad: T") DPTF_FORCE_IN.Output("grad_net: T").SetShapeFn(matrices);
REGISTER_OP("ProdVirialSeAGrad")
DPTF_T.Input("grad: T") DPTF_VIRIAL_IN DPTF_SEL.Output("grad_net: T").SetShapeFn(matrices);
REGISTER_OP("ProdVirialSeRGrad")
DPTF_T.Input("grad: T") DPTF_VIRIAL_IN.Output("grad_net: T").SetShapeFn(matrices);
// The public gradient ops drop the adjoint of atom_virial; this one takes it (second input), for both
// descriptors.
REGISTER_OP("DptfVirialGrad")
DPTF_T.Input("grad: T")
    .Input("grad_atom: T") DPTF_VIRIAL_IN.Attr("ncomp: int")
    .Output("grad_net: T")
    .SetShapeFn(matrices);

// The same with the vectors from center to neighbor as leaves: edge_grad [nf, nloc * nnei * 3] is the
// derivative in them.
#define DPTF_EDGE_IN .Input("edge_grad: T").Input("nlist: int32").Input("natoms: int32")
#define DPTF_EDGE_VIRIAL_IN \
  .Input("edge_grad: T").Input("rij: T").Input("nlist: int32").Input("natoms: int32")
REGISTER_OP("DptfVectorForce") DPTF_T DPTF_EDGE_IN.Output("force: T").SetShapeFn(matrices);
REGISTER_OP("DptfVectorForceGrad")
DPTF_T.Input("grad: T") DPTF_EDGE_IN.Output("grad_edge: T").SetShapeFn(matrices);
REGISTER_OP("DptfVectorVirial")
DPTF_T DPTF_EDGE_VIRIAL_IN.Output("virial: T").Output("atom_virial: T").SetShapeFn(matrices);
REGISTER_OP("DptfVectorVirialGrad")
DPTF_T.Input("grad: T").Input("grad_atom: T") DPTF_EDGE_VIRIAL_IN.Output("grad_edge: T").SetShapeFn(matrices);

template <typename T, int NCOMP, bool PARTIAL = false>
class ForceOp : public OpKernel {
 public:
  explicit ForceOp(OpKernelConstruction* context) : OpKernel(context) {
    if constexpr (PARTIAL) {
      OP_REQUIRES_OK(context, context->GetAttr("parallel", &partial_));
      OP_REQUIRES_OK(context, context->GetAttr("start_frac", &start_));
      OP_REQUIRES_OK(context, context->GetAttr("end_frac", &end_));
    }
  }
  void Compute(OpKernelContext* context) override {
    EnvDeriv<T> p;
    if (!read_inputs(context, 0, false, NCOMP, &p)) return;
    Tensor* force;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({p.nf, 3 * p.nall}), &force));
    std::vector<T> masked;
    if (partial_) {
      // Only the rows [nf a, nf b) of the flattened batch contribute; the parts add up to the whole.
      const int64_t row = static_cast<int64_t>(p.nnei) * NCOMP;
      const int64_t a = p.nf * std::lround(start_ * p.nloc), b = p.nf * std::lround(end_ * p.nloc);
      masked.assign(p.nf * p.nloc * row, T(0));
      std::copy(p.net_deriv + a * row, p.net_deriv + b * row, masked.begin() + a * row);
      p.net_deriv = masked.data();
    }
    env_force(p, force->flat<T>().data(), intra_op_parallel(context));
  }

 private:
  bool partial_ = false;
  float start_ = 0, end_ = 1;
};

template <typename T, int NCOMP>
class VirialOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    EnvDeriv<T> p;
    if (!read_inputs(context, 0, true, NCOMP, &p)) return;
    Tensor *virial, *atom_virial;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({p.nf, 9}), &virial));
    OP_REQUIRES_OK(context, context->allocate_output(1, TensorShape({p.nf, 9 * p.nall}), &atom_virial));
    env_virial(p, virial->flat<T>().data(), atom_virial->flat<T>().data(), intra_op_parallel(context));
  }
};

template <typename T, int NCOMP>
class ForceGradOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    EnvDeriv<T> p;
    if (!read_inputs(context, 1, false, NCOMP, &p)) return;
    const int64_t size = context->input(0).NumElements(), atoms = p.nf ? size / (3 * p.nf) : 0;
    OP_REQUIRES(context, size == p.nf * atoms * 3 && (atoms == p.nloc || atoms == p.nall),
                invalid_argument("the adjoint of the force has ", size, " elements for ", p.nf, " frames of ",
                                 p.nall, " atoms"));
    Tensor* out;
    OP_REQUIRES_OK(context, context->allocate_output(0, context->input(1).shape(), &out));
    env_force_grad(p, context->input(0).flat<T>().data(), atoms, out->flat<T>().data(),
                   intra_op_parallel(context));
  }
};

template <typename T, int NCOMP, bool ATOM>
class VirialGradOp : public OpKernel {
 public:
  explicit VirialGradOp(OpKernelConstruction* context) : OpKernel(context) {
    if constexpr (ATOM && NCOMP != 3) OP_REQUIRES_OK(context, context->GetAttr("ncomp", &ncomp_));
  }
  void Compute(OpKernelContext* context) override {
    EnvDeriv<T> p;
    if (!read_inputs(context, 1 + ATOM, true, ncomp_, &p)) return;
    OP_REQUIRES(context, context->input(0).NumElements() == 9 * p.nf,
                invalid_argument("the adjoint of the virial must be [", p.nf, ", 9]"));
    const T* atom = nullptr;
    if constexpr (ATOM) {
      OP_REQUIRES(context, context->input(1).NumElements() == 9 * p.nf * p.nall,
                  invalid_argument("the adjoint of atom_virial must be [", p.nf, ", ", 9 * p.nall, "]"));
      atom = context->input(1).flat<T>().data();
    }
    Tensor* out;
    OP_REQUIRES_OK(context, context->allocate_output(0, context->input(1 + ATOM).shape(), &out));
    env_virial_grad(p, context->input(0).flat<T>().data(), atom, out->flat<T>().data(),
                    intra_op_parallel(context));
  }

 private:
  int ncomp_ = NCOMP;
};

#define DPTF_KERNEL(NAME, T, ...) \
  REGISTER_KERNEL_BUILDER(Name(NAME).Device(DEVICE_CPU).TypeConstraint<T>("T"), __VA_ARGS__)
#define DPTF_KERNELS(T)                                           \
  DPTF_KERNEL("ProdForceSeA", T, ForceOp<T, 4>);                  \
  DPTF_KERNEL("ProdForceNorot", T, ForceOp<T, 4>);                \
  DPTF_KERNEL("ProdForceSeR", T, ForceOp<T, 1>);                  \
  DPTF_KERNEL("ParallelProdForceSeA", T, ForceOp<T, 4, true>);    \
  DPTF_KERNEL("ProdVirialSeA", T, VirialOp<T, 4>);                \
  DPTF_KERNEL("ProdVirialNorot", T, VirialOp<T, 4>);              \
  DPTF_KERNEL("ProdVirialSeR", T, VirialOp<T, 1>);                \
  DPTF_KERNEL("ProdForceSeAGrad", T, ForceGradOp<T, 4>);          \
  DPTF_KERNEL("ProdForceSeRGrad", T, ForceGradOp<T, 1>);          \
  DPTF_KERNEL("ProdVirialSeAGrad", T, VirialGradOp<T, 4, false>); \
  DPTF_KERNEL("ProdVirialSeRGrad", T, VirialGradOp<T, 1, false>); \
  DPTF_KERNEL("DptfVirialGrad", T, VirialGradOp<T, 4, true>);     \
  DPTF_KERNEL("DptfVectorForce", T, ForceOp<T, 3>);               \
  DPTF_KERNEL("DptfVectorForceGrad", T, ForceGradOp<T, 3>);       \
  DPTF_KERNEL("DptfVectorVirial", T, VirialOp<T, 3>);             \
  DPTF_KERNEL("DptfVectorVirialGrad", T, VirialGradOp<T, 3, true>)
DPTF_KERNELS(float);
DPTF_KERNELS(double);

}  // namespace
}  // namespace dptf
