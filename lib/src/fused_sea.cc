#include "dptf/fused_sea.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "dptf/env_element.h"
#include "dptf/fused_sea_kernels.h"
#include "dptf/isa_dispatch.h"
#include "dptf/neighbor_rank.h"

namespace dptf {

namespace {

/// Centers whose fitting nets are evaluated together. Their descriptors, contractions and neighbors fit the
/// second-level cache, and the matrix kernel sees enough rows.
constexpr int kBlock = 32;
/// Tables: relative error of value and slope. A stored table carries rounding of its own, which divided by
/// the length of its pieces is in the slope; wide pieces do without it.
struct Tolerance {
  double value, slope;
};
template <typename C>
Tolerance tolerance(bool stored) {
  if (std::is_same_v<C, double>) return stored ? Tolerance{1e-13, 2e-11} : Tolerance{1e-14, 3e-13};
  return stored ? Tolerance{3e-7, 2e-5} : Tolerance{3e-8, 3e-7};
}
/// Beyond this error a net is not tabulated.
template <typename C>
constexpr double kTableLimit = std::is_same_v<C, double> ? 3e-11 : 2e-5;
constexpr int64_t kMaxBins = 2048;
/// How far beyond its end (in bins) a table is used: rounding of arguments at the cutoff.
constexpr double kBinMargin = 1e-6;

/// Arrays that start at cache lines, with room for a vector behind each.
template <typename C>
void grow(AlignedVector<C>& v, int64_t n) {
  if (static_cast<int64_t>(v.size()) < n + kSeaSlack) v.resize(n + n / 4 + 2 * kSeaSlack);
}
template <typename C>
void grow(std::vector<C>& v, int64_t n) {
  if (static_cast<int64_t>(v.size()) < n) v.resize(n + n / 4 + 16);
}

}  // namespace

/// Everything one thread needs, kept between calls.
template <typename C>
struct FusedSea<C>::Worker {
  // Neighbors of one center, as they are found.
  struct Found {
    AlignedVector<C> x, y, z, e[4];
    std::vector<int> index, type, key;
    int64_t n = 0;
  } found;
  // Neighbors of the block, by center and group.
  struct Kept {
    AlignedVector<C> x, y, z;
    std::vector<int> index;
    int64_t n = 0;
  } kept;
  struct Group {
    int pair;  // of types
    const C *rows, *columns;
    C center, inv_half;
    int64_t begin, n;  // places in `kept`
  };
  std::vector<Group> groups;
  std::vector<int64_t> first_group, counts, n_of_type;
  std::vector<RankedNeighbor> ranked;
  AlignedVector<C> sorted[4];  // rows of one center
  AlignedVector<C> a, x, da, square, moments, scratch, pair_force;
  std::vector<const C*> pieces;
  std::vector<std::unique_ptr<AlignedVector<C>>> exact;  // pieces of neighbors outside of the tables
  size_t n_exact = 0;
  std::vector<C> y;
  typename DenseNet<C>::Workspace dense;
  std::vector<double> force, atom_virial;
  double virial[9];
  int64_t lost = 0, bad = -1;

