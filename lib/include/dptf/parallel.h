#pragma once

#include <cstdint>
#include <functional>

namespace dptf {

/// Runs body(begin, end) over a partition of [0, n); supplied by the caller (TensorFlow's thread pool, or a
/// plain call). cost_per_unit is in nanoseconds, roughly: it decides how finely the work is split.
using ParallelFor =
    std::function<void(int64_t n, int64_t cost_per_unit, const std::function<void(int64_t, int64_t)>&)>;

/// Everything on the calling thread.
inline void serial_for(int64_t n, int64_t, const std::function<void(int64_t, int64_t)>& body) {
  if (n > 0) body(0, n);
}

}  // namespace dptf
