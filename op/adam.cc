// A step of Adam on all weights at once; see dptf/adam.h.
#include "dptf/adam.h"

#include <cmath>

#include "op_utils.h"

namespace dptf {
namespace {

// constants: learning rate, beta1, beta2, epsilon, and the powers of beta1 and beta2 so far.
REGISTER_OP("DptfAdam")
    .Input("weights: Ref(N * T)")
    .Input("m: Ref(N * T)")
    .Input("v: Ref(N * T)")
    .Input("grads: N * T")
    .Input("constants: T")
    .Attr("N: int")
    .Attr("T: {float, double}")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext*) { return absl::OkStatus(); });

template <typename T>
class AdamOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    OpMutableInputList w, m, v;
    OpInputList g;
    OP_REQUIRES_OK(context, context->mutable_input_list("weights", &w));
    OP_REQUIRES_OK(context, context->mutable_input_list("m", &m));
    OP_REQUIRES_OK(context, context->mutable_input_list("v", &v));
    OP_REQUIRES_OK(context, context->input_list("grads", &g));
    const Tensor& constants = context->input(context->num_inputs() - 1);
    OP_REQUIRES(context, constants.NumElements() == 6, invalid_argument("constants must be six numbers"));
    std::vector<AdamArray<T>> arrays(w.size());
    std::vector<Tensor> held;  // of the variables, so that none goes away
    for (int k = 0; k < w.size(); ++k) {
      Tensor tensors[3] = {w.at(k, false), m.at(k, false), v.at(k, false)};
      for (Tensor& t : tensors) {
        OP_REQUIRES(
            context, t.IsInitialized() && t.NumElements() == g[k].NumElements(),
            invalid_argument("weights ", k, " and their gradient differ in size, or are not initialised"));
        held.push_back(t);
      }
      arrays[k] = {g[k].NumElements(), tensors[0].flat<T>().data(), tensors[1].flat<T>().data(),
                   tensors[2].flat<T>().data(), g[k].flat<T>().data()};
    }
    const auto c = constants.flat<T>();
    const AdamStep<T> step{c(0) * std::sqrt(1 - c(5)) / (1 - c(4)), c(1), c(2), c(3)};
    adam(arrays, step, intra_op_parallel(context));
  }
};

REGISTER_KERNEL_BUILDER(Name("DptfAdam").Device(DEVICE_CPU).TypeConstraint<float>("T"), AdamOp<float>);
REGISTER_KERNEL_BUILDER(Name("DptfAdam").Device(DEVICE_CPU).TypeConstraint<double>("T"), AdamOp<double>);

}  // namespace
}  // namespace dptf
