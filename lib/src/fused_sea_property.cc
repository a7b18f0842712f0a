#include <algorithm>

#include "fused_sea_worker.h"

namespace dptf {

/// Properties of the atoms of a block, from what its fitting net gave; with factors also the seeds of the way
/// back through the net.
template <typename C>
void FusedSea<C>::evaluate_property(int ti, const int* atoms, int n, double* property,
                                    const double* cotangent, Worker& w) const {
  const DenseNet<C>& net = fitting_[ti];
  const int64_t m = width_, size = dim();
  int64_t distance = 0;
  C* const seeds = cotangent ? net.seeds(n, w.dense, &distance) : nullptr;
  std::vector<C>& q = w.rotated;  // S R, [width, 3]
  q.resize(3 * m);
  for (int b = 0; b < n; ++b) {
    const C *y = net.last_input(b, n, w.dense), *a = w.a.data() + b * 4 * stride_;
    const auto r = [&](int64_t k, int d) { return a[(1 + d) * stride_ + k]; };
    C value[9] = {};
    const double* factor = cotangent ? cotangent + atoms[b] * size : nullptr;
    C* seed = seeds ? seeds + b * distance : nullptr;
    if (m_.head == SeaHead::vector) {
      if (property) std::copy(y, y + size, property + atoms[b] * size);
      if (seed) std::copy(factor, factor + size, seed);
      continue;
    }
    const C scale = m_.head == SeaHead::dipole ? C(1) : static_cast<C>(m_.scale[ti]);
    if (m_.head == SeaHead::dipole) {
      for (int d = 0; d < 3; ++d)
        for (int64_t k = 0; k < m; ++k) value[d] += y[k] * r(k, d);
    } else {
      multiply_by_outputs(y, a, q.data());
      for (int d = 0; d < 3; ++d)
        for (int e = 0; e < 3; ++e) {
          C s = 0;
          for (int64_t k = 0; k < m; ++k) s += r(k, d) * q[e * m + k];
          value[3 * d + e] = scale * s + (d == e ? static_cast<C>(m_.shift[ti]) : C(0));
        }
    }
    if (property)
      for (int64_t c = 0; c < size; ++c) property[atoms[b] * size + c] = value[c];
    if (!seed) continue;
    C f[9] = {};
    for (int64_t c = 0; c < size; ++c) f[c] = scale * static_cast<C>(factor[c]);
    if (m_.head == SeaHead::dipole) {
      for (int d = 0; d < 3; ++d)
        for (int64_t k = 0; k < m; ++k) seed[k] += f[d] * r(k, d);
      continue;
    }
    // R F, then what multiplies an output: (R F R^T)_kl, symmetrised where Y is.
    for (int e = 0; e < 3; ++e)
      for (int64_t k = 0; k < m; ++k) q[e * m + k] = f[e] * r(k, 0) + f[3 + e] * r(k, 1) + f[6 + e] * r(k, 2);
    if (m_.head == SeaHead::polar_diagonal) {
      for (int e = 0; e < 3; ++e)
        for (int64_t k = 0; k < m; ++k) seed[k] += q[e * m + k] * r(k, e);
      continue;
    }
    for (int64_t k = 0; k < m; ++k)
      for (int e = 0; e < 3; ++e) {
        const C left = q[e * m + k], right = r(k, e);
        for (int64_t l = 0; l < m; ++l) seed[k * m + l] += left * r(l, e) + right * q[e * m + l];
      }
  }
}

/// q [3, width] := S R, S being diag(y) or Y + Y^T.
template <typename C>
void FusedSea<C>::multiply_by_outputs(const C* y, const C* a, C* q) const {
  const int64_t m = width_;
  if (m_.head == SeaHead::polar_diagonal) {
    for (int e = 0; e < 3; ++e)
      for (int64_t k = 0; k < m; ++k) q[e * m + k] = y[k] * a[(1 + e) * stride_ + k];
    return;
  }
  std::fill(q, q + 3 * m, C(0));
  for (int64_t k = 0; k < m; ++k)
    for (int e = 0; e < 3; ++e) {
      const C* r = a + (1 + e) * stride_;
      const C own = r[k];
      C s = 0;
      for (int64_t l = 0; l < m; ++l) {
        s += y[k * m + l] * r[l];
        q[e * m + l] += y[k * m + l] * own;
      }
      q[e * m + k] += s;
    }
}

/// Adds the way from a property to R that does not lead through the net.
template <typename C>
void FusedSea<C>::add_direct(int ti, int b, int n, const double* factor, Worker& w) const {
  if (m_.head == SeaHead::vector) return;
  const int64_t m = width_;
  const C *y = fitting_[ti].last_input(b, n, w.dense), *a = w.a.data() + b * 4 * stride_;
  const C scale = C(1) / static_cast<C>(nnei_);
  if (m_.head == SeaHead::dipole) {
    for (int d = 0; d < 3; ++d) {
      const C f = scale * static_cast<C>(factor[d]);
      C* da = w.da.data() + (1 + d) * stride_;
      for (int64_t k = 0; k < m; ++k) da[k] += f * y[k];
    }
    return;
  }
  std::vector<C>& q = w.rotated;
  multiply_by_outputs(y, a, q.data());
  for (int d = 0; d < 3; ++d) {
    C* da = w.da.data() + (1 + d) * stride_;
    for (int e = 0; e < 3; ++e) {
      const C f = scale * static_cast<C>(m_.scale[ti] * (factor[3 * d + e] + factor[3 * e + d]));
      for (int64_t k = 0; k < m; ++k) da[k] += f * q[e * m + k];
    }
  }
}

#define DPTF_INSTANTIATE(C)                                                                                  \
  template void FusedSea<C>::evaluate_property(int, const int*, int, double*, const double*, Worker&) const; \
  template void FusedSea<C>::add_direct(int, int, int, const double*, Worker&) const;
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace dptf
