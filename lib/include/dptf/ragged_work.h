#pragma once

// Work items of accelerators over ragged rows, as in device_work.h: f(i, lane, lanes) does item i. Sums run
// in one order, without atomic additions.

#include "dptf/activation.h"
#include "dptf/device_work.h"
#include "dptf/message.h"
#include "dptf/ragged_linear.h"

namespace dptf {

/// The owner of a row: the last o with start[o] <= row.
DPTF_ELEMENT int64_t owner_of(const int* start, int64_t owners, int64_t row) {
  int64_t low = 0, high = owners;  // start[low] <= row < start[high]
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    (start[middle] <= row ? low : high) = middle;
  }
  return low;
}

/// Item: an owner. h [owners, 3, width].
template <typename T>
struct MomentsItem {
  RaggedRows p;
  const T *w, *x;
  T* h;
  DPTF_MEMBER void operator()(int64_t o, int lane, int lanes) const {
    for (int64_t c = lane; c < p.width; c += lanes) {
      T sum[3] = {};
      for (int64_t r = p.start[o]; r < p.start[o + 1]; ++r) {
        const T value = x[(p.index ? p.index[r] : r) * p.width + c];
        for (int d = 0; d < 3; ++d) sum[d] += w[3 * r + d] * value;
      }
      for (int d = 0; d < 3; ++d) h[(3 * o + d) * p.width + c] = sum[d];
    }
  }
};

/// Item: a row of x.
template <typename T>
struct MomentsToXItem {
  RaggedRows p;
  const T *w, *h;
  T* x;
  DPTF_MEMBER void operator()(int64_t i, int lane, int lanes) const {
    const int64_t first = p.index ? p.t_start[i] : i, last = p.index ? p.t_start[i + 1] : i + 1;
    for (int64_t c = lane; c < p.width; c += lanes) x[i * p.width + c] = 0;
    for (int64_t q = first; q < last; ++q) {
      const int64_t r = p.index ? p.t_rows[q] : q, o = owner_of(p.start, p.owners, r);
      for (int64_t c = lane; c < p.width; c += lanes)
        for (int d = 0; d < 3; ++d) x[i * p.width + c] += w[3 * r + d] * h[(3 * o + d) * p.width + c];
    }
  }
};

/// Item: a row.
template <typename T>
struct MomentsToWItem {
  RaggedRows p;
  const T *h, *x;
  T* w;
  DPTF_MEMBER void operator()(int64_t r, int lane, int lanes) const {
    const int64_t o = owner_of(p.start, p.owners, r), i = p.index ? p.index[r] : r;
    T sum[3] = {};
    for (int64_t c = lane; c < p.width; c += lanes)
      for (int d = 0; d < 3; ++d) sum[d] += h[(3 * o + d) * p.width + c] * x[i * p.width + c];
    for (int d = 0; d < 3; ++d) {
      sum[d] = group_sum(sum[d], lanes);
      if (!lane) w[3 * r + d] = sum[d];
    }
  }
};

/// Item: a row. y[r] = x[owner(r)].
template <typename T>
struct SpreadItem {
  int64_t owners, width;
  const int* start;
  const T* x;
  T* y;
  DPTF_MEMBER void operator()(int64_t r, int lane, int lanes) const {
    const int64_t o = owner_of(start, owners, r);
    for (int64_t c = lane; c < width; c += lanes) y[r * width + c] = x[o * width + c];
  }
};

/// Item: an owner. y[o] = sum of its rows.
template <typename T>
struct SegmentSumItem {
  int64_t width;
  const int* start;
  const T* x;
  T* y;
  DPTF_MEMBER void operator()(int64_t o, int lane, int lanes) const {
    for (int64_t c = lane; c < width; c += lanes) {
      T sum = 0;
      for (int64_t r = start[o]; r < start[o + 1]; ++r) sum += x[r * width + c];
      y[o * width + c] = sum;
    }
  }
};

