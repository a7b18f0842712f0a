#pragma once

#include "dptf/env_element.h"
#include "dptf/env_mat.h"

namespace dptf {

/// Row of the environment matrix in a field of direction f: with p = d . f the vector d = p f + v has a part
/// along the field and a part v across it, and e = w(r) (p/r^2, v/r^2) for EnvRows::field, w(r) (1/r, p
/// f/r^2) for field_parallel, w(r) (1/r, v/r^2) for field_vertical. f is used as it is. Arguments as for
/// env_element.
template <EnvRows ROWS, typename T>
DPTF_ELEMENT void field_element(const T d[3], const T f[3], T rs, T rc, T range, T e[4], T de[12]) {
  env_element<1>(d, rs, rc, range, e, de);
  const T r2 = d[0] * d[0] + d[1] * d[1] + d[2] * d[2], r = std::sqrt(r2),
          p = d[0] * f[0] + d[1] * f[1] + d[2] * f[2];
  T w, dw;
  smooth_switch(r, rs, rc, range, &w, &dw);
  const T q = w / r2, dq = (dw / r - 2 * q) / r2;  // q and (1/r) dq/dr
  if constexpr (ROWS == EnvRows::field) {
    e[0] = q * p;
    for (int k = 0; k < 3; ++k) de[k] = -(dq * d[k] * p + q * f[k]);
  }
  for (int c = 0; c < 3; ++c) {
    const T u = ROWS == EnvRows::field_parallel ? p * f[c] : d[c] - p * f[c];
    e[1 + c] = q * u;
    for (int k = 0; k < 3; ++k) {
      const T du = ROWS == EnvRows::field_parallel ? f[k] * f[c] : (c == k ? T(1) : T(0)) - f[k] * f[c];
      de[3 * (1 + c) + k] = -(dq * d[k] * u + q * du);
    }
  }
}

}  // namespace dptf
