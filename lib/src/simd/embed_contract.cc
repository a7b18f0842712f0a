// Kernels of the tabulated contraction. Per atom, neighbors are sorted by piece; their moments (and the
// pull-back of moments to neighbors) take a few numbers per neighbor, whatever the width of the net. What
// involves the width are products with the coefficients of the pieces an atom uses, which stay in the caches.
#include <algorithm>
#include <cstring>

#include "dptf/embed_contract_kernels.h"
#include "dptf/gemm_tile.h"

namespace dptf {
namespace DPTF_ISA {
namespace {

/// The used slots of one atom by piece: piece b of the atom is bin[b], with the slots start[b] to start[b +
/// 1] in order, multiplicity and t (the argument within the piece).
template <typename T>
struct Sorted {
  int pieces = 0;
  int *bin, *start, *slot, *times;
  T* t;
};

/// Scratch memory of a thread for Sorted: unsorted copies of the slots, and the place of every bin (-1: not
/// used by this atom).
template <typename T>
struct Sorter {
  Sorted<T> out;
  int *piece, *slot, *times, *place;
  T* t;

  DPTF_INLINE_MEMBER explicit Sorter(const EmbedContract<T>& p, const EmbedScratch<T>& room) {
    const int64_t n = p.nnei;
    int* next = room.ints;
    out.bin = next, out.start = next + n + 1, out.slot = next + 2 * (n + 1), out.times = next + 3 * (n + 1);
    piece = next + 4 * (n + 1), slot = next + 5 * (n + 1), times = next + 6 * (n + 1),
    place = next + 7 * (n + 1);
    std::fill_n(place, p.n_nets * p.n_pieces, -1);
    out.t = room.numbers;
    t = room.numbers + n;
  }

