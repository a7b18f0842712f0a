#include "dptf/ragged_edges.h"

#include <algorithm>
#include <atomic>
#include <limits>
#include <stdexcept>
#include <string>

namespace dptf {
namespace {

constexpr int64_t kRowCost = 8000;

struct Neighbor {
  double d2;
  int index;
  bool operator<(const Neighbor& o) const { return d2 != o.d2 ? d2 < o.d2 : index < o.index; }
};

/// Edges of one center; `angles` of them, the first ones, form angles.
struct Row {
  std::vector<int> index, slot;
  int angles = 0, lost = 0;
};

struct Frame {
  const double* coord;
  const int* type;
};

/// Cuts and ranks the candidates of a center, squared distances included.
Row make_row(const EdgeQuery& q, const std::vector<char>& excluded, const Frame& f, int64_t center,
             std::vector<Neighbor>& found) {
  Row row;
  const double e2 = q.e_rcut * q.e_rcut, a2 = q.a_rcut * q.a_rcut;
  const double* r = f.coord + 3 * center;
  size_t n = 0;
  for (Neighbor c : found) {
    const double* s = f.coord + 3 * static_cast<int64_t>(c.index);
    const double d[3] = {s[0] - r[0], s[1] - r[1], s[2] - r[2]};
    c.d2 = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
    if (c.d2 <= e2) found[n++] = c;
  }
  found.resize(n);
  std::sort(found.begin(), found.end());
  const int64_t kept = std::min<int64_t>(n, q.e_sel);
  row.lost = static_cast<int>(n - kept);
  row.index.reserve(kept);
  for (int64_t slot = 0; slot < kept; ++slot) {
    const Neighbor& c = found[slot];
    if (excluded[f.type[center] * q.ntypes + f.type[c.index]]) continue;
    row.index.push_back(c.index);
    row.slot.push_back(static_cast<int>(slot));
    if (c.d2 < a2) slot < q.a_sel ? ++row.angles : ++row.lost;
  }
  return row;
}

int checked(int64_t n) {
  if (n > std::numeric_limits<int>::max())
    throw std::invalid_argument("there are " + std::to_string(n) +
                                " edges or angles, more than one evaluation can hold; use smaller batches");
  return static_cast<int>(n);
}

void copy_frame(const EdgeQuery& q, int64_t frame, const Frame& f, const std::vector<Row>& rows,
                const int* owner, RaggedEdges& out, const ParallelFor& parallel) {
  const int64_t base = frame * q.nloc, own_rows = q.mapping || !q.list ? q.nloc : q.nall;
  parallel(q.nloc, 500, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      int64_t e = out.start[base + i];
      const double* r = f.coord + 3 * i;
      for (int d = 0; d < 3; ++d) out.local[3 * (base + i) + d] = r[d];
      for (size_t n = 0; n < rows[i].index.size(); ++n) {
        const int j = rows[i].index[n];
        out.slot[e] = rows[i].slot[n];
        for (int d = 0; d < 3; ++d) out.vec[3 * e + d] = f.coord[3 * static_cast<int64_t>(j) + d] - r[d];
        out.center[e] = static_cast<int>(base + i);
        out.neighbor[e] = static_cast<int>(frame * own_rows + (owner ? owner[j] : j));
        // Forces on images of an own list act on the atom itself.
        out.atom[e] = static_cast<int>(frame * q.nall + (q.list || !owner ? j : owner[j]));
        ++e;
      }
    }
  });
}

/// Angles are all ordered pairs of angle edges of a center, a pair with itself included.
void make_angles(const std::vector<int>& angles, RaggedEdges& out, const ParallelFor& parallel) {
  const int64_t n = static_cast<int64_t>(angles.size());
  std::vector<int64_t> first(n + 1, 0);
  out.a_start.resize(n + 1);
  int64_t edges = 0;
  for (int64_t i = 0; i < n; ++i) {
    out.a_start[i] = checked(edges);
    edges += angles[i];
    first[i + 1] = first[i] + static_cast<int64_t>(angles[i]) * angles[i];
  }
  out.a_start[n] = checked(edges);
  out.a_edge.resize(edges);
  out.angle_start.resize(edges + 1);
  out.angle_start[edges] = checked(first[n]);
  out.angle_k.resize(first[n]);
  parallel(n, 600, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int count = angles[i], base = out.a_start[i];
      for (int j = 0; j < count; ++j) {
        out.a_edge[base + j] = out.start[i] + j;
        out.angle_start[base + j] = static_cast<int>(first[i] + static_cast<int64_t>(j) * count);
        for (int k = 0; k < count; ++k) out.angle_k[out.angle_start[base + j] + k] = base + k;
      }
    }
  });
}

void transpose(int64_t n_rows, RaggedEdges& out) {
  out.in_start.assign(n_rows + 1, 0);
  out.in_edge.resize(out.neighbor.size());
  for (int j : out.neighbor) ++out.in_start[j + 1];
  for (int64_t k = 0; k < n_rows; ++k) out.in_start[k + 1] += out.in_start[k];
  std::vector<int> next(out.in_start.begin(), out.in_start.end() - 1);
  for (size_t e = 0; e < out.neighbor.size(); ++e) out.in_edge[next[out.neighbor[e]]++] = static_cast<int>(e);
}

}  // namespace

