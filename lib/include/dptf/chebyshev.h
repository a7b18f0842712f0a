#pragma once

#include "dptf/env_element.h"  // DPTF_ELEMENT

namespace dptf {

/// Terms of a piece: a polynomial on t in [-1, 1] as sum_k c_k T_k(t), or given by its values at as many
/// nodes.
constexpr int kTerms = 16;

/// Node q of a piece (zeros of T_16, from right to left).
DPTF_ELEMENT double chebyshev_node(int q) { return std::cos(3.14159265358979323846 * (q + 0.5) / kTerms); }

/// Weight of the value at node q in coefficient k: c_k = sum_q chebyshev_transform(k, q) f(t_q).
DPTF_ELEMENT double chebyshev_transform(int k, int q) {
  return std::cos(3.14159265358979323846 * k * (q + 0.5) / kTerms) * (k ? 2.0 : 1.0) / kTerms;
}

/// Weights of the node values in the polynomial at t (order 0) or in its slope in t (order 1).
template <typename T>
DPTF_ELEMENT void chebyshev_weights(T t, int order, T w[kTerms]) {
  for (int q = 0; q < kTerms; ++q) w[q] = order ? T(0) : static_cast<T>(chebyshev_transform(0, q));
  T before = 1, now = t, slope_before = 0, slope = 1;
  for (int k = 1; k < kTerms; ++k) {
    for (int q = 0; q < kTerms; ++q)
      w[q] += static_cast<T>(chebyshev_transform(k, q)) * (order ? slope : now);
    const T next = 2 * t * now - before, slope_next = 2 * now + 2 * t * slope - slope_before;
    before = now, now = next, slope_before = slope, slope = slope_next;
  }
}

}  // namespace dptf
