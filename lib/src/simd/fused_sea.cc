// Inner loops of the fused se_e2_a model. A [4, stride] is the contraction of one center; columns beyond the
// width of the net are zero. The moments of a group are the sums of R_c f_p(h) over its neighbors, [4,
// kBasis] with the functions f_p of embed_table.h: A is their product with the coefficients of the piece.
#include "dptf/embed_table.h"
#include "dptf/env_element.h"
#include "dptf/fused_sea_kernels.h"
#include "dptf/simd_vec.h"

namespace dptf {
namespace DPTF_ISA {
namespace {

constexpr int kHalf = kBasis / 2;

/// T_p(h) = (1 or h) times a polynomial in h^2; its coefficients by power, each for all p < 8, twice.
template <typename T>
constexpr T kChebyshev[4][kBasis] = {{1, 1, -1, -3, 1, 5, -1, -7, 1, 1, -1, -3, 1, 5, -1, -7},
                                     {0, 0, 2, 4, -8, -20, 18, 56, 0, 0, 2, 4, -8, -20, 18, 56},
                                     {0, 0, 0, 0, 8, 16, -48, -112, 0, 0, 0, 0, 8, 16, -48, -112},
                                     {0, 0, 0, 0, 0, 0, 32, 64, 0, 0, 0, 0, 0, 0, 32, 64}};
template <typename T>
constexpr T kEven[kBasis] = {1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0};
template <typename T>
constexpr T kOdd[kBasis] = {0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1};
template <typename T>
constexpr T kFirst[kBasis] = {1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0};
template <typename T>
constexpr T kSecond[kBasis] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1};

/// Sum over the lanes, in halves.
template <typename T>
DPTF_INLINE T sum_in_halves(Vec<T> v) {
  T lanes[kLanes<T>];
  __builtin_memcpy(lanes, &v, sizeof v);
#pragma GCC unroll 4
  for (int n = kLanes<T> / 2; n > 0; n /= 2)
#pragma GCC unroll 8
    for (int k = 0; k < n; ++k) lanes[k] += lanes[k + n];
  return lanes[0];
}

/// A[:, NV vectors from `column` on] += moments times coefficients; the 4 NV sums stay in registers.
template <int NV, int FUNCTIONS, typename T>
DPTF_INLINE void expand_columns(int64_t n, const T* const* rows, const T* moments, int64_t stride,
                                int64_t column, T* a) {
  Vec<T> acc[4][NV];
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c)
#pragma GCC unroll 6
    for (int v = 0; v < NV; ++v) acc[c][v] = load(a + c * stride + column + v * kLanes<T>);
  for (int64_t g = 0; g < n; ++g) {
    const T* w = rows[g] + column;
    const T* m = moments + g * 4 * kBasis;
    for (int p = 0; p < FUNCTIONS; ++p, w += stride) {
      Vec<T> b[NV];
#pragma GCC unroll 6
      for (int v = 0; v < NV; ++v) b[v] = load(w + v * kLanes<T>);
#pragma GCC unroll 4
      for (int c = 0; c < 4; ++c) {
        const Vec<T> f = splat(m[c * kBasis + p]);
#pragma GCC unroll 6
        for (int v = 0; v < NV; ++v) acc[c][v] += f * b[v];
      }
    }
  }
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c)
#pragma GCC unroll 6
    for (int v = 0; v < NV; ++v) store(a + c * stride + column + v * kLanes<T>, acc[c][v]);
}

