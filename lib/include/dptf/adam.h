#pragma once

#include <cstdint>
#include <vector>

#include "dptf/parallel.h"

namespace dptf {

/// One array of weights with its running means of the gradient (m) and of its square (v).
template <typename T>
struct AdamArray {
  int64_t n = 0;
  T *w = nullptr, *m = nullptr, *v = nullptr;
  const T* g = nullptr;
};

/// Constants of a step; rate is lr sqrt(1 - beta2^t) / (1 - beta1^t).
template <typename T>
struct AdamStep {
  T rate = 0, beta1 = 0, beta2 = 0, epsilon = 0;
};

/// m += (1 - beta1) (g - m), v += (1 - beta2) (g^2 - v), w -= rate m / (sqrt(v) + epsilon), of all arrays.
template <typename T>
void adam(const std::vector<AdamArray<T>>& arrays, const AdamStep<T>& step, const ParallelFor& parallel);

#define DPTF_DECLARE_ADAM(ISA)                                                              \
  namespace ISA {                                                                           \
  template <typename T>                                                                     \
  void adam_range(const AdamArray<T>& a, const AdamStep<T>& s, int64_t begin, int64_t end); \
  }
DPTF_DECLARE_ADAM(baseline)
DPTF_DECLARE_ADAM(avx2)
DPTF_DECLARE_ADAM(avx512)
#undef DPTF_DECLARE_ADAM

}  // namespace dptf
