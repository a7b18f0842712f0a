#pragma once

#include <cstdint>

namespace dptf {

/// Switch and normalisation that the rows of the environment matrix of one pair of types need.
template <typename T>
struct SeaRow {
  T rs = 0, rc = 0, range = 0;                 // switch, Å; range is rc - rs as formed in float32
  const T *avg = nullptr, *inv_std = nullptr;  // [4]
};

/// Neighbors of one center whose arguments lie in one piece of one table, by component.
template <typename T>
struct SeaGroup {
  int64_t n = 0;
  const T *x = nullptr, *y = nullptr, *z = nullptr;  // vector to the neighbor
  SeaRow<T> row;
  T center = 0, inv_half = 1;  // of the piece
};

/// Arrays of numbers of neighbors, with room for a vector behind each: rows (the first four), or scratch.
template <typename T>
struct SeaScratch {
  T* a[9] = {};
};

#define DPTF_DECLARE_SEA_KERNELS(ISA)                                                                        \
  namespace ISA {                                                                                            \
  template <typename T>                                                                                      \
  void sea_rows(int64_t n, const T* x, const T* y, const T* z, T rs, T rc, T range, const SeaScratch<T>& e); \
  template <typename T>                                                                                      \
  void sea_moments(const SeaGroup<T>& g, const SeaScratch<T>& e, const SeaScratch<T>& scratch, T* moments);  \
  template <typename T>                                                                                      \
  void sea_expand(int64_t n, const T* const* rows, const T* moments, int functions, int64_t stride, T* a);   \
  template <typename T>                                                                                      \
  void sea_descriptor(int64_t m, int64_t axis, int64_t stride, const T* a, T* d);                            \
  template <typename T>                                                                                      \
  void sea_descriptor_grad(int64_t m, int64_t axis, int64_t stride, const T* a, const T* dd, T scale,        \
                           T* square, T* da);                                                                \
  template <typename T>                                                                                      \
  void sea_project(int64_t n, const T* const* columns, int64_t m, int64_t stride, const T* da, T* dmoments); \
  template <typename T>                                                                                      \
  void sea_project_straight(int64_t n, const T* const* rows, int64_t m, int64_t stride, const T* da,         \
                            T* dmoments);                                                                    \
  template <typename T>                                                                                      \
  void sea_embed(const SeaGroup<T>& g, const T* r0, const T* rows, int functions, int64_t m, int64_t stride, \
                 T* out);                                                                                    \
  template <typename T>                                                                                      \
  void sea_embed_slope(const SeaGroup<T>& g, const T* r0, const T* rows, int functions, int64_t m,           \
                       int64_t stride, const T* dout, T* slope);                                             \
  template <typename T>                                                                                      \
  void sea_row_forces(const SeaGroup<T>& g, const T* const q[4], T* fx, T* fy, T* fz, double sums[12]);      \
  template <typename T>                                                                                      \
  void sea_forces(const SeaGroup<T>& g, const T* dmoments, const SeaScratch<T>& scratch, T* fx, T* fy,       \
                  T* fz, double sums[12]);                                                                   \
  }
DPTF_DECLARE_SEA_KERNELS(baseline)
DPTF_DECLARE_SEA_KERNELS(avx2)
DPTF_DECLARE_SEA_KERNELS(avx512)
#undef DPTF_DECLARE_SEA_KERNELS

/// Numbers of the descriptor kept: D is symmetric in its leading axis x axis block, of which one half is
/// kept. Order: for k < axis the entries (i, k) with i = k, ..., m - 1.
inline int64_t sea_packed_size(int64_t m, int64_t axis) { return m * axis - axis * (axis - 1) / 2; }

/// Numbers that vector loops may touch beyond an array of the kernels.
constexpr int64_t kSeaSlack = 16;

}  // namespace dptf
