#include "dptf/kalman_kernels.h"

namespace dptf {
namespace DPTF_ISA {

/// y = P x, with the lower triangle of P row after row; every entry is read once.
void symmetric_times(int64_t n, const double* p, const double* x, double* y) {
  for (int64_t i = 0; i < n; ++i) {
    const double* __restrict row = p;
    double* __restrict out = y;
    const double xi = x[i];
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < i; ++j) {
      sum += row[j] * x[j];
      out[j] += row[j] * xi;
    }
    out[i] = sum + row[i] * xi;
    p += i + 1;
  }
}

/// P <- (P - a k k^T) scale.
void symmetric_downdate(int64_t n, double* p, const double* k, double a, double scale) {
  for (int64_t i = 0; i < n; ++i) {
    double* __restrict row = p;
    const double ak = a * k[i];
#pragma omp simd
    for (int64_t j = 0; j <= i; ++j) row[j] = (row[j] - ak * k[j]) * scale;
    p += i + 1;
  }
}

}  // namespace DPTF_ISA
}  // namespace dptf