  DPTF_INLINE_MEMBER const Sorted<T>& sort(const EmbedContract<T>& p, int64_t i) {
    int n = 0, pieces = 0;
    bool in_order = true;
    for_each_slot(p, i, [&](int s, int multiplicity, int net) {
      const T u = (p.env[(i * p.nnei + s) * 4] - p.x0) / p.h;
      const int64_t k = std::min<int64_t>(std::max<int64_t>(static_cast<int64_t>(u), 0), p.n_pieces - 1);
      const int bin = static_cast<int>(net * p.n_pieces + k);
      if (place[bin] < 0) {
        place[bin] = pieces;
        out.start[pieces] = 0;
        out.bin[pieces++] = bin;
      } else if (place[bin] != pieces - 1) {
        in_order = false;
      }
      piece[n] = place[bin];
      ++out.start[place[bin]];
      slot[n] = s;
      times[n] = multiplicity;
      t[n++] = 2 * (u - static_cast<T>(k)) - 1;
    });
    out.pieces = pieces;
    for (int b = 0, at = 0; b <= pieces; ++b) {
      const int count = b < pieces ? out.start[b] : 0;
      out.start[b] = at;
      at += count;
    }
    if (in_order) {
      std::copy_n(slot, n, out.slot);
      std::copy_n(times, n, out.times);
      std::copy_n(t, n, out.t);
    } else {
      for (int k = 0; k < n; ++k) {
        const int at = out.start[piece[k]]++;
        out.slot[at] = slot[k];
        out.times[at] = times[k];
        out.t[at] = t[k];
      }
      for (int b = pieces; b > 0; --b) out.start[b] = out.start[b - 1];
      out.start[0] = 0;
    }
    for (int b = 0; b < pieces; ++b) place[out.bin[b]] = -1;
    return out;
  }
};

/// out[r][k] := v[k][r].
template <typename T>
DPTF_INLINE void turn(const Vec<T>* v, T* out) {
  alignas(64) T rows[kTerms * kLanes<T>];
#pragma GCC unroll 16
  for (int k = 0; k < kTerms; ++k) store(rows + k * kLanes<T>, v[k]);
  for (int r = 0; r < kLanes<T>; ++r)
#pragma GCC unroll 16
    for (int k = 0; k < kTerms; ++k) out[r * kTerms + k] = rows[k * kLanes<T> + r];
}

/// Values (and slopes in x, with `slopes`) of all terms for kLanes arguments, one argument per row of kTerms.
template <typename T>
DPTF_INLINE void terms(Vec<T> t, T scale, T* values, T* slopes) {
  Vec<T> v[kTerms], d[kTerms];
  const Vec<T> two = t + t, one = splat(T(1));
  v[0] = one, v[1] = t;
  d[0] = one - one, d[1] = splat(scale);
#pragma GCC unroll 16
  for (int k = 2; k < kTerms; ++k) v[k] = two * v[k - 1] - v[k - 2];
  if (slopes) {
    const Vec<T> twice = splat(2 * scale);
#pragma GCC unroll 16
    for (int k = 2; k < kTerms; ++k) d[k] = twice * v[k - 1] + two * d[k - 1] - d[k - 2];
  }
  turn(v, values);
  if (slopes) turn(d, slopes);
}

/// Sums over a run of `multiplicity` folded slots: they share row and weight, so only the sum of their
/// adjoints matters.
template <int N, typename T>
DPTF_INLINE void fold(const T* z, int multiplicity, T out[N]) {
  for (int c = 0; c < N; ++c) out[c] = 0;
  for (int k = 0; k < multiplicity; ++k)
    for (int c = 0; c < N; ++c) out[c] += z[N * k + c];
}

/// Factor of the rows of a slot.
template <typename T>
DPTF_INLINE T weight_of(const EmbedContract<T>& p, int64_t slot) {
  return p.weight ? p.weight[slot] : T(1);
}

/// Moments [pieces, 4, kTerms] of an atom: of its weighted rows R, or of the pull-back of z.
template <typename T>
DPTF_INLINE void moments(const EmbedContract<T>& p, const Sorted<T>& s, int64_t i, EmbedRows<const T> z,
                         T* m) {
  constexpr int vectors = kTerms / kLanes<T>;
  const T scale = 2 / p.h;
  alignas(64) T values[kLanes<T> * kTerms], slopes[kLanes<T> * kTerms];
  for (int b = 0; b < s.pieces; ++b, m += 4 * kTerms) {
    std::memset(m, 0, sizeof(T) * 4 * kTerms);
    for (int first = s.start[b]; first < s.start[b + 1]; first += kLanes<T>) {
      const int n = std::min<int>(kLanes<T>, s.start[b + 1] - first);
      Vec<T> t{};
      for (int k = 0; k < n; ++k) t[k] = s.t[first + k];
      terms(t, scale, values, z.env ? slopes : nullptr);
      for (int k = 0; k < n; ++k) {
        const int64_t slot = i * p.nnei + s.slot[first + k];
        const T *r = p.env + 4 * slot, weight = weight_of(p, slot);
        T q[4], shift = 0;  // adjoint of the argument
        if (z.env) {
          T of_weight = 0;
          fold<4>(z.env + 4 * slot, s.times[first + k], q);
          if (z.weight) fold<1>(z.weight + slot, s.times[first + k], &of_weight);
          shift = weight * q[0];
          for (int c = 0; c < 4; ++c) q[c] = weight * q[c] + of_weight * r[c];
        } else {
          for (int c = 0; c < 4; ++c) q[c] = s.times[first + k] * weight * r[c];
        }
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) {
          const Vec<T> value = load(values + k * kTerms + v * kLanes<T>);
          Vec<T> slope{};
          if (z.env) slope = shift * load(slopes + k * kTerms + v * kLanes<T>);
#pragma GCC unroll 4
          for (int c = 0; c < 4; ++c) {
            T* to = m + c * kTerms + v * kLanes<T>;
            Vec<T> sum = load(to) + q[c] * value;
            if (z.env) sum += r[c] * slope;
            store(to, sum);
          }
        }
      }
    }
  }
}

/// a [4, width] := sum over pieces of moments times coefficients.
template <int V, typename T>
DPTF_INLINE void contract(const Sorted<T>& s, const T* m, const EmbedCoefficients<T>& c, int64_t column, T* a,
                          int64_t width) {
  Vec<T> acc[4][V];
#pragma GCC unroll 4
  for (int r = 0; r < 4; ++r)
#pragma GCC unroll 3
    for (int v = 0; v < V; ++v) acc[r][v] = Vec<T>{};
  for (int b = 0; b < s.pieces; ++b, m += 4 * kTerms) {
    const T* row = c.c + s.bin[b] * kTerms * c.stride + column;
    for (int k = 0; k < kTerms; ++k, row += c.stride) {
      Vec<T> bv[V];
#pragma GCC unroll 3
      for (int v = 0; v < V; ++v) bv[v] = load(row + v * kLanes<T>);
#pragma GCC unroll 4
      for (int r = 0; r < 4; ++r) {
        const Vec<T> av = splat(m[r * kTerms + k]);
#pragma GCC unroll 3
        for (int v = 0; v < V; ++v) acc[r][v] += av * bv[v];
      }
    }
  }
  for (int r = 0; r < 4; ++r)
#pragma GCC unroll 3
    for (int v = 0; v < V; ++v) {
      const int64_t at = column + v * kLanes<T>;
      if (at + kLanes<T> <= width)
        store(a + r * width + at, acc[r][v]);
      else
        for (int64_t k = at; k < width; ++k) a[r * width + k] = acc[r][v][k - at];
    }
}

/// Adjoint of the moments of a piece, q [4, kTerms] = da C^T.
template <typename T>
DPTF_INLINE void pull_moments(const T* da, const T* transposed, int64_t width, T* q) {
  constexpr int vectors = kTerms / kLanes<T>;
  Vec<T> acc[4][vectors];
#pragma GCC unroll 4
  for (int r = 0; r < 4; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) acc[r][v] = Vec<T>{};
  for (int64_t c = 0; c < width; ++c, transposed += kTerms) {
    Vec<T> bv[vectors];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) bv[v] = load(transposed + v * kLanes<T>);
#pragma GCC unroll 4
    for (int r = 0; r < 4; ++r) {
      const Vec<T> av = splat(da[r * width + c]);
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) acc[r][v] += av * bv[v];
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < 4; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) store(q + r * kTerms + v * kLanes<T>, acc[r][v]);
}

/// Sums over k of q[c, k] times values, slopes and (with SECOND) second derivatives of the terms, for kLanes
/// arguments.
template <bool SECOND, typename T>
DPTF_INLINE void series(Vec<T> t, const T* q, Vec<T> value[4], Vec<T> slope[4], Vec<T> second[4]) {
  const Vec<T> two = t + t, zero = t - t, one = zero + T(1);
  Vec<T> v0 = one, v1 = t, d0 = zero, d1 = one, e0 = zero, e1 = zero;
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    value[c] = q[c * kTerms] + q[c * kTerms + 1] * t;
    slope[c] = zero + q[c * kTerms + 1];
    if (SECOND) second[c] = zero;
  }
  for (int k = 2; k < kTerms; ++k) {
    const Vec<T> v2 = two * v1 - v0, d2 = 2 * v1 + two * d1 - d0;
    Vec<T> e2 = zero;
    if (SECOND) e2 = 4 * d1 + two * e1 - e0;
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
      const Vec<T> w = splat(q[c * kTerms + k]);
      value[c] += w * v2;
      slope[c] += w * d2;
      if (SECOND) second[c] += w * e2;
    }
    v0 = v1, v1 = v2, d0 = d1, d1 = d2, e0 = e1, e1 = e2;
  }
}