/// Adjoint of the moments of NG groups from the adjoint of A.
template <int NG, typename T>
DPTF_INLINE void project_groups(const T* const* columns, int64_t m, int64_t stride, const T* da, T* out) {
  constexpr int kVectors = kBasis / kLanes<T>;
  // As many vectors of the 16 functions at a time as there are registers for.
  constexpr int kPart = NG * kVectors <= 6 ? kVectors : (kVectors < 6 ? kVectors : 4);
  for (int part = 0; part < kVectors; part += kPart) {
    Vec<T> acc[NG][4][kPart] = {};
    for (int64_t i = 0; i < m; ++i) {
      Vec<T> b[NG][kPart];
#pragma GCC unroll 3
      for (int g = 0; g < NG; ++g)
#pragma GCC unroll 8
        for (int v = 0; v < kPart; ++v) b[g][v] = load(columns[g] + i * kBasis + (part + v) * kLanes<T>);
#pragma GCC unroll 4
      for (int c = 0; c < 4; ++c) {
        const Vec<T> d = splat(da[c * stride + i]);
#pragma GCC unroll 3
        for (int g = 0; g < NG; ++g)
#pragma GCC unroll 8
          for (int v = 0; v < kPart; ++v) acc[g][c][v] += d * b[g][v];
      }
    }
#pragma GCC unroll 3
    for (int g = 0; g < NG; ++g)
#pragma GCC unroll 4
      for (int c = 0; c < 4; ++c)
#pragma GCC unroll 8
        for (int v = 0; v < kPart; ++v)
          store(out + (g * 4 + c) * kBasis + (part + v) * kLanes<T>, acc[g][c][v]);
  }
}

}  // namespace

/// e := row of every neighbor before normalisation.
template <typename T>
void sea_rows(int64_t n, const T* x, const T* y, const T* z, T rs, T rc, T range, const SeaScratch<T>& out) {
  T *e0 = out.a[0], *e1 = out.a[1], *e2 = out.a[2], *e3 = out.a[3];
#pragma GCC ivdep
  for (int64_t k = 0; k < n; ++k) {
    const T d[3] = {x[k], y[k], z[k]};
    T e[4], de[12];
    env_element<4>(d, rs, rc, range, e, de);
    e0[k] = e[0], e1[k] = e[1], e2[k] = e[2], e3[k] = e[3];
  }
}

/// moments := those of the group, whose rows are e.
template <typename T>
void sea_moments(const SeaGroup<T>& g, const SeaScratch<T>& e, const SeaScratch<T>& scratch, T* moments) {
  T *__restrict r0 = scratch.a[0], *__restrict r1 = scratch.a[1], *__restrict r2 = scratch.a[2],
    *__restrict r3 = scratch.a[3], *__restrict h = scratch.a[4], *__restrict t8 = scratch.a[5];
  const T *e0 = e.a[0], *e1 = e.a[1], *e2 = e.a[2], *e3 = e.a[3];
  const T *avg = g.row.avg, *inv_std = g.row.inv_std;
#pragma omp simd
  for (int64_t k = 0; k < g.n; ++k) {
    const T r = (e0[k] - avg[0]) * inv_std[0];
    r0[k] = r;
    r1[k] = (e1[k] - avg[1]) * inv_std[1];
    r2[k] = (e2[k] - avg[2]) * inv_std[2];
    r3[k] = (e3[k] - avg[3]) * inv_std[3];
    const T u = (r - g.center) * g.inv_half, t2 = 2 * u * u - 1, t4 = 2 * t2 * t2 - 1;
    h[k] = u;
    t8[k] = 2 * t4 * t4 - 1;
  }
  constexpr int kVectors = kBasis / kLanes<T>, kLow = kVectors > 1 ? kVectors / 2 : 1;
  Vec<T> acc[4][kVectors] = {};
  for (int64_t k = 0; k < g.n; ++k) {
    const T h2 = h[k] * h[k];
    Vec<T> f[kVectors];
#pragma GCC unroll 4
    for (int q = 0; q < kLow; ++q) {
      const auto at = [&](const T* table) { return load(table + q * kLanes<T>); };
      Vec<T> p = at(kChebyshev<T>[3]);
      p = p * h2 + at(kChebyshev<T>[2]);
      p = p * h2 + at(kChebyshev<T>[1]);
      p = p * h2 + at(kChebyshev<T>[0]);
      p *= at(kOdd<T>) * h[k] + at(kEven<T>);
      if constexpr (kVectors > 1) {
        f[q] = p;
        f[kLow + q] = p * t8[k];
      } else {
        f[q] = p * (at(kSecond<T>) * t8[k] + at(kFirst<T>));
      }
    }
    const T row[4] = {r0[k], r1[k], r2[k], r3[k]};
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c)
#pragma GCC unroll 8
      for (int q = 0; q < kVectors; ++q) acc[c][q] += row[c] * f[q];
  }
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c)
#pragma GCC unroll 8
    for (int q = 0; q < kVectors; ++q) store(moments + c * kBasis + q * kLanes<T>, acc[c][q]);
}

