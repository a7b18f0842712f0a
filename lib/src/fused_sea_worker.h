#pragma once

#include <memory>
#include <vector>

#include "dptf/fused_sea.h"
#include "dptf/fused_sea_kernels.h"
#include "dptf/neighbor_rank.h"

// What the sources of FusedSea share.
namespace dptf {

/// Arrays that start at cache lines, with room for a vector behind each.
template <typename C>
void grow(AlignedVector<C>& v, int64_t n) {
  if (static_cast<int64_t>(v.size()) < n + kSeaSlack) v.resize(n + n / 4 + 2 * kSeaSlack);
}
template <typename C>
void grow(std::vector<C>& v, int64_t n) {
  if (static_cast<int64_t>(v.size()) < n) v.resize(n + n / 4 + 16);
}

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
  // Of attention, for each center of a block: embeddings before and after the layers [layers + 1, n, width],
  // rows as they are and normalised [4, n], what enters the layers [n, 3] and [n], what they keep, adjoints
  // of the rows [4, room].
  struct Attended {
    int64_t n = 0;
    AlignedVector<C> g, raw, row, f, s, kept;
  };
  std::vector<Attended> attended;
  AlignedVector<C> dg[2], df[2], ds[2], slope, drow;
  std::vector<unsigned char> all;
  std::vector<C> y, rotated;
  typename DenseNet<C>::Workspace dense;
  // Variances: features and their products with the factor, neighbors of the block and their weights, sums.
  struct Near {
    int64_t atom;
    double weight;
  };
  AlignedVector<double> phi, white;
  std::vector<Near> near;
  std::vector<int64_t> first_near;
  std::vector<double> mean;
  std::vector<double> force, atom_virial;
  double virial[9];
  int64_t lost = 0, bad = -1;

  // Of the frame; one worker keeps them for all.
  struct Block {
    int type, begin, n;  // places in `order`
  };
  std::vector<Block> blocks;
  std::vector<int> order;  // local atoms by type
  std::vector<double> energies, wide, weights, variances;
  std::vector<int64_t> row_of;
};

/// One frame as the blocks see it.
template <typename C>
template <typename T>
struct FusedSea<C>::Frame {
  const double* coord = nullptr;
  const int* type = nullptr;
  const int* target = nullptr;  // nullptr: the index itself
  const T *fparam = nullptr, *aparam = nullptr;
  T* atom_energy = nullptr;
  bool want_force = false, want_atom_virial = false;
  std::vector<double>* energies = nullptr;
  double *features = nullptr, *variance = nullptr, *property = nullptr;
  const double* cotangent = nullptr;
  double* weights = nullptr;  // sums over neighbors, where means of variances are wanted
  int64_t nloc = 0;
};

}  // namespace dptf