/// dc [kTileRows, V vectors] += sum over uses of moments times the four rows of da.
template <int V, typename T>
DPTF_INLINE void accumulate(const EmbedContract<T>& p, const T* da, int64_t block, int64_t capacity,
                            const T* moments, const EmbedUse* begin, const EmbedUse* end, int64_t column,
                            int64_t stride, T* dc) {
  Vec<T> acc[kTileRows][V];
#pragma GCC unroll 8
  for (int r = 0; r < kTileRows; ++r)
#pragma GCC unroll 3
    for (int v = 0; v < V; ++v) acc[r][v] = load(dc + r * stride + v * kLanes<T>);
  const int64_t left = p.width - column;
  alignas(64) T copy[4 * V * kLanes<T>] = {};
  for (const EmbedUse* u = begin; u != end; ++u) {
    const T *a = da + (block + u->atom) * 4 * p.width + column,
            *m = moments + (u->atom * capacity + u->place) * 4 * kTerms;
    int64_t a_row = p.width;
    if (left < V * kLanes<T>) {  // whole vectors would leave the array
      for (int c = 0; c < 4; ++c)
        for (int64_t k = 0; k < left; ++k) copy[c * V * kLanes<T> + k] = a[c * p.width + k];
      a = copy;
      a_row = V * kLanes<T>;
    }
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
      Vec<T> bv[V];
#pragma GCC unroll 3
      for (int v = 0; v < V; ++v) bv[v] = load(a + c * a_row + v * kLanes<T>);
#pragma GCC unroll 8
      for (int r = 0; r < kTileRows; ++r) {
        const Vec<T> av = splat(m[c * kTerms + r]);
#pragma GCC unroll 3
        for (int v = 0; v < V; ++v) acc[r][v] += av * bv[v];
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kTileRows; ++r)
#pragma GCC unroll 3
    for (int v = 0; v < V; ++v) store(dc + r * stride + v * kLanes<T>, acc[r][v]);
}

}  // namespace