/// Item: a row of an index of distinct rows. The first columns of to[i] get those of from[at[i]] (take), or
/// those of to[at[i]] get (put) or add from[i].
enum class RowMove { take, put, add };
template <typename T, RowMove MOVE>
struct MoveRowsItem {
  const int* at;
  int64_t columns, from_width, to_width;
  const T* from;
  T* to;
  DPTF_MEMBER void operator()(int64_t i, int lane, int lanes) const {
    const T* a = from + (MOVE == RowMove::take ? at[i] : i) * from_width;
    T* b = to + (MOVE == RowMove::take ? i : at[i]) * to_width;
    for (int64_t c = lane; c < columns; c += lanes) b[c] = MOVE == RowMove::add ? b[c] + a[c] : a[c];
  }
};

/// Item: a row j. out[first + j n + k] = u_j . v_k.
template <typename T>
struct PairDotItem {
  PairGroups p;
  const T *u, *v;
  T* out;
  DPTF_MEMBER void operator()(int64_t j, int lane, int lanes) const {
    const int64_t g = owner_of(p.start, p.groups, j), at = p.start[g], n = p.start[g + 1] - at;
    const T* a = u + 3 * j;
    for (int64_t k = lane; k < n; k += lanes) {
      const T* b = v + 3 * (at + k);
      out[p.first[g] + (j - at) * n + k] = a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
    }
  }
};

/// Item: a row of the result.
template <typename T>
struct PairApplyItem {
  PairGroups p;
  const T *g, *v;
  bool right;
  T* out;
  DPTF_MEMBER void operator()(int64_t row, int lane, int lanes) const {
    const int64_t group = owner_of(p.start, p.groups, row), at = p.start[group], n = p.start[group + 1] - at,
                  a = row - at;
    T sum[3] = {};
    for (int64_t b = lane; b < n; b += lanes) {
      const T weight = g[p.first[group] + (right ? b * n + a : a * n + b)];
      for (int d = 0; d < 3; ++d) sum[d] += weight * v[3 * (at + b) + d];
    }
    for (int d = 0; d < 3; ++d) {
      sum[d] = group_sum(sum[d], lanes);
      if (!lane) out[3 * row + d] = sum[d];
    }
  }
};

/// Writes the derivatives of an activation at x to g [4].
template <typename T>
struct DerivativesAt {
  T x;
  T* g;
  template <Activation A>
  DPTF_MEMBER void operator()() const {
    activation_derivatives<A>(x, g);
  }
};

/// f[0..2] of the activation of a code that is known at run time.
template <typename T>
DPTF_ELEMENT void any_activation(int code, T threshold, T x, T f[3]) {
  T g[4] = {};
  if (!dispatch_activation(code, DerivativesAt<T>{x, g})) silut_derivatives(threshold, x, g);
  for (int k = 0; k < 3; ++k) f[k] = g[k];
}

/// Item: an element. The derivative of the order of the activation, times the factors that are given.
template <typename T>
struct ActivationItem {
  int code, order;
  T threshold;
  const T *x, *a, *b;
  T* out;
  DPTF_MEMBER void operator()(int64_t i, int, int) const {
    T f[3];
    any_activation(code, threshold, x[i], f);
    out[i] = f[order] * (a ? a[i] : T(1)) * (b ? b[i] : T(1));
  }
};

/// What is differentiated: the message (order 1), or <t, its gradient> (order 2).
template <typename T>
struct MessageTerms {
  Message<T> p;
  const T *g_out = nullptr, *g_y = nullptr;
  MessageTangent<T> t;  // of order 2

  /// The argument of the activation in a column of row r of owner o, of the message or of the tangent.
  DPTF_MEMBER T argument(bool tangent, int64_t o, int64_t r, int64_t c) const {
    const int64_t columns = p.columns();
    const T* x = (tangent ? t.x : p.x) + r * p.k;
    T z = (tangent ? t.u : p.u)[o * columns + c] + (tangent ? t.v_rows : p.v_rows)[p.v[r] * columns + c];
    for (int64_t a = 0; a < p.k; ++a) z += x[a] * p.weight[a * columns + c];
    return z;
  }

