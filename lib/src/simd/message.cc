// Inner loops of the message step. A tile of rows is multiplied into a buffer that stays in the caches,
// activated, reduced into its owners and, going back, multiplied into the gradient of x and of the weight.
#include "dptf/gemm_tile.h"
#include "dptf/message_kernels.h"
#include "dptf/round_up.h"
#include "dptf/simd_activation.h"
#include "dptf/simd_vec.h"

namespace dptf {
namespace DPTF_ISA {
namespace {

constexpr int kRows = kTileRows;

/// C[rows, n] (+)= A B with rows a multiple of kRows and n of the vector length; element (r, k) of A is a[r *
/// ars + k * aks].
template <typename T>
__attribute__((noinline)) void multiply(int64_t rows, int64_t depth, const T* a, int64_t ars, int64_t aks,
                                        const T* b, int64_t ldb, T* c, int64_t ldc, int64_t n, bool add) {
  for (int64_t j = 0; j < n;) {
    // Four vectors are two and two: a tile of one would wait for its own sums.
    const int64_t left = n - j, wide = left == 4 * kLanes<T> ? 2 * kLanes<T> : kTileColumns<T>;
    Tile<T> tile;
    tile.product = {depth, a, ars, aks, b + j, ldb};
    tile.c = c + j;
    tile.c_row = ldc;
    tile.columns = left < wide ? left : wide;
    tile.add = add;
    run_tiles(tile, rows);
    j += tile.columns;
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

template <typename V, typename T>
constexpr int64_t kWidth = static_cast<int64_t>(sizeof(V) / sizeof(T));

/// Writes what is not read soon, past the caches where whole lines are written.
template <typename V, typename T>
DPTF_INLINE void put_away(T* p, V v, bool aligned) {
#if defined(DPTF_ISA_avx512)
  if constexpr (sizeof(V) == kVectorBytes)
    if (aligned)
      return sizeof(T) == 4 ? _mm512_stream_ps(reinterpret_cast<float*>(p), (__m512)v)
                            : _mm512_stream_pd(reinterpret_cast<double*>(p), (__m512d)v);
#endif
  put<V>(p, 0, v);
}

/// Reads from a stream, and asks for what comes a page later.
template <typename V, typename T>
DPTF_INLINE V get_kept(const T* p) {
  __builtin_prefetch(reinterpret_cast<const char*>(p) + 2048);
  return get<V>(p, 0);
}

/// Calls f(zero, c) for all columns, with vectors as far as they reach.
template <typename T, bool VECTOR, typename F>
DPTF_INLINE void for_columns(int64_t n, F&& f) {
  int64_t c = 0;
  if constexpr (VECTOR)
    for (; c + kLanes<T> <= n; c += kLanes<T>) f(Vec<T>{}, c);
  for (; c < n; ++c) f(T(0), c);
}

/// Rows [r0, r0 + n) of x, up to a multiple of kRows: x itself, or a padded copy.
template <typename T>
struct XTile {
  const T* data;
  int64_t ld;
  XTile(const T* x, int64_t k, int64_t r0, int64_t n, T* copy) : data(x + r0 * k), ld(k) {
    if (k % kRows == 0 && n % kRows == 0) return;
    ld = round_up(k, kRows);
    data = copy;
    for (int64_t r = 0; r < n; ++r)
      for (int64_t c = 0; c < k; ++c) copy[r * ld + c] = x[(r0 + r) * k + c];
  }
};

/// The buffers of a chunk.
template <typename T>
struct Buffers {
  T *x, *x2, *a, *b, *gx, *dot;
  Buffers(T* s, int64_t k_rows, const MessageWeights<T>& w) {
    x = s;
    x2 = x + kMessageTile * k_rows;
    a = x2 + kMessageTile * k_rows;
    b = a + kMessageTile * w.c_pad;
    gx = b + kMessageTile * w.c_pad;
    dot = gx + kMessageTile * w.k_pad;
  }
};

/// The rows of a tile by owner. Columns are the outer loop of what is done to them, so that the numbers of
/// the owner and the sums into it stay in registers.
struct Runs {
  const int* start;
  int64_t o;

  /// Calls f(owner, t0, t1) for the rows [r0 + t0, r0 + t1) of every owner among the n rows from r0 on.
  template <typename F>
  DPTF_INLINE_MEMBER void operator()(int64_t r0, int64_t n, F&& f) {
    for (int64_t t0 = 0; t0 < n;) {
      while (r0 + t0 >= start[o + 1]) ++o;
      const int64_t t1 = start[o + 1] - r0 < n ? start[o + 1] - r0 : n;
      f(o, t0, t1);
      t0 = t1;
    }
  }
};

/// Sums over the columns of every row of a tile, a vector for each.
template <typename T>
struct RowTotals {
  T* at;
  DPTF_INLINE_MEMBER void clear(int64_t n) const {
    for (int64_t t = 0; t < n; ++t) store(at + t * kLanes<T>, Vec<T>{});
  }
  DPTF_INLINE_MEMBER void add(int64_t t, T x) const { at[t * kLanes<T>] += x; }
  DPTF_INLINE_MEMBER void add(int64_t t, Vec<T> x) const {
    store(at + t * kLanes<T>, load(at + t * kLanes<T>) + x);
  }
  DPTF_INLINE_MEMBER T value(int64_t t) const { return sum<T>(load(at + t * kLanes<T>)); }
};

/// Where the derivatives of V of a row go: into the rows of the block, or into a row of their own that is
/// summed up later.
template <typename T>
struct VTerms {
  bool local;
  int64_t columns;
  const int* v;
  T *rows, *terms;
  VTerms(const Message<T>& p, const MessageChunk<T>& chunk)
      : local(p.local), columns(p.columns()), v(p.v), rows(chunk.d.v_rows), terms(chunk.v_terms) {
    if (!local) return;
    for (int64_t i = chunk.begin * columns; i < chunk.end * columns; ++i) rows[i] = 0;
  }
  template <typename V>
  DPTF_INLINE_MEMBER void add(int64_t r, int64_t c, V g) const {
    T* at = local ? rows + static_cast<int64_t>(v[r]) * columns : terms + r * columns;
    put<V>(at, c, local ? get<V>(at, c) + g : g);
  }
};

/// The numbers that the forward pass keeps for the backward pass, in the order in which both come to them. A
/// block holds those of one column, or of as many as a vector has, in the rows [t0, t1) of a tile.
template <typename T>
struct KeptStream {
  T* at;
  template <typename V>
  DPTF_INLINE_MEMBER T* block(int64_t t0, int64_t t1) {
    T* begin = at - t0 * kWidth<V, T>;
    at += (t1 - t0) * kWidth<V, T>;
    return begin;
  }
};

template <typename T, bool KEEP>
struct Forward {
  const Message<T>& problem;
  const MessageWeights<T>& weights;
  const MessageChunk<T>& part;
  T *out, *y, *kept_numbers;

  template <typename Act>
  DPTF_INLINE_MEMBER void operator()(const Act act) const {
    // Copies: a store of a vector may alias anything that is not local, which would be read again after each.
    const Message<T> p = problem;
    const MessageWeights<T> w = weights;
    const MessageChunk<T> chunk = part;
    const int64_t m = p.m, kept = p.kept, columns = m + kept, k = p.k;
    const Buffers<T> buffer(chunk.scratch, round_up(k, kRows), w);
    const bool wide = k > 1 || kept == 1;
    for (int64_t i = chunk.begin * m; i < chunk.end * m; ++i) out[i] = 0;
    Runs runs{p.start, chunk.begin};
    const int64_t r_end = p.start[chunk.end];
    KeptStream<T> stream{kept_numbers + (KEEP ? p.start[chunk.begin] * columns : 0)};
    const bool aligned = KEEP && columns % kLanes<T> == 0 && m % kLanes<T> == 0 &&
                         reinterpret_cast<uintptr_t>(stream.at) % kVectorBytes == 0;
    for (int64_t r0 = p.start[chunk.begin]; r0 < r_end; r0 += kMessageTile) {
      const int64_t n = r_end - r0 < kMessageTile ? r_end - r0 : kMessageTile, padded = round_up(n, kRows);
      const XTile<T> x(p.x, k, r0, n, buffer.x);
      multiply(padded, k, x.data, x.ld, int64_t(1), w.w, w.c_pad, buffer.a, w.c_pad, w.c_pad, false);
      runs(r0, n, [&](int64_t o, int64_t t0, int64_t t1) __attribute__((always_inline)) {
        const T* u = p.u + o * columns;
        const auto z = [&](auto zero, int64_t t, int64_t c) __attribute__((always_inline)) {
          using V = decltype(zero);
          return get<V>(buffer.a + t * w.c_pad, c) + get<V>(u, c) +
                 get<V>(p.v_rows + static_cast<int64_t>(p.v[r0 + t]) * columns, c);
        };
        for_columns<T, Act::kVector>(m, [&](auto zero, int64_t c) __attribute__((always_inline)) {
          using V = decltype(zero);
          V total = get<V>(out + o * m, c);
          T* keep = KEEP ? stream.template block<V>(t0, t1) : nullptr;
          for (int64_t t = t0; t < t1; ++t) {
            V f[3];
            const V zt = z(zero, t, c);
            act(zt, f);
            if constexpr (KEEP) put_away(keep + t * kWidth<V, T>, zt, aligned);
            total += p.w[r0 + t] * f[0];
          }
          put<V>(out + o * m, c, total);
        });
        for_columns<T, Act::kVector>(kept, [&](auto zero, int64_t c) __attribute__((always_inline)) {
          using V = decltype(zero);
          const V rho = get<V>(p.rho, c), skip = get<V>(p.skip, c);
          T* keep = KEEP ? stream.template block<V>(t0, t1) : nullptr;
          for (int64_t t = t0; t < t1; ++t) {
            V f[3];
            act(z(zero, t, m + c), f);
            if constexpr (KEEP) put_away(keep + t * kWidth<V, T>, f[1], aligned);
            const T* xr = p.x + (r0 + t) * k;
            const V own = wide ? get<V>(xr, c) : xr[0] - zero;
            put<V>(y + (r0 + t) * kept, c, rho * f[0] + skip * own);
          }
        });
      });
    }
  }
};

/// With KEPT the forward pass kept numbers: the argument of the activation for the message, and its
/// derivative for the rows kept, whose value only weights ask for.
template <typename T, bool WEIGHTS, bool KEPT>
struct Backward {
  static_assert(!(WEIGHTS && KEPT));
  const Message<T>& problem;
  const MessageWeights<T>& weights;
  const MessageChunk<T>& part;
  const T *g_out, *g_y;
  const T* kept_numbers;

  template <typename Act>
  DPTF_INLINE_MEMBER void operator()(const Act act) const {
    const Message<T> p = problem;
    const MessageWeights<T> w = weights;
    const MessageChunk<T> chunk = part;
    const int64_t m = p.m, kept = p.kept, columns = m + kept, k = p.k, k_rows = round_up(k, kRows);
    const MessageGrad<T> d = chunk.d;
    const Buffers<T> buffer(chunk.scratch, k_rows, w);
    // With one column the gradient of x is a number for each row, which is summed up on the way.
    const RowTotals<T> dot{buffer.dot}, dx_one{buffer.gx};
    const VTerms<T> dv(p, chunk);
    const bool wide = k > 1 || kept == 1, one = k == 1;
    for (int64_t i = chunk.begin * columns; i < chunk.end * columns; ++i) d.u[i] = 0;
    Runs runs{p.start, chunk.begin};
    const int64_t r_end = p.start[chunk.end];
    KeptStream<const T> stream{kept_numbers + (KEPT ? p.start[chunk.begin] * columns : 0)};
    for (int64_t r0 = p.start[chunk.begin]; r0 < r_end; r0 += kMessageTile) {
      const int64_t n = r_end - r0 < kMessageTile ? r_end - r0 : kMessageTile, padded = round_up(n, kRows);
      const XTile<T> x(p.x, k, r0, KEPT ? 0 : n, buffer.x);
      if constexpr (!KEPT)
        multiply(padded, k, x.data, x.ld, int64_t(1), w.w, w.c_pad, buffer.a, w.c_pad, w.c_pad, false);
      dot.clear(n);
      if (one) dx_one.clear(n);
      runs(r0, n, [&](int64_t o, int64_t t0, int64_t t1) __attribute__((always_inline)) {
        const T* u = p.u + o * columns;
        T* du = d.u + o * columns;
        const auto z = [&](auto zero, int64_t t, int64_t c) __attribute__((always_inline)) {
          using V = decltype(zero);
          return get<V>(buffer.a + t * w.c_pad, c) + get<V>(u, c) +
                 get<V>(p.v_rows + static_cast<int64_t>(p.v[r0 + t]) * columns, c);
        };
        // Puts the derivative in the argument of the activation at its place.
        const auto back = [&](int64_t t, int64_t c, auto g) __attribute__((always_inline)) {
          using V = decltype(g);
          put<V>(buffer.a + t * w.c_pad, c, g);
          dv.add(r0 + t, c, g);
          if (one) dx_one.add(t, g * get<V>(w.w, c));
          return g;
        };
        for_columns<T, Act::kVector>(m, [&](auto zero, int64_t c) __attribute__((always_inline)) {
          using V = decltype(zero);
          V total = get<V>(du, c);
          const V gc = get<V>(g_out + o * m, c);
          const T* had = KEPT ? stream.template block<V>(t0, t1) : nullptr;
          for (int64_t t = t0; t < t1; ++t) {
            V f[3];
            if constexpr (KEPT)
              act(get_kept<V>(had + t * kWidth<V, T>), f);
            else
              act(z(zero, t, c), f);
            dot.add(t, gc * f[0]);
            total += back(t, c, p.w[r0 + t] * gc * f[1]);
          }
          put<V>(du, c, total);
        });
        for_columns<T, Act::kVector>(kept, [&](auto zero, int64_t c) __attribute__((always_inline)) {
          using V = decltype(zero);
          const V rho = get<V>(p.rho, c), skip = get<V>(p.skip, c);
          V total = get<V>(du, m + c), d_rho = {}, d_skip = {};
          const T* had = KEPT ? stream.template block<V>(t0, t1) : nullptr;
          for (int64_t t = t0; t < t1; ++t) {
            const V gc = get<V>(g_y + (r0 + t) * kept, c);
            if (one) dx_one.add(t, skip * gc);
            V f[3];
            if constexpr (KEPT)
              f[1] = get_kept<V>(had + t * kWidth<V, T>);
            else
              act(z(zero, t, m + c), f);
            if constexpr (WEIGHTS) {
              const T* xr = p.x + (r0 + t) * k;
              d_rho += gc * f[0];
              d_skip += gc * (wide ? get<V>(xr, c) : xr[0] - zero);
            }
            total += back(t, m + c, rho * gc * f[1]);
          }
          put<V>(du, m + c, total);
          if constexpr (WEIGHTS) {
            put<V>(d.rho, c, get<V>(d.rho, c) + d_rho);
            put<V>(d.skip, c, get<V>(d.skip, c) + d_skip);
          }
        });
      });
      for (int64_t t = 0; t < n; ++t) d.w[r0 + t] = dot.value(t);
      if (d.x && one) {
        for (int64_t t = 0; t < n; ++t) d.x[r0 + t] = dx_one.value(t);
      } else if (d.x) {
        multiply(padded, columns, buffer.a, w.c_pad, int64_t(1), w.wt, w.k_pad, buffer.gx, w.k_pad, w.k_pad,
                 false);
        for (int64_t t = 0; t < n; ++t) {
          const T* g = buffer.gx + t * w.k_pad;
          const T* gy = g_y + (r0 + t) * kept;
          T* dx = d.x + (r0 + t) * k;
          if (kept) {
#pragma omp simd
            for (int64_t c = 0; c < k; ++c) dx[c] = g[c] + p.skip[c] * gy[c];
          } else {
            for (int64_t c = 0; c < k; ++c) dx[c] = g[c];
          }
        }
      }
      if constexpr (WEIGHTS)
        multiply(k_rows, n, x.data, int64_t(1), x.ld, buffer.a, w.c_pad, d.weight, w.c_pad, w.c_pad, true);
    }
  }
};

template <typename T>
struct Second {
  const Message<T>& problem;
  const MessageWeights<T>& weights;
  const MessageChunk<T>& part;
  const T *g_out, *g_y;
  const MessageTangent<T>& tangent;
  T *d_g_out, *d_g_y;

  template <typename Act>
  DPTF_INLINE_MEMBER void operator()(const Act act) const {
    const Message<T> p = problem;
    const MessageWeights<T> w = weights;
    const MessageChunk<T> chunk = part;
    const MessageTangent<T> t = tangent;
    const int64_t m = p.m, kept = p.kept, columns = m + kept, k = p.k, k_rows = round_up(k, kRows);
    const MessageGrad<T> d = chunk.d;
    const Buffers<T> buffer(chunk.scratch, k_rows, w);
    const RowTotals<T> dot{buffer.dot};
    const VTerms<T> dv(p, chunk);
    const bool wide = k > 1 || kept == 1;
    for (int64_t i = chunk.begin * columns; i < chunk.end * columns; ++i) d.u[i] = 0;
    for (int64_t i = chunk.begin * m; i < chunk.end * m; ++i) d_g_out[i] = 0;
    Runs runs{p.start, chunk.begin};
    const int64_t r_end = p.start[chunk.end];
    for (int64_t r0 = p.start[chunk.begin]; r0 < r_end; r0 += kMessageTile) {
      const int64_t n = r_end - r0 < kMessageTile ? r_end - r0 : kMessageTile, padded = round_up(n, kRows);
      const XTile<T> x(p.x, k, r0, n, buffer.x), tx(t.x, k, r0, n, buffer.x2);
      multiply(padded, k, x.data, x.ld, int64_t(1), w.w, w.c_pad, buffer.a, w.c_pad, w.c_pad, false);
      multiply(padded, k, tx.data, tx.ld, int64_t(1), w.w, w.c_pad, buffer.b, w.c_pad, w.c_pad, false);
      dot.clear(n);
      runs(r0, n, [&](int64_t o, int64_t t0, int64_t t1) __attribute__((always_inline)) {
        const T* u = p.u + o * columns;
        const T* tu = t.u + o * columns;
        T* du = d.u + o * columns;
        // z becomes the derivative of phi in the argument of the activation, q that in its tangent.
        const auto twice = [&](auto zero, int64_t row, int64_t c, auto&& derivatives)
                               __attribute__((always_inline)) {
                                 using V = decltype(zero);
                                 T *z = buffer.a + row * w.c_pad, *q = buffer.b + row * w.c_pad;
                                 const int64_t vr = static_cast<int64_t>(p.v[r0 + row]) * columns;
                                 V f[3], first, second;
                                 act(get<V>(z, c) + get<V>(u, c) + get<V>(p.v_rows + vr, c), f);
                                 const V dz = get<V>(q, c) + get<V>(tu, c) + get<V>(t.v_rows + vr, c);
                                 derivatives(f, dz, &first, &second);
                                 put<V>(q, c, first);
                                 put<V>(z, c, second);
                                 dv.add(r0 + row, c, second);
                                 return second;
                               };
        for_columns<T, Act::kVector>(m, [&](auto zero, int64_t c) __attribute__((always_inline)) {
          using V = decltype(zero);
          const V g = get<V>(g_out + o * m, c);
          V total = get<V>(du, c), dgo = get<V>(d_g_out + o * m, c);
          for (int64_t row = t0; row < t1; ++row) {
            const T sw = p.w[r0 + row], st = t.w[r0 + row];
            total += twice(zero, row, c,
                           [&](const V* f, V dz, V* first, V* second) __attribute__((always_inline)) {
                             const V fd = f[1] * dz;
                             *first = sw * g * f[1];
                             *second = sw * g * f[2] * dz + st * g * f[1];
                             dgo += st * f[0] + sw * fd;
                             dot.add(row, g * fd);
                           });
          }
          put<V>(du, c, total);
          put<V>(d_g_out + o * m, c, dgo);
        });
        for_columns<T, Act::kVector>(kept, [&](auto zero, int64_t c) __attribute__((always_inline)) {
          using V = decltype(zero);
          const V rho = get<V>(p.rho, c), skip = get<V>(p.skip, c);
          V total = get<V>(du, m + c), d_rho = {}, d_skip = {};
          for (int64_t row = t0; row < t1; ++row) {
            const T* txr = t.x + (r0 + row) * k;
            const V tc = wide ? get<V>(txr, c) : txr[0] - zero, g = get<V>(g_y + (r0 + row) * kept, c);
            total += twice(zero, row, m + c,
                           [&](const V* f, V dz, V* first, V* second) __attribute__((always_inline)) {
                             const V fd = f[1] * dz, h = rho * g;
                             *first = h * f[1];
                             *second = h * f[2] * dz;
                             put<V>(d_g_y + (r0 + row) * kept, c, rho * fd + skip * tc);
                             d_rho += g * fd;
                             d_skip += g * tc;
                           });
          }
          put<V>(du, m + c, total);
          put<V>(d.rho, c, get<V>(d.rho, c) + d_rho);
          put<V>(d.skip, c, get<V>(d.skip, c) + d_skip);
        });
      });
      for (int64_t row = 0; row < n; ++row) d.w[r0 + row] = dot.value(row);
      multiply(padded, columns, buffer.a, w.c_pad, int64_t(1), w.wt, w.k_pad, buffer.gx, w.k_pad, w.k_pad,
               false);
      multiply(k_rows, n, x.data, int64_t(1), x.ld, buffer.a, w.c_pad, d.weight, w.c_pad, w.c_pad, true);
      multiply(k_rows, n, tx.data, int64_t(1), tx.ld, buffer.b, w.c_pad, d.weight, w.c_pad, w.c_pad, true);
      for (int64_t row = 0; row < n; ++row)
        for (int64_t c = 0; c < k; ++c) d.x[(r0 + row) * k + c] = buffer.gx[row * w.k_pad + c];
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
                     T* y, T* keep) {
  if (keep)
    with_activation<T>(p.activation, p.threshold, Forward<T, true>{p, w, chunk, out, y, keep});
  else
    with_activation<T>(p.activation, p.threshold, Forward<T, false>{p, w, chunk, out, y, keep});
}

template <typename T>
void message_backward(const Message<T>& p, const MessageWeights<T>& w, const MessageChunk<T>& chunk,
                      const T* g_out, const T* g_y, const T* had) {
  if (chunk.d.weight)
    with_activation<T>(p.activation, p.threshold, Backward<T, true, false>{p, w, chunk, g_out, g_y, nullptr});
  else if (had)
    with_activation<T>(p.activation, p.threshold, Backward<T, false, true>{p, w, chunk, g_out, g_y, had});
  else
    with_activation<T>(p.activation, p.threshold,
                       Backward<T, false, false>{p, w, chunk, g_out, g_y, nullptr});
}

template <typename T>
void message_second(const Message<T>& p, const MessageWeights<T>& w, const MessageChunk<T>& chunk,
                    const T* g_out, const T* g_y, const MessageTangent<T>& t, T* d_g_out, T* d_g_y) {
  with_activation<T>(p.activation, p.threshold, Second<T>{p, w, chunk, g_out, g_y, t, d_g_out, d_g_y});
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
                                   T*, T*);                                                                 \
  template void message_backward<T>(const Message<T>&, const MessageWeights<T>&, const MessageChunk<T>&,    \
                                    const T*, const T*, const T*);                                          \
  template void message_second<T>(const Message<T>&, const MessageWeights<T>&, const MessageChunk<T>&,      \
                                  const T*, const T*, const MessageTangent<T>&, T*, T*);                    \
  template void message_collect<T>(const Message<T>&, const T*, int64_t, int64_t, T*);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace DPTF_ISA
}  // namespace dptf
