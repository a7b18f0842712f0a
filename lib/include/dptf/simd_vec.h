#pragma once

#include <cstdint>
#include <type_traits>
#if defined(__x86_64__)
// GCC 12 takes the undefined operands of its own masked intrinsics for a mistake.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#endif

#include "dptf/inline.h"

// Vectors of the instruction set that the including object is compiled for. Only for sources in src/simd.
namespace dptf {
namespace DPTF_ISA {

#if defined(DPTF_ISA_avx512)
constexpr int kVectorBytes = 64;
#elif defined(DPTF_ISA_avx2)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

template <typename T>
struct VecOf;
template <>
struct VecOf<double> {
  typedef double type __attribute__((vector_size(kVectorBytes)));
  typedef double unaligned __attribute__((vector_size(kVectorBytes), aligned(8), may_alias));
};
template <>
struct VecOf<float> {
  typedef float type __attribute__((vector_size(kVectorBytes)));
  typedef float unaligned __attribute__((vector_size(kVectorBytes), aligned(4), may_alias));
};
template <typename T>
using Vec = typename VecOf<T>::type;
template <typename T>
constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));

template <typename T>
DPTF_INLINE Vec<T> load(const T* p) {
  return *reinterpret_cast<const typename VecOf<T>::unaligned*>(p);
}
template <typename T>
DPTF_INLINE void store(T* p, Vec<T> v) {
  *reinterpret_cast<typename VecOf<T>::unaligned*>(p) = v;
}
template <typename T>
DPTF_INLINE Vec<T> splat(T x) {
  return x - Vec<T>{};  // exact for -0 as well, so no addition is left of it
}
/// Transposes as many vectors as they have lanes.
template <typename T>
DPTF_INLINE void transpose(Vec<T>* v) {
  constexpr int n = kLanes<T>;
  typedef typename std::conditional<sizeof(T) == 8, int64_t, int32_t>::type Index;
  typedef Index Order __attribute__((vector_size(kVectorBytes)));
#pragma GCC unroll 4
  for (int half = n / 2; half >= 1; half /= 2) {
    // Blocks of `half` numbers change places across the diagonal of blocks twice as large.
    Order low, high;
#pragma GCC unroll 16
    for (int k = 0; k < n; ++k) {
      low[k] = k & half ? n + k - half : k;
      high[k] = k & half ? n + k : k + half;
    }
#pragma GCC unroll 16
    for (int k = 0; k < n; ++k)
      if (!(k & half)) {
        const Vec<T> a = v[k], b = v[k + half];
        v[k] = __builtin_shuffle(a, b, low);
        v[k + half] = __builtin_shuffle(a, b, high);
      }
  }
}
template <typename T>
DPTF_INLINE T sum(Vec<T> v) {
#if defined(DPTF_ISA_avx512)
  if constexpr (sizeof(T) == 4)
    return _mm512_reduce_add_ps(v);
  else
    return _mm512_reduce_add_pd(v);
#endif
  T out = 0;
  for (int k = 0; k < kLanes<T>; ++k) out += v[k];
  return out;
}

}  // namespace DPTF_ISA
}  // namespace dptf
