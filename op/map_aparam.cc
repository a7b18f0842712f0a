// MapAparam: the atomic parameters of the neighbors, slot by slot.
#include "op_utils.h"
#include "tensorflow/core/framework/common_shape_fns.h"

namespace dptf {
namespace {

using namespace tensorflow;  // NOLINT: Tensor, OpKernel and their kind

REGISTER_OP("MapAparam")
    .Attr("T: {float, double} = DT_DOUBLE")
    .Input("aparam: T")
    .Input("nlist: int32")
    .Input("natoms: int32")
    .Attr("n_a_sel: int")
    .Attr("n_r_sel: int")
    .Output("output: T")
    .SetShapeFn(shape_inference::UnknownShape);

template <typename T>
class MapAparamOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    const Tensor& aparam = context->input(0);
    Slots<T> s;
    if (!read_slots<T>(context, nullptr, context->input(1), context->input(2), &s)) return;
    const int64_t atoms = s.nf * s.nall, width = atoms ? aparam.NumElements() / atoms : 0;
    OP_REQUIRES(
        context, aparam.NumElements() == atoms * width,
        invalid_argument("aparam has ", aparam.NumElements(), " numbers, no multiple of ", atoms, " atoms"));
    Tensor* out;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({s.nf, s.nloc * s.nnei * width}), &out));
    const T* from = aparam.flat<T>().data();
    T* to = out->flat<T>().data();
    for (int64_t k = 0; k < s.nf * s.nloc * s.nnei; ++k, to += width) {
      const int64_t f = k / (s.nloc * s.nnei), j = s.nlist[k];
      if (j < 0)
        std::fill(to, to + width, T(0));
      else
        std::copy(from + (f * s.nall + j) * width, from + (f * s.nall + j + 1) * width, to);
    }
  }
};

REGISTER_KERNEL_BUILDER(Name("MapAparam").Device(DEVICE_CPU).TypeConstraint<float>("T"), MapAparamOp<float>);
REGISTER_KERNEL_BUILDER(Name("MapAparam").Device(DEVICE_CPU).TypeConstraint<double>("T"),
                        MapAparamOp<double>);

}  // namespace
}  // namespace dptf
