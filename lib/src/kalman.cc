#include "dptf/kalman.h"

#include "dptf/isa_dispatch.h"
#include "dptf/kalman_kernels.h"

namespace dptf {

KalmanBlocks::KalmanBlocks(const std::vector<int64_t>& sizes) : size(sizes), weight{0}, entry{0} {
  for (int64_t n : sizes) {
    weight.push_back(weight.back() + n);
    entry.push_back(entry.back() + n * (n + 1) / 2);
  }
}

void kalman_measure(const KalmanBlocks& blocks, double* covariance, const double* h, double error,
                    double forget, double* step, const ParallelFor& parallel) {
  const int64_t n = static_cast<int64_t>(blocks.size.size());
  const int64_t cost = n ? blocks.entry.back() / n : 0;
  std::vector<double> k(blocks.weight.back()), gain(n);
  parallel(n, cost, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const int64_t first = blocks.weight[b];
      DPTF_ISA_CALL(
          symmetric_times(blocks.size[b], covariance + blocks.entry[b], h + first, k.data() + first));
      for (int64_t i = first; i < blocks.weight[b + 1]; ++i) gain[b] += h[i] * k[i];
    }
  });
  double sum = n * forget;
  for (double g : gain) sum += g;
  const double a = 1.0 / sum;
  parallel(n, cost, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const double* kb = k.data() + blocks.weight[b];
      DPTF_ISA_CALL(symmetric_downdate(blocks.size[b], covariance + blocks.entry[b], kb, a, 1.0 / forget));
      for (int64_t i = 0; i < blocks.size[b]; ++i) step[blocks.weight[b] + i] = a * error * kb[i];
    }
  });
}

}  // namespace dptf
