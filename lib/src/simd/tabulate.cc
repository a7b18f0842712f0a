// Inner loops of the contraction with a compression table. The vector loops run over channels, whose six
// coefficients lie side by side, as graphs store them.
#include <algorithm>

#include "dptf/tabulate_kernels.h"

namespace dptf {
namespace DPTF_ISA {
namespace {

template <typename T>
DPTF_INLINE T weighted(const T w[6], const T* a) {
  return w[0] * a[0] + w[1] * a[1] + w[2] * a[2] + w[3] * a[3] + w[4] * a[4] + w[5] * a[5];
}

/// out[m, c] += row[m] g_c + r[m] dg_c of one slot, with g scaled by (1 + factor); dg is formed only with
/// SLOPE.
template <int NCOMP, bool SLOPE, typename T>
DPTF_INLINE void add_slot(int64_t width, const T* a, const T w[6], const T v[6], const T* factor,
                          const T* zfactor, const T q[NCOMP], const T r[NCOMP], const T s[NCOMP],
                          T* __restrict out) {
#pragma GCC ivdep
  for (int64_t c = 0; c < width; ++c) {
    const T g = weighted(w, a + 6 * c), scale = factor ? 1 + factor[c] : T(1);
    const T dg = SLOPE ? weighted(v, a + 6 * c) * scale : T(0);
    const T extra = zfactor ? zfactor[c] * g : T(0);
    for (int m = 0; m < NCOMP; ++m) out[m * width + c] += q[m] * g * scale + r[m] * dg + s[m] * extra;
  }
}

template <int NCOMP, typename T>
void forward(const Tabulate<T>& p, int64_t begin, int64_t end, T* out) {
  for (int64_t i = begin; i < end; ++i) {
    T* o = out + i * NCOMP * p.width;
    std::fill(o, o + NCOMP * p.width, T(0));
    if (!p.slots) continue;
    const int64_t last = first_equal_slot(p, i);
    for (int64_t k = 0; k <= last; ++k) {
      const int64_t at = i * p.slots + k;
      const T times = static_cast<T>(k == last ? p.slots - last : 1);
      T w[6], v[6], q[NCOMP], zero[NCOMP] = {};
      const T* a = p.table + table_weights(p.grid, p.x[at], w, v) * 6 * p.width;
      for (int m = 0; m < NCOMP; ++m) q[m] = times * (p.rows ? p.rows[at * NCOMP + m] : T(1));
      if (p.factor)
        add_slot<NCOMP, false, T>(p.width, a, w, v, p.factor + at * p.width, nullptr, q, zero, zero, o);
      else
        add_slot<NCOMP, false, T>(p.width, a, w, v, nullptr, nullptr, q, zero, zero, o);
    }
  }
}

/// Sums over the channels of one slot: s[m] = sum dy[m] g scale, x = sum (sum_m row[m] dy[m]) dg scale.
template <int NCOMP, bool FACTOR, typename T>
DPTF_INLINE void slot_sums(int64_t width, const T* a, const T w[6], const T v[6], const T* factor,
                           const T row[NCOMP], const T* dy, T s[NCOMP], T* x, T* dfactor) {
  T t0 = 0, t1 = 0, t2 = 0, t3 = 0, tx = 0;
#pragma omp simd reduction(+ : t0, t1, t2, t3, tx)
  for (int64_t c = 0; c < width; ++c) {
    const T scale = FACTOR ? 1 + factor[c] : T(1);
    const T g = weighted(w, a + 6 * c), dg = weighted(v, a + 6 * c) * scale, gs = g * scale;
    T mixed = row[0] * dy[c];
    t0 += dy[c] * gs;
    if constexpr (NCOMP == 4) {
      t1 += dy[width + c] * gs;
      t2 += dy[2 * width + c] * gs;
      t3 += dy[3 * width + c] * gs;
      mixed += row[1] * dy[width + c] + row[2] * dy[2 * width + c] + row[3] * dy[3 * width + c];
    }
    tx += mixed * dg;
    if constexpr (FACTOR) dfactor[c] = mixed * g;
  }
  s[0] = t0;
  if constexpr (NCOMP == 4) s[1] = t1, s[2] = t2, s[3] = t3;
  *x = tx;
}

template <int NCOMP, typename T>
void grad(const Tabulate<T>& p, const T* dy, int64_t begin, int64_t end, T* dx, T* drows, T* dfactor) {
  for (int64_t i = begin; i < end; ++i) {
    if (!p.slots) continue;
    const T* d = dy + i * NCOMP * p.width;
    const int64_t last = first_equal_slot(p, i);
    for (int64_t k = 0; k <= last; ++k) {
      const int64_t at = i * p.slots + k;
      T w[6], v[6], row[NCOMP], s[NCOMP], x;
      const T* a = p.table + table_weights(p.grid, p.x[at], w, v) * 6 * p.width;
      for (int m = 0; m < NCOMP; ++m) row[m] = p.rows ? p.rows[at * NCOMP + m] : T(1);
      if (p.factor)
        slot_sums<NCOMP, true, T>(p.width, a, w, v, p.factor + at * p.width, row, d, s, &x,
                                  dfactor + at * p.width);
      else
        slot_sums<NCOMP, false, T>(p.width, a, w, v, nullptr, row, d, s, &x, nullptr);
      // Equal slots have equal gradients.
      const int64_t stop = k == last ? i * p.slots + p.slots : at + 1;
      for (int64_t e = at; e < stop; ++e) {
        dx[e] = x;
        for (int m = 0; drows && m < NCOMP; ++m) drows[e * NCOMP + m] = s[m];
        if (p.factor && e > at) std::copy_n(dfactor + at * p.width, p.width, dfactor + e * p.width);
      }
    }
  }
}

template <int NCOMP, typename T>
void grad_grad(const Tabulate<T>& p, const T* zx, const T* zrows, const T* zfactor, int64_t begin,
               int64_t end, T* out) {
  for (int64_t i = begin; i < end; ++i) {
    T* o = out + i * NCOMP * p.width;
    std::fill(o, o + NCOMP * p.width, T(0));
    if (!p.slots) continue;
    // Equal slots may have different adjoints; without those of the factor, their sums are all that matters.
    const int64_t last = p.factor ? p.slots - 1 : first_equal_slot(p, i);
    for (int64_t k = 0; k <= last; ++k) {
      const int64_t at = i * p.slots + k, stop = k == last ? i * p.slots + p.slots : at + 1;
      T w[6], v[6], row[NCOMP], q[NCOMP] = {}, r[NCOMP], x = 0;
      const T* a = p.table + table_weights(p.grid, p.x[at], w, v) * 6 * p.width;
      for (int64_t e = at; e < stop; ++e) {
        x += zx[e];
        for (int m = 0; zrows && m < NCOMP; ++m) q[m] += zrows[e * NCOMP + m];
      }
      for (int m = 0; m < NCOMP; ++m) {
        row[m] = p.rows ? p.rows[at * NCOMP + m] : T(1);
        r[m] = x * row[m];
      }
      if (p.factor)
        add_slot<NCOMP, true, T>(p.width, a, w, v, p.factor + at * p.width, zfactor + at * p.width, q, r, row,
                                 o);
      else
        add_slot<NCOMP, true, T>(p.width, a, w, v, nullptr, nullptr, q, r, row, o);
    }
  }
}

}  // namespace

template <typename T>
void tabulate_rows(const Tabulate<T>& p, int64_t begin, int64_t end, T* out) {
  p.ncomp == 4 ? forward<4>(p, begin, end, out) : forward<1>(p, begin, end, out);
}

template <typename T>
void tabulate_grad_rows(const Tabulate<T>& p, const T* dy, int64_t begin, int64_t end, T* dx, T* drows,
                        T* dfactor) {
  p.ncomp == 4 ? grad<4>(p, dy, begin, end, dx, drows, dfactor)
               : grad<1>(p, dy, begin, end, dx, drows, dfactor);
}

template <typename T>
void tabulate_grad_grad_rows(const Tabulate<T>& p, const T* zx, const T* zrows, const T* zfactor,
                             int64_t begin, int64_t end, T* out) {
  p.ncomp == 4 ? grad_grad<4>(p, zx, zrows, zfactor, begin, end, out)
               : grad_grad<1>(p, zx, zrows, zfactor, begin, end, out);
}

#define DPTF_INSTANTIATE(T)                                                                           \
  template void tabulate_rows<T>(const Tabulate<T>&, int64_t, int64_t, T*);                           \
  template void tabulate_grad_rows<T>(const Tabulate<T>&, const T*, int64_t, int64_t, T*, T*, T*);    \
  template void tabulate_grad_grad_rows<T>(const Tabulate<T>&, const T*, const T*, const T*, int64_t, \
                                           int64_t, T*);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace DPTF_ISA
}  // namespace dptf
