#pragma once

// Where op kernels for GPUs run; the counterpart of OnCpu in device.h.
#include "device.h"
#include "dptf/cuda_kernels.h"
#include "xla/stream_executor/stream.h"

namespace dptf {

using tensorflow::DEVICE_GPU;

struct OnGpu {
  static constexpr bool kHost = false;
  template <typename F>
  static void run(OpKernelContext* c, const F& f) {
    try {
      f(cuda::Stream{c->op_device_context()->stream()->platform_specific_handle().stream});
    } catch (const std::exception& e) {
      c->CtxFailure(absl::InternalError(e.what()));
    }
  }
  /// A copy of an index array.
  template <typename I>
  static const I* index(OpKernelContext* c, const I* host, int64_t n, std::vector<Tensor>* kept) {
    Tensor there;
    const absl::Status status =
        c->allocate_temp(tensorflow::DataTypeToEnum<I>::value, TensorShape({n}), &there);
    if (!status.ok()) {
      c->CtxFailure(status);
      return nullptr;
    }
    I* at = there.flat<I>().data();
    run(c, [&](cuda::Stream stream) { cuda::upload(host, n, at, stream); });
    kept->push_back(there);
    return at;
  }
};

#define DPTF_GPU(NAME, T, HOST, ...) \
  REGISTER_KERNEL_BUILDER(Name(NAME).Device(DEVICE_GPU).TypeConstraint<T>("T") HOST, __VA_ARGS__)

}  // namespace dptf
