#include <algorithm>
#include <stdexcept>

#include "dptf/isa_dispatch.h"
#include "dptf/power.h"
#include "dptf/round_up.h"
#include "fused_sea_worker.h"

namespace dptf {

/// Packs the factors for the matrix kernel.
template <typename C>
void FusedSea<C>::make_factors() {
  const int64_t n = n_features(), nt = m_.ntypes;
  if (m_.factors.empty()) return;
  if (static_cast<int64_t>(m_.factors.size()) != nt * n * n)
    throw std::invalid_argument("the factors of the variance do not fit the fitting nets");
  int64_t group = 0, unit = 0;
  DPTF_ISA_CALL(gemm_panel<double>(&group, &unit));
  for (int64_t t = 0; t < nt; ++t) {
    factors_.emplace_back(n * round_up(n, unit));
    DPTF_ISA_CALL(gemm_pack(m_.factors.data() + t * n * n, n, n, false, factors_.back().data()));
  }
}

/// Notes the weights of the local neighbors of the atom in w.found, for the mean of variances.
template <typename C>
void FusedSea<C>::weigh_neighbors(const int* target, int64_t nloc, double* sum, Worker& w) const {
  const auto& f = w.found;
  const double scale = 1 / (m_.reach * m_.reach);
  for (int64_t k = 0; m_.reach > 0 && k < f.n; ++k) {
    const int64_t j = target ? target[f.index[k]] : f.index[k];
    if (j >= nloc) continue;
    const double x = f.x[k], y = f.y[k], z = f.z[k];
    const double weight = power(1 - std::min(1.0, (x * x + y * y + z * z) * scale), m_.exponent);
    *sum += weight;
    w.near.push_back({j, weight});
  }
  w.first_near.push_back(static_cast<int64_t>(w.near.size()));
}

/// The variances of a block of atoms, and what they add to the sums of their neighbors (weights are the same
/// both ways).
template <typename C>
void FusedSea<C>::add_variances(int ti, const int* atoms, int n, double* variance, bool mean,
                                Worker& w) const {
  const int64_t width = n_features(), own = fitting_[ti].features();
  int64_t group = 0, unit = 0;
  DPTF_ISA_CALL(gemm_panel<double>(&group, &unit));
  const int64_t rows = round_up(n, group), ld = round_up(width, unit);
  w.phi.assign(rows * ld, 0.0);
  w.white.resize(rows * ld);
  for (int b = 0; b < n; ++b) {
    const C* h = fitting_[ti].last_input(b, n, w.dense);
    std::copy(h, h + own, w.phi.begin() + b * ld);
  }
  DPTF_ISA_CALL(gemm(rows, width, w.phi.data(), ld, factors_[ti].data(), width, w.white.data(), ld));
  for (int b = 0; b < n; ++b) {
    double v = 0;
    for (int64_t k = 0; k < width; ++k) v += w.white[b * ld + k] * w.white[b * ld + k];
    variance[atoms[b]] = v;
    if (!mean) continue;
    w.mean[atoms[b]] += v;
    for (int64_t k = w.first_near[b]; k < w.first_near[b + 1]; ++k)
      w.mean[w.near[k].atom] += w.near[k].weight * v;
  }
}

#define DPTF_INSTANTIATE(C)                                                                \
  template void FusedSea<C>::make_factors();                                               \
  template void FusedSea<C>::weigh_neighbors(const int*, int64_t, double*, Worker&) const; \
  template void FusedSea<C>::add_variances(int, const int*, int, double*, bool, Worker&) const;
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace dptf