namespace {

template <int FUNCTIONS, typename T>
DPTF_INLINE void expand(int64_t n, const T* const* rows, const T* moments, int64_t stride, T* a) {
  int64_t left = stride / kLanes<T>, column = 0;
#if defined(DPTF_ISA_avx512)
  constexpr int64_t kMost = 6;
#else
  constexpr int64_t kMost = 2;
#endif
  while (left > 0) {
    const int64_t chunks = (left + kMost - 1) / kMost, take = (left + chunks - 1) / chunks;
    switch (take) {
      case 1:
        expand_columns<1, FUNCTIONS>(n, rows, moments, stride, column, a);
        break;
      case 2:
        expand_columns<2, FUNCTIONS>(n, rows, moments, stride, column, a);
        break;
#if defined(DPTF_ISA_avx512)
      case 3:
        expand_columns<3, FUNCTIONS>(n, rows, moments, stride, column, a);
        break;
      case 4:
        expand_columns<4, FUNCTIONS>(n, rows, moments, stride, column, a);
        break;
      case 5:
        expand_columns<5, FUNCTIONS>(n, rows, moments, stride, column, a);
        break;
      case 6:
        expand_columns<6, FUNCTIONS>(n, rows, moments, stride, column, a);
        break;
#endif
      default:
        break;
    }
    left -= take;
    column += take * kLanes<T>;
  }
}

}  // namespace

/// a += what n groups with these moments and coefficients contribute; only so many functions count, 2 or
/// kBasis.
template <typename T>
void sea_expand(int64_t n, const T* const* rows, const T* moments, int functions, int64_t stride, T* a) {
  if (functions == 2)
    expand<2>(n, rows, moments, stride, a);
  else
    expand<kBasis>(n, rows, moments, stride, a);
}

/// Rows are written in whole vectors; what spills over is overwritten by the next row.
template <typename T>
void sea_descriptor(int64_t m, int64_t axis, int64_t stride, const T* a, T* d) {
  for (int64_t k = 0; k < axis; ++k) {
    const T x0 = a[k], x1 = a[stride + k], x2 = a[2 * stride + k], x3 = a[3 * stride + k];
    const T* b = a + k;
    for (int64_t i = 0; i < m - k; i += kLanes<T>)
      store(d + i, x0 * load(b + i) + x1 * load(b + stride + i) + x2 * load(b + 2 * stride + i) +
                       x3 * load(b + 3 * stride + i));
    d += m - k;
  }
}

/// da := scale times the pull-back of dd to A. square [axis, axis + kSeaSlack]: scratch. Columns of da beyond
/// m hold no meaning.
template <typename T>
void sea_descriptor_grad(int64_t m, int64_t axis, int64_t stride, const T* a, const T* dd, T scale, T* square,
                         T* da) {
  // Leading columns of dD as a full matrix: its axis x axis block is symmetric, with twice the diagonal.
  const int64_t whole = (axis + kLanes<T> - 1) / kLanes<T> * kLanes<T>,
                edge = whole < stride ? whole : stride;
  {
    const T* row = dd;
    for (int64_t k = 0; k < axis; ++k) {
      square[k * edge + k] = 2 * row[0];
      for (int64_t i = k + 1; i < axis; ++i) square[k * edge + i] = square[i * edge + k] = row[i - k];
      for (int64_t i = axis; i < edge; ++i) square[k * edge + i] = i < m ? row[i - k] : T(0);
      row += m - k;
    }
  }
  const auto pull = [&](int64_t i, const T* from, auto next) {
    Vec<T> s[4] = {};
    for (int64_t k = 0; k < axis; ++k) {
      const Vec<T> g = load(from);
      from += next(k);
#pragma GCC unroll 4
      for (int c = 0; c < 4; ++c) s[c] += a[c * stride + k] * g;
    }
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) store(da + c * stride + i, scale * s[c]);
  };
  for (int64_t i = 0; i < edge; i += kLanes<T>) pull(i, square + i, [&](int64_t) { return edge; });
  for (int64_t i = edge; i < m; i += kLanes<T>) pull(i, dd + i, [&](int64_t k) { return m - k - 1; });
  // What the other columns add to the leading ones. Beyond m the columns of A are zero.
  for (int64_t k = 0; k < axis; ++k) {
    Vec<T> s[4] = {};
    for (int64_t i = edge; i < m; i += kLanes<T>) {
      const Vec<T> g = load(dd + i - k);
#pragma GCC unroll 4
      for (int c = 0; c < 4; ++c) s[c] += g * load(a + c * stride + i);
    }
    for (int c = 0; c < 4; ++c) {
      T t = sum_in_halves<T>(s[c]);
      for (int64_t i = axis; i < edge && i < m; ++i) t += dd[i - k] * a[c * stride + i];
      da[c * stride + k] += scale * t;
    }
    dd += m - k;
  }
}