  struct At {
    T f[3];
    T q = 0;        // order 2: the tangent of the argument
    T outer = 0;    // what the activation is multiplied by: f[1] * outer is the adjoint of the argument
    T adjoint = 0;  // of the argument, at the order in question
  };
  template <int ORDER>
  DPTF_MEMBER At at(int64_t o, int64_t r, int64_t c) const {
    At s;
    any_activation(p.activation, p.threshold, argument(false, o, r, c), s.f);
    const bool message = c < p.m;
    const T g = message ? g_out[o * p.m + c] : g_y[r * p.kept + c - p.m];
    s.outer = g * (message ? p.w[r] : p.rho[c - p.m]);
    s.adjoint = s.f[1] * s.outer;
    if (ORDER == 2) {
      s.q = argument(true, o, r, c);
      s.adjoint = s.q * s.f[2] * s.outer + (message ? t.w[r] * s.f[1] * g : T(0));
    }
    return s;
  }
  /// The number that the skipped part of a kept column reads.
  DPTF_MEMBER T skipped(const T* x, int64_t r, int64_t b) const { return x[r * p.k + (p.k == 1 ? 0 : b)]; }
};

/// Item: an owner. out [owners, m], y [rows, kept].
template <typename T>
struct MessageItem {
  MessageTerms<T> terms;
  T *out, *y;
  DPTF_MEMBER void operator()(int64_t o, int lane, int lanes) const {
    const Message<T>& p = terms.p;
    for (int64_t c = lane; c < p.columns(); c += lanes) {
      T sum = 0;
      for (int64_t r = p.start[o]; r < p.start[o + 1]; ++r) {
        T f[3];
        any_activation(p.activation, p.threshold, terms.argument(false, o, r, c), f);
        const int64_t b = c - p.m;
        if (b < 0)
          sum += p.w[r] * f[0];
        else
          y[r * p.kept + b] = p.skip[b] * terms.skipped(p.x, r, b) + p.rho[b] * f[0];
      }
      if (c < p.m) out[o * p.m + c] = sum;
    }
  }
};

/// Item: an owner. du [owners, columns]; of order 2 also the derivatives in g_out and g_y.
template <typename T, int ORDER>
struct MessageOwnerGrad {
  MessageTerms<T> terms;
  T *du, *dg_out, *dg_y;
  DPTF_MEMBER void operator()(int64_t o, int lane, int lanes) const {
    const Message<T>& p = terms.p;
    for (int64_t c = lane; c < p.columns(); c += lanes) {
      T sum = 0, dg = 0;
      const int64_t b = c - p.m;
      for (int64_t r = p.start[o]; r < p.start[o + 1]; ++r) {
        const auto s = terms.template at<ORDER>(o, r, c);
        sum += s.adjoint;
        if (ORDER == 1) continue;
        if (b < 0)
          dg += p.w[r] * s.q * s.f[1] + terms.t.w[r] * s.f[0];
        else
          dg_y[r * p.kept + b] = p.rho[b] * s.q * s.f[1] + p.skip[b] * terms.skipped(terms.t.x, r, b);
      }
      du[o * p.columns() + c] = sum;
      if (ORDER == 2 && b < 0) dg_out[o * p.m + c] = dg;
    }
  }
};

/// Item: a row. dx [rows, k] and dw [rows].
template <typename T, int ORDER>
struct MessageRowGrad {
  MessageTerms<T> terms;
  T *dx, *dw;
  DPTF_MEMBER void operator()(int64_t r, int lane, int lanes) const {
    constexpr int kChunk = 8;  // columns of a lane whose adjoints are held at once
    const Message<T>& p = terms.p;
    const int64_t o = owner_of(p.start, p.owners, r), columns = p.columns();
    T weight = 0, skipped = 0;
    for (int64_t first = 0; first < columns; first += kChunk * lanes) {
      T adjoint[kChunk] = {};
      for (int q = 0; q < kChunk; ++q) {
        const int64_t c = first + q * lanes + lane;
        if (c >= columns) break;
        const auto s = terms.template at<ORDER>(o, r, c);
        adjoint[q] = s.adjoint;
        if (c < p.m) weight += (ORDER == 1 ? s.f[0] : s.q * s.f[1]) * terms.g_out[o * p.m + c];
        if (ORDER == 1 && p.k == 1 && c >= p.m) skipped += p.skip[c - p.m] * terms.g_y[r * p.kept + c - p.m];
      }
      for (int64_t a = 0; a < p.k; ++a) {
        T sum = 0;
        for (int q = 0; q < kChunk; ++q) {
          const int64_t c = first + q * lanes + lane;
          if (c < columns) sum += adjoint[q] * p.weight[a * columns + c];
        }
        sum = group_sum(sum, lanes);
        if (lane) continue;
        if (first == 0) {
          // With several columns of x, one of them is skipped to each kept one.
          const bool own = ORDER == 1 && p.k > 1 && p.kept > 0;
          dx[r * p.k + a] = sum + (own ? p.skip[a] * terms.g_y[r * p.kept + a] : T(0));
        } else {
          dx[r * p.k + a] += sum;
        }
      }
    }
    weight = group_sum(weight, lanes);
    skipped = group_sum(skipped, lanes);
    if (lane) return;
    dw[r] = weight;
    if (p.k == 1) dx[r] += skipped;
  }
};

