#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "dptf/inline.h"

namespace dptf {

// Branch-free elementary functions that compilers vectorise inside loops. One definition serves training and
// inference: results must not depend on which of the two evaluated a model.

/// 1 / k!
template <typename T>
constexpr T inverse_factorial(int k) {
  T product = 1;
  for (int i = 2; i <= k; ++i) product *= static_cast<T>(i);
  return T(1) / product;
}

/// Sum of r^(k - First) / k! over k from First to Last. V: T, or a vector of them.
template <typename T, int First, int Last, typename V>
DPTF_INLINE V exp_terms(V r) {
  constexpr T factor = inverse_factorial<T>(First);
  if constexpr (First == Last)
    return V{} + factor;
  else
    return exp_terms<T, First + 1, Last>(r) * r + factor;
}

/// The numbers of exp(y) = 2^n exp(r) with y = n ln2 + r, |r| <= ln2 / 2.
template <typename T>
struct ExpNumbers;

template <>
struct ExpNumbers<double> {
  static constexpr double kRound =
      6755399441055744.0;  // 1.5 * 2^52: adding it rounds to an integer kept in the low bits
  static constexpr double kLog2e = 1.4426950408889634074, kLn2High = 6.93147180369123816490e-01,
                          kLn2Low = 1.90821492927058770002e-10, kLimit = 700.0;
  static constexpr int kBias = 1023, kShift = 52;
  static constexpr int kTerms = 13;  // relative error below 4e-16
};

template <>
struct ExpNumbers<float> {
  static constexpr float kRound = 12582912.0f;  // 1.5 * 2^23
  static constexpr float kLog2e = 1.44269504f, kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f,
                         kLimit = 87.0f;
  static constexpr int kBias = 127, kShift = 23;
  static constexpr int kTerms = 7;  // relative error below 1e-8
};

/// ... and exp(r) - 1 as a Taylor sum.
template <typename T>
struct ExpSeries : ExpNumbers<T> {
  template <typename V>
  static DPTF_INLINE_MEMBER V sum(V r) {
    return exp_terms<T, 2, ExpNumbers<T>::kTerms>(r) * r * r + r;
  }
};

/// exp(y) - 1 for 0 <= y <= 700, relative error below 4e-16: 2^n (exp(r) - 1) + (2^n - 1).
DPTF_INLINE double expm1_positive(double y) {
  using S = ExpSeries<double>;
  const double shifted = y * S::kLog2e + S::kRound;
  const double n = shifted - S::kRound;
  const double r = (y - n * S::kLn2High) - n * S::kLn2Low;
  int64_t bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  // The integer sits in the low bits; the magic constant's own bits leave by the shift.
  bits = (bits + S::kBias) << S::kShift;
  double scale;
  std::memcpy(&scale, &bits, sizeof scale);
  return scale * S::sum(r) + (scale - 1.0);
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
