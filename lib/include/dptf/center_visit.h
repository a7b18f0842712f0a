#pragma once

#include <atomic>
#include <stdexcept>
#include <string>
#include <vector>

#include "dptf/env_mat.h"
#include "dptf/neighbor_rank.h"
#include "dptf/neighbor_search.h"
#include "dptf/parallel.h"

namespace dptf {

/// Positions and types that neighbor indices refer to, and how indices are reported.
struct Positions {
  const double* coord;
  const int* type;
  const int* mapping;  // nullptr: report the index itself

  int reported(int j) const { return mapping ? mapping[j] : j; }
};

/// The atoms of a frame and where their neighbors come from: `list`, or an own search in `box` (nullptr:
/// open).
template <typename T>
struct FrameAtoms {
  int64_t nloc = 0, nall = 0;
  const T *coord = nullptr, *box = nullptr;
  const int* type = nullptr;
  const ExternalList* list = nullptr;
  float rcut = 0;
};

/// Time of one center in ns, for the split over threads.
constexpr int64_t kCenterCost = 12000;

/// Calls f(positions, center, candidates, scratch) for every local atom, in parallel. Candidates are the
/// neighbors of types >= 0, neither ranked nor cut exactly; f may change both vectors.
template <typename T, typename F>
void visit_centers(const FrameAtoms<T>& p, const ParallelFor& parallel, const F& f) {
  if (p.list) {
    const std::vector<double> coord(p.coord, p.coord + 3 * p.nall);
    const Positions pos{coord.data(), p.type, nullptr};
    std::atomic<int64_t> bad{-1};
    parallel(p.list->n, kCenterCost, [&](int64_t begin, int64_t end) {
      std::vector<RankedNeighbor> candidates;
      std::vector<int> scratch;
      for (int64_t k = begin; k < end; ++k) {
        const int i = p.list->ilist[k];
        candidates.clear();
        for (int n = 0; n < p.list->numneigh[k]; ++n) {
          const int j = p.list->firstneigh[k][n];
          if (j < 0 || j >= p.nall) {
            bad = i;
            break;
          }
          if (j != i && p.type[j] >= 0) candidates.push_back({p.type[j], 0, j, 0});
        }
        f(pos, static_cast<int64_t>(i), candidates, scratch);
      }
    });
    if (bad >= 0)
      throw std::invalid_argument("the neighbor list of atom " + std::to_string(bad) +
                                  " names an atom outside 0.." + std::to_string(p.nall - 1));
    return;
  }
  // Without a cell the atoms may include ghosts; they are neighbors, not centers.
  const ExtendedFrame ext = extend_frame(p.coord, p.type, p.box ? p.nloc : p.nall, p.box, p.rcut);
  const CellList cells(ext.coord.data(), static_cast<int64_t>(ext.type.size()), p.rcut);
  const Positions pos{ext.coord.data(), ext.type.data(), p.box ? ext.mapping.data() : nullptr};
  parallel(p.nloc, kCenterCost, [&](int64_t begin, int64_t end) {
    std::vector<RankedNeighbor> candidates;
    std::vector<int> scratch;
    for (int64_t i = begin; i < end; ++i) {
      candidates.clear();
      if (pos.type[i] >= 0)
        cells.visit(pos.coord + 3 * i, [&](int j, double) {
          if (j != i && pos.type[j] >= 0) candidates.push_back({pos.type[j], 0, j, 0});
        });
      f(pos, i, candidates, scratch);
    }
  });
}

/// Drops the candidates beyond rcut and sorts the others by (type, distance, index).
inline void rank_candidates(const Positions& pos, int64_t center, float rcut,
                            std::vector<RankedNeighbor>* candidates) {
  const float rc2 = rcut * rcut;
  size_t n = 0;
  for (RankedNeighbor c : *candidates) {
    c.d2 = rank_distance(pos.coord + 3 * static_cast<int64_t>(c.index), pos.coord + 3 * center);
    if (c.d2 <= rc2) (*candidates)[n++] = c;
  }
  candidates->resize(n);
  std::sort(candidates->begin(), candidates->end());
}

/// Calls one_frame(frame, parallel) for every frame and adds the results: many small frames one a task, few
/// frames one after another with parallel atoms. An error names its frame.
template <typename F>
int64_t visit_frames(int64_t nf, int64_t nloc, bool shared_list, const ParallelFor& parallel,
                     const F& one_frame) {
  std::vector<std::string> errors(nf);
  std::atomic<int64_t> sum{0};
  const auto guarded = [&](int64_t f, const ParallelFor& inner) {
    try {
      sum += one_frame(f, inner);
    } catch (const std::exception& e) {
      errors[f] = e.what();
    }
  };
  if (nf >= 4 && !shared_list)
    parallel(nf, kCenterCost * nloc, [&](int64_t begin, int64_t end) {
      for (int64_t f = begin; f < end; ++f) guarded(f, serial_for);
    });
  else
    for (int64_t f = 0; f < nf; ++f) guarded(f, parallel);
  for (int64_t f = 0; f < nf; ++f)
    if (!errors[f].empty()) throw std::invalid_argument("frame " + std::to_string(f) + ": " + errors[f]);
  return sum;
}

}  // namespace dptf
