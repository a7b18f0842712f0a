#include "dptf/kalman_kernels.h"

namespace dptf {
namespace DPTF_ISA {

/// y_a = P x_a for m vectors (distance ld), with the lower triangle of P row after row; every entry comes
/// from memory once. y starts as zero.
void symmetric_times(int64_t n, int64_t m, const double* p, const double* x, double* y, int64_t ld) {
  for (int64_t i = 0; i < n; ++i) {
    const double* __restrict row = p;
    for (int64_t a = 0; a < m; ++a) {
      const double* xa = x + a * ld;
      double* __restrict out = y + a * ld;
      const double xi = xa[i];
      double sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t j = 0; j < i; ++j) {
        sum += row[j] * xa[j];
        out[j] += row[j] * xi;
      }
      out[i] += sum + row[i] * xi;
    }
    p += i + 1;
  }
}

/// P <- (P - sum_a ak_a k_a^T) scale, m pairs of vectors.
void symmetric_downdate(int64_t n, int64_t m, double* p, const double* k, const double* ak, int64_t ld,
                        double scale) {
  for (int64_t i = 0; i < n; ++i) {
    double* __restrict row = p;
    int64_t a = 0;
    for (; a + 1 < m; a += 2) {
      const double *k0 = k + a * ld, *k1 = k0 + ld;
      const double c0 = ak[a * ld + i], c1 = ak[(a + 1) * ld + i];
#pragma omp simd
      for (int64_t j = 0; j <= i; ++j) row[j] -= c0 * k0[j] + c1 * k1[j];
    }
    for (; a < m; ++a) {
      const double* ka = k + a * ld;
      const double c = ak[a * ld + i];
#pragma omp simd
      for (int64_t j = 0; j <= i; ++j) row[j] -= c * ka[j];
    }
#pragma omp simd
    for (int64_t j = 0; j <= i; ++j) row[j] *= scale;
    p += i + 1;
  }
}

}  // namespace DPTF_ISA
}  // namespace dptf
