#include <algorithm>

#include "dptf/isa_dispatch.h"
#include "fused_sea_worker.h"

namespace dptf {

namespace {

/// How far beyond its end (in bins) a table is used: rounding of arguments at the cutoff.
constexpr double kBinMargin = 1e-6;

}  // namespace

/// Beyond sel the farthest are left out, ranked as everywhere else.
template <typename C>
void FusedSea<C>::limit_to_sel(const double* coord, int i, const int* type, Worker& w) {
  auto& f = w.found;
  auto& count = w.n_of_type;
  w.ranked.clear();
  const bool mixed = m_.mixed_sel > 0;
  for (int64_t k = 0; k < f.n; ++k)
    w.ranked.push_back(
        {mixed ? 0 : type[f.index[k]],
         rank_distance(coord + 3 * static_cast<int64_t>(f.index[k]), coord + 3 * static_cast<int64_t>(i)),
         f.index[k], static_cast<int>(k)});
  std::sort(w.ranked.begin(), w.ranked.end());
  std::fill(count.begin(), count.end(), 0);
  const auto all = f;
  f.n = 0;
  for (const RankedNeighbor& c : w.ranked) {
    if (count[c.type] >= (mixed ? m_.mixed_sel : m_.sel[c.type])) {
      ++w.lost;
      continue;
    }
    ++count[c.type];
    f.x[f.n] = all.x[c.place];
    f.y[f.n] = all.y[c.place];
    f.z[f.n] = all.z[c.place];
    f.index[f.n] = c.index;
    f.type[f.n++] = type[c.index];
  }
}

/// Orders w.found by type and piece of the table and appends it to the block. A neighbor outside of its table
/// is a group by itself, with an exact piece.
template <typename C>
void FusedSea<C>::sort_into_groups(int ti, Worker& w) {
  const int nt = m_.ntypes;
  auto& f = w.found;
  auto& kept = w.kept;
  SeaScratch<C> rows;
  for (int c = 0; c < 4; ++c) rows.a[c] = f.e[c].data();
  DPTF_ISA_CALL(sea_rows<C>(f.n, f.x.data(), f.y.data(), f.z.data(), static_cast<C>(m_.rcut_smth),
                            static_cast<C>(m_.rcut), static_cast<C>(m_.rcut - m_.rcut_smth), rows));
  // Key: the piece, counted over the tables of this center's types; outside: -2; excluded pair: -1.
  const int64_t n_keys = first_piece_[static_cast<size_t>(ti + 1) * (nt + 1) - 1];
  const int64_t* first = &first_piece_[static_cast<size_t>(ti) * (nt + 1)];
  w.counts.assign(n_keys + 1, 0);
  for (int64_t k = 0; k < f.n; ++k) {
    const int p = ti * nt + f.type[k];
    const Lookup& l = lookup_[p];
    if (!l.piece_of) {
      f.key[k] = -1;
      continue;
    }
    const double x = static_cast<double>((f.e[0][k] - avg_[4 * p]) * inv_std_[4 * p]),
                 u = (x - l.x0) * l.inv_bin;
    if (!(u >= -kBinMargin && u <= static_cast<double>(l.bins) + kBinMargin)) {
      f.key[k] = -2;
      continue;
    }
    const int64_t bin = std::min<int64_t>(static_cast<int64_t>(u), l.bins - 1);
    int piece = l.piece_of[bin];
    if (piece < 0) {
      f.key[k] = -2;
      continue;
    }
    if (l.ends)
      while (piece + 1 < l.pieces && x > l.ends[piece]) ++piece;
    f.key[k] = static_cast<int>(first[f.type[k]] + piece);
    ++w.counts[f.key[k] + 1];
  }
  const int64_t base = kept.n;
  for (auto* v : {&kept.x, &kept.y, &kept.z}) grow(*v, base + f.n);
  grow(kept.index, base + f.n);
  for (auto& v : w.sorted) grow(v, f.n);
  for (int tj = 0; tj < nt; ++tj) {
    const int p = ti * nt + tj;
    if (m_.net_of[p] < 0) continue;
    const EmbedTable<C>& table = tables_[m_.net_of[p]];
    for (int64_t key = first[tj]; key < first[tj + 1]; ++key) {
      const int64_t begin = w.counts[key], n = w.counts[key + 1];
      w.counts[key + 1] += begin;
      if (n == 0) continue;
      const int64_t piece = key - first[tj];
      const int64_t at = piece * kBasis * stride_;
      w.groups.push_back({p, table.rows.data() + at, table.columns.data() + at, table.center[piece],
                          table.inv_half[piece], base + begin, n});
    }
  }
  int64_t inside = w.counts[n_keys];
  for (int64_t k = 0; k < f.n; ++k) {
    if (f.key[k] == -1) continue;
    int64_t to;
    if (f.key[k] >= 0) {
      to = w.counts[f.key[k]]++;
    } else {
      to = inside++;
      const int p = ti * nt + f.type[k];
      if (w.n_exact == w.exact.size())
        w.exact.push_back(std::make_unique<AlignedVector<C>>(2 * kBasis * stride_));
      C* piece = w.exact[w.n_exact++]->data();
      const C x = (f.e[0][k] - avg_[4 * p]) * inv_std_[4 * p];
      tables_[m_.net_of[p]].exact_piece(x, piece, piece + kBasis * stride_);
      w.groups.push_back({p, piece, piece + kBasis * stride_, x, C(1), base + to, 1});
    }
    kept.x[base + to] = f.x[k];
    kept.y[base + to] = f.y[k];
    kept.z[base + to] = f.z[k];
    kept.index[base + to] = f.index[k];
    for (int c = 0; c < 4; ++c) w.sorted[c][to] = f.e[c][k];
  }
  kept.n = base + inside;
}

#define DPTF_INSTANTIATE(C)                                                         \
  template void FusedSea<C>::limit_to_sel(const double*, int, const int*, Worker&); \
  template void FusedSea<C>::sort_into_groups(int, Worker&);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace dptf
