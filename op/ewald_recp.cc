// Reciprocal-space electrostatics of point charges.
#include "dptf/ewald.h"
#include "op_utils.h"

namespace dptf {
namespace {

REGISTER_OP("EwaldRecp")
    .Attr("T: {float, double} = DT_DOUBLE")
    .Input("coord: T")
    .Input("charge: T")
    .Input("natoms: int32")
    .Input("box: T")
    .Attr("ewald_beta: float")
    .Attr("ewald_h: float")
    .Output("energy: T")
    .Output("force: T")
    .Output("virial: T")
    .SetShapeFn([](InferenceContext* c) {
      c->set_output(0, c->Vector(InferenceContext::kUnknownDim));
      for (int i = 1; i < 3; ++i)
        c->set_output(i, c->Matrix(InferenceContext::kUnknownDim, InferenceContext::kUnknownDim));
      return absl::OkStatus();
    });

template <typename T>
class EwaldRecpOp : public OpKernel {
 public:
  explicit EwaldRecpOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("ewald_beta", &beta_));
    OP_REQUIRES_OK(context, context->GetAttr("ewald_h", &h_));
    OP_REQUIRES(context, beta_ > 0 && h_ > 0,
                invalid_argument("ewald_beta and ewald_h must be positive; found ", beta_, " and ", h_));
  }
  void Compute(OpKernelContext* context) override {
    const Tensor &coord = context->input(0), &charge = context->input(1), &natoms = context->input(2),
                 &box = context->input(3);
    OP_REQUIRES(context, natoms.NumElements() >= 1, invalid_argument("natoms is empty"));
    const int64_t n = natoms.flat<int>()(0), nf = box.NumElements() / 9;
    OP_REQUIRES(
        context,
        box.NumElements() == nf * 9 && coord.NumElements() == nf * n * 3 && charge.NumElements() == nf * n,
        invalid_argument("shapes do not fit: coord ", coord.shape().DebugString(), ", charge ",
                         charge.shape().DebugString(), ", box ", box.shape().DebugString(), " for ", n,
                         " atoms"));
    Tensor *energy, *force, *virial;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({nf}), &energy));
    OP_REQUIRES_OK(context, context->allocate_output(1, TensorShape({nf, n * 3}), &force));
    OP_REQUIRES_OK(context, context->allocate_output(2, TensorShape({nf, 9}), &virial));
    const auto parallel = intra_op_parallel(context);
    for (int64_t f = 0; f < nf; ++f)
      OP_REQUIRES(
          context,
          ewald_reciprocal(n, coord.flat<T>().data() + f * n * 3, charge.flat<T>().data() + f * n,
                           box.flat<T>().data() + f * 9, beta_, h_, energy->flat<T>().data() + f,
                           force->flat<T>().data() + f * n * 3, virial->flat<T>().data() + f * 9, parallel),
          invalid_argument("the box of frame ", f, " has no volume"));
  }

 private:
  float beta_, h_;
};

#define DPTF_KERNEL(T) \
  REGISTER_KERNEL_BUILDER(Name("EwaldRecp").Device(DEVICE_CPU).TypeConstraint<T>("T"), EwaldRecpOp<T>)
DPTF_KERNEL(float);
DPTF_KERNEL(double);

}  // namespace
}  // namespace dptf
