#pragma once

#include <cstdint>
#include <vector>

namespace dptf {

/// Smallest distance and largest neighbor counts over many frames of one system, streamed: memory is
/// O(atoms).
struct NeighborStat {
  double min_distance = 0;  // Å; infinity without any pair within the cutoff
  int64_t min_frame = -1;   // frame of the smallest distance
  int min_atom = -1, min_other = -1;
  std::vector<int> max_neighbors;  // [ntypes], neighbors with r < rcut; [1] in one-type mode
};

/// coord [nf, n, 3]; type [nf, n] (negative: virtual); box [nf, 9] or nullptr for an open boundary.
NeighborStat neighbor_stat(const double* coord, const int* type, const double* box, int64_t nf, int64_t n,
                           int ntypes, double rcut, bool one_type, int threads);

}  // namespace dptf
