#include "dptf/kalman.h"

#include <cmath>
#include <stdexcept>

#include "dptf/isa_dispatch.h"
#include "dptf/kalman_kernels.h"

namespace dptf {

KalmanBlocks::KalmanBlocks(const std::vector<int64_t>& sizes) : size(sizes), weight{0}, entry{0} {
  for (int64_t n : sizes) {
    weight.push_back(weight.back() + n);
    entry.push_back(entry.back() + n * (n + 1) / 2);
  }
}

namespace {

/// Inverse of a symmetric positive definite matrix, row-major, in place.
void invert(int64_t m, double* s) {
  std::vector<double> l(m * m, 0.0), inverse(m * m, 0.0);
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j <= i; ++j) {
      double x = s[i * m + j];
      for (int64_t k = 0; k < j; ++k) x -= l[i * m + k] * l[j * m + k];
      if (i == j && !(x > 0)) throw std::invalid_argument("the covariance is no longer positive");
      l[i * m + j] = i == j ? std::sqrt(x) : x / l[j * m + j];
    }
  for (int64_t c = 0; c < m; ++c)
    for (int64_t i = c; i < m; ++i) {
      double x = i == c;
      for (int64_t k = c; k < i; ++k) x -= l[i * m + k] * inverse[k * m + c];
      inverse[i * m + c] = x / l[i * m + i];
    }
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < m; ++j) {
      double x = 0;
      for (int64_t k = 0; k < m; ++k) x += inverse[k * m + i] * inverse[k * m + j];
      s[i * m + j] = x;
    }
}

}  // namespace

void kalman_measure(const KalmanBlocks& blocks, double* covariance, int64_t m, const double* h,
                    const double* error, double forget, double* step, const ParallelFor& parallel) {
  const int64_t n = static_cast<int64_t>(blocks.size.size()), weights = blocks.weight.back();
  const int64_t cost = n ? m * (blocks.entry.back() / n) : 0;
  std::vector<double> k(m * weights, 0.0), ak(m * weights), part(n * m * m, 0.0);
  parallel(n, cost, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const int64_t first = blocks.weight[b];
      DPTF_ISA_CALL(symmetric_times(blocks.size[b], m, covariance + blocks.entry[b], h + first,
                                    k.data() + first, weights));
      for (int64_t a = 0; a < m; ++a)
        for (int64_t c = 0; c < m; ++c)
          for (int64_t i = first; i < blocks.weight[b + 1]; ++i)
            part[(b * m + a) * m + c] += h[a * weights + i] * k[c * weights + i];
    }
  });
  std::vector<double> gain(m * m, 0.0);
  for (int64_t b = 0; b < n; ++b)
    for (int64_t i = 0; i < m * m; ++i) gain[i] += part[b * m * m + i];
  for (int64_t a = 0; a < m; ++a) gain[a * m + a] += n * forget;
  invert(m, gain.data());
  std::vector<double> share(m, 0.0);
  for (int64_t a = 0; a < m; ++a)
    for (int64_t c = 0; c < m; ++c) share[a] += gain[a * m + c] * error[c];
  parallel(n, cost, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      for (int64_t i = blocks.weight[b]; i < blocks.weight[b + 1]; ++i) {
        step[i] = 0;
        for (int64_t a = 0; a < m; ++a) {
          step[i] += share[a] * k[a * weights + i];
          double x = 0;
          for (int64_t c = 0; c < m; ++c) x += gain[a * m + c] * k[c * weights + i];
          ak[a * weights + i] = x;
        }
      }
      const int64_t first = blocks.weight[b];
      DPTF_ISA_CALL(symmetric_downdate(blocks.size[b], m, covariance + blocks.entry[b], k.data() + first,
                                       ak.data() + first, weights, 1.0 / forget));
    }
  });
}

}  // namespace dptf
