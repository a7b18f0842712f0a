#pragma once

#include <cmath>
#include <cstdint>

#include "dptf/env_element.h"  // DPTF_ELEMENT

namespace dptf {

/// Where the intervals of a compression table lie: fine ones on [lower, upper), coarse ones up to max, and
/// with `symmetric` (three-body angles) coarse ones on [-max, lower) too. A row holds six coefficients a0..a5
/// of every channel.
template <typename T>
struct TableGrid {
  T lower = 0, upper = 1, max = 1, fine = 1, coarse = 1;
  int64_t rows = 0;
  bool symmetric = false;

  /// From the six numbers that graphs store: lower, upper, max, fine and coarse stride, check frequency.
  static TableGrid from_info(const T* info, int64_t rows, bool symmetric) {
    return {info[0], info[1], info[2], info[3], info[4], rows, symmetric};
  }
};

/// Row of the table for the argument x, and weights so that value = sum_p w[p] a_p and derivative = sum_p
/// v[p] a_p. Outside the table both ends go on as straight lines, so that value and derivative belong to one
/// function.
template <typename T>
DPTF_ELEMENT int64_t table_weights(const TableGrid<T>& g, T x, T w[6], T v[6]) {
  const int64_t n_left = g.symmetric ? static_cast<int64_t>((g.lower + g.max) / g.coarse) : 0;
  const int64_t n_fine = n_left + static_cast<int64_t>((g.upper - g.lower) / g.fine);
  const T first = g.symmetric ? -g.max : g.lower;
  int64_t k;
  T h, beyond = 0;
  if (x < first) {
    k = 0;
    h = 0;
    beyond = x - first;
  } else if (g.symmetric && x < g.lower) {
    k = static_cast<int64_t>((x - first) / g.coarse);
    h = x - first - static_cast<T>(k) * g.coarse;
  } else if (x < g.upper) {
    k = n_left + static_cast<int64_t>((x - g.lower) / g.fine);
    h = x - g.lower - static_cast<T>(k - n_left) * g.fine;
  } else {
    // The last interval is the one that ends at max; a number that is not finite stays so through `beyond`.
    const T inside = x < g.max ? x : std::nextafter(g.max, g.upper);
    k = n_fine + static_cast<int64_t>((inside - g.upper) / g.coarse);
    if (k > g.rows - 1) k = g.rows - 1;
    const T node = k < n_fine ? g.lower + static_cast<T>(k - n_left) * g.fine
                              : g.upper + static_cast<T>(k - n_fine) * g.coarse;
    h = (x < g.max ? x : g.max) - node;
    beyond = x < g.max ? T(0) : x - g.max;
  }
  if (k > g.rows - 1) k = g.rows - 1;
  if (k < 0) k = 0;
  T power = 1;
  for (int p = 0; p < 6; ++p) {
    w[p] = power;
    v[p] = p ? static_cast<T>(p) * w[p - 1] : T(0);
    power *= h;
  }
  for (int p = 1; p < 6; ++p) w[p] += beyond * v[p];
  return k;
}

}  // namespace dptf
