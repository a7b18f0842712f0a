#pragma once

#include <vector>

#include "op_utils.h"

namespace dptf {

/// Op kernels are templates over where they run. `run` hands a function what the functions of lib/ take last:
/// a ParallelFor here, a stream on a GPU (cuda/gpu_kernels.cc). Exceptions become the status of the op.
struct OnCpu {
  static constexpr bool kHost = true;  // whether inputs can be looked at
  template <typename F>
  static void run(OpKernelContext* context, const F& f) {
    try {
      f(intra_op_parallel(context));
    } catch (const std::exception& e) {
      context->CtxFailure(invalid_argument(e.what()));
    }
  }
  /// Numbers of an index array, which ops read and check on the host, where the work is done; what has to
  /// live as long as the op goes into `kept`.
  template <typename I>
  static const I* index(OpKernelContext*, const I* host, int64_t, std::vector<Tensor>*) {
    return host;
  }
};

}  // namespace dptf
