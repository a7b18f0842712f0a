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
/// Relative error of value and slope. Finer tables would only be larger: the hot part has to stay in the
/// second-level cache, and in float32 the slope is a difference of rounded nodes, which grows with their
/// density.
template <typename C>
constexpr double kTableTolerance = std::is_same_v<C, double> ? 1e-13 : 3e-8;
/// Beyond this error a net is not tabulated.
template <typename C>
constexpr double kTableLimit = std::is_same_v<C, double> ? 3e-11 : 1e-6;
constexpr int64_t kMaxNodes = 8192;

}  // namespace

/// Everything one thread needs, kept between calls.
template <typename C>
struct FusedSea<C>::Worker {
  std::vector<Neighbor<C>> found, neighbors;  // of one center; of the block
  std::vector<RankedNeighbor> ranked;
  std::vector<int> found_type;
  std::vector<int64_t> run_start;  // [kBlock, ntypes + 1] places in `neighbors`
  AlignedVector<C> a, x, da, piece, weights, pair_force;
  std::vector<const C*> pieces;
  std::vector<C> y;
  typename DenseNet<C>::Workspace dense;
  std::vector<double> force, atom_virial;
  double virial[9];
  int64_t lost = 0, bad = -1;
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
    tables_.push_back(embed_table<C>(m_.nets[net], low, high, kTableTolerance<C>, kMaxNodes));
    if (m_.nets[net].is_stored()) stored_reach(static_cast<int>(net), low);
  }
  if (table_error() > kTableLimit<C>)
    throw std::invalid_argument("the embedding nets cannot be tabulated (relative error " +
                                std::to_string(1e9 * table_error()) + "e-9); they are not smooth enough");
  stride_ = tables_[0].stride;
  pads_.resize(nt * nt);
  AlignedVector<C> piece(6 * stride_);
  for (int p = 0; p < nt * nt; ++p) {
    if (m_.net_of[p] < 0) continue;
    pads_[p].a.assign(4 * stride_, C(0));
    const EmbedTable<C>& table = tables_[m_.net_of[p]];
    table.exact_piece(-avg_[4 * p] * inv_std_[4 * p], piece.data());
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
        for (int64_t i = 0; i < width_; ++i)
          for (int64_t j = i < m_.axis ? i : 0; j < m_.axis; ++j)
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

/// A stored net is looked up where its fine part is; closer neighbors are evaluated one by one.
template <typename C>
void FusedSea<C>::stored_reach(int net, double low) {
  const EmbedTable<C>& table = tables_.back();
  const double end = table.x0 + table.h * static_cast<double>(table.n_nodes - 1);
  if (low < table.x0 - 1e-9) m_.min_distance = m_.rcut;
  for (int p = 0; p < m_.ntypes * m_.ntypes; ++p) {
    if (m_.net_of[p] != net) continue;
    const double largest = end * m_.dstd[4 * p] + m_.davg[4 * p];  // of w(r) / r
    m_.min_distance = std::max(m_.min_distance, 1 / std::max<double>(largest, 1 / m_.rcut));
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
  for (const auto& t : tables_) out += static_cast<int64_t>(t.nodes.size() * sizeof(C));
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

/// Sorts the neighbors that were found by type into runs; beyond sel the farthest are left out, ranked as
/// everywhere else.
template <typename C>
template <typename T>
void FusedSea<C>::gather_done(const Frame<T>& frame, int i, int, Worker& w) {
  const int nt = m_.ntypes;
  const size_t n = w.found.size();
  const int64_t base = static_cast<int64_t>(w.neighbors.size());
  std::vector<int64_t>& start = w.run_start;
  const size_t row = start.size();
  start.resize(row + nt + 1, 0);
  for (size_t k = 0; k < n; ++k) ++start[row + 1 + w.found_type[k]];
  bool overflow = false;
  for (int t = 0; t < nt; ++t) overflow = overflow || start[row + 1 + t] > m_.sel[t];
  if (overflow) {
    // found[k].target holds the index of the neighbor among all entries until the forces are sent off.
    w.ranked.clear();
    for (size_t k = 0; k < n; ++k)
      w.ranked.push_back({w.found_type[k],
                          rank_distance(frame.coord + 3 * static_cast<int64_t>(w.found[k].target),
                                        frame.coord + 3 * static_cast<int64_t>(i)),
                          w.found[k].target, static_cast<int>(k)});
    std::sort(w.ranked.begin(), w.ranked.end());
    std::fill(start.begin() + row, start.end(), 0);
    const auto all = w.found;
    w.found.clear();
    w.found_type.clear();
    for (const RankedNeighbor& c : w.ranked) {
      if (start[row + 1 + c.type] >= m_.sel[c.type]) {
        ++w.lost;
        continue;
      }
      ++start[row + 1 + c.type];
      w.found.push_back(all[c.place]);
      w.found_type.push_back(c.type);
    }
  }
  start[row] = base;
  for (int t = 0; t < nt; ++t) start[row + 1 + t] += start[row + t];
  w.neighbors.resize(base + w.found.size());
  if (nt == 1) {
    std::copy(w.found.begin(), w.found.end(), w.neighbors.begin() + base);
    return;
  }
  int64_t next[256];
  std::vector<int64_t> many;
  int64_t* at = next;
  if (nt > 256) {
    many.resize(nt);
    at = many.data();
  }
  for (int t = 0; t < nt; ++t) at[t] = start[row + t];
  for (size_t k = 0; k < w.found.size(); ++k) w.neighbors[at[w.found_type[k]]++] = w.found[k];
}

template <typename C>
template <typename T, typename Visit>
void FusedSea<C>::block(const Frame<T>& frame, int ti, const int* atoms, int n, const Visit& visit,
                        Worker& w) {
  const int nt = m_.ntypes;
  const C rc = m_.rcut;
  const C scale = C(1) / static_cast<C>(nnei_);
  const DenseNet<C>& net = fitting_[ti];
  const int64_t ldx = net.row_stride(), a_size = 4 * stride_;
  const int rows = static_cast<int>((n + net.row_group() - 1) / net.row_group() * net.row_group());
  if (static_cast<int64_t>(w.x.size()) < rows * ldx) w.x.assign((kBlock + 16) * ldx, C(0));
  if (static_cast<int64_t>(w.a.size()) < kBlock * a_size) w.a.resize(kBlock * a_size);
  w.da.resize(a_size);
  w.piece.resize(6 * stride_);
  w.y.resize(kBlock + 16);
  w.neighbors.clear();
  w.run_start.clear();

  const auto make_run = [&](int tj, const Neighbor<C>* begin, int64_t count) {
    const int p = ti * nt + tj;
    const EmbedTable<C>& table = tables_[m_.net_of[p]];
    NeighborRun<C> run;
    run.begin = begin;
    run.n = count;
    run.rs = m_.rcut_smth;
    run.rc = rc;
    run.range = static_cast<C>(m_.rcut - m_.rcut_smth);
    run.avg = &avg_[4 * p];
    run.inv_std = &inv_std_[4 * p];
    run.nodes = table.nodes.data();
    run.powers = table.powers;
    run.n_nodes = table.n_nodes;
    run.stride = stride_;
    run.x0 = static_cast<C>(table.x0);
    run.h = static_cast<C>(table.h);
    run.inv_h = static_cast<C>(1 / table.h);
    return run;
  };
  // Calls f(run) for the neighbors inside the table at once, and for every one outside by itself with its
  // exact piece.
  const double closest2 = m_.min_distance * m_.min_distance;
  const auto for_runs = [&](int b, const auto& f) {
    const int64_t* start = &w.run_start[b * (nt + 1)];
    for (int tj = 0; tj < nt; ++tj) {
      if (m_.net_of[ti * nt + tj] < 0) continue;
      const Neighbor<C>* p = w.neighbors.data() + start[tj];
      const Neighbor<C>* end = w.neighbors.data() + start[tj + 1];
      const auto close = [&](const Neighbor<C>& q) {
        return static_cast<double>(q.d[0]) * q.d[0] + static_cast<double>(q.d[1]) * q.d[1] +
                   static_cast<double>(q.d[2]) * q.d[2] <
               closest2;
      };
      while (p != end) {
        const Neighbor<C>* q = p;
        while (q != end && !close(*q)) ++q;
        if (q != p) f(tj, make_run(tj, p, q - p));
        if (q == end) break;
        NeighborRun<C> single = make_run(tj, q, 1);
        const double r =
            std::sqrt(static_cast<double>(q->d[0]) * q->d[0] + static_cast<double>(q->d[1]) * q->d[1] +
                      static_cast<double>(q->d[2]) * q->d[2]);
        double weight, slope;
        smooth_switch<double>(r, m_.rcut_smth, m_.rcut, m_.rcut - m_.rcut_smth, &weight, &slope);
        const C x = (static_cast<C>(weight / r) - single.avg[0]) * single.inv_std[0];
        tables_[m_.net_of[ti * nt + tj]].exact_piece(x, w.piece.data());
        single.nodes = w.piece.data();
        single.powers = false;
        single.n_nodes = 2;
        single.x0 = x;
        f(tj, single);
        p = q + 1;
      }
    }
  };

  for (int b = 0; b < n; ++b) {
    const int i = atoms[b];
    w.found.clear();
    w.found_type.clear();
    const double* ri = frame.coord + 3 * static_cast<int64_t>(i);
    const double rc2 = static_cast<double>(m_.rcut) * m_.rcut;
    visit(i, [&](int j) {
      if (j == i || frame.type[j] < 0) return;
      const double* rj = frame.coord + 3 * static_cast<int64_t>(j);
      const double d[3] = {rj[0] - ri[0], rj[1] - ri[1], rj[2] - ri[2]};
      if (d[0] * d[0] + d[1] * d[1] + d[2] * d[2] >= rc2) return;
      w.found.push_back({{static_cast<C>(d[0]), static_cast<C>(d[1]), static_cast<C>(d[2])}, j});
      w.found_type.push_back(frame.type[j]);
    });
    gather_done(frame, i, ti, w);
    const int64_t* start = &w.run_start[b * (nt + 1)];
    C* a = w.a.data() + b * a_size;
    std::fill(a, a + a_size, C(0));
    for (int tj = 0; tj < nt; ++tj) {
      const PadTerm& pad = pads_[ti * nt + tj];
      const C empty = static_cast<C>(m_.sel[tj] - (start[tj + 1] - start[tj]));
      if (!pad.used || empty == 0) continue;
      for (int64_t k = 0; k < a_size; ++k) a[k] += empty * pad.a[k];
    }
    for_runs(b, [&](int, const NeighborRun<C>& run) {
      if (static_cast<int64_t>(w.weights.size()) < 10 * run.n) {
        w.weights.resize(10 * run.n);
        w.pieces.resize(run.n);
      }
      const RunScratch<C> scratch{w.weights.data(), w.pieces.data()};
      DPTF_ISA_CALL(sea_forward(run, scratch, a));
    });
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

  net.value_and_gradient(n, w.x.data(), static_cast<C>(m_.scale[ti]), w.y.data(), w.dense);
  for (int b = 0; b < n; ++b) {
    const double e = (static_cast<double>(w.y[b]) + m_.bias[ti]) * m_.scale[ti] + m_.shift[ti];
    (*frame.energies)[atoms[b]] = e;
  }
  if (!frame.want_force) return;

  for (int b = 0; b < n; ++b) {
    const int64_t i = atoms[b];
    DPTF_ISA_CALL(sea_descriptor_grad<C>(width_, m_.axis, stride_, w.a.data() + b * a_size,
                                         w.x.data() + b * ldx, scale, w.da.data()));
    double own[3] = {};
    for_runs(b, [&](int, const NeighborRun<C>& run) {
      if (static_cast<int64_t>(w.pair_force.size()) < 3 * run.n) w.pair_force.resize(3 * run.n);
      DPTF_ISA_CALL(sea_backward<C>(run, w.da.data(), w.pair_force.data()));
      for (int64_t k = 0; k < run.n; ++k) {
        const Neighbor<C>& q = run.begin[k];
        const int64_t j = frame.target ? frame.target[q.target] : q.target;
        const double t[3] = {w.pair_force[3 * k], w.pair_force[3 * k + 1], w.pair_force[3 * k + 2]};
        for (int x = 0; x < 3; ++x) {
          own[x] += t[x];
          w.force[3 * j + x] += t[x];
        }
        double v[9];
        for (int x = 0; x < 3; ++x)
          for (int y = 0; y < 3; ++y) v[3 * x + y] = t[x] * q.d[y];
        for (int c = 0; c < 9; ++c) w.virial[c] += v[c];
        if (frame.want_atom_virial)
          for (int c = 0; c < 9; ++c) w.atom_virial[9 * j + c] += v[c];
      }
    });
    for (int x = 0; x < 3; ++x) w.force[3 * i + x] -= own[x];
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
  std::vector<double> energies(in.nloc, 0.0);
  frame.energies = &energies;

  const T* coord = in.coord + f * in.nall * 3;
  const int* type = in.type + f * in.nall;
  ExtendedFrame ext;
  std::vector<double> wide;
  std::unique_ptr<CellList> cells;
  std::vector<int64_t> row_of;
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
  struct Block {
    int type, begin, n;
  };
  std::vector<int> order;
  std::vector<Block> blocks;
  order.reserve(in.nloc);
  for (int t = 0; t < m_.ntypes; ++t) {
    const int first = static_cast<int>(order.size());
    for (int64_t i = 0; i < in.nloc; ++i)
      if (type[i] == t) order.push_back(static_cast<int>(i));
    const int n = static_cast<int>(order.size()) - first;
    for (int k = 0; k < n; k += kBlock) blocks.push_back({t, first + k, std::min(kBlock, n - k)});
  }
  parts =
      static_cast<int>(std::max<int64_t>(1, std::min<int64_t>(parts, static_cast<int64_t>(blocks.size()))));

  std::vector<std::unique_ptr<Worker>> workers(parts);
  for (auto& w : workers) {
    w = borrow();
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