int64_t embed_columns(int bytes) { return kTileVectors * kVectorBytes / bytes; }

template <typename T>
void embed_coefficients(const EmbedContract<T>& p, const double* transform, int64_t begin, int64_t end,
                        EmbedCoefficients<T> c) {
  for (int64_t bin = begin; bin < end; ++bin) {
    T* out = c.c + bin * kTerms * c.stride;
    const T* nodes = p.nodes + bin * kTerms * p.width;
    std::memset(out, 0, sizeof(T) * kTerms * c.stride);
    for (int k = 0; k < kTerms; ++k)
      for (int q = 0; q < kTerms; ++q) {
        const T w = static_cast<T>(transform[k * kTerms + q]);
        T* __restrict to = out + k * c.stride;
        const T* __restrict y = nodes + q * p.width;
        for (int64_t m = 0; m < p.width; ++m) to[m] += w * y[m];
      }
    if (!c.transposed) continue;
    T* turned = c.transposed + bin * c.stride * kTerms;
    for (int64_t m = 0; m < p.width; ++m)
      for (int k = 0; k < kTerms; ++k) turned[m * kTerms + k] = out[k * c.stride + m];
  }
}

template <typename T>
void embed_forward(const EmbedContract<T>& p, EmbedRows<const T> z, EmbedCoefficients<T> c, int64_t begin,
                   int64_t end, int64_t block, EmbedMoments<T> keep, EmbedScratch<T> room, T* out) {
  Sorter<T> sorter(p, room);
  for (int64_t i = begin; i < end; ++i) {
    const Sorted<T>& s = sorter.sort(p, i);
    T* m = room.moments;
    if (keep.p) {
      const int64_t at = i - block;
      m = keep.p + at * keep.capacity * 4 * kTerms;
      keep.count[at] = s.pieces;
      std::copy_n(s.bin, s.pieces, keep.bin + at * keep.capacity);
    }
    moments(p, s, i, z, m);
    if (!out) continue;
    T* a = out + i * 4 * p.width;
    int64_t column = 0;
    for (; column + 2 * kLanes<T> < p.width; column += 3 * kLanes<T>)
      contract<3>(s, m, c, column, a, p.width);
    if (column + kLanes<T> < p.width)
      contract<2>(s, m, c, column, a, p.width);
    else if (column < p.width)
      contract<1>(s, m, c, column, a, p.width);
  }
}

template <typename T>
void embed_pull(const EmbedContract<T>& p, EmbedCoefficients<T> c, const T* da, EmbedRows<const T> z,
                int64_t begin, int64_t end, EmbedScratch<T> room, EmbedRows<T> out) {
  Sorter<T> sorter(p, room);
  const T scale = 2 / p.h;
  alignas(64) T q[4 * kTerms];
  for (int64_t i = begin; i < end; ++i) {
    const Sorted<T>& s = sorter.sort(p, i);
    std::memset(out.env + i * p.nnei * 4, 0, sizeof(T) * p.nnei * 4);
    if (out.weight) std::memset(out.weight + i * p.nnei, 0, sizeof(T) * p.nnei);
    for (int b = 0; b < s.pieces; ++b) {
      pull_moments(da + i * 4 * p.width, c.transposed + s.bin[b] * c.stride * kTerms, p.width, q);
      for (int first = s.start[b]; first < s.start[b + 1]; first += kLanes<T>) {
        const int n = std::min<int>(kLanes<T>, s.start[b + 1] - first);
        Vec<T> t{}, weight{}, r[4] = {}, value[4], slope[4], second[4];
        for (int k = 0; k < n; ++k) {
          const int64_t slot = i * p.nnei + s.slot[first + k];
          t[k] = s.t[first + k];
          weight[k] = weight_of(p, slot);
          for (int comp = 0; comp < 4; ++comp) r[comp][k] = p.env[4 * slot + comp];
        }
        if (z.env)
          series<true, T>(t, q, value, slope, second);
        else
          series<false, T>(t, q, value, slope, second);
        for (int comp = 0; comp < 4; ++comp) slope[comp] *= scale;
        const Vec<T> along = r[0] * slope[0] + r[1] * slope[1] + r[2] * slope[2] + r[3] * slope[3];
        if (!z.env) {
          if (out.weight) {
            const Vec<T> own = r[0] * value[0] + r[1] * value[1] + r[2] * value[2] + r[3] * value[3];
            for (int k = 0; k < n; ++k)
              std::fill_n(out.weight + i * p.nnei + s.slot[first + k], s.times[first + k], own[k]);
          }
          value[0] += along;
          for (int comp = 0; comp < 4; ++comp) value[comp] *= weight;
          for (int k = 0; k < n; ++k)
            for (int copy = 0; copy < s.times[first + k]; ++copy)
              for (int comp = 0; comp < 4; ++comp)
                out.env[(i * p.nnei + s.slot[first + k] + copy) * 4 + comp] = value[comp][k];
          continue;
        }
        // With weight w and adjoint y of its gradient, z . denv + y dw has the derivatives: to R_c, w z_0
        // slope_c + y value_c; through the argument of G, w sum_c z_c slope_c + w z_0 sum_c R_c second_c + y
        // sum_c R_c slope_c; to w, sum_c z_c value_c + z_0 sum_c R_c slope_c.
        const Vec<T> curved =
            scale * scale * (r[0] * second[0] + r[1] * second[1] + r[2] * second[2] + r[3] * second[3]);
        for (int k = 0; k < n; ++k)
          for (int copy = 0; copy < s.times[first + k]; ++copy) {
            const int64_t at = i * p.nnei + s.slot[first + k] + copy;
            const T *y = z.env + 4 * at, w = weight[k], of_weight = z.weight ? z.weight[at] : T(0);
            T* o = out.env + 4 * at;
            const T tilt = y[0] * slope[0][k] + y[1] * slope[1][k] + y[2] * slope[2][k] + y[3] * slope[3][k];
            for (int comp = 0; comp < 4; ++comp)
              o[comp] = w * y[0] * slope[comp][k] + of_weight * value[comp][k];
            o[0] += w * (tilt + y[0] * curved[k]) + of_weight * along[k];
            if (out.weight)
              out.weight[at] = y[0] * (value[0][k] + along[k]) + y[1] * value[1][k] + y[2] * value[2][k] +
                               y[3] * value[3][k];
          }
      }
    }
  }
}

