#pragma once

#include <functional>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "dptf/parallel.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/util/work_sharder.h"

namespace dptf {

/// An InvalidArgument status whose message is the concatenation of the arguments.
template <typename... Args>
absl::Status invalid_argument(const Args&... args) {
  return absl::InvalidArgumentError(absl::StrCat(args...));
}

/// The framework's intra-op pool as a ParallelFor; no second pool, no oversubscription.
inline ParallelFor intra_op_parallel(tensorflow::OpKernelContext* context) {
  auto workers = *context->device()->tensorflow_cpu_worker_threads();
  return [workers](int64_t n, int64_t cost, const std::function<void(int64_t, int64_t)>& body) {
    tensorflow::Shard(workers.num_threads, workers.workers, n, cost, body);
  };
}

}  // namespace dptf
