#pragma once

#include "dptf/env_element.h"  // DPTF_ELEMENT

namespace dptf {

/// Weights of a quintic Hermite piece: with node data (value, first and second derivative in x) at both ends
/// of an interval of width h, f(x) = sum_q w[q] y_q, q running over (y, y', y'') of the left node and then of
/// the right one. t = (x - x_left) / h. `order` selects the weights of f (0), df/dx (1) or d2f/dx2 (2).
template <typename T>
DPTF_ELEMENT void hermite_weights(T t, T h, int order, T w[6]) {
  const T s = 1 - t;
  if (order == 0) {
    const T t3 = t * t * t, s3 = s * s * s;
    w[0] = s3 * (1 + t * (3 + 6 * t));
    w[1] = h * s3 * t * (1 + 3 * t);
    w[2] = h * h * T(0.5) * s3 * t * t;
    w[3] = t3 * (1 + s * (3 + 6 * s));
    w[4] = -h * t3 * s * (1 + 3 * s);
    w[5] = h * h * T(0.5) * t3 * s * s;
  } else if (order == 1) {
    const T t2 = t * t, s2 = s * s, b = 30 * t2 * s2 / h;
    w[0] = -b;
    w[1] = s2 * (1 + t * (2 - 15 * t));
    w[2] = h * T(0.5) * t * s2 * (2 - 5 * t);
    w[3] = b;
    w[4] = t2 * (1 + s * (2 - 15 * s));
    w[5] = -h * T(0.5) * s * t2 * (2 - 5 * s);
  } else {
    const T b = 60 * t * s * (1 - 2 * t) / (h * h);
    w[0] = -b;
    w[1] = -12 * t * s * (3 - 5 * t) / h;
    w[2] = s * (1 + t * (-8 + 10 * t));
    w[3] = b;
    w[4] = 12 * t * s * (3 - 5 * s) / h;
    w[5] = t * (1 + s * (-8 + 10 * s));
  }
}

}  // namespace dptf
