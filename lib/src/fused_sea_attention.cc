// Attention layers of FusedSea. What depends on a neighbor goes through the rows of its environment: the
// embedding through the first number, the weights of the attention through the direction and the switch.
#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "dptf/isa_dispatch.h"
#include "fused_sea_worker.h"

namespace dptf {

template <typename C>
void FusedSea<C>::make_attention() {
  const int64_t m = width_, h = m_.attention.hidden;
  for (const std::vector<double>& numbers : m_.attention.layers) {
    if (static_cast<int64_t>(numbers.size()) != 4 * m * h + 3 * h + 3 * m)
      throw std::invalid_argument("an attention layer does not fit the embedding net");
    const std::vector<C> all(numbers.begin(), numbers.end());
    const C* at = all.data();
    const auto next = [&](int64_t n) {
      at += n;
      return at - n;
    };
    AttentionWeights<C> w;
    for (int p = 0; p < 3; ++p) w.matrix[p] = next(m * h), w.bias[p] = next(h);
    w.out = next(h * m), w.out_bias = next(m), w.gamma = next(m), w.beta = next(m);
    attention_.emplace_back(w, m, h);
  }
}

/// a [4, stride] := sum over the neighbors of center b of the block of their rows and embeddings after the
/// layers.
template <typename C>
void FusedSea<C>::attend(int b, int64_t g0, int64_t base, C* a, Worker& w) const {
  auto& own = w.attended[b];
  const int64_t n = own.n = w.kept.n - base, m = width_, layers = static_cast<int64_t>(attention_.size());
  const SeaAttention& form = m_.attention;
  grow(own.g, (layers + 1) * n * m);
  grow(own.raw, n);
  grow(own.row, 4 * n);
  grow(own.f, 3 * n);
  grow(own.s, n);
  if (n == 0) return;
  if (static_cast<int64_t>(w.all.size()) < n) w.all.resize(n, 1);
  for (size_t g = g0; g < w.groups.size(); ++g) {
    const auto& group = w.groups[g];
    const int64_t at = group.begin - base;
    SeaGroup<C> run;
    run.n = group.n, run.center = group.center, run.inv_half = group.inv_half;
    for (int64_t k = at; k < at + group.n; ++k) {
      own.raw[k] = w.sorted[0][k];
      for (int c = 0; c < 4; ++c)
        own.row[c * n + k] = (w.sorted[c][k] - avg_[4 * group.pair + c]) * inv_std_[4 * group.pair + c];
    }
    DPTF_ISA_CALL(
        sea_embed<C>(run, own.row.data() + at, group.rows, functions_, m, stride_, own.g.data() + at * m));
  }
  const C floor = static_cast<C>(form.form.floor);
  for (int64_t k = 0; k < n; ++k) {
    const C u = 1 - static_cast<C>(form.switch_length) * own.raw[k];
    const C s = form.form.smooth ? std::min(std::max(1 - u * u * u, C(0)), C(1)) : C(1);
    own.s[k] = s;
    C r[3] = {1, 0, 0};
    if (form.directions) {
      for (int d = 0; d < 3; ++d) r[d] = own.row[(1 + d) * n + k];
      const C norm = 1 / std::sqrt(std::max(r[0] * r[0] + r[1] * r[1] + r[2] * r[2], floor));
      for (C& x : r) x *= norm;
    }
    for (int d = 0; d < 3; ++d) own.f[3 * k + d] = s * r[d];
  }
  AttentionRows<C> rows;
  rows.atoms = 1, rows.slots = n, rows.missing = nnei_ - n;
  rows.mask = reinterpret_cast<const bool*>(w.all.data());
  rows.f = own.f.data(), rows.s = own.s.data();
  const int64_t kept = attention_kept(form.form, attention_[0], rows);
  grow(own.kept, layers * kept);
  for (int64_t l = 0; l < layers; ++l) {
    rows.g = own.g.data() + l * n * m, rows.kept = own.kept.data() + l * kept;
    attention(form.form, attention_[l], rows, own.g.data() + (l + 1) * n * m, serial_for);
  }
  const C* g = own.g.data() + layers * n * m;
  for (int64_t k = 0; k < n; ++k, g += m)
    for (int c = 0; c < 4; ++c) {
      const C r = own.row[c * n + k];
      C* __restrict to = a + c * stride_;
      for (int64_t i = 0; i < m; ++i) to[i] += r * g[i];
    }
}

/// Adjoints of the rows before normalisation, in w.drow, from that of a.
template <typename C>
void FusedSea<C>::attend_back(int b, int64_t g0, int64_t n_groups, const C* da, Worker& w) const {
  auto& own = w.attended[b];
  const int64_t n = own.n, m = width_, layers = static_cast<int64_t>(attention_.size()), ld = n + kSeaSlack;
  const SeaAttention& form = m_.attention;
  grow(w.drow, 4 * ld);
  grow(w.slope, n);
  for (int k = 0; k < 2; ++k) {
    grow(w.dg[k], n * m);
    grow(w.df[k], 3 * n);
    grow(w.ds[k], n);
  }
  if (n == 0) return;
  const C* g = own.g.data() + layers * n * m;
  C* dg = w.dg[0].data();
  for (int64_t k = 0; k < n; ++k, g += m) {
    C* __restrict to = dg + k * m;
    std::fill_n(to, m, C(0));
    for (int c = 0; c < 4; ++c) {
      const C* __restrict d = da + c * stride_;
      const C r = own.row[c * n + k];
      C s = 0;
      for (int64_t i = 0; i < m; ++i) {
        to[i] += r * d[i];
        s += g[i] * d[i];
      }
      w.drow[c * ld + k] = s;
    }
  }
  AttentionRows<C> rows;
  rows.atoms = 1, rows.slots = n, rows.missing = nnei_ - n;
  rows.mask = reinterpret_cast<const bool*>(w.all.data());
  rows.f = own.f.data(), rows.s = own.s.data();
  const int64_t kept = attention_kept(form.form, attention_[0], rows);
  std::fill_n(w.df[0].data(), 3 * n, C(0));
  std::fill_n(w.ds[0].data(), n, C(0));
  for (int64_t l = layers - 1; l >= 0; --l) {
    rows.g = own.g.data() + l * n * m, rows.kept = own.kept.data() + l * kept;
    AttentionRowsOf<C> grad;
    grad.g = w.dg[1].data(), grad.f = w.df[1].data(), grad.s = w.ds[1].data();
    attention_grad(form.form, attention_[l], rows, w.dg[0].data(), grad, serial_for);
    std::swap(w.dg[0], w.dg[1]);
    for (int64_t k = 0; k < 3 * n; ++k) w.df[0][k] += w.df[1][k];
    for (int64_t k = 0; k < n && form.form.smooth; ++k) w.ds[0][k] += w.ds[1][k];
  }
  const int64_t base = w.groups[g0].begin;
  for (int64_t j = g0; j < g0 + n_groups; ++j) {
    const auto& group = w.groups[j];
    const int64_t at = group.begin - base;
    SeaGroup<C> run;
    run.n = group.n, run.center = group.center, run.inv_half = group.inv_half;
    DPTF_ISA_CALL(sea_embed_slope<C>(run, own.row.data() + at, group.rows, functions_, m, stride_,
                                     w.dg[0].data() + at * m, w.slope.data() + at));
  }
  const C floor = static_cast<C>(form.form.floor), length = static_cast<C>(form.switch_length);
  for (int64_t j = g0; j < g0 + n_groups; ++j)
    for (int64_t k = w.groups[j].begin - base, last = k + w.groups[j].n; k < last; ++k) {
      const C *df = &w.df[0][3 * k], *inv_std = &inv_std_[4 * w.groups[j].pair];
      w.drow[k] += w.slope[k];
      C n_bar = df[0];  // of the switch through f
      if (form.directions) {
        C r[3], square = 0;
        for (int d = 0; d < 3; ++d) r[d] = own.row[(1 + d) * n + k], square += r[d] * r[d];
        const C inverse = 1 / std::sqrt(std::max(square, floor));
        n_bar = 0;
        for (int d = 0; d < 3; ++d) r[d] *= inverse, n_bar += r[d] * df[d];
        const C along = square >= floor ? n_bar : C(0);
        for (int d = 0; d < 3; ++d) w.drow[(1 + d) * ld + k] += own.s[k] * inverse * (df[d] - along * r[d]);
      }
      for (int c = 0; c < 4; ++c) w.drow[c * ld + k] *= inv_std[c];
      if (!form.form.smooth) continue;
      const C u = 1 - length * own.raw[k];
      if (u >= 0 && u <= 1) w.drow[k] += (w.ds[0][k] + n_bar) * 3 * length * u * u;
    }
}

#define DPTF_INSTANTIATE(C)                                                    \
  template void FusedSea<C>::make_attention();                                 \
  template void FusedSea<C>::attend(int, int64_t, int64_t, C*, Worker&) const; \
  template void FusedSea<C>::attend_back(int, int64_t, int64_t, const C*, Worker&) const;
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace dptf