/// Item: a row of V. dv [n_v, columns].
template <typename T, int ORDER>
struct MessageNeighborGrad {
  MessageTerms<T> terms;
  T* dv;
  DPTF_MEMBER void operator()(int64_t i, int lane, int lanes) const {
    const Message<T>& p = terms.p;
    const int64_t columns = p.columns();
    for (int64_t c = lane; c < columns; c += lanes) {
      T sum = 0;
      if (p.local) {
        const int64_t block = owner_of(p.block_start, p.blocks, i);
        for (int64_t o = p.block_start[block]; o < p.block_start[block + 1]; ++o)
          for (int64_t r = p.start[o]; r < p.start[o + 1]; ++r)
            if (p.v[r] == i) sum += terms.template at<ORDER>(o, r, c).adjoint;
      } else {
        for (int64_t q = p.t_start[i]; q < p.t_start[i + 1]; ++q) {
          const int64_t r = p.t_rows[q];
          sum += terms.template at<ORDER>(owner_of(p.start, p.owners, r), r, c).adjoint;
        }
      }
      dv[i * columns + c] = sum;
    }
  }
};

/// Item: a chunk of owners. Adds to its part of partial [chunks, k + 2, columns], zeros before: derivatives
/// of the weight, then of skip and rho in the columns that are kept.
template <typename T, int ORDER>
struct MessageWeightGrad {
  MessageTerms<T> terms;
  int64_t chunks;
  T* partial;
  DPTF_MEMBER void operator()(int64_t chunk, int lane, int lanes) const {
    const Message<T>& p = terms.p;
    const int64_t columns = p.columns();
    T* to = partial + chunk * (p.k + 2) * columns;
    for (int64_t o = chunk * p.owners / chunks; o < (chunk + 1) * p.owners / chunks; ++o)
      for (int64_t r = p.start[o]; r < p.start[o + 1]; ++r)
        for (int64_t c = lane; c < columns; c += lanes) {
          const auto s = terms.template at<ORDER>(o, r, c);
          for (int64_t a = 0; a < p.k; ++a) {
            T d = p.x[r * p.k + a] * s.adjoint;
            if (ORDER == 2) d += terms.t.x[r * p.k + a] * s.f[1] * s.outer;
            to[a * columns + c] += d;
          }
          const int64_t b = c - p.m;
          if (b < 0) continue;
          const T g = terms.g_y[r * p.kept + b];
          to[p.k * columns + c] += terms.skipped(ORDER == 1 ? p.x : terms.t.x, r, b) * g;
          to[(p.k + 1) * columns + c] += (ORDER == 1 ? s.f[0] : s.q * s.f[1]) * g;
        }
  }
};

/// Item: a number of [k + 2, columns]. The sums over the chunks.
template <typename T>
struct MessageWeightSum {
  Message<T> p;
  int64_t chunks;
  const T* partial;
  T *weight, *skip, *rho;
  DPTF_MEMBER void operator()(int64_t i, int, int) const {
    const int64_t columns = p.columns(), size = (p.k + 2) * columns, a = i / columns, b = i % columns - p.m;
    T sum = 0;
    for (int64_t chunk = 0; chunk < chunks; ++chunk) sum += partial[chunk * size + i];
    if (a < p.k)
      weight[i] = sum;
    else if (b >= 0)
      (a == p.k ? skip : rho)[b] = sum;
  }
};

}  // namespace dptf
