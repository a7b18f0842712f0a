#include "dptf/adam.h"

#include <cmath>

namespace dptf {
namespace DPTF_ISA {

template <typename T>
void adam_range(const AdamArray<T>& a, const AdamStep<T>& s, int64_t begin, int64_t end) {
  T* __restrict w = a.w;
  T* __restrict m = a.m;
  T* __restrict v = a.v;
  const T* __restrict g = a.g;
  const T rest1 = 1 - s.beta1, rest2 = 1 - s.beta2;
#pragma GCC ivdep
  for (int64_t k = begin; k < end; ++k) {
    const T mk = m[k] + (g[k] - m[k]) * rest1, vk = v[k] + (g[k] * g[k] - v[k]) * rest2;
    m[k] = mk;
    v[k] = vk;
    w[k] -= mk * s.rate / (std::sqrt(vk) + s.epsilon);
  }
}

template void adam_range<double>(const AdamArray<double>&, const AdamStep<double>&, int64_t, int64_t);
template void adam_range<float>(const AdamArray<float>&, const AdamStep<float>&, int64_t, int64_t);

}  // namespace DPTF_ISA
}  // namespace dptf
