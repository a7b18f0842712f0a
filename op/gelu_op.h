#pragma once

#include "device.h"
#include "dptf/activation.h"
#include "dptf/layer_derivative.h"

namespace dptf {

/// out := gelu^(order)(x) times a and b, as far as they are given.
template <typename T>
void gelu_elements(int order, int64_t n, const T* x, const T* a, const T* b, T* out,
                   const ParallelFor& parallel) {
  parallel(n, 20, [&](int64_t begin, int64_t end) {
    activation_elements(static_cast<int>(Activation::gelu), order, end - begin, x + begin,
                        a ? a + begin : nullptr, b ? b + begin : nullptr, out + begin);
  });
}

/// gelu^(ORDER)(x), the last input, times the others.
template <typename Device, typename T, int ORDER>
class GeluOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    const Tensor& x = context->input(ORDER);
    const T* factors[2] = {nullptr, nullptr};
    for (int k = 0; k < ORDER; ++k) {
      OP_REQUIRES(context, context->input(k).NumElements() == x.NumElements(),
                  invalid_argument("dy ", context->input(k).shape().DebugString(), " and x ",
                                   x.shape().DebugString(), " differ in size"));
      factors[k] = context->input(k).flat<T>().data();
    }
    Tensor* out;
    OP_REQUIRES_OK(context, context->allocate_output(0, x.shape(), &out));
    Device::run(context, [&](const auto& where) {
      gelu_elements(ORDER, x.NumElements(), x.flat<T>().data(), factors[0], factors[1], out->flat<T>().data(),
                    where);
    });
  }
};

}  // namespace dptf
