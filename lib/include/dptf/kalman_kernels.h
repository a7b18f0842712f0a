#pragma once

#include <cstdint>

namespace dptf {

#define DPTF_DECLARE_KALMAN(ISA)                                                          \
  namespace ISA {                                                                         \
  void symmetric_times(int64_t n, const double* p, const double* x, double* y);           \
  void symmetric_downdate(int64_t n, double* p, const double* k, double a, double scale); \
  }
DPTF_DECLARE_KALMAN(baseline)
DPTF_DECLARE_KALMAN(avx2)
DPTF_DECLARE_KALMAN(avx512)
#undef DPTF_DECLARE_KALMAN

}  // namespace dptf