  // Of the frame; one worker keeps them for all.
  struct Block {
    int type, begin, n;  // places in `order`
  };
  std::vector<Block> blocks;
  std::vector<int> order;  // local atoms by type
  std::vector<double> energies, wide;
  std::vector<int64_t> row_of;
};

/// One frame as the blocks see it.
template <typename C>
template <typename T>
struct FusedSea<C>::Frame {
  int64_t nloc = 0, n_targets = 0, index = 0;
  const double* coord = nullptr;
  const int* type = nullptr;
  const int* target = nullptr;  // nullptr: the index itself
  const T *fparam = nullptr, *aparam = nullptr;
  T* atom_energy = nullptr;
  bool want_force = false, want_atom_virial = false;
  std::vector<double>* energies = nullptr;
  double* features = nullptr;
};

template <typename C>
FusedSea<C>::FusedSea(const SeaModel& model) : m_(model) {
  for (int s : m_.sel) nnei_ += s;
  if (m_.nets.empty() || !nnei_)
    throw std::invalid_argument("the model has no embedding net or no neighbor slot");
  width_ = m_.nets[0].width();
  packed_ = sea_packed_size(width_, m_.axis);
  dim_fparam_ = static_cast<int64_t>(m_.fparam_avg.size());
  dim_aparam_ = static_cast<int64_t>(m_.aparam_avg.size());
  const int nt = m_.ntypes;
  avg_.resize(nt * nt * 4);
  inv_std_.resize(nt * nt * 4);
  for (size_t k = 0; k < avg_.size(); ++k) {
    avg_[k] = static_cast<C>(m_.davg[k]);
    inv_std_[k] = static_cast<C>(1 / m_.dstd[k]);
  }
  // A net is tabulated over the arguments of all pairs that use it: from the empty slot (or the cutoff) to
  // the closest pair.
  for (size_t net = 0; net < m_.nets.size(); ++net) {
    double low = std::numeric_limits<double>::max(), high = std::numeric_limits<double>::lowest();
    for (int p = 0; p < nt * nt; ++p) {
      if (m_.net_of[p] != static_cast<int>(net)) continue;
      low = std::min(low, (0 - m_.davg[4 * p]) / m_.dstd[4 * p]);
      high = std::max(high, (1 / m_.min_distance - m_.davg[4 * p]) / m_.dstd[4 * p]);
    }
    if (low > high) low = 0, high = 1;  // every pair that would use it is excluded
    const Tolerance t = tolerance<C>(m_.nets[net].is_stored());
    tables_.push_back(embed_table<C>(m_.nets[net], low, high, t.value, t.slope, kMaxBins));
  }
  if (table_error() > kTableLimit<C>)
    throw std::invalid_argument("the embedding nets cannot be tabulated (relative error " +
                                std::to_string(1e9 * table_error()) + "e-9); they are not smooth enough");
  stride_ = tables_[0].stride;
  lookup_.resize(nt * nt);
  for (int ti = 0; ti < nt; ++ti) {
    first_piece_.push_back(0);
    for (int tj = 0; tj < nt; ++tj) {
      const int net = m_.net_of[ti * nt + tj];
      first_piece_.push_back(first_piece_.back() +
                             (net < 0 ? 0 : static_cast<int64_t>(tables_[net].center.size())));
      if (net < 0) continue;
      const EmbedTable<C>& t = tables_[net];
      lookup_[ti * nt + tj] = {t.piece_of.data(), static_cast<int64_t>(t.piece_of.size()), t.x0, 1 / t.bin};
    }
  }
  pads_.resize(nt * nt);
  AlignedVector<C> piece(2 * kBasis * stride_);
  for (int p = 0; p < nt * nt; ++p) {
    if (m_.net_of[p] < 0) continue;
    pads_[p].a.assign(4 * stride_, C(0));
    const EmbedTable<C>& table = tables_[m_.net_of[p]];
    table.exact_piece(-avg_[4 * p] * inv_std_[4 * p], piece.data(), piece.data() + kBasis * stride_);
    for (int c = 0; c < 4; ++c) {
      const C r = -avg_[4 * p + c] * inv_std_[4 * p + c];
      for (int64_t k = 0; k < stride_; ++k) pads_[p].a[c * stride_ + k] = r * piece[k];
      pads_[p].used = pads_[p].used || r != 0;
    }
  }
  // The first layer sees D in packed form: the rows of the two equal entries (i, k) and (k, i) are added.
  for (const auto& net : m_.fitting) {
    std::vector<DenseLayerWeights<C>> layers;
    for (size_t k = 0; k < net.size(); ++k) {
      const auto& w = net[k];
      DenseLayerWeights<C> out;
      out.n_in = w.n_in;
      out.n_out = w.n_out;
      out.activation = w.activation;
      out.residual = w.residual;
      out.bias.assign(w.bias.begin(), w.bias.end());
      out.idt.assign(w.idt.begin(), w.idt.end());
      if (k > 0) {
        out.matrix.assign(w.matrix.begin(), w.matrix.end());
      } else {
        const int64_t extra = dim_fparam_ + dim_aparam_, n = w.n_out;
        if (w.n_in != width_ * m_.axis + extra)
          throw std::invalid_argument("the fitting net does not fit the descriptor");
        const auto row = [&](int64_t r) { return w.matrix.data() + r * n; };
        for (int64_t j = 0; j < m_.axis; ++j)
          for (int64_t i = j; i < width_; ++i)
            for (int64_t c = 0; c < n; ++c) {
              double v = row(i * m_.axis + j)[c];
              if (i < m_.axis && i != j) v += row(j * m_.axis + i)[c];
              out.matrix.push_back(static_cast<C>(v));
            }
        for (int64_t r = width_ * m_.axis; r < w.n_in; ++r)
          for (int64_t c = 0; c < n; ++c) out.matrix.push_back(static_cast<C>(row(r)[c]));
        out.n_in = packed_ + extra;
        out.residual = false;
        if (w.residual) throw std::invalid_argument("a residual around the first fitting layer is not known");
      }
      layers.push_back(std::move(out));
    }
    fitting_.emplace_back(layers);
  }
}

template <typename C>
FusedSea<C>::~FusedSea() = default;

template <typename C>
double FusedSea<C>::table_error() const {
  double out = 0;
  for (const auto& t : tables_) out = std::max(out, t.error);
  return out;
}

template <typename C>
int64_t FusedSea<C>::table_bytes() const {
  int64_t out = 0;
  for (const auto& t : tables_) out += static_cast<int64_t>(2 * t.rows.size() * sizeof(C));
  return out;
}

template <typename C>
std::unique_ptr<typename FusedSea<C>::Worker> FusedSea<C>::borrow() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (idle_.empty()) return std::make_unique<Worker>();
  auto out = std::move(idle_.back());
  idle_.pop_back();
  return out;
}