template <typename T>
RaggedEdges ragged_edges(const EdgeQuery& q, const T* coord, const T* box, const ParallelFor& parallel) {
  check_atoms(q.nf, q.nloc, q.nall, q.ntypes, q.type, q.list);
  std::vector<char> excluded(static_cast<size_t>(q.ntypes) * q.ntypes, 0);
  for (const auto& [a, b] : q.excluded) excluded[a * q.ntypes + b] = excluded[b * q.ntypes + a] = 1;
  const int64_t n = q.nf * q.nloc;
  std::vector<std::vector<Row>> rows(q.nf);
  std::vector<ExtendedFrame> frames(q.nf);
  std::vector<std::string> errors(q.nf);
  const auto one_frame = [&](int64_t f, const ParallelFor& inner) {
    ExtendedFrame& ext = frames[f];
    const T* r = coord + f * q.nall * 3;
    const int* type = q.type + f * q.nall;
    if (q.list) {
      ext.coord.assign(r, r + 3 * q.nall);
      ext.type.assign(type, type + q.nall);
    } else {
      ext = extend_frame(r, type, q.nloc, q.periodic ? box + f * 9 : nullptr, q.e_rcut);
    }
    const Frame frame{ext.coord.data(), ext.type.data()};
    rows[f].resize(q.nloc);
    if (!q.list) {
      // A hair more than the cutoff: the comparison in make_row includes it.
      const CellList cells(frame.coord, static_cast<int64_t>(ext.type.size()), q.e_rcut * (1 + 1e-12));
      inner(q.nloc, kRowCost, [&](int64_t begin, int64_t end) {
        std::vector<Neighbor> found;
        for (int64_t i = begin; i < end; ++i) {
          if (frame.type[i] < 0) continue;
          found.clear();
          cells.visit(frame.coord + 3 * i, [&](int j, double) {
            if (j != i && frame.type[j] >= 0) found.push_back({0, j});
          });
          rows[f][i] = make_row(q, excluded, frame, i, found);
        }
      });
      return;
    }
    std::atomic<int64_t> bad{-1};
    inner(q.list->n, kRowCost, [&](int64_t begin, int64_t end) {
      std::vector<Neighbor> found;
      for (int64_t k = begin; k < end; ++k) {
        const int i = q.list->ilist[k];
        if (frame.type[i] < 0) continue;
        found.clear();
        for (int m = 0; m < q.list->numneigh[k]; ++m) {
          const int j = q.list->firstneigh[k][m];
          if (j < 0 || j >= q.nall) {
            bad = i;
            break;
          }
          if (j != i && frame.type[j] >= 0) found.push_back({0, j});
        }
        rows[f][i] = make_row(q, excluded, frame, i, found);
      }
    });
    if (bad >= 0)
      throw std::invalid_argument("the neighbor list of atom " + std::to_string(bad) +
                                  " names an atom outside 0.." + std::to_string(q.nall - 1));
  };
  const auto guarded = [&](int64_t f, const ParallelFor& inner) {
    try {
      one_frame(f, inner);
    } catch (const std::exception& e) {
      errors[f] = e.what();
    }
  };
  if (q.nf >= 4 && !q.list) {
    parallel(q.nf, kRowCost * q.nloc, [&](int64_t begin, int64_t end) {
      for (int64_t f = begin; f < end; ++f) guarded(f, serial_for);
    });
  } else {
    for (int64_t f = 0; f < q.nf; ++f) guarded(f, parallel);
  }
  for (int64_t f = 0; f < q.nf; ++f)
    if (!errors[f].empty()) throw std::invalid_argument("frame " + std::to_string(f) + ": " + errors[f]);

  RaggedEdges out;
  std::vector<int> angles(n);
  out.start.resize(n + 1);
  int64_t edges = 0;
  for (int64_t i = 0; i < n; ++i) {
    const Row& row = rows[i / q.nloc][i % q.nloc];
    out.start[i] = checked(edges);
    edges += static_cast<int64_t>(row.index.size());
    angles[i] = row.angles;
    out.lost += row.lost;
  }
  out.start[n] = checked(edges);
  out.vec.resize(3 * edges);
  out.local.resize(3 * n);
  for (auto* v : {&out.center, &out.neighbor, &out.atom, &out.slot}) v->resize(edges);
  for (int64_t f = 0; f < q.nf; ++f) {
    const int* owner = q.list ? q.mapping : (frames[f].mapping.empty() ? nullptr : frames[f].mapping.data());
    copy_frame(q, f, {frames[f].coord.data(), frames[f].type.data()}, rows[f], owner, out, parallel);
  }
  make_angles(angles, out, parallel);
  transpose(q.list && !q.mapping ? q.nf * q.nall : n, out);
  return out;
}

template RaggedEdges ragged_edges<double>(const EdgeQuery&, const double*, const double*, const ParallelFor&);
template RaggedEdges ragged_edges<float>(const EdgeQuery&, const float*, const float*, const ParallelFor&);

}  // namespace dptf
