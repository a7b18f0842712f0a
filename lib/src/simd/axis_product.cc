#include "dptf/axis_product.h"

#include <algorithm>
#include <type_traits>

#include "dptf/simd_vec.h"

namespace dptf {
namespace DPTF_ISA {
namespace {

/// Vectors that hold the axis in registers; other sizes go number by number.
constexpr int kMostVectors = 4;

template <int V, typename T>
DPTF_INLINE void add_product(const AxisProduct<T>& p, const T* a, const T* b, T* d) {
  for (int64_t m = 0; m < p.width; ++m) {
    T* to = d + m * p.axis;
    if constexpr (V == 0) {
      for (int64_t r = 0; r < p.rows; ++r)
        for (int64_t k = 0; k < p.axis; ++k) to[k] += a[r * p.width + m] * b[r * p.width + k];
    } else {
      Vec<T> acc[V];
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) acc[v] = load(to + v * kLanes<T>);
      for (int64_t r = 0; r < p.rows; ++r) {
        const Vec<T> w = splat(a[r * p.width + m]);
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) acc[v] += w * load(b + r * p.width + v * kLanes<T>);
      }
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) store(to + v * kLanes<T>, acc[v]);
    }
  }
}

/// da [4, width] of four rows (n of them used; side: their first columns, [axis, 4]).
template <int V, typename T>
DPTF_INLINE void four_gradients(const AxisProduct<T>& p, const T* d, const T* row, int64_t n, const T* side,
                                T* sums, T* out) {
  constexpr int group = 4;
  Vec<T> kept[group][V ? V : 1];
  for (int r = 0; r < group; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) kept[r][v] = Vec<T>{};
  int64_t m = 0;
  const T* rows[group];  // sums of rows beyond the last one are not used
  for (int r = 0; r < group; ++r) rows[r] = row + (r < n ? r : 0) * p.width;
  if constexpr (V != 0)
    for (constexpr int n_lanes = kLanes<T>; m + n_lanes <= p.width; m += n_lanes) {
      Vec<T> acc[group];
#pragma GCC unroll 4
      for (int r = 0; r < group; ++r) acc[r] = Vec<T>{};
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        Vec<T> t[n_lanes];
#pragma GCC unroll 16
        for (int i = 0; i < n_lanes; ++i) t[i] = load(d + (m + i) * p.axis + v * n_lanes);
#pragma GCC unroll 4
        for (int r = 0; r < group; ++r)
#pragma GCC unroll 16
          for (int i = 0; i < n_lanes; ++i) kept[r][v] += splat(rows[r][m + i]) * t[i];
        transpose<T>(t);  // one vector per column of the axis, over m
#pragma GCC unroll 16
        for (int k = 0; k < n_lanes; ++k)
#pragma GCC unroll 4
          for (int r = 0; r < group; ++r) acc[r] += splat(side[(v * n_lanes + k) * group + r]) * t[k];
      }
      for (int r = 0; r < n; ++r) store(out + r * p.width + m, acc[r]);
    }
  for (; m < p.width; ++m) {
    const T* dm = d + m * p.axis;
    T acc[group] = {};
    for (int64_t k = 0; k < p.axis; ++k)
#pragma GCC unroll 4
      for (int r = 0; r < group; ++r) acc[r] += dm[k] * side[k * group + r];
    for (int r = 0; r < n; ++r) out[r * p.width + m] = acc[r];
    if constexpr (V == 0) {
      for (int r = 0; r < n; ++r)
        for (int64_t k = 0; k < p.axis; ++k) sums[r * p.axis + k] += row[r * p.width + m] * dm[k];
    } else {
#pragma GCC unroll 4
      for (int r = 0; r < group; ++r) {
        const Vec<T> w = splat(rows[r][m]);
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) kept[r][v] += w * load(dm + v * kLanes<T>);
      }
    }
  }
  if constexpr (V != 0)
#pragma GCC unroll 4
    for (int r = 0; r < group; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) store(sums + r * p.axis + v * kLanes<T>, kept[r][v]);
}

/// Calls f with the number of vectors that hold the axis exactly, 0 if none does.
template <typename T, typename F>
DPTF_INLINE void with_vectors(int64_t axis, F&& f) {
  const int64_t v = axis % kLanes<T> ? 0 : axis / kLanes<T>;
  if (v == 1)
    f(std::integral_constant<int, 1>());
  else if (v == 2)
    f(std::integral_constant<int, 2>());
  else if (v == kMostVectors)
    f(std::integral_constant<int, kMostVectors>());
  else
    f(std::integral_constant<int, 0>());
}

}  // namespace

template <typename T>
void axis_products(const AxisProduct<T>& p, const T* a, const T* b, bool both, T* d, int64_t begin,
                   int64_t end) {
  const int64_t in = p.rows * p.width, out = p.width * p.axis;
  with_vectors<T>(p.axis, [&](auto vectors) {
    constexpr int V = decltype(vectors)::value;
    for (int64_t i = begin; i < end; ++i) {
      std::fill_n(d + i * out, out, T(0));
      add_product<V>(p, a + i * in, b + i * in, d + i * out);
      if (both) add_product<V>(p, b + i * in, a + i * in, d + i * out);
    }
  });
}

template <typename T>
void axis_gradients(const AxisProduct<T>& p, const T* dd, const T* a, T* da, T* scratch, int64_t begin,
                    int64_t end) {
  // Four rows at a time, side by side: rows of A are few, so they are what a vector holds.
  T *side = scratch, *sums = scratch + 4 * p.axis;
  with_vectors<T>(p.axis, [&](auto vectors) {
    for (int64_t i = begin; i < end; ++i)
      for (int64_t r0 = 0; r0 < p.rows; r0 += 4) {
        const int64_t n = std::min<int64_t>(4, p.rows - r0);
        const T* row = a + (i * p.rows + r0) * p.width;
        T* out = da + (i * p.rows + r0) * p.width;
        for (int64_t k = 0; k < p.axis; ++k)
          for (int r = 0; r < 4; ++r) side[k * 4 + r] = r < n ? row[r * p.width + k] : T(0);
        std::fill_n(sums, 4 * p.axis, T(0));
        four_gradients<decltype(vectors)::value>(p, dd + i * p.width * p.axis, row, n, side, sums, out);
        for (int r = 0; r < n; ++r)
          for (int64_t k = 0; k < p.axis; ++k) out[r * p.width + k] += sums[r * p.axis + k];
      }
  });
}

#define DPTF_INSTANTIATE(T)                                                                              \
  template void axis_products<T>(const AxisProduct<T>&, const T*, const T*, bool, T*, int64_t, int64_t); \
  template void axis_gradients<T>(const AxisProduct<T>&, const T*, const T*, T*, T*, int64_t, int64_t);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace DPTF_ISA
}  // namespace dptf
