#pragma once

#include "activation_attrs.h"
#include "device.h"
#include "dptf/activate.h"

namespace dptf {

/// phi^(N)(x) times the factors.
template <typename Device, typename T>
class ActivationOp : public OpKernel {
 public:
  explicit ActivationOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("N", &order_));
    OP_REQUIRES_OK(context, read_activation(context, &activation_, &threshold_));
    OP_REQUIRES(context, order_ <= 2, invalid_argument("third derivatives of activations are not offered"));
  }
  void Compute(OpKernelContext* context) override {
    const Tensor& x = context->input(0);
    const T* factors[2] = {nullptr, nullptr};
    std::vector<int> inputs{0};
    for (int k = 0; k < order_; ++k) {
      const Tensor& factor = context->input(k + 1);
      OP_REQUIRES(context, factor.NumElements() == x.NumElements(),
                  invalid_argument("factor ", factor.shape().DebugString(), " and x ",
                                   x.shape().DebugString(), " differ in size"));
      factors[k] = factor.flat<T>().data();
      inputs.push_back(k + 1);
    }
    Tensor* y;
    OP_REQUIRES_OK(context, context->forward_input_or_allocate_output(inputs, 0, x.shape(), &y));
    Device::run(context, [&](const auto& where) {
      activate(activation_, static_cast<T>(threshold_), order_, x.NumElements(), x.flat<T>().data(),
               factors[0], factors[1], y->flat<T>().data(), where);
    });
  }

 private:
  int order_ = 0, activation_ = 0;
  double threshold_ = 0;
};

}  // namespace dptf