/// dmoments [n, 4, kBasis] := adjoint of the moments of n groups.
template <typename T>
void sea_project(int64_t n, const T* const* columns, int64_t m, int64_t stride, const T* da, T* dmoments) {
  int64_t g = 0;
#if defined(DPTF_ISA_avx512)
  for (; g + 3 <= n; g += 3) project_groups<3>(columns + g, m, stride, da, dmoments + g * 4 * kBasis);
  if (g + 2 == n) {
    project_groups<2>(columns + g, m, stride, da, dmoments + g * 4 * kBasis);
    return;
  }
#endif
  for (; g < n; ++g) project_groups<1>(columns + g, m, stride, da, dmoments + g * 4 * kBasis);
}

/// The same of pieces that are straight, from their rows: the adjoints of the other functions are zero.
template <typename T>
void sea_project_straight(int64_t n, const T* const* rows, int64_t m, int64_t stride, const T* da,
                          T* dmoments) {
  for (int64_t k = 0; k < n * 4 * kBasis; ++k) dmoments[k] = 0;
  // Columns of da beyond m hold no meaning.
  const int64_t whole = m / kLanes<T> * kLanes<T>;
  for (int64_t g = 0; g < n; ++g, dmoments += 4 * kBasis) {
    const T *w0 = rows[g], *w1 = w0 + stride;
    Vec<T> s[4][2] = {};
    for (int64_t i = 0; i < whole; i += kLanes<T>) {
      const Vec<T> b0 = load(w0 + i), b1 = load(w1 + i);
#pragma GCC unroll 4
      for (int c = 0; c < 4; ++c) {
        const Vec<T> d = load(da + c * stride + i);
        s[c][0] += d * b0;
        s[c][1] += d * b1;
      }
    }
    for (int c = 0; c < 4; ++c) {
      T sum[2] = {sum_in_halves<T>(s[c][0]), sum_in_halves<T>(s[c][1])};
      for (int64_t i = whole; i < m; ++i) {
        sum[0] += da[c * stride + i] * w0[i];
        sum[1] += da[c * stride + i] * w1[i];
      }
      dmoments[c * kBasis] = sum[0];
      dmoments[c * kBasis + 1] = sum[1];
    }
  }
}

namespace {

/// The functions of embed_table.h and their slopes at h.
template <typename T>
DPTF_INLINE void functions_at(T h, int functions, T f[kBasis], T df[kBasis]) {
  f[0] = 1, f[1] = h, df[0] = 0, df[1] = 1;
  if (functions <= 2) return;
  T t8 = 2 * h * h - 1, dt8 = 4 * h;
  f[2] = t8, df[2] = dt8;
  for (int p = 3; p < kHalf; ++p) {
    f[p] = 2 * h * f[p - 1] - f[p - 2];
    df[p] = 2 * f[p - 1] + 2 * h * df[p - 1] - df[p - 2];
  }
  t8 = 2 * h * f[kHalf - 1] - f[kHalf - 2];
  dt8 = 2 * f[kHalf - 1] + 2 * h * df[kHalf - 1] - df[kHalf - 2];
  for (int p = 0; p < kHalf; ++p) {
    f[kHalf + p] = f[p] * t8;
    df[kHalf + p] = df[p] * t8 + f[p] * dt8;
  }
}

}  // namespace

