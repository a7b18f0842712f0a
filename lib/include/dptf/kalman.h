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

/// One scalar measurement with the error `error` and the derivative h of its prediction in the weights:
///   k = P h,   a = 1 / (L forget + h.k),   step = a error k,   P <- (P - a k k^T) / forget,
/// with L blocks. Two passes over P; blocks are independent but for the scalar a.
void kalman_measure(const KalmanBlocks& blocks, double* covariance, const double* h, double error,
                    double forget, double* step, const ParallelFor& parallel);

}  // namespace dptf
