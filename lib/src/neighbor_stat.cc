#include "dptf/neighbor_stat.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <thread>

#include "dptf/neighbor_search.h"

namespace dptf {
namespace {

void one_frame(const double* coord, const int* type, const double* box, int64_t frame, int64_t n, double rcut,
               bool one_type, NeighborStat* stat) {
  const ExtendedFrame ext = extend_frame(coord, type, n, box, rcut);
  const CellList cells(ext.coord.data(), static_cast<int64_t>(ext.type.size()), rcut);
  double best = stat->min_distance * stat->min_distance;
  std::vector<int> count(stat->max_neighbors.size());
  for (int64_t i = 0; i < n; ++i) {
    if (type[i] < 0) continue;
    std::fill(count.begin(), count.end(), 0);
    cells.visit(&ext.coord[3 * i], [&](int j, double d2) {
      if (j == i || ext.type[j] < 0) return;
      ++count[one_type ? 0 : ext.type[j]];
      if (d2 < best) {
        best = d2;
        stat->min_frame = frame;
        stat->min_atom = static_cast<int>(i);
        stat->min_other = ext.mapping[j];
      }
    });
    for (size_t t = 0; t < count.size(); ++t)
      stat->max_neighbors[t] = std::max(stat->max_neighbors[t], count[t]);
  }
  stat->min_distance = std::sqrt(best);
}

}  // namespace

NeighborStat neighbor_stat(const double* coord, const int* type, const double* box, int64_t nf, int64_t n,
                           int ntypes, double rcut, bool one_type, int threads) {
  NeighborStat empty;
  empty.min_distance = std::numeric_limits<double>::infinity();
  empty.max_neighbors.assign(one_type ? 1 : ntypes, 0);
  threads = static_cast<int>(std::max<int64_t>(1, std::min<int64_t>(threads, nf)));
  std::vector<NeighborStat> parts(threads, empty);
  std::vector<std::string> errors(threads);
  std::atomic<int64_t> next{0};
  auto work = [&](int t) {
    for (int64_t f = next++; f < nf; f = next++) {
      try {
        one_frame(coord + f * n * 3, type + f * n, box ? box + f * 9 : nullptr, f, n, rcut, one_type,
                  &parts[t]);
      } catch (const std::exception& e) {
        errors[t] = "frame " + std::to_string(f) + ": " + e.what();
        return;
      }
    }
  };
  std::vector<std::thread> pool;
  for (int t = 1; t < threads; ++t) pool.emplace_back(work, t);
  work(0);
  for (auto& thread : pool) thread.join();
  for (const auto& error : errors)
    if (!error.empty()) throw std::invalid_argument(error);
  NeighborStat out = empty;
  for (const auto& part : parts) {
    if (part.min_distance < out.min_distance ||
        (part.min_distance == out.min_distance && part.min_frame >= 0 && part.min_frame < out.min_frame)) {
      out.min_distance = part.min_distance;
      out.min_frame = part.min_frame;
      out.min_atom = part.min_atom;
      out.min_other = part.min_other;
    }
    for (size_t k = 0; k < out.max_neighbors.size(); ++k)
      out.max_neighbors[k] = std::max(out.max_neighbors[k], part.max_neighbors[k]);
  }
  return out;
}

}  // namespace dptf
