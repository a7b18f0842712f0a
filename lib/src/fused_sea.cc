#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <string>

#include "dptf/isa_dispatch.h"
#include "fused_sea_worker.h"

namespace dptf {

namespace {

/// Centers whose fitting nets are evaluated together. Their descriptors, contractions and neighbors fit the
/// second-level cache, and the matrix kernel sees enough rows.
constexpr int kBlock = 32;
/// With attention an atom takes so long that few atoms share their work better.
constexpr int kAttentionBlock = 8;

}  // namespace

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
  bool full = m_.mixed_sel && n > m_.mixed_sel;
  for (int t = 0; t < nt && !m_.mixed_sel; ++t) full = full || w.n_of_type[t] > m_.sel[t];
  if (full) limit_to_sel(frame.coord, i, frame.type, w);
  sort_into_groups(ti, w);
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
  w.near.clear();
  w.first_near.assign(1, 0);

  const bool attends = !attention_.empty();
  if (attends && w.attended.size() < kBlock) w.attended.resize(kBlock);
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
    if (frame.weights) weigh_neighbors(frame.target, frame.nloc, frame.weights + i, w);
    const int64_t n_groups = static_cast<int64_t>(w.groups.size()) - g0;
    w.first_group.push_back(g0 + n_groups);
    grow(w.moments, n_groups * 4 * kBasis);
    grow(w.pieces, n_groups);
    C* a = w.a.data() + b * a_size;
    std::fill(a, a + a_size, C(0));
    for (int tj = 0; tj < nt; ++tj) {
      const PadTerm& pad = pads_[ti * nt + tj];
      const C empty = static_cast<C>(m_.mixed_sel ? m_.mixed_sel - w.found.n : m_.sel[tj] - w.n_of_type[tj]);
      if (!pad.used || empty == 0) continue;
      for (int64_t k = 0; k < a_size; ++k) a[k] += empty * pad.a[k];
    }
    if (attends) attend(b, g0, base, a, w);
    for (int64_t g = 0; g < n_groups && !attends; ++g) {
      const auto& group = w.groups[g0 + g];
      w.pieces[g] = group.rows;
      const SeaGroup<C> run = make_group(group);
      SeaScratch<C> e;
      for (int c = 0; c < 4; ++c) e.a[c] = w.sorted[c].data() + group.begin - base;
      DPTF_ISA_CALL(sea_moments<C>(run, e, scratch, w.moments.data() + g * 4 * kBasis));
    }
    if (!attends)
      DPTF_ISA_CALL(sea_expand<C>(n_groups, w.pieces.data(), w.moments.data(), functions_, stride_, a));
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

