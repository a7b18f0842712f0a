#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "dptf/inline.h"

namespace dptf {

// Branch-free elementary functions that compilers vectorise inside loops. One definition serves training and
// inference: results must not depend on which of the two evaluated a model.

/// exp(y) - 1 for 0 <= y <= 700, relative error below 4e-16.
/// y = n ln2 + r with |r| <= ln2/2; exp(y) - 1 = 2^n (exp(r) - 1) + (2^n - 1), where the first factor is a
/// Taylor sum.
DPTF_INLINE double expm1_positive(double y) {
  constexpr double kRound =
      6755399441055744.0;  // 1.5 * 2^52: adding it rounds to an integer kept in the low bits
  const double shifted = y * 1.4426950408889634074 + kRound;
  const double n = shifted - kRound;
  const double r = (y - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10;
  double p = 1.0 / 6227020800.0;
  p = p * r + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  p = p * r * r + r;
  int64_t bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  bits = (bits + 1023)
         << 52;  // the integer sits in the low bits; the magic constant's own bits leave by the shift
  double scale;
  std::memcpy(&scale, &bits, sizeof scale);
  return scale * p + (scale - 1.0);
}

/// tanh(x), relative error below 1e-15 over the whole line.
DPTF_INLINE double tanh_vec(double x) {
  const double a = std::fabs(x) > 20.0 ? 20.0 : std::fabs(x);  // tanh(20) rounds to 1; NaN goes through
  const double e = expm1_positive(2.0 * a);
  const double t = e / (e + 2.0);
  return std::copysign(t, x);
}

DPTF_INLINE float tanh_vec(float x) { return static_cast<float>(tanh_vec(static_cast<double>(x))); }

}  // namespace dptf
