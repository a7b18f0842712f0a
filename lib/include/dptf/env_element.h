#pragma once

#include <cmath>

#ifdef __CUDACC__
#define DPTF_ELEMENT __host__ __device__ inline
#define DPTF_MEMBER __host__ __device__ inline
#else
#include "dptf/inline.h"
#define DPTF_ELEMENT DPTF_INLINE
#define DPTF_MEMBER inline
#endif

namespace dptf {

/// Switch of the smooth edition: 1 below rs, 0 from rc on, u^3 (-6 u^2 + 15 u - 10) + 1 with u = (r - rs) /
/// (rc - rs) between. dw is its derivative in r. Close to rc nearly everything cancels, and models that
/// normalise the rows show the rounding of the rest: the order of the products is that of the public kernels.
template <typename T>
DPTF_ELEMENT void smooth_switch(T r, T rs, T rc, T range, T* w, T* dw) {
  if (r < rs) {
    *w = 1;
    *dw = 0;
  } else if (r < rc) {
    const T u = (r - rs) / range, u3 = u * u * u, q = -6 * u * u + 15 * u - 10;
    *w = u3 * q + 1;
    *dw = (3 * u * u * q + u3 * (15 - 12 * u)) / range;
  } else {
    *w = 0;
    *dw = 0;
  }
}

/// Row of the environment matrix for the vector d from center to neighbor: e = w(r) (1/r, x/r^2, y/r^2,
/// z/r^2), and de[c][k] = derivative of e[c] in the position k of the center (the neighbor has the opposite
/// sign). The first component alone is the row of the radial descriptor. `range` is rc - rs as formed in
/// float32 (the op attributes are).
template <int NCOMP, typename T>
DPTF_ELEMENT void env_element(const T d[3], T rs, T rc, T range, T e[NCOMP], T de[NCOMP * 3]) {
  const T r2 = d[0] * d[0] + d[1] * d[1] + d[2] * d[2], inv = 1 / std::sqrt(r2), r = r2 * inv,
          inv2 = inv * inv;
  T w, dw;
  smooth_switch(r, rs, rc, range, &w, &dw);
  e[0] = w * inv;
  const T s0 = (w * inv - dw) * inv2;  // -(1/r) d(w/r)/dr
  for (int k = 0; k < 3; ++k) de[k] = s0 * d[k];
  if constexpr (NCOMP == 4) {
    const T s1 = (2 * w * inv - dw) * inv2 * inv;  // -(1/r) d(w/r^2)/dr
    for (int c = 0; c < 3; ++c) {
      e[1 + c] = w * inv2 * d[c];
      for (int k = 0; k < 3; ++k) de[3 * (1 + c) + k] = s1 * d[c] * d[k] - (c == k ? w * inv2 : T(0));
    }
  }
}

}  // namespace dptf
