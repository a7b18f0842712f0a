#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "dptf/parallel.h"

namespace dptf {

/// Scatter sums run in this many private copies, added in a fixed order: the result does not depend on
/// threads.
constexpr int64_t kCopies = 4;

inline int64_t scatter_copies(int64_t nloc) { return nloc >= 4 * kCopies ? kCopies : 1; }

/// Calls body(frame, atom_begin, atom_end, copy) so that every copy of the output is written by one task
/// only.
template <typename Body>
void scatter(int64_t nf, int64_t nloc, int64_t cost, const ParallelFor& parallel, const Body& body) {
  const int64_t copies = scatter_copies(nloc), rows = (nloc + copies - 1) / copies;
  parallel(nf * copies, cost * rows, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t c = task % copies;
      body(task / copies, c * rows, std::min(nloc, (c + 1) * rows), c);
    }
  });
}

/// Output rows of `width` numbers a frame that several tasks add to: the array itself and its private copies.
template <typename T>
class ScatterSum {
 public:
  ScatterSum(T* out, int64_t nf, int64_t nloc, int64_t width)
      : out_(out), nf_(nf), copies_(scatter_copies(nloc)), width_(width), extra_(nf * (copies_ - 1) * width) {
    std::fill(out, out + nf * width, T(0));
  }
  T* row(int64_t frame, int64_t copy) {
    return copy ? extra_.data() + (frame * (copies_ - 1) + copy - 1) * width_ : out_ + frame * width_;
  }
  /// Adds the copies to the array.
  void finish() {
    for (int64_t f = 0; f < nf_; ++f)
      for (int64_t c = 1; c < copies_; ++c) {
        const T* from = row(f, c);
        for (int64_t k = 0; k < width_; ++k) out_[f * width_ + k] += from[k];
      }
  }

 private:
  T* out_;
  int64_t nf_, copies_, width_;
  std::vector<T> extra_;
};

}  // namespace dptf