template <typename C>
void FusedSea<C>::give_back(std::unique_ptr<Worker> w) {
  const std::lock_guard<std::mutex> lock(mutex_);
  idle_.push_back(std::move(w));
}

/// Neighbors of atom i within the cutoff into w.found; farther ones than sel has slots for are left out.
template <typename C>
template <typename T, typename Visit>
void FusedSea<C>::gather(const Frame<T>& frame, int i, int ti, const Visit& visit, Worker& w) {
  auto& f = w.found;
  const double* ri = frame.coord + 3 * static_cast<int64_t>(i);
  const double rc2 = static_cast<double>(m_.rcut) * m_.rcut;
  int64_t room = static_cast<int64_t>(f.index.size());
  int64_t n = 0;
  visit(i, [&](int j) {
    if (n == room) {
      room = 2 * room + 64;
      f.index.resize(room);
      f.type.resize(room);
      f.key.resize(room);
      for (auto* v : {&f.x, &f.y, &f.z, &f.e[0], &f.e[1], &f.e[2], &f.e[3]}) v->resize(room + kSeaSlack);
    }
    const double* rj = frame.coord + 3 * static_cast<int64_t>(j);
    const double d[3] = {rj[0] - ri[0], rj[1] - ri[1], rj[2] - ri[2]};
    f.x[n] = static_cast<C>(d[0]);
    f.y[n] = static_cast<C>(d[1]);
    f.z[n] = static_cast<C>(d[2]);
    f.index[n] = j;
    f.type[n] = frame.type[j];
    n += d[0] * d[0] + d[1] * d[1] + d[2] * d[2] < rc2 && frame.type[j] >= 0 && j != i;
  });
  f.n = n;
  const int nt = m_.ntypes;
  w.n_of_type.assign(nt, 0);
  for (int64_t k = 0; k < n; ++k) ++w.n_of_type[f.type[k]];
  for (int t = 0; t < nt; ++t)
    if (w.n_of_type[t] > m_.sel[t]) {
      limit_to_sel(frame.coord, i, frame.type, w);
      break;
    }
  sort_into_groups(ti, w);
}

