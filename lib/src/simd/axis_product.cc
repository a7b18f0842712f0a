#include "dptf/axis_product.h"

#include <algorithm>

#include "dptf/inline.h"

namespace dptf {
namespace DPTF_ISA {
namespace {

template <typename T>
DPTF_INLINE void add_product(const AxisProduct<T>& p, const T* a, const T* b, T* d) {
  for (int64_t m = 0; m < p.width; ++m) {
    T* __restrict to = d + m * p.axis;
    for (int64_t r = 0; r < p.rows; ++r) {
      const T w = a[r * p.width + m];
      const T* __restrict from = b + r * p.width;
#pragma omp simd
      for (int64_t k = 0; k < p.axis; ++k) to[k] += w * from[k];
    }
  }
}

}  // namespace

template <typename T>
void axis_products(const AxisProduct<T>& p, const T* a, const T* b, bool both, T* d, int64_t begin,
                   int64_t end) {
  const int64_t in = p.rows * p.width, out = p.width * p.axis;
  for (int64_t i = begin; i < end; ++i) {
    std::fill_n(d + i * out, out, T(0));
    add_product(p, a + i * in, b + i * in, d + i * out);
    if (both) add_product(p, b + i * in, a + i * in, d + i * out);
  }
}

template <typename T>
void axis_gradients(const AxisProduct<T>& p, const T* dd, const T* a, T* da, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    const T* d = dd + i * p.width * p.axis;
    for (int64_t r = 0; r < p.rows; ++r) {
      const T* __restrict row = a + (i * p.rows + r) * p.width;
      T* __restrict out = da + (i * p.rows + r) * p.width;
      for (int64_t m = 0; m < p.width; ++m) {
        const T* __restrict dm = d + m * p.axis;
        T s = 0;
#pragma omp simd reduction(+ : s)
        for (int64_t k = 0; k < p.axis; ++k) s += dm[k] * row[k];
        out[m] = s;
      }
      for (int64_t m = 0; m < p.width; ++m) {
        const T* __restrict dm = d + m * p.axis;
        const T w = row[m];
#pragma omp simd
        for (int64_t k = 0; k < p.axis; ++k) out[k] += w * dm[k];
      }
    }
  }
}

#define DPTF_INSTANTIATE(T)                                                                              \
  template void axis_products<T>(const AxisProduct<T>&, const T*, const T*, bool, T*, int64_t, int64_t); \
  template void axis_gradients<T>(const AxisProduct<T>&, const T*, const T*, T*, int64_t, int64_t);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace DPTF_ISA
}  // namespace dptf
