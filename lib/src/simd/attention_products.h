#pragma once

#include <algorithm>
#include <cstdint>

#include "dptf/attention_kernels.h"
#include "dptf/gemm_tile.h"
#include "dptf/simd_vec.h"

// Products of small matrices whose lines are whole vectors.
namespace dptf {
namespace DPTF_ISA {

/// A matrix that is read as it is or transposed.
template <typename T>
struct View {
  const T* p;
  int64_t row, column;
};
template <typename T>
View<T> by_rows(const T* p, int64_t ld) {
  return {p, ld, 1};
}
template <typename T>
View<T> turned(const T* p, int64_t ld) {
  return {p, 1, ld};
}

/// c [rows, columns] := or += A B, B [depth, columns] with whole lines of columns.
template <typename T>
void product(int64_t rows, int64_t columns, int64_t depth, View<T> a, const T* b, int64_t ldb, T* c,
             int64_t ldc, bool add = false) {
  for (int64_t c0 = 0; c0 < columns; c0 += kTileColumns<T>)
    for (int64_t d0 = 0; d0 < depth; d0 += kTileDepth) {
      Tile<T> t;
      t.product.depth = std::min(kTileDepth, depth - d0);
      t.product.a = a.p + d0 * a.column, t.product.a_row = a.row, t.product.a_depth = a.column;
      t.product.b = b + d0 * ldb + c0, t.product.b_depth = ldb;
      t.c = c + c0, t.c_row = ldc;
      t.columns = std::min<int64_t>(kTileColumns<T>, columns - c0);
      t.add = add || d0 > 0;
      run_tiles(t, rows);
    }
}

/// to [columns, rows] of from [rows, columns], both with whole vectors; rows beyond the last are zeros.
template <typename T>
void transposed(const T* from, int64_t ld, int64_t rows, int64_t columns, T* to, int64_t ldt) {
  constexpr int lanes = kLanes<T>;
  for (int64_t r = 0; r < whole_lines<T>(rows); r += lanes)
    for (int64_t c = 0; c < columns; c += lanes) {
      Vec<T> v[lanes];
      for (int k = 0; k < lanes; ++k) v[k] = r + k < rows ? load(from + (r + k) * ld + c) : Vec<T>{};
      transpose<T>(v);
      for (int k = 0; k < lanes; ++k) store(to + (c + k) * ldt + r, v[k]);
    }
}

template <typename T>
DPTF_INLINE T dot(const T* __restrict a, const T* __restrict b, int64_t n) {
  T s = 0;
#pragma omp simd reduction(+ : s)
  for (int64_t k = 0; k < n; ++k) s += a[k] * b[k];
  return s;
}
template <typename T>
DPTF_INLINE T total(const T* a, int64_t n) {
  T s = 0;
#pragma omp simd reduction(+ : s)
  for (int64_t k = 0; k < n; ++k) s += a[k];
  return s;
}

}  // namespace DPTF_ISA
}  // namespace dptf