/// out [n, m] := the net at the first numbers r0 of the normalised rows, from the coefficients of the piece.
template <typename T>
void sea_embed(const SeaGroup<T>& g, const T* r0, const T* rows, int functions, int64_t m, int64_t stride,
               T* out) {
  for (int64_t k = 0; k < g.n; ++k, out += m) {
    T f[kBasis], df[kBasis];
    functions_at((r0[k] - g.center) * g.inv_half, functions, f, df);
    T* __restrict to = out;
    for (int64_t i = 0; i < m; ++i) to[i] = 0;
    for (int p = 0; p < functions; ++p) {
      const T* __restrict c = rows + p * stride;
      const T w = f[p];
#pragma omp simd
      for (int64_t i = 0; i < m; ++i) to[i] += w * c[i];
    }
  }
}

/// slope [n] := sum over m of dout [n, m] and the derivative of the net.
template <typename T>
void sea_embed_slope(const SeaGroup<T>& g, const T* r0, const T* rows, int functions, int64_t m,
                     int64_t stride, const T* dout, T* slope) {
  for (int64_t k = 0; k < g.n; ++k, dout += m) {
    T f[kBasis], df[kBasis], sum = 0;
    functions_at((r0[k] - g.center) * g.inv_half, functions, f, df);
    for (int p = 1; p < functions; ++p) {
      const T* __restrict c = rows + p * stride;
      T s = 0;
#pragma omp simd reduction(+ : s)
      for (int64_t i = 0; i < m; ++i) s += dout[i] * c[i];
      sum += df[p] * s;
    }
    slope[k] = sum * g.inv_half;
  }
}

/// Forces that the group's neighbors feel through this center, from adjoints q of their rows, and sums over
/// them: their force (3), force times vector (9).
template <typename T>
void sea_row_forces(const SeaGroup<T>& g, const T* const q[4], T* fx, T* fy, T* fz, double sums[12]) {
  const T *q0 = q[0], *q1 = q[1], *q2 = q[2], *q3 = q[3];
#pragma GCC ivdep
  for (int64_t k = 0; k < g.n; ++k) {
    const T d[3] = {g.x[k], g.y[k], g.z[k]};
    T e[4], de[12];
    env_element<4>(d, g.row.rs, g.row.rc, g.row.range, e, de);
    const T a = q0[k], b = q1[k], c = q2[k], f = q3[k];
    fx[k] = a * de[0] + b * de[3] + c * de[6] + f * de[9];
    fy[k] = a * de[1] + b * de[4] + c * de[7] + f * de[10];
    fz[k] = a * de[2] + b * de[5] + c * de[8] + f * de[11];
  }
  T f0 = 0, f1 = 0, f2 = 0, v0 = 0, v1 = 0, v2 = 0, v3 = 0, v4 = 0, v5 = 0, v6 = 0, v7 = 0, v8 = 0;
#pragma omp simd reduction(+ : f0, f1, f2, v0, v1, v2, v3, v4, v5, v6, v7, v8)
  for (int64_t k = 0; k < g.n; ++k) {
    const T x = g.x[k], y = g.y[k], z = g.z[k], a = fx[k], b = fy[k], c = fz[k];
    f0 += a, f1 += b, f2 += c;
    v0 += a * x, v1 += a * y, v2 += a * z;
    v3 += b * x, v4 += b * y, v5 += b * z;
    v6 += c * x, v7 += c * y, v8 += c * z;
  }
  const T all[12] = {f0, f1, f2, v0, v1, v2, v3, v4, v5, v6, v7, v8};
  for (int c = 0; c < 12; ++c) sums[c] += static_cast<double>(all[c]);
}

