#pragma once

#include <cstdint>

#include "dptf/parallel.h"

namespace dptf {

/// out[i] := phi^(order)(x[i]) a[i] b[i] over n numbers, for order 0, 1 (with a) and 2 (with a and b); phi by
/// its code of dptf/activation.h, 8 is silut with the threshold. out may be the memory of an input.
template <typename T>
void activate(int code, T threshold, int order, int64_t n, const T* x, const T* a, const T* b, T* out,
              const ParallelFor& parallel);

#define DPTF_DECLARE_ACTIVATE(ISA)                                                                       \
  namespace ISA {                                                                                        \
  template <typename T>                                                                                  \
  void activate_numbers(int code, T threshold, int order, int64_t n, const T* x, const T* a, const T* b, \
                        T* out);                                                                         \
  }
DPTF_DECLARE_ACTIVATE(baseline)
DPTF_DECLARE_ACTIVATE(avx2)
DPTF_DECLARE_ACTIVATE(avx512)
#undef DPTF_DECLARE_ACTIVATE

}  // namespace dptf
