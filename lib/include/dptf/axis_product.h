#pragma once

#include <cstdint>

#include "dptf/parallel.h"

namespace dptf {

/// Products of the columns of small matrices with their first `axis` columns, for n matrices a [rows, width]:
///     D[m, k] = sum_r a[r, m] b[r, k],   k < axis.
/// The descriptor is D of a with itself.
template <typename T>
struct AxisProduct {
  int64_t n = 0, rows = 0, width = 0, axis = 0;
};

/// d [n, width, axis] := D of a and b, plus D of b and a if `both`.
template <typename T>
void axis_product(const AxisProduct<T>& p, const T* a, const T* b, bool both, T* d,
                  const ParallelFor& parallel);

/// da [n, rows, width] := pull-back of the adjoint dd of D(a, a). It is linear in a as well, with the same
/// form as its own pull-back.
template <typename T>
void axis_product_grad(const AxisProduct<T>& p, const T* dd, const T* a, T* da, const ParallelFor& parallel);

#define DPTF_DECLARE_AXIS_KERNELS(ISA)                                                                    \
  namespace ISA {                                                                                         \
  template <typename T>                                                                                   \
  void axis_products(const AxisProduct<T>& p, const T* a, const T* b, bool both, T* d, int64_t begin,     \
                     int64_t end);                                                                        \
  template <typename T>                                                                                   \
  void axis_gradients(const AxisProduct<T>& p, const T* dd, const T* a, T* da, T* scratch, int64_t begin, \
                      int64_t end);                                                                       \
  }
DPTF_DECLARE_AXIS_KERNELS(baseline)
DPTF_DECLARE_AXIS_KERNELS(avx2)
DPTF_DECLARE_AXIS_KERNELS(avx512)
#undef DPTF_DECLARE_AXIS_KERNELS

}  // namespace dptf
