#pragma once

#include "dptf/simd_vec.h"

// A register tile of a matrix product. Only for sources in src/simd.
namespace dptf {
namespace DPTF_ISA {

#if defined(DPTF_ISA_avx512)
constexpr int kTileRows = 8;
#else
constexpr int kTileRows = 4;
#endif
constexpr int kTileVectors = 3;
template <typename T>
constexpr int kTileColumns = kTileVectors * kLanes<T>;
/// Depth of a pass: the rows of A and the panel of B of a tile stay in the caches next to the core.
constexpr int64_t kTileDepth = 128;

/// C(r, c) = c[r * c_row + c] for c < columns := A B, or C += A B, with A(r, k) = a[r * a_row + k * a_depth]
/// and B(k, c) = b[k * b_depth + c]. B must be readable up to whole vectors.
template <typename T>
struct Tile {
  struct Product {
    int64_t depth = 0;
    const T* a = nullptr;
    int64_t a_row = 0, a_depth = 0;
    const T* b = nullptr;
    int64_t b_depth = 0;
  } product;
  T* c = nullptr;
  int64_t c_row = 0, columns = 0;
  bool add = false;
};

template <int R, int V, typename T>
DPTF_INLINE void add_product(const typename Tile<T>::Product& p, Vec<T> (&acc)[R][V]) {
  const T *a = p.a, *b = p.b;
  for (int64_t k = 0; k < p.depth; ++k, a += p.a_depth, b += p.b_depth) {
    Vec<T> bv[V];
#pragma GCC unroll 3
    for (int v = 0; v < V; ++v) bv[v] = load(b + v * kLanes<T>);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const Vec<T> av = splat(a[r * p.a_row]);
#pragma GCC unroll 3
      for (int v = 0; v < V; ++v) acc[r][v] += av * bv[v];
    }
  }
}

template <int R, int V, typename T>
DPTF_INLINE void run_tile(const Tile<T>& p) {
  Vec<T> acc[R][V];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 3
    for (int v = 0; v < V; ++v) acc[r][v] = Vec<T>{};
  add_product<R, V, T>(p.product, acc);
  if (p.columns == V * kLanes<T>) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 3
      for (int v = 0; v < V; ++v) {
        T* to = p.c + r * p.c_row + v * kLanes<T>;
        store(to, p.add ? acc[r][v] + load(to) : acc[r][v]);
      }
    return;
  }
  // A copy, so that only this case takes the accumulators out of the registers.
  alignas(64) T part[R][V * kLanes<T>];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 3
    for (int v = 0; v < V; ++v) store(&part[r][v * kLanes<T>], acc[r][v]);
  for (int r = 0; r < R; ++r)
    for (int64_t k = 0; k < p.columns; ++k) {
      T* to = p.c + r * p.c_row + k;
      *to = part[r][k] + (p.add ? *to : T(0));
    }
}

template <int R, typename T>
DPTF_INLINE void run_tile_vectors(const Tile<T>& p) {
  if (p.columns > 2 * kLanes<T>)
    run_tile<R, 3>(p);
  else if (p.columns > kLanes<T>)
    run_tile<R, 2>(p);
  else
    run_tile<R, 1>(p);
}

/// A tile of any number of rows and of up to kTileColumns columns: R at a time, and half of them where fewer
/// are left.
template <typename T, int R = kTileRows>
DPTF_INLINE void run_tiles(Tile<T> p, int64_t rows) {
  for (; rows >= R; rows -= R) {
    run_tile_vectors<R>(p);
    p.product.a += R * p.product.a_row;
    p.c += R * p.c_row;
  }
  if constexpr (R > 1) {
    if (rows > 0) run_tiles<T, R / 2>(p, rows);
  }
}

}  // namespace DPTF_ISA
}  // namespace dptf
