#pragma once

#include <cstdint>

namespace dptf {

/// One neighbor of a center: vector to it and the place in the output that its force goes to.
template <typename T>
struct Neighbor {
  T d[3];
  int target;
};

/// Neighbors of one center that share a net, with what the rows of the environment matrix and the table need.
template <typename T>
struct NeighborRun {
  const Neighbor<T>* begin = nullptr;
  int64_t n = 0;
  T rs = 0, rc = 0, range = 0;                 // switch, Å; range is rc - rs as formed in float32
  const T *avg = nullptr, *inv_std = nullptr;  // [4]
  const T* nodes = nullptr;                    // see EmbedTable
  bool powers = false;
  int64_t n_nodes = 0, stride = 0;
  T x0 = 0, h = 1, inv_h = 1;
};

/// Scratch of one run: Hermite weights and row of every neighbor (6 + 4 numbers), and its piece of the table.
template <typename T>
struct RunScratch {
  T* weights = nullptr;       // [n, 10]
  const T** piece = nullptr;  // [n]
};

#define DPTF_DECLARE_SEA_KERNELS(ISA)                                                                 \
  namespace ISA {                                                                                     \
  template <typename T>                                                                               \
  void sea_forward(const NeighborRun<T>& run, const RunScratch<T>& scratch, T* a);                    \
  template <typename T>                                                                               \
  void sea_descriptor(int64_t m, int64_t axis, int64_t stride, const T* a, T* d);                     \
  template <typename T>                                                                               \
  void sea_descriptor_grad(int64_t m, int64_t axis, int64_t stride, const T* a, const T* dd, T scale, \
                           T* da);                                                                    \
  template <typename T>                                                                               \
  void sea_backward(const NeighborRun<T>& run, const T* da, T* force);                                \
  }
DPTF_DECLARE_SEA_KERNELS(baseline)
DPTF_DECLARE_SEA_KERNELS(avx2)
DPTF_DECLARE_SEA_KERNELS(avx512)
#undef DPTF_DECLARE_SEA_KERNELS

/// Numbers of the descriptor kept: D is symmetric in its leading axis x axis block, of which the upper half
/// is kept.
inline int64_t sea_packed_size(int64_t m, int64_t axis) { return m * axis - axis * (axis - 1) / 2; }

}  // namespace dptf
