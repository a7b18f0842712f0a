#pragma once

#include "dptf/env_element.h"

namespace dptf {

/// t := sum over the components of one slot of g D, the force that the slot puts on its neighbor.
template <int NCOMP, typename T>
DPTF_ELEMENT void slot_force(const T* g, const T* d, T t[3]) {
  if constexpr (NCOMP == 3) {
    for (int x = 0; x < 3; ++x) t[x] = -g[x];
  } else {
    for (int x = 0; x < 3; ++x) t[x] = 0;
    for (int c = 0; c < NCOMP; ++c)
      for (int x = 0; x < 3; ++x) t[x] += g[c] * d[3 * c + x];
  }
}

/// Adjoint of slot_force: out[c] = sum over x of d[c, x] t[x].
template <typename T>
DPTF_ELEMENT void slot_adjoint(int ncomp, const T t[3], const T* d, T* out) {
  if (!d) {
    for (int x = 0; x < 3; ++x) out[x] = -t[x];
    return;
  }
  for (int c = 0; c < ncomp; ++c) out[c] = t[0] * d[3 * c] + t[1] * d[3 * c + 1] + t[2] * d[3 * c + 2];
}

/// Normalised row of a slot and its derivative from those of the environment element; a virtual center has
/// zeros.
template <int NCOMP, typename T>
DPTF_ELEMENT void normalise_slot(bool real_center, const T e[NCOMP], const T de[NCOMP * 3], const T* avg,
                                 const T* dev, T* em, T* deriv) {
  for (int c = 0; c < NCOMP; ++c) {
    em[c] = real_center ? (e[c] - avg[c]) / dev[c] : T(0);
    for (int x = 0; x < 3; ++x) deriv[3 * c + x] = real_center ? de[3 * c + x] / dev[c] : T(0);
  }
}

}  // namespace dptf
