#pragma once
#include <cstdint>

#include "dptf/inline.h"

namespace dptf {

DPTF_INLINE constexpr int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

}  // namespace dptf
