// DescrptSeAMask, ProdForceSeAMask and its gradient: all atoms of a frame are neighbors, some of them are
// padding.
#include "dptf/masked_env.h"

#include "dptf/force_virial.h"
#include "op_utils.h"

namespace dptf {
namespace {

#define DPTF_FORCE_IN .Input("net_deriv: T").Input("in_deriv: T").Input("mask: int32").Input("nlist: int32")

REGISTER_OP("DescrptSeAMask")
DPTF_T.Input("coord: T")
    .Input("type: int32")
    .Input("mask: int32")
    .Input("box: T")
    .Input("natoms: int32")
    .Input("mesh: int32")
    .Output("descrpt: T")
    .Output("descrpt_deriv: T")
    .Output("rij: T")
    .Output("nlist: int32")
    .SetShapeFn(UnknownShape);
REGISTER_OP("ProdForceSeAMask")
DPTF_T DPTF_FORCE_IN.Attr("total_atom_num: int").Output("force: T").SetShapeFn(UnknownShape);
REGISTER_OP("ProdForceSeAMaskGrad")
DPTF_T.Input("grad: T") DPTF_FORCE_IN.Attr("total_atom_num: int")
    .Output("grad_net: T")
    .SetShapeFn(UnknownShape);

template <typename T>
class DescrptOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    const Tensor &coord = context->input(0), &type = context->input(1), &mask = context->input(2),
                 &natoms = context->input(4);
    OP_REQUIRES(context, natoms.NumElements() >= 3, invalid_argument("natoms needs at least 3 entries"));
    const int64_t n = natoms.flat<int>()(1), nf = coord.dims() == 2 ? coord.dim_size(0) : 0;
    OP_REQUIRES(context,
                coord.dims() == 2 && coord.dim_size(1) == 3 * n && type.NumElements() == nf * n &&
                    mask.NumElements() == nf * n,
                invalid_argument("shapes do not fit: coord ", coord.shape().DebugString(), ", type ",
                                 type.shape().DebugString(), ", mask ", mask.shape().DebugString(),
                                 " for frames of ", n, " atoms"));
    Tensor *em, *deriv, *rij, *nlist;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({nf, n * n * 4}), &em));
    OP_REQUIRES_OK(context, context->allocate_output(1, TensorShape({nf, n * n * 12}), &deriv));
    OP_REQUIRES_OK(context, context->allocate_output(2, TensorShape({nf, n * n * 3}), &rij));
    OP_REQUIRES_OK(context, context->allocate_output(3, TensorShape({nf, n * n}), &nlist));
    masked_env(nf, n, coord.flat<T>().data(), type.flat<int>().data(), mask.flat<int>().data(),
               em->flat<T>().data(), deriv->flat<T>().data(), rij->flat<T>().data(),
               nlist->flat<int>().data(), intra_op_parallel(context));
  }
};

/// GRAD: the adjoint of net_deriv for the adjoint of the force (first input).
template <typename T, bool GRAD>
class ForceOp : public OpKernel {
 public:
  explicit ForceOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("total_atom_num", &n_));
    OP_REQUIRES(context, n_ >= 0, invalid_argument("total_atom_num is ", n_));
  }
  void Compute(OpKernelContext* context) override {
    const Tensor &net = context->input(GRAD), &deriv = context->input(GRAD + 1),
                 &nlist = context->input(GRAD + 3);
    EnvDeriv<T> p;
    p.nf = net.dims() == 2 ? net.dim_size(0) : 0;
    p.nloc = p.nall = p.nnei = n_;
    const int64_t slots = p.nf * p.nloc * p.nnei;
    OP_REQUIRES(context,
                net.dims() == 2 && net.NumElements() == 4 * slots && deriv.NumElements() == 12 * slots &&
                    nlist.NumElements() == slots,
                invalid_argument("shapes do not fit: net_deriv ", net.shape().DebugString(), ", in_deriv ",
                                 deriv.shape().DebugString(), ", nlist ", nlist.shape().DebugString(),
                                 " for ", n_, " atoms"));
    p.net_deriv = net.flat<T>().data();
    p.deriv = deriv.flat<T>().data();
    p.nlist = nlist.flat<int>().data();
    for (int64_t k = 0; k < slots; ++k)
      OP_REQUIRES(context, p.nlist[k] < n_, invalid_argument("nlist names atom ", p.nlist[k], " of ", n_));
    Tensor* out;
    if constexpr (GRAD) {
      OP_REQUIRES(context, context->input(0).NumElements() == p.nf * 3 * n_,
                  invalid_argument("the adjoint of the force must be [", p.nf, ", ", 3 * n_, "]"));
      OP_REQUIRES_OK(context, context->allocate_output(0, net.shape(), &out));
      env_force_grad(p, context->input(0).flat<T>().data(), p.nloc, out->flat<T>().data(),
                     intra_op_parallel(context));
    } else {
      OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({p.nf, 3 * p.nall}), &out));
      env_force(p, out->flat<T>().data(), intra_op_parallel(context));
    }
  }

 private:
  int n_ = 0;
};

#define DPTF_KERNELS(T)                                                                                    \
  REGISTER_KERNEL_BUILDER(Name("DescrptSeAMask").Device(DEVICE_CPU).TypeConstraint<T>("T"), DescrptOp<T>); \
  REGISTER_KERNEL_BUILDER(Name("ProdForceSeAMask").Device(DEVICE_CPU).TypeConstraint<T>("T"),              \
                          ForceOp<T, false>);                                                              \
  REGISTER_KERNEL_BUILDER(Name("ProdForceSeAMaskGrad").Device(DEVICE_CPU).TypeConstraint<T>("T"),          \
                          ForceOp<T, true>)
DPTF_KERNELS(float);
DPTF_KERNELS(double);

}  // namespace
}  // namespace dptf