/// Beyond sel the farthest are left out, ranked as everywhere else.
template <typename C>
void FusedSea<C>::limit_to_sel(const double* coord, int i, const int* type, Worker& w) {
  auto& f = w.found;
  auto& count = w.n_of_type;
  w.ranked.clear();
  for (int64_t k = 0; k < f.n; ++k)
    w.ranked.push_back(
        {type[f.index[k]],
         rank_distance(coord + 3 * static_cast<int64_t>(f.index[k]), coord + 3 * static_cast<int64_t>(i)),
         f.index[k], static_cast<int>(k)});
  std::sort(w.ranked.begin(), w.ranked.end());
  std::fill(count.begin(), count.end(), 0);
  const auto all = f;
  f.n = 0;
  for (const RankedNeighbor& c : w.ranked) {
    if (count[c.type] >= m_.sel[c.type]) {
      ++w.lost;
      continue;
    }
    ++count[c.type];
    f.x[f.n] = all.x[c.place];
    f.y[f.n] = all.y[c.place];
    f.z[f.n] = all.z[c.place];
    f.index[f.n] = c.index;
    f.type[f.n++] = c.type;
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
    const double u = (static_cast<double>((f.e[0][k] - avg_[4 * p]) * inv_std_[4 * p]) - l.x0) * l.inv_bin;
    if (!(u >= -kBinMargin && u <= static_cast<double>(l.bins) + kBinMargin)) {
      f.key[k] = -2;
      continue;
    }
    const int64_t bin = std::min<int64_t>(static_cast<int64_t>(u), l.bins - 1);
    f.key[k] = static_cast<int>(first[f.type[k]] + l.piece_of[bin]);
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

template <typename C>
template <typename T, typename Visit>
void FusedSea<C>::block(const Frame<T>& frame, int ti, const int* atoms, int n, const Visit& visit,
                        Worker& w) {
  const int nt = m_.ntypes;
  const C scale = C(1) / static_cast<C>(nnei_);
  const DenseNet<C>& net = fitting_[ti];
  const int64_t ldx = net.row_stride(), a_size = 4 * stride_;
  const int rows = static_cast<int>((n + net.row_group() - 1) / net.row_group() * net.row_group());
  if (static_cast<int64_t>(w.x.size()) < rows * ldx) w.x.assign((kBlock + 16) * ldx + kSeaSlack, C(0));
  if (static_cast<int64_t>(w.a.size()) < kBlock * a_size) w.a.assign(kBlock * a_size + kSeaSlack, C(0));
  w.da.resize(a_size + kSeaSlack);
  w.square.resize(m_.axis * (m_.axis + kSeaSlack));
  w.y.resize(kBlock + 16);
  w.kept.n = 0;
  w.groups.clear();
  w.n_exact = 0;
  w.first_group.assign(1, 0);

  SeaScratch<C> scratch;
  const auto make_group = [&](const typename Worker::Group& g) {
    SeaGroup<C> out;
    out.n = g.n;
    out.x = w.kept.x.data() + g.begin;
    out.y = w.kept.y.data() + g.begin;
    out.z = w.kept.z.data() + g.begin;
    out.row.rs = static_cast<C>(m_.rcut_smth);
    out.row.rc = static_cast<C>(m_.rcut);
    out.row.range = static_cast<C>(m_.rcut - m_.rcut_smth);
    out.row.avg = &avg_[4 * g.pair];
    out.row.inv_std = &inv_std_[4 * g.pair];
    out.center = g.center;
    out.inv_half = g.inv_half;
    const int64_t room = (g.n + 2 * kSeaSlack - 1) / kSeaSlack * kSeaSlack;
    grow(w.scratch, 9 * room);
    grow(w.pair_force, 3 * room);
    for (int k = 0; k < 9; ++k) scratch.a[k] = w.scratch.data() + k * room;
    return out;
  };

  for (int b = 0; b < n; ++b) {
    const int i = atoms[b];
    const int64_t g0 = static_cast<int64_t>(w.groups.size()), base = w.kept.n;
    gather(frame, i, ti, visit, w);
    const int64_t n_groups = static_cast<int64_t>(w.groups.size()) - g0;
    w.first_group.push_back(g0 + n_groups);
    grow(w.moments, n_groups * 4 * kBasis);
    grow(w.pieces, n_groups);
    C* a = w.a.data() + b * a_size;
    std::fill(a, a + a_size, C(0));
    for (int tj = 0; tj < nt; ++tj) {
      const PadTerm& pad = pads_[ti * nt + tj];
      const C empty = static_cast<C>(m_.sel[tj] - w.n_of_type[tj]);
      if (!pad.used || empty == 0) continue;
      for (int64_t k = 0; k < a_size; ++k) a[k] += empty * pad.a[k];
    }
    for (int64_t g = 0; g < n_groups; ++g) {
      const auto& group = w.groups[g0 + g];
      w.pieces[g] = group.rows;
      const SeaGroup<C> run = make_group(group);
      SeaScratch<C> e;
      for (int c = 0; c < 4; ++c) e.a[c] = w.sorted[c].data() + group.begin - base;
      DPTF_ISA_CALL(sea_moments<C>(run, e, scratch, w.moments.data() + g * 4 * kBasis));
    }
    DPTF_ISA_CALL(sea_expand<C>(n_groups, w.pieces.data(), w.moments.data(), stride_, a));
    for (int64_t k = 0; k < a_size; ++k) a[k] *= scale;
    C* x = w.x.data() + b * ldx;
    DPTF_ISA_CALL(sea_descriptor<C>(width_, m_.axis, stride_, a, x));
    for (int64_t k = 0; k < dim_fparam_; ++k)
      x[packed_ + k] = static_cast<C>((frame.fparam[k] - m_.fparam_avg[k]) * m_.fparam_istd[k]);
    for (int64_t k = 0; k < dim_aparam_; ++k)
      x[packed_ + dim_fparam_ + k] =
          static_cast<C>((frame.aparam[i * dim_aparam_ + k] - m_.aparam_avg[k]) * m_.aparam_istd[k]);
    std::fill(x + net.n_in(), x + ldx, C(0));
  }
  for (int b = n; b < rows; ++b) std::fill(w.x.begin() + b * ldx, w.x.begin() + (b + 1) * ldx, C(0));

  if (frame.want_force)
    net.value_and_gradient(n, w.x.data(), static_cast<C>(m_.scale[ti]), w.y.data(), w.dense);
  else
    net.value(n, w.x.data(), w.y.data(), w.dense);
  if (frame.features)
    for (int b = 0; b < n; ++b) {
      const C* h = net.last_input(b, n, w.dense);
      std::copy(h, h + net.features(), frame.features + atoms[b] * n_features());
    }
  for (int b = 0; b < n; ++b) {
    const double e = (static_cast<double>(w.y[b]) + m_.bias[ti]) * m_.scale[ti] + m_.shift[ti];
    (*frame.energies)[atoms[b]] = e;
  }
  if (!frame.want_force) return;

  for (int b = 0; b < n; ++b) {
    const int64_t i = atoms[b], g0 = w.first_group[b], n_groups = w.first_group[b + 1] - g0;
    grow(w.moments, n_groups * 4 * kBasis);
    grow(w.pieces, n_groups);
    DPTF_ISA_CALL(sea_descriptor_grad<C>(width_, m_.axis, stride_, w.a.data() + b * a_size,
                                         w.x.data() + b * ldx, scale, w.square.data(), w.da.data()));
    for (int64_t g = 0; g < n_groups; ++g) w.pieces[g] = w.groups[g0 + g].columns;
    DPTF_ISA_CALL(sea_project<C>(n_groups, w.pieces.data(), width_, stride_, w.da.data(), w.moments.data()));
    double sums[12] = {};
    for (int64_t g = 0; g < n_groups; ++g) {
      const auto& group = w.groups[g0 + g];
      const SeaGroup<C> run = make_group(group);
      const int64_t room = static_cast<int64_t>(w.pair_force.size()) / 3;
      C *fx = w.pair_force.data(), *fy = fx + room, *fz = fy + room;
      DPTF_ISA_CALL(sea_forces<C>(run, w.moments.data() + g * 4 * kBasis, scratch, fx, fy, fz, sums));
      const int* index = w.kept.index.data() + group.begin;
      for (int64_t k = 0; k < group.n; ++k) {
        const int64_t j = frame.target ? frame.target[index[k]] : index[k];
        w.force[3 * j] += fx[k];
        w.force[3 * j + 1] += fy[k];
        w.force[3 * j + 2] += fz[k];
        if (!frame.want_atom_virial) continue;
        const double f[3] = {fx[k], fy[k], fz[k]}, d[3] = {run.x[k], run.y[k], run.z[k]};
        for (int p = 0; p < 3; ++p)
          for (int q = 0; q < 3; ++q) w.atom_virial[9 * j + 3 * p + q] += f[p] * d[q];
      }
    }
    for (int x = 0; x < 3; ++x) w.force[3 * i + x] -= sums[x];
    for (int c = 0; c < 9; ++c) w.virial[c] += sums[3 + c];
  }
}

template <typename C>
template <typename T>
int64_t FusedSea<C>::evaluate_frame(const SeaInput<T>& in, const SeaOutput<T>& out, int64_t f, int parts,
                                    const ParallelFor& parallel) {
  Frame<T> frame;
  frame.nloc = in.nloc;
  frame.n_targets = in.nall;
  frame.index = f;
  frame.fparam = in.fparam + f * dim_fparam_;
  frame.aparam = in.aparam + f * in.nloc * dim_aparam_;
  frame.want_force = out.force || out.virial || out.atom_virial;
  frame.want_atom_virial = out.atom_virial != nullptr;
  std::vector<std::unique_ptr<Worker>> workers;
  workers.reserve(parts);
  workers.push_back(borrow());
  std::vector<double>&energies = workers[0]->energies, &wide = workers[0]->wide;
  std::vector<int64_t>& row_of = workers[0]->row_of;
  std::vector<int>& order = workers[0]->order;
  auto& blocks = workers[0]->blocks;
  energies.assign(in.nloc, 0.0);
  frame.energies = &energies;
  if (out.features) {
    frame.features = out.features + f * in.nloc * n_features();
    std::fill(frame.features, frame.features + in.nloc * n_features(), 0.0);
  }

  const T* coord = in.coord + f * in.nall * 3;
  const int* type = in.type + f * in.nall;
  ExtendedFrame ext;
  std::unique_ptr<CellList> cells;
  if (in.list) {
    if constexpr (std::is_same_v<T, double>) {
      frame.coord = coord;
    } else {
      wide.assign(coord, coord + 3 * in.nall);
      frame.coord = wide.data();
    }
    frame.type = type;
    row_of.resize(in.nloc);
    for (int64_t k = 0; k < in.list->n; ++k) row_of[in.list->ilist[k]] = k;
  } else {
    ext = extend_frame(coord, type, in.nloc, in.periodic ? in.box + f * 9 : nullptr, m_.rcut);
    cells = std::make_unique<CellList>(ext.coord.data(), static_cast<int64_t>(ext.type.size()), m_.rcut);
    frame.coord = ext.coord.data();
    frame.type = ext.type.data();
    frame.target = in.periodic ? ext.mapping.data() : nullptr;
  }

  // Blocks of atoms of one type, in the order of the atoms.
  order.clear();
  blocks.clear();
  for (int t = 0; t < m_.ntypes; ++t) {
    const int first = static_cast<int>(order.size());
    for (int64_t i = 0; i < in.nloc; ++i)
      if (type[i] == t) order.push_back(static_cast<int>(i));
    const int n = static_cast<int>(order.size()) - first;
    for (int k = 0; k < n; k += kBlock) blocks.push_back({t, first + k, std::min(kBlock, n - k)});
  }
  parts =
      static_cast<int>(std::max<int64_t>(1, std::min<int64_t>(parts, static_cast<int64_t>(blocks.size()))));

  while (static_cast<int>(workers.size()) < parts) workers.push_back(borrow());
  for (auto& w : workers) {
    w->lost = 0;
    w->bad = -1;
    std::fill(w->virial, w->virial + 9, 0.0);
    w->force.assign(frame.want_force ? 3 * in.nall : 0, 0.0);
    w->atom_virial.assign(frame.want_atom_virial ? 9 * in.nall : 0, 0.0);
  }
  // A part is a fixed range of atoms with sums of its own: the result does not depend on which thread took
  // it.
  const auto part_begin = [&](int p) {
    // By atoms, not by blocks: the last block of a type may be short.
    const int64_t target = static_cast<int64_t>(order.size()) * p / parts;
    size_t b = 0;
    while (b < blocks.size() && blocks[b].begin < target) ++b;
    return b;
  };
  parallel(parts, 30000 * std::max<int64_t>(1, in.nloc / parts), [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      Worker& w = *workers[p];
      const size_t last = p + 1 == parts ? blocks.size() : part_begin(static_cast<int>(p) + 1);
      for (size_t b = part_begin(static_cast<int>(p)); b < last; ++b) {
        const int* atoms = order.data() + blocks[b].begin;
        if (in.list) {
          block(
              frame, blocks[b].type, atoms, blocks[b].n,
              [&](int i, const auto& f) {
                const int64_t k = row_of[i];
                const int* first = in.list->firstneigh[k];
                for (int q = 0; q < in.list->numneigh[k]; ++q) {
                  const int j = first[q];
                  if (j < 0 || j >= in.nall) {
                    w.bad = i;
                    continue;
                  }
                  f(j);
                }
              },
              w);
        } else {
          block(
              frame, blocks[b].type, atoms, blocks[b].n,
              [&](int i, const auto& f) {
                cells->visit(frame.coord + 3 * static_cast<int64_t>(i), [&](int j, double) { f(j); });
              },
              w);
        }
      }
    }
  });

  int64_t lost = 0, bad = -1;
  for (auto& w : workers) {
    lost += w->lost;
    bad = std::max(bad, w->bad);
  }
  if (out.energy) {
    double e = 0;
    for (double x : energies) e += x;
    out.energy[f] = e;
  }
  if (out.atom_energy)
    for (int64_t i = 0; i < in.nloc; ++i) out.atom_energy[f * in.nloc + i] = static_cast<T>(energies[i]);
  const auto reduce = [&](int64_t n, T* to, const auto& from) {
    parallel(n, 2 * parts, [&](int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) {
        double s = 0;
        for (auto& w : workers) s += from(*w)[k];
        to[k] = static_cast<T>(s);
      }
    });
  };
  if (out.force)
    reduce(3 * in.nall, out.force + f * 3 * in.nall, [](const Worker& w) { return w.force.data(); });
  if (out.virial) {
    for (int c = 0; c < 9; ++c) {
      double s = 0;
      for (auto& w : workers) s += w->virial[c];
      out.virial[9 * f + c] = static_cast<T>(s);
    }
  }
  if (out.atom_virial)
    reduce(9 * in.nall, out.atom_virial + f * 9 * in.nall,
           [](const Worker& w) { return w.atom_virial.data(); });
  for (auto& w : workers) give_back(std::move(w));
  if (bad >= 0)
    throw std::invalid_argument("the neighbor list of atom " + std::to_string(bad) +
                                " names an atom outside 0.." + std::to_string(in.nall - 1));
  return lost;
}

