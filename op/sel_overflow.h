#pragma once

#include <atomic>
#include <cstdint>

namespace dptf {
/// Neighbors that found no slot since the last reset, over all environment ops of the process.
extern std::atomic<int64_t> sel_overflow_count;
}  // namespace dptf
