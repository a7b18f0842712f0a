#pragma once

#include <cstdint>

namespace dptf {

#define DPTF_DECLARE_KALMAN(ISA)                                                                          \
  namespace ISA {                                                                                         \
  void symmetric_times(int64_t n, int64_t m, const double* p, const double* x, double* y, int64_t ld);    \
  void symmetric_downdate(int64_t n, int64_t m, double* p, const double* k, const double* ak, int64_t ld, \
                          double scale);                                                                  \
  }
DPTF_DECLARE_KALMAN(baseline)
DPTF_DECLARE_KALMAN(avx2)
DPTF_DECLARE_KALMAN(avx512)
#undef DPTF_DECLARE_KALMAN

}  // namespace dptf