template <typename C>
int64_t FusedSea<C>::n_features() const {
  int64_t n = 0;
  for (const auto& net : fitting_) n = std::max(n, net.features());
  return n;
}

template <typename C>
template <typename T>
int64_t FusedSea<C>::evaluate(const SeaInput<T>& in, const SeaOutput<T>& out, int threads,
                              const ParallelFor& parallel) {
  check_atoms(in.nf, in.nloc, in.nall, m_.ntypes, in.type, in.list);
  threads = std::max(threads, 1);
  if (in.nf < 2 * threads || in.nloc > 2048) {
    int64_t lost = 0;
    for (int64_t f = 0; f < in.nf; ++f) {
      try {
        lost += evaluate_frame(in, out, f, threads, parallel);
      } catch (const std::invalid_argument& e) {
        throw std::invalid_argument("frame " + std::to_string(f) + ": " + e.what());
      }
    }
    return lost;
  }
  // Many small frames: one frame a task beats splitting each.
  std::atomic<int64_t> lost{0};
  std::vector<std::string> errors(in.nf);
  parallel(in.nf, 30000 * in.nloc, [&](int64_t begin, int64_t end) {
    for (int64_t f = begin; f < end; ++f) {
      try {
        lost += evaluate_frame(in, out, f, 1, serial_for);
      } catch (const std::exception& e) {
        errors[f] = e.what();
      }
    }
  });
  for (int64_t f = 0; f < in.nf; ++f)
    if (!errors[f].empty()) throw std::invalid_argument("frame " + std::to_string(f) + ": " + errors[f]);
  return lost;
}

#define DPTF_INSTANTIATE(C, T) \
  template int64_t FusedSea<C>::evaluate<T>(const SeaInput<T>&, const SeaOutput<T>&, int, const ParallelFor&);
template class FusedSea<double>;
template class FusedSea<float>;
DPTF_INSTANTIATE(double, double)
DPTF_INSTANTIATE(double, float)
DPTF_INSTANTIATE(float, double)
DPTF_INSTANTIATE(float, float)

}  // namespace dptf
