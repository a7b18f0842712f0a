#pragma once

#include "dptf/tabulate.h"

namespace dptf {

/// Slots of atom i from which on all are equal (empty slots, as a rule): they are evaluated once.
template <typename T>
DPTF_INLINE int64_t first_equal_slot(const Tabulate<T>& p, int64_t i) {
  const auto same = [&](int64_t k) {
    const int64_t a = i * p.slots + k, b = i * p.slots + p.slots - 1;
    if (p.x[a] != p.x[b]) return false;
    for (int m = 0; p.rows && m < p.ncomp; ++m)
      if (p.rows[a * p.ncomp + m] != p.rows[b * p.ncomp + m]) return false;
    for (int64_t c = 0; p.factor && c < p.width; ++c)
      if (p.factor[a * p.width + c] != p.factor[b * p.width + c]) return false;
    return true;
  };
  int64_t k = p.slots - 1;
  while (k > 0 && same(k - 1)) --k;
  return k;
}

#define DPTF_DECLARE_TABULATE_KERNELS(ISA)                                                                \
  namespace ISA {                                                                                         \
  template <typename T>                                                                                   \
  void tabulate_rows(const Tabulate<T>& p, int64_t begin, int64_t end, T* out);                           \
  template <typename T>                                                                                   \
  void tabulate_grad_rows(const Tabulate<T>& p, const T* dy, int64_t begin, int64_t end, T* dx, T* drows, \
                          T* dfactor);                                                                    \
  template <typename T>                                                                                   \
  void tabulate_grad_grad_rows(const Tabulate<T>& p, const T* zx, const T* zrows, const T* zfactor,       \
                               int64_t begin, int64_t end, T* out);                                       \
  }
DPTF_DECLARE_TABULATE_KERNELS(baseline)
DPTF_DECLARE_TABULATE_KERNELS(avx2)
DPTF_DECLARE_TABULATE_KERNELS(avx512)
#undef DPTF_DECLARE_TABULATE_KERNELS

}  // namespace dptf
