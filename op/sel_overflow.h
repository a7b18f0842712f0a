#pragma once

#include <atomic>
#include <cstdint>

namespace dptf {
/// Neighbors that found no slot since the last reset, over all environment ops of the process (those for GPUs
/// lie in a library of their own).
extern __attribute__((visibility("default"))) std::atomic<int64_t> sel_overflow_count;
}  // namespace dptf