  if (m_.head != SeaHead::energy) {
    net.value(n, w.x.data(), w.y.data(), w.dense);
    evaluate_property(ti, atoms, n, frame.property, frame.want_force ? frame.cotangent : nullptr, w);
    if (frame.want_force) net.backward(n, w.x.data(), w.dense);
  } else if (frame.want_force)
    net.value_and_gradient(n, w.x.data(), static_cast<C>(m_.scale[ti]), w.y.data(), w.dense);
  else
    net.value(n, w.x.data(), w.y.data(), w.dense);
  if (frame.features)
    for (int b = 0; b < n; ++b) {
      const C* h = net.last_input(b, n, w.dense);
      std::copy(h, h + net.features(), frame.features + atoms[b] * n_features());
    }
  if (frame.variance) add_variances(ti, atoms, n, frame.variance, frame.weights != nullptr, w);
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
    if (m_.head != SeaHead::energy) add_direct(ti, b, n, frame.cotangent + i * dim(), w);
    const bool straight = functions_ == 2;
    for (int64_t g = 0; g < n_groups; ++g)
      w.pieces[g] = straight ? w.groups[g0 + g].rows : w.groups[g0 + g].columns;
    if (attends)
      attend_back(b, g0, n_groups, w.da.data(), w);
    else if (straight)
      DPTF_ISA_CALL(
          sea_project_straight<C>(n_groups, w.pieces.data(), width_, stride_, w.da.data(), w.moments.data()));
    else
      DPTF_ISA_CALL(
          sea_project<C>(n_groups, w.pieces.data(), width_, stride_, w.da.data(), w.moments.data()));
    double sums[12] = {};
    for (int64_t g = 0; g < n_groups; ++g) {
      const auto& group = w.groups[g0 + g];
      const SeaGroup<C> run = make_group(group);
      const int64_t room = static_cast<int64_t>(w.pair_force.size()) / 3;
      C *fx = w.pair_force.data(), *fy = fx + room, *fz = fy + room;
      if (attends) {
        const int64_t at = group.begin - w.groups[g0].begin, ld = w.attended[b].n + kSeaSlack;
        const C* q[4];
        for (int c = 0; c < 4; ++c) q[c] = w.drow.data() + c * ld + at;
        DPTF_ISA_CALL(sea_row_forces<C>(run, q, fx, fy, fz, sums));
      } else {
        DPTF_ISA_CALL(sea_forces<C>(run, w.moments.data() + g * 4 * kBasis, scratch, fx, fy, fz, sums));
      }
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

/// Blocks of atoms of one type, in the order of the atoms.
template <typename C>
void FusedSea<C>::order_atoms(const int* type, int64_t nloc, Worker& w) const {
  const int most = attention_.empty() ? kBlock : kAttentionBlock;
  w.order.clear();
  w.blocks.clear();
  for (int t = 0; t < m_.ntypes; ++t) {
    const int first = static_cast<int>(w.order.size());
    if (!fitting_[t].features()) continue;  // atoms without the property
    for (int64_t i = 0; i < nloc; ++i)
      if (type[i] == t) w.order.push_back(static_cast<int>(i));
    const int n = static_cast<int>(w.order.size()) - first;
    for (int k = 0; k < n; k += most) w.blocks.push_back({t, first + k, std::min(most, n - k)});
  }
}

/// The sums over the parts of a frame, and its energies.
template <typename C>
template <typename T>
void FusedSea<C>::sum_parts(const SeaInput<T>& in, const SeaOutput<T>& out, int64_t f,
                            const std::vector<std::unique_ptr<Worker>>& workers,
                            const ParallelFor& parallel) const {
  if (out.energy) {
    double e = 0;
    for (double x : workers[0]->energies) e += x;
    out.energy[f] = e;
  }
  if (out.atom_energy)
    for (int64_t i = 0; i < in.nloc; ++i)
      out.atom_energy[f * in.nloc + i] = static_cast<T>(workers[0]->energies[i]);
  const auto reduce = [&](int64_t n, T* to, const auto& from) {
    parallel(n, 2 * static_cast<int64_t>(workers.size()), [&](int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) {
        double s = 0;
        for (auto& w : workers) s += from(*w)[k];
        to[k] = static_cast<T>(s);
      }
    });
  };
  if (out.mean_variance)
    for (int64_t i = 0; i < in.nloc; ++i) {
      double s = 0;
      for (auto& w : workers) s += w->mean[i];
      out.mean_variance[f * in.nloc + i] = s / (1 + workers[0]->weights[i]);
    }
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
}

template <typename C>
template <typename T>
int64_t FusedSea<C>::evaluate_frame(const SeaInput<T>& in, const SeaOutput<T>& out, int64_t f, int parts,
                                    const ParallelFor& parallel) {
  Frame<T> frame;
  frame.fparam = in.fparam + f * dim_fparam_;
  frame.aparam = in.aparam + f * in.nloc * dim_aparam_;
  frame.want_force = out.force || out.virial || out.atom_virial;
  frame.want_atom_virial = out.atom_virial != nullptr;
  std::vector<std::unique_ptr<Worker>> workers;
  workers.reserve(parts);
  workers.push_back(borrow());
  std::vector<double>&energies = workers[0]->energies, &wide = workers[0]->wide;
  std::vector<int64_t>& row_of = workers[0]->row_of;
  const std::vector<int>& order = workers[0]->order;
  const auto& blocks = workers[0]->blocks;
  energies.assign(in.nloc, 0.0);
  frame.energies = &energies;
  if (out.property) {
    frame.property = out.property + f * in.nloc * dim();
    std::fill(frame.property, frame.property + in.nloc * dim(), 0.0);
  }
  if (in.cotangent) frame.cotangent = in.cotangent + f * in.nloc * dim();
  if (frame.want_force && m_.head != SeaHead::energy && !in.cotangent)
    throw std::invalid_argument("derivatives of a property need its factors");
  if (out.features) {
    frame.features = out.features + f * in.nloc * n_features();
    std::fill(frame.features, frame.features + in.nloc * n_features(), 0.0);
  }

  if (out.variance || out.mean_variance) {
    // Atoms that take no part have none.
    workers[0]->variances.assign(out.variance ? 0 : in.nloc, 0.0);
    frame.variance = out.variance ? out.variance + f * in.nloc : workers[0]->variances.data();
    std::fill(frame.variance, frame.variance + in.nloc, 0.0);
  }
  if (out.mean_variance) {
    workers[0]->weights.assign(in.nloc, 0.0);
    frame.weights = workers[0]->weights.data();
    frame.nloc = in.nloc;
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

  order_atoms(type, in.nloc, *workers[0]);
  parts =
      static_cast<int>(std::max<int64_t>(1, std::min<int64_t>(parts, static_cast<int64_t>(blocks.size()))));

  while (static_cast<int>(workers.size()) < parts) workers.push_back(borrow());
  for (auto& w : workers) {
    w->lost = 0;
    w->bad = -1;
    std::fill(w->virial, w->virial + 9, 0.0);
    w->mean.assign(frame.weights ? in.nloc : 0, 0.0);
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

  sum_parts(in, out, f, workers, parallel);
  int64_t lost = 0, bad = -1;
  for (auto& w : workers) {
    lost += w->lost;
    bad = std::max(bad, w->bad);
    give_back(std::move(w));
  }
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
DPTF_INSTANTIATE(double, double)
DPTF_INSTANTIATE(double, float)
DPTF_INSTANTIATE(float, double)
DPTF_INSTANTIATE(float, float)

}  // namespace dptf