/// The same from the adjoints of the moments.
template <typename T>
void sea_forces(const SeaGroup<T>& g, const T* dmoments, const SeaScratch<T>& scratch, T* fx, T* fy, T* fz,
                double sums[12]) {
  T *r0 = scratch.a[0], *r1 = scratch.a[1], *r2 = scratch.a[2], *r3 = scratch.a[3], *h = scratch.a[4];
  T* q[4] = {scratch.a[5], scratch.a[6], scratch.a[7], scratch.a[8]};
  const T *avg = g.row.avg, *inv_std = g.row.inv_std;
#pragma GCC ivdep
  for (int64_t k = 0; k < g.n; ++k) {
    const T d[3] = {g.x[k], g.y[k], g.z[k]};
    T e[4], de[12];
    env_element<4>(d, g.row.rs, g.row.rc, g.row.range, e, de);
    const T r = (e[0] - avg[0]) * inv_std[0];
    r0[k] = r;
    r1[k] = (e[1] - avg[1]) * inv_std[1];
    r2[k] = (e[2] - avg[2]) * inv_std[2];
    r3[k] = (e[3] - avg[3]) * inv_std[3];
    h[k] = (r - g.center) * g.inv_half;
  }
  for (int64_t k = 0; k < g.n; k += kLanes<T>) {
    const Vec<T> u = load(h + k), twice = u + u;
    Vec<T> low[4], high[4], dlow[4], dhigh[4];
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
      const T* b = dmoments + c * kBasis;
      low[c] = b[0] + u * b[1];
      high[c] = b[kHalf] + u * b[kHalf + 1];
      dlow[c] = splat(b[1]);
      dhigh[c] = splat(b[kHalf + 1]);
    }
    Vec<T> t = u, before = splat(T(1)), dt = splat(T(1)), dbefore = {};
#pragma GCC unroll 7
    for (int p = 2; p <= kHalf; ++p) {
      const Vec<T> next = twice * t - before, dnext = twice * dt + (t + t) - dbefore;
      before = t, t = next, dbefore = dt, dt = dnext;
      if (p == kHalf) break;
#pragma GCC unroll 4
      for (int c = 0; c < 4; ++c) {
        const T b = dmoments[c * kBasis + p], e = dmoments[c * kBasis + kHalf + p];
        low[c] += b * t;
        high[c] += e * t;
        dlow[c] += b * dt;
        dhigh[c] += e * dt;
      }
    }
    const T* r[4] = {r0, r1, r2, r3};
    Vec<T> slope = {};
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) slope += load(r[c] + k) * (dlow[c] + t * dhigh[c] + dt * high[c]);
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
      Vec<T> s = low[c] + t * high[c];
      if (c == 0) s += slope * g.inv_half;
      store(q[c] + k, s * inv_std[c]);
    }
  }
  sea_row_forces<T>(g, q, fx, fy, fz, sums);
}

#define DPTF_INSTANTIATE(T)                                                                                 \
  template void sea_rows<T>(int64_t, const T*, const T*, const T*, T, T, T, const SeaScratch<T>&);          \
  template void sea_moments<T>(const SeaGroup<T>&, const SeaScratch<T>&, const SeaScratch<T>&, T*);         \
  template void sea_expand<T>(int64_t, const T* const*, const T*, int, int64_t, T*);                        \
  template void sea_descriptor<T>(int64_t, int64_t, int64_t, const T*, T*);                                 \
  template void sea_descriptor_grad<T>(int64_t, int64_t, int64_t, const T*, const T*, T, T*, T*);           \
  template void sea_project<T>(int64_t, const T* const*, int64_t, int64_t, const T*, T*);                   \
  template void sea_project_straight<T>(int64_t, const T* const*, int64_t, int64_t, const T*, T*);          \
  template void sea_embed<T>(const SeaGroup<T>&, const T*, const T*, int, int64_t, int64_t, T*);            \
  template void sea_embed_slope<T>(const SeaGroup<T>&, const T*, const T*, int, int64_t, int64_t, const T*, \
                                   T*);                                                                     \
  template void sea_row_forces<T>(const SeaGroup<T>&, const T* const[4], T*, T*, T*, double[12]);           \
  template void sea_forces<T>(const SeaGroup<T>&, const T*, const SeaScratch<T>&, T*, T*, T*, double[12]);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace DPTF_ISA
}  // namespace dptf
