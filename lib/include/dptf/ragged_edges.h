#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "dptf/env_mat.h"

namespace dptf {

/// What is asked of a ragged list: neighbors within e_rcut (inclusive), nearest first, at most e_sel of them;
/// those among the first a_sel that are closer than a_rcut (strict) also form angles.
struct EdgeQuery {
  int64_t nf = 0, nloc = 0, nall = 0;
  int ntypes = 0;
  double e_rcut = 0, a_rcut = 0;
  int64_t e_sel = 0, a_sel = 0;
  /// Pairs of types without interaction: their neighbors are dropped after the cut at e_sel.
  std::vector<std::pair<int, int>> excluded;
  const int* type = nullptr;           // [nf, nall]
  bool periodic = false;               // own list with periodic images (needs nall == nloc)
  const ExternalList* list = nullptr;  // nullptr: own list
  /// Owners of the atoms of an external list; nullptr: features of ghosts have rows of their own.
  const int* mapping = nullptr;
};

/// Edges of all frames, grouped by center (frame-major), by distance within. Rows of node features: nf *
/// nloc, or nf * nall when ghosts have rows of their own.
struct RaggedEdges {
  std::vector<double> vec;    // [n_edge, 3] neighbor minus center, Å
  std::vector<double> local;  // [nf*nloc, 3] positions of the centers as used (wrapped into the cell)
  std::vector<int> start;     // [nf*nloc + 1] first edge of every center
  std::vector<int> center, neighbor, atom;  // [n_edge] rows of node features; neighbor as row of [nf*nall]
  std::vector<int>
      slot;  // [n_edge] rank of the edge among all neighbors of its center, excluded ones counted
  std::vector<int> in_start, in_edge;  // edges by the row of their neighbor
  std::vector<int> a_start, a_edge;    // [nf*nloc + 1], [n_angle_edge] edges that form angles
  std::vector<int> angle_start,
      angle_k;       // [n_angle_edge + 1], [n_angle] third atom of angle (j, k), as angle edge
  int64_t lost = 0;  // neighbors and angle neighbors beyond e_sel and a_sel
};

/// Throws std::invalid_argument on input that cannot be evaluated.
template <typename T>
RaggedEdges ragged_edges(const EdgeQuery& q, const T* coord, const T* box, const ParallelFor& parallel);

}  // namespace dptf
