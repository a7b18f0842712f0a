#pragma once

#include <cstdint>
#include <vector>

#include "dptf/parallel.h"

namespace dptf {

/// Error covariance of a Kalman filter, block by block: of every block the lower triangle, row after row.
struct KalmanBlocks {
  std::vector<int64_t> size;    ///< Weights of every block.
  std::vector<int64_t> weight;  ///< First weight of every block, and the number of all weights.
  std::vector<int64_t> entry;   ///< First covariance entry of every block, and the number of all entries.

  explicit KalmanBlocks(const std::vector<int64_t>& sizes);
};

/// m measurements at once, with the errors e_a and the derivatives h_a of their predictions in the weights
/// (rows of h [m, weights]):
///   K = P H,   A = (L forget 1 + H^T K)^-1,   step = K A e,   P <- (P - K A K^T) / forget,
/// with L blocks. Two passes over P whatever m is; blocks are independent but for the small matrix A.
void kalman_measure(const KalmanBlocks& blocks, double* covariance, int64_t m, const double* h,
                    const double* error, double forget, double* step, const ParallelFor& parallel);

}  // namespace dptf
