// Inner loops of the fused se_e2_a model. A [4, stride] is the contraction of one center; padding columns are
// zero.
#include "dptf/env_element.h"
#include "dptf/fused_sea_kernels.h"
#include "dptf/hermite.h"
#include "dptf/simd_vec.h"

namespace dptf {
namespace DPTF_ISA {
namespace {

/// Normalised row of a neighbor and its derivative in the position of the center, both divided by the
/// deviation.
template <typename T>
DPTF_INLINE void normalised_row(const NeighborRun<T>& run, const T d[3], T r[4], T dr[12]) {
  T e[4], de[12];
  env_element<4>(d, run.rs, run.rc, run.range, e, de);
  for (int c = 0; c < 4; ++c) {
    r[c] = (e[c] - run.avg[c]) * run.inv_std[c];
    for (int x = 0; x < 3; ++x) dr[3 * c + x] = de[3 * c + x] * run.inv_std[c];
  }
}

/// The six rows of the piece that holds x, and their weights for the value (w) and the slope (v, not with
/// nullptr).
template <typename T>
DPTF_INLINE const T* piece_of(const NeighborRun<T>& run, T x, T w[6], T* v) {
  const T u = (x - run.x0) * run.inv_h;
  int64_t k = static_cast<int64_t>(u);
  k = k < 0 ? 0 : (k > run.n_nodes - 2 ? run.n_nodes - 2 : k);
  if (run.powers) {
    const T h = x - run.x0 - static_cast<T>(k) * run.h;
    T power = 1;
    for (int p = 0; p < 6; ++p, power *= h) {
      w[p] = power;
      if (v) v[p] = p ? static_cast<T>(p) * w[p - 1] : T(0);
    }
    return run.nodes + 6 * k * run.stride;
  }
  const T t = u - static_cast<T>(k);
  hermite_weights(t, run.h, 0, w);
  if (v) hermite_weights(t, run.h, 1, v);
  return run.nodes + 3 * k * run.stride;
}

/// A[:, columns of NV vectors] += sum over the run; the 4 NV partial sums stay in registers.
template <int NV, typename T>
DPTF_INLINE void contract_columns(int64_t n, const RunScratch<T>& s, int64_t stride, int64_t column, T* a) {
  Vec<T> acc[4][NV];
  for (int c = 0; c < 4; ++c)
    for (int v = 0; v < NV; ++v) acc[c][v] = load(a + c * stride + column + v * kLanes<T>);
  for (int64_t k = 0; k < n; ++k) {
    const T* w = s.weights + 10 * k;
    const T* y = s.piece[k] + column;
    Vec<T> g[NV];
#pragma GCC unroll 2
    for (int v = 0; v < NV; ++v) g[v] = w[0] * load(y + v * kLanes<T>);
#pragma GCC unroll 5
    for (int q = 1; q < 6; ++q)
#pragma GCC unroll 2
      for (int v = 0; v < NV; ++v) g[v] += w[q] * load(y + q * stride + v * kLanes<T>);
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c)
#pragma GCC unroll 2
      for (int v = 0; v < NV; ++v) acc[c][v] += w[6 + c] * g[v];
  }
  for (int c = 0; c < 4; ++c)
    for (int v = 0; v < NV; ++v) store(a + c * stride + column + v * kLanes<T>, acc[c][v]);
}

}  // namespace

template <typename T>
void sea_forward(const NeighborRun<T>& run, const RunScratch<T>& s, T* a) {
  for (int64_t k = 0; k < run.n; ++k) {
    T r[4], dr[12];
    normalised_row(run, run.begin[k].d, r, dr);
    T* w = s.weights + 10 * k;
    s.piece[k] = piece_of<T>(run, r[0], w, nullptr);
    for (int c = 0; c < 4; ++c) w[6 + c] = r[c];
  }
  // The stride is a multiple of the longest vector.
  int64_t column = 0;
  for (; column + 2 * kLanes<T> <= run.stride; column += 2 * kLanes<T>)
    contract_columns<2>(run.n, s, run.stride, column, a);
  for (; column < run.stride; column += kLanes<T>) contract_columns<1>(run.n, s, run.stride, column, a);
}

template <typename T>
void sea_descriptor(int64_t m, int64_t axis, int64_t stride, const T* a, T* d) {
  for (int64_t i = 0; i < m; ++i) {
    const T x0 = a[i], x1 = a[stride + i], x2 = a[2 * stride + i], x3 = a[3 * stride + i];
    const int64_t first = i < axis ? i : 0;
    for (int64_t k = first; k < axis; ++k)
      *d++ = x0 * a[k] + x1 * a[stride + k] + x2 * a[2 * stride + k] + x3 * a[3 * stride + k];
  }
}

template <typename T>
void sea_descriptor_grad(int64_t m, int64_t axis, int64_t stride, const T* a, const T* dd, T scale, T* da) {
  for (int64_t c = 0; c < 4 * stride; ++c) da[c] = 0;
  for (int64_t i = 0; i < m; ++i) {
    const int64_t first = i < axis ? i : 0, n = axis - first;
    for (int c = 0; c < 4; ++c) {
      const T* __restrict ac = a + c * stride + first;
      T* __restrict dc = da + c * stride + first;
      const T x = a[c * stride + i];
      T s = 0;
#pragma omp simd reduction(+ : s)
      for (int64_t k = 0; k < n; ++k) s += dd[k] * ac[k];
      for (int64_t k = 0; k < n; ++k) dc[k] += dd[k] * x;
      da[c * stride + i] += s;
    }
    dd += n;
  }
  for (int64_t c = 0; c < 4 * stride; ++c) da[c] *= scale;
}

template <typename T>
void sea_backward(const NeighborRun<T>& run, const T* da, T* force) {
  const int64_t stride = run.stride;
  for (int64_t k = 0; k < run.n; ++k) {
    T r[4], dr[12], w[6], v[6];
    normalised_row(run, run.begin[k].d, r, dr);
    const T* y = piece_of<T>(run, r[0], w, v);
    Vec<T> s[4] = {}, sx = {};
    for (int64_t c = 0; c < stride; c += kLanes<T>) {
      Vec<T> g = w[0] * load(y + c), dg = v[0] * load(y + c);
#pragma GCC unroll 5
      for (int q = 1; q < 6; ++q) {
        const Vec<T> node = load(y + q * stride + c);
        g += w[q] * node;
        dg += v[q] * node;
      }
      Vec<T> mixed = {};
#pragma GCC unroll 4
      for (int x = 0; x < 4; ++x) {
        const Vec<T> adjoint = load(da + x * stride + c);
        s[x] += adjoint * g;
        mixed += r[x] * adjoint;
      }
      sx += mixed * dg;
    }
    s[0] += sx;
    const T q[4] = {sum<T>(s[0]), sum<T>(s[1]), sum<T>(s[2]), sum<T>(s[3])};
    for (int x = 0; x < 3; ++x)
      force[3 * k + x] = q[0] * dr[x] + q[1] * dr[3 + x] + q[2] * dr[6 + x] + q[3] * dr[9 + x];
  }
}

#define DPTF_INSTANTIATE(T)                                                                   \
  template void sea_forward<T>(const NeighborRun<T>&, const RunScratch<T>&, T*);              \
  template void sea_descriptor<T>(int64_t, int64_t, int64_t, const T*, T*);                   \
  template void sea_descriptor_grad<T>(int64_t, int64_t, int64_t, const T*, const T*, T, T*); \
  template void sea_backward<T>(const NeighborRun<T>&, const T*, T*);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace DPTF_ISA
}  // namespace dptf