template <typename T>
void embed_accumulate(const EmbedContract<T>& p, const T* da, int64_t block, EmbedMoments<T> m,
                      const EmbedUse* begin, const EmbedUse* end, int64_t column, int64_t stride, T* dc) {
  for (int k = 0; k < kTerms; k += kTileRows) {
    T* to = dc + k * stride + column;
    const T* from = m.p + k;
    if (p.width - column > 2 * kLanes<T>)
      accumulate<3>(p, da, block, m.capacity, from, begin, end, column, stride, to);
    else if (p.width - column > kLanes<T>)
      accumulate<2>(p, da, block, m.capacity, from, begin, end, column, stride, to);
    else
      accumulate<1>(p, da, block, m.capacity, from, begin, end, column, stride, to);
  }
}

template <typename T>
void embed_pull_nodes(const EmbedContract<T>& p, const double* transform, const T* dc, int64_t stride,
                      int64_t begin, int64_t end, T* dnodes) {
  for (int64_t bin = begin; bin < end; ++bin) {
    T* out = dnodes + bin * kTerms * p.width;
    std::memset(out, 0, sizeof(T) * kTerms * p.width);
    for (int q = 0; q < kTerms; ++q)
      for (int k = 0; k < kTerms; ++k) {
        const T w = static_cast<T>(transform[k * kTerms + q]);
        T* __restrict to = out + q * p.width;
        const T* __restrict from = dc + (bin * kTerms + k) * stride;
        for (int64_t m = 0; m < p.width; ++m) to[m] += w * from[m];
      }
  }
}

#define DPTF_INSTANTIATE(T)                                                                                  \
  template void embed_coefficients<T>(const EmbedContract<T>&, const double*, int64_t, int64_t,              \
                                      EmbedCoefficients<T>);                                                 \
  template void embed_forward<T>(const EmbedContract<T>&, EmbedRows<const T>, EmbedCoefficients<T>, int64_t, \
                                 int64_t, int64_t, EmbedMoments<T>, EmbedScratch<T>, T*);                    \
  template void embed_pull<T>(const EmbedContract<T>&, EmbedCoefficients<T>, const T*, EmbedRows<const T>,   \
                              int64_t, int64_t, EmbedScratch<T>, EmbedRows<T>);                              \
  template void embed_accumulate<T>(const EmbedContract<T>&, const T*, int64_t, EmbedMoments<T>,             \
                                    const EmbedUse*, const EmbedUse*, int64_t, int64_t, T*);                 \
  template void embed_pull_nodes<T>(const EmbedContract<T>&, const double*, const T*, int64_t, int64_t,      \
                                    int64_t, T*);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace DPTF_ISA
}  // namespace dptf
