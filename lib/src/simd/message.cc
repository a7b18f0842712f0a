// Inner loops of the message step. A tile of rows is multiplied into a buffer that stays in the caches,
// activated, reduced into its owners and, going back, multiplied into the gradient of x and of the weight.
#include "dptf/activation.h"
#include "dptf/message_kernels.h"
#include "dptf/simd_vec.h"

namespace dptf {
namespace DPTF_ISA {
namespace {

#if defined(DPTF_ISA_avx512)
constexpr int kRows = 8;
#else
constexpr int kRows = 4;
#endif

/// C[kRows, V vectors] (+)= A B; element (r, k) of A is a[r * ars + k * aks].
template <int V, typename T>
DPTF_INLINE void tile(int64_t depth, const T* a, int64_t ars, int64_t aks, const T* b, int64_t ldb, T* c,
                      int64_t ldc, bool add) {
  Vec<T> acc[kRows][V];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 3
    for (int v = 0; v < V; ++v) acc[r][v] = add ? load(c + r * ldc + v * kLanes<T>) : Vec<T>{};
  for (int64_t k = 0; k < depth; ++k) {
    Vec<T> bv[V];
#pragma GCC unroll 3
    for (int v = 0; v < V; ++v) bv[v] = load(b + k * ldb + v * kLanes<T>);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const Vec<T> av = splat(a[r * ars + k * aks]);
#pragma GCC unroll 3
      for (int v = 0; v < V; ++v) acc[r][v] += av * bv[v];
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 3
    for (int v = 0; v < V; ++v) store(c + r * ldc + v * kLanes<T>, acc[r][v]);
}

/// C[rows, n] (+)= A B with rows a multiple of kRows and n of the vector length.
template <typename T>
DPTF_INLINE void multiply(int64_t rows, int64_t depth, const T* a, int64_t ars, int64_t aks, const T* b,
                          int64_t ldb, T* c, int64_t ldc, int64_t n, bool add) {
  constexpr int64_t L = kLanes<T>;
  int64_t j = 0;
  while (j < n) {
    const int64_t left = (n - j) / L, wide = left >= 3 && left != 4 ? 3 : (left >= 2 ? 2 : 1);
    for (int64_t r = 0; r < rows; r += kRows) {
      const T* ar = a + r * ars;
      T* cr = c + r * ldc + j;
      if (wide == 3)
        tile<3>(depth, ar, ars, aks, b + j, ldb, cr, ldc, add);
      else if (wide == 2)
        tile<2>(depth, ar, ars, aks, b + j, ldb, cr, ldc, add);
      else
        tile<1>(depth, ar, ars, aks, b + j, ldb, cr, ldc, add);
    }
    j += wide * L;
  }
}

/// Integers as wide as the numbers of V, which is T or Vec<T>.
template <typename V>
struct BitsOf;
template <>
struct BitsOf<float> {
  typedef int32_t type;
};
template <>
struct BitsOf<double> {
  typedef int64_t type;
};
template <>
struct BitsOf<Vec<float>> {
  typedef int32_t type __attribute__((vector_size(kVectorBytes)));
};
template <>
struct BitsOf<Vec<double>> {
  typedef int64_t type __attribute__((vector_size(kVectorBytes)));
};

/// exp(y) = 2^n exp(r) with y = n ln2 + r, |r| <= ln2 / 2; relative error of a few units in the last place.
template <typename V>
DPTF_INLINE V exp_clamped(V y, float) {
  const V high = V{} + 87.0f, low = V{} - 87.0f;
  y = y < high ? y : high;
  y = y > low ? y : low;
  const V shifted = y * 1.44269504f + 12582912.0f;  // 1.5 * 2^23: the integer is left in the low bits
  const V n = shifted - 12582912.0f;
  const V r = (y - n * 0.693359375f) + n * 2.12194440e-4f;
  V p = V{} + 1.0f / 5040.0f;
  p = p * r + 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r * r + r + 1.0f;
  typename BitsOf<V>::type bits;
  __builtin_memcpy(&bits, &shifted, sizeof bits);
  bits = (bits + 127) << 23;
  V scale;
  __builtin_memcpy(&scale, &bits, sizeof scale);
  return scale * p;
}

template <typename V>
DPTF_INLINE V exp_clamped(V y, double) {
  const V high = V{} + 700.0, low = V{} - 700.0;
  y = y < high ? y : high;
  y = y > low ? y : low;
  const V shifted = y * 1.4426950408889634074 + 6755399441055744.0;  // 1.5 * 2^52
  const V n = shifted - 6755399441055744.0;
  const V r = (y - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10;
  V p = V{} + 1.0 / 6227020800.0;
  p = p * r + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  p = p * r * r + r + 1.0;
  typename BitsOf<V>::type bits;
  __builtin_memcpy(&bits, &shifted, sizeof bits);
  bits = (bits + 1023) << 52;
  V scale;
  __builtin_memcpy(&scale, &bits, sizeof scale);
  return scale * p;
}

template <typename T, typename V>
DPTF_INLINE V sigmoid(V x) {
  return T(1) / (T(1) + exp_clamped<V>(-x, T()));
}

/// silu below the threshold, above it a tanh with the same value and slope there. tanh(z) = 2 sigmoid(2 z) -
/// 1, so one sigmoid serves both sides.
template <typename T>
struct Silut {
  static constexpr bool kVector = true;
  T threshold, slope, constant;
  explicit Silut(T t) : threshold(t) {
    const T s = sigmoid<T>(t);
    slope = s * (1 + t * (1 - s));
    constant = t * s;
  }
  template <typename V>
  DPTF_INLINE_MEMBER void operator()(V x, V f[3]) const {
    const auto low = x < V{} + threshold;
    const V above = 2 * slope * (x - threshold);
    const V y = low ? x : above;
    const V s = sigmoid<T>(y), d = s * (1 - s), t = 2 * s - 1, q = slope * (1 - t * t);
    const V f0 = x * s, f1 = s + x * d, f2 = d * (2 + x * (1 - 2 * s)), g0 = t + constant,
            g2 = -2 * slope * t * q;
    f[0] = low ? f0 : g0;
    f[1] = low ? f1 : q;
    f[2] = low ? f2 : g2;
  }
};

template <typename T>
struct Silu {
  static constexpr bool kVector = true;
  template <typename V>
  DPTF_INLINE_MEMBER void operator()(V x, V f[3]) const {
    const V s = sigmoid<T>(x), d = s * (1 - s);
    f[0] = x * s;
    f[1] = s + x * d;
    f[2] = d * (2 + x * (1 - 2 * s));
  }
};

template <Activation A, typename T>
struct Plain {
  static constexpr bool kVector = false;
  DPTF_INLINE_MEMBER void operator()(T x, T f[3]) const {
    T g[4];
    activation_derivatives<A>(x, g);
    f[0] = g[0], f[1] = g[1], f[2] = g[2];
  }
};

template <typename T, typename F>
DPTF_INLINE void with_activation(const Message<T>& p, F&& f) {
  switch (p.activation) {
    case 1:
      return f(Plain<Activation::tanh, T>());
    case 2:
      return f(Plain<Activation::gelu, T>());
    case 3:
      return f(Plain<Activation::relu, T>());
    case 4:
      return f(Plain<Activation::relu6, T>());
    case 5:
      return f(Plain<Activation::softplus, T>());
    case 6:
      return f(Plain<Activation::sigmoid, T>());
    case 7:
      return f(Silu<T>());
    case 8:
      return f(Silut<T>(p.threshold));
    default:
      return f(Plain<Activation::linear, T>());
  }
}

/// Reads and writes the numbers of a row from c on, as many as V has.
template <typename V, typename T>
DPTF_INLINE V get(const T* p, int64_t c) {
  if constexpr (sizeof(V) == sizeof(T))
    return p[c];
  else
    return load(p + c);
}
template <typename V, typename T>
DPTF_INLINE void put(T* p, int64_t c, V v) {
  if constexpr (sizeof(V) == sizeof(T))
    p[c] = v;
  else
    store(p + c, v);
}

/// Calls f(zero, c) for all columns, with vectors as far as they reach.
template <typename T, bool VECTOR, typename F>
DPTF_INLINE void for_columns(int64_t n, F&& f) {
  int64_t c = 0;
  if constexpr (VECTOR)
    for (; c + kLanes<T> <= n; c += kLanes<T>) f(Vec<T>{}, c);
  for (; c < n; ++c) f(T(0), c);
}

/// A sum over columns, of vectors and of single numbers.
template <typename T>
struct Total {
  Vec<T> many = {};
  T one = 0;
  DPTF_INLINE_MEMBER void add(T x) { one += x; }
  DPTF_INLINE_MEMBER void add(Vec<T> x) { many += x; }
  DPTF_INLINE_MEMBER T value() const { return one + sum<T>(many); }
};

DPTF_INLINE int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

/// A view of rows [r0, r0 + n) of x that may be read kRows beyond: x itself, or a padded copy.
template <typename T>
struct XTile {
  const T* data;
  int64_t ld;
  XTile(const T* x, int64_t rows, int64_t k, int64_t r0, int64_t n, T* copy) : data(x + r0 * k), ld(k) {
    if (k % kRows == 0 && r0 + round_up(n, kRows) <= rows) return;
    ld = round_up(k, kRows);
    data = copy;
    for (int64_t r = 0; r < n; ++r)
      for (int64_t c = 0; c < k; ++c) copy[r * ld + c] = x[(r0 + r) * k + c];
  }
};

/// The buffers of a chunk.
template <typename T>
struct Buffers {
  T *x, *x2, *a, *b, *c, *gx;
  Buffers(T* s, int64_t k_rows, int64_t c_pad) {
    x = s;
    x2 = x + kMessageTile * k_rows;
    a = x2 + kMessageTile * k_rows;
    b = a + kMessageTile * c_pad;
    c = b + kMessageTile * c_pad;
    gx = c + kMessageTile * c_pad;
  }
};

template <typename T>
struct Forward {
  const Message<T>& p;
  const MessageWeights<T>& w;
  const MessageChunk<T>& chunk;
  T *out, *y;

  template <typename Act>
  DPTF_INLINE_MEMBER void operator()(const Act act) const {
    const int64_t m = p.m, kept = p.kept, columns = m + kept, k = p.k;
    const Buffers<T> buffer(chunk.scratch, round_up(k, kRows), w.c_pad);
    for (int64_t i = chunk.begin * m; i < chunk.end * m; ++i) out[i] = 0;
    int64_t o = chunk.begin;
    const int64_t r_end = p.start[chunk.end];
    for (int64_t r0 = p.start[chunk.begin]; r0 < r_end; r0 += kMessageTile) {
      const int64_t n = r_end - r0 < kMessageTile ? r_end - r0 : kMessageTile, padded = round_up(n, kRows);
      const XTile<T> x(p.x, p.rows, k, r0, n, buffer.x);
      multiply(padded, k, x.data, x.ld, int64_t(1), w.w, w.c_pad, buffer.a, w.c_pad, w.c_pad, false);
      for (int64_t t = 0; t < n; ++t) {
        const int64_t r = r0 + t;
        while (r >= p.start[o + 1]) ++o;
        const T* __restrict z = buffer.a + t * w.c_pad;
        const T* __restrict u = p.u + o * columns;
        const T* __restrict v = p.v_rows + static_cast<int64_t>(p.v[r]) * columns;
        T* __restrict ro = out + o * m;
        const T sw = p.w[r];
        for_columns<T, Act::kVector>(m, [&](auto zero, int64_t c) __attribute__((always_inline)) {
          using V = decltype(zero);
          V f[3];
          act(get<V>(z, c) + get<V>(u, c) + get<V>(v, c), f);
          put<V>(ro, c, get<V>(ro, c) + sw * f[0]);
        });
        T* __restrict ry = y + r * kept;
        const T* __restrict xr = p.x + r * k;
        const T x0 = xr[0];
        const bool wide = k > 1 || kept == 1;
        for_columns<T, Act::kVector>(kept, [&](auto zero, int64_t c) __attribute__((always_inline)) {
          using V = decltype(zero);
          V f[3];
          act(get<V>(z, m + c) + get<V>(u, m + c) + get<V>(v, m + c), f);
          const V own = wide ? get<V>(xr, c) : zero + x0;
          put<V>(ry, c, get<V>(p.rho, c) * f[0] + get<V>(p.skip, c) * own);
        });
      }
    }
  }
};

template <typename T>
struct Backward {
  const Message<T>& p;
  const MessageWeights<T>& w;
  const MessageChunk<T>& chunk;
  const T *g_out, *g_y;

  template <typename Act>
  DPTF_INLINE_MEMBER void operator()(const Act act) const {
    const int64_t m = p.m, kept = p.kept, columns = m + kept, k = p.k, k_rows = round_up(k, kRows);
    const MessageGrad<T>& d = chunk.d;
    const Buffers<T> buffer(chunk.scratch, k_rows, w.c_pad);
    for (int64_t i = chunk.begin * columns; i < chunk.end * columns; ++i) d.u[i] = 0;
    if (p.local)
      for (int64_t i = chunk.begin * columns; i < chunk.end * columns; ++i) d.v_rows[i] = 0;
    int64_t o = chunk.begin;
    const int64_t r_end = p.start[chunk.end];
    const bool wide = k > 1 || kept == 1;
    for (int64_t r0 = p.start[chunk.begin]; r0 < r_end; r0 += kMessageTile) {
      const int64_t n = r_end - r0 < kMessageTile ? r_end - r0 : kMessageTile, padded = round_up(n, kRows);
      const XTile<T> x(p.x, p.rows, k, r0, n, buffer.x);
      multiply(padded, k, x.data, x.ld, int64_t(1), w.w, w.c_pad, buffer.a, w.c_pad, w.c_pad, false);
      for (int64_t t = 0; t < n; ++t) {
        const int64_t r = r0 + t;
        while (r >= p.start[o + 1]) ++o;
        T* __restrict z = buffer.a + t * w.c_pad;
        const T* __restrict u = p.u + o * columns;
        const T* __restrict v = p.v_rows + static_cast<int64_t>(p.v[r]) * columns;
        T* __restrict du = d.u + o * columns;
        const T* __restrict go = g_out + o * m;
        const T sw = p.w[r];
        Total<T> dot;
        for_columns<T, Act::kVector>(m, [&](auto zero, int64_t c) __attribute__((always_inline)) {
          using V = decltype(zero);
          V f[3];
          act(get<V>(z, c) + get<V>(u, c) + get<V>(v, c), f);
          const V gc = get<V>(go, c), g = sw * gc * f[1];
          dot.add(gc * f[0]);
          put<V>(z, c, g);
          put<V>(du, c, get<V>(du, c) + g);
        });
        d.w[r] = dot.value();
        const T* __restrict gy = g_y + r * kept;
        const T* xr = p.x + r * k;
        const T x0 = xr[0];
        for_columns<T, Act::kVector>(kept, [&](auto zero, int64_t c) __attribute__((always_inline)) {
          using V = decltype(zero);
          V f[3];
          act(get<V>(z, m + c) + get<V>(u, m + c) + get<V>(v, m + c), f);
          const V gc = get<V>(gy, c), g = get<V>(p.rho, c) * gc * f[1];
          if (d.rho) {
            const V own = wide ? get<V>(xr, c) : zero + x0;
            put<V>(d.rho, c, get<V>(d.rho, c) + gc * f[0]);
            put<V>(d.skip, c, get<V>(d.skip, c) + gc * own);
          }
          put<V>(z, m + c, g);
          put<V>(du, m + c, get<V>(du, m + c) + g);
        });
        T* __restrict dv =
            p.local ? d.v_rows + static_cast<int64_t>(p.v[r]) * columns : chunk.v_terms + r * columns;
        if (p.local) {
#pragma omp simd
          for (int64_t c = 0; c < columns; ++c) dv[c] += z[c];
        } else {
#pragma omp simd
          for (int64_t c = 0; c < columns; ++c) dv[c] = z[c];
        }
      }
      if (d.x) {
        multiply(padded, columns, buffer.a, w.c_pad, int64_t(1), w.wt, w.k_pad, buffer.gx, w.k_pad, w.k_pad,
                 false);
        for (int64_t t = 0; t < n; ++t) {
          const T* __restrict g = buffer.gx + t * w.k_pad;
          const T* __restrict gy = g_y + (r0 + t) * kept;
          T* __restrict dx = d.x + (r0 + t) * k;
          if (wide && kept) {
#pragma omp simd
            for (int64_t c = 0; c < k; ++c) dx[c] = g[c] + p.skip[c] * gy[c];
          } else {
            for (int64_t c = 0; c < k; ++c) dx[c] = g[c];
            for (int64_t c = 0; c < kept; ++c) dx[0] += p.skip[c] * gy[c];
          }
        }
      }
      if (d.weight)
        multiply(k_rows, n, x.data, int64_t(1), x.ld, buffer.a, w.c_pad, d.weight, w.c_pad, w.c_pad, true);
    }
  }
};

template <typename T>
struct Second {
  const Message<T>& p;
  const MessageWeights<T>& w;
  const MessageChunk<T>& chunk;
  const T *g_out, *g_y;
  const MessageTangent<T>& t;
  T *d_g_out, *d_g_y;

  template <typename Act>
  DPTF_INLINE_MEMBER void operator()(const Act act) const {
    const int64_t m = p.m, kept = p.kept, columns = m + kept, k = p.k, k_rows = round_up(k, kRows);
    const MessageGrad<T>& d = chunk.d;
    const Buffers<T> buffer(chunk.scratch, k_rows, w.c_pad);
    for (int64_t i = chunk.begin * columns; i < chunk.end * columns; ++i) d.u[i] = 0;
    for (int64_t i = chunk.begin * m; i < chunk.end * m; ++i) d_g_out[i] = 0;
    if (p.local)
      for (int64_t i = chunk.begin * columns; i < chunk.end * columns; ++i) d.v_rows[i] = 0;
    int64_t o = chunk.begin;
    const int64_t r_end = p.start[chunk.end];
    const bool wide = k > 1 || kept == 1;
    for (int64_t r0 = p.start[chunk.begin]; r0 < r_end; r0 += kMessageTile) {
      const int64_t n = r_end - r0 < kMessageTile ? r_end - r0 : kMessageTile, padded = round_up(n, kRows);
      const XTile<T> x(p.x, p.rows, k, r0, n, buffer.x), tx(t.x, p.rows, k, r0, n, buffer.x2);
      multiply(padded, k, x.data, x.ld, int64_t(1), w.w, w.c_pad, buffer.a, w.c_pad, w.c_pad, false);
      multiply(padded, k, tx.data, tx.ld, int64_t(1), w.w, w.c_pad, buffer.b, w.c_pad, w.c_pad, false);
      for (int64_t row = 0; row < n; ++row) {
        const int64_t r = r0 + row, vr = static_cast<int64_t>(p.v[r]) * columns;
        while (r >= p.start[o + 1]) ++o;
        // z becomes the derivative of phi in the argument of the activation, q that in its tangent.
        T* __restrict z = buffer.a + row * w.c_pad;
        T* __restrict q = buffer.b + row * w.c_pad;
        const T* __restrict u = p.u + o * columns;
        const T* __restrict v = p.v_rows + vr;
        const T* __restrict tu = t.u + o * columns;
        const T* __restrict tv = t.v_rows + vr;
        T* __restrict du = d.u + o * columns;
        const T* __restrict go = g_out + o * m;
        T* __restrict dgo = d_g_out + o * m;
        const T sw = p.w[r], st = t.w[r];
        Total<T> dot;
        for_columns<T, Act::kVector>(m, [&](auto zero, int64_t c) __attribute__((always_inline)) {
          using V = decltype(zero);
          V f[3];
          act(get<V>(z, c) + get<V>(u, c) + get<V>(v, c), f);
          const V g = get<V>(go, c), dz = get<V>(q, c) + get<V>(tu, c) + get<V>(tv, c), fd = f[1] * dz;
          const V first = sw * g * f[1], second = sw * g * f[2] * dz + st * g * f[1];
          put<V>(dgo, c, get<V>(dgo, c) + st * f[0] + sw * fd);
          dot.add(g * fd);
          put<V>(q, c, first);
          put<V>(z, c, second);
          put<V>(du, c, get<V>(du, c) + second);
        });
        d.w[r] = dot.value();
        const T* __restrict gy = g_y + r * kept;
        T* __restrict dgy = d_g_y + r * kept;
        const T* __restrict txr = t.x + r * k;
        const T tx0 = txr[0];
        for_columns<T, Act::kVector>(kept, [&](auto zero, int64_t c) __attribute__((always_inline)) {
          using V = decltype(zero);
          V f[3];
          act(get<V>(z, m + c) + get<V>(u, m + c) + get<V>(v, m + c), f);
          const V dz = get<V>(q, m + c) + get<V>(tu, m + c) + get<V>(tv, m + c), fd = f[1] * dz;
          const V tc = wide ? get<V>(txr, c) : zero + tx0, g = get<V>(gy, c), rho = get<V>(p.rho, c),
                  h = rho * g, second = h * f[2] * dz;
          put<V>(dgy, c, rho * fd + get<V>(p.skip, c) * tc);
          put<V>(d.rho, c, get<V>(d.rho, c) + g * fd);
          put<V>(d.skip, c, get<V>(d.skip, c) + g * tc);
          put<V>(q, m + c, h * f[1]);
          put<V>(z, m + c, second);
          put<V>(du, m + c, get<V>(du, m + c) + second);
        });
        T* __restrict dv = p.local ? d.v_rows + vr : chunk.v_terms + r * columns;
        if (p.local) {
#pragma omp simd
          for (int64_t c = 0; c < columns; ++c) dv[c] += z[c];
        } else {
#pragma omp simd
          for (int64_t c = 0; c < columns; ++c) dv[c] = z[c];
        }
      }
      multiply(padded, columns, buffer.a, w.c_pad, int64_t(1), w.wt, w.k_pad, buffer.gx, w.k_pad, w.k_pad,
               false);
      for (int64_t row = 0; row < n; ++row)
        for (int64_t c = 0; c < k; ++c) d.x[(r0 + row) * k + c] = buffer.gx[row * w.k_pad + c];
      multiply(k_rows, n, x.data, int64_t(1), x.ld, buffer.a, w.c_pad, d.weight, w.c_pad, w.c_pad, true);
      multiply(k_rows, n, tx.data, int64_t(1), tx.ld, buffer.b, w.c_pad, d.weight, w.c_pad, w.c_pad, true);
    }
  }
};

}  // namespace

template <typename T>
void message_padding(int64_t k, int64_t columns, int64_t* c_pad, int64_t* k_pad, int64_t* k_rows) {
  *c_pad = round_up(columns, kLanes<T>);
  *k_pad = round_up(k, kLanes<T>);
  *k_rows = round_up(k, kRows);
}

template <typename T>
void message_forward(const Message<T>& p, const MessageWeights<T>& w, const MessageChunk<T>& chunk, T* out,
                     T* y) {
  with_activation(p, Forward<T>{p, w, chunk, out, y});
}

template <typename T>
void message_backward(const Message<T>& p, const MessageWeights<T>& w, const MessageChunk<T>& chunk,
                      const T* g_out, const T* g_y) {
  with_activation(p, Backward<T>{p, w, chunk, g_out, g_y});
}

template <typename T>
void message_second(const Message<T>& p, const MessageWeights<T>& w, const MessageChunk<T>& chunk,
                    const T* g_out, const T* g_y, const MessageTangent<T>& t, T* d_g_out, T* d_g_y) {
  with_activation(p, Second<T>{p, w, chunk, g_out, g_y, t, d_g_out, d_g_y});
}

template <typename T>
void message_collect(const Message<T>& p, const T* terms, int64_t begin, int64_t end, T* dv) {
  const int64_t columns = p.columns();
  for (int64_t j = begin; j < end; ++j) {
    T* __restrict o = dv + j * columns;
    for (int64_t c = 0; c < columns; ++c) o[c] = 0;
    for (int64_t t = p.t_start[j]; t < p.t_start[j + 1]; ++t) {
      const T* __restrict row = terms + static_cast<int64_t>(p.t_rows[t]) * columns;
#pragma omp simd
      for (int64_t c = 0; c < columns; ++c) o[c] += row[c];
    }
  }
}

#define DPTF_INSTANTIATE(T)                                                                                 \
  template void message_padding<T>(int64_t, int64_t, int64_t*, int64_t*, int64_t*);                         \
  template void message_forward<T>(const Message<T>&, const MessageWeights<T>&, const MessageChunk<T>&, T*, \
                                   T*);                                                                     \
  template void message_backward<T>(const Message<T>&, const MessageWeights<T>&, const MessageChunk<T>&,    \
                                    const T*, const T*);                                                    \
  template void message_second<T>(const Message<T>&, const MessageWeights<T>&, const MessageChunk<T>&,      \
                                  const T*, const T*, const MessageTangent<T>&, T*, T*);                    \
  template void message_collect<T>(const Message<T>&, const T*, int64_t, int64_t, T*);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace DPTF_ISA
}  // namespace dptf
