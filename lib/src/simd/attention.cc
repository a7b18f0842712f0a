// Attention of the neighbors of one atom at a time: its matrices stay in the caches. Names: a "dot" is a
// change along the direction, a "bar" an adjoint; the order of the lines of dual() is that of reverse
// differentiation.
#include "dptf/attention.h"

#include <algorithm>
#include <cmath>

#include "dptf/attention_kernels.h"
#include "dptf/gemm_tile.h"
#include "dptf/simd_activation.h"
#include "dptf/simd_vec.h"

namespace dptf {
namespace DPTF_ISA {
namespace {

/// Logits of slots that are switched off.
constexpr double kShift = 20.0;

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

template <typename T>
class Attention {
 public:
  Attention(const AttentionJob<T>& job, const PackedAttentionGrads<T>& sums, T* memory)
      : job_(job),
        form_(job.form),
        w_(*job.w),
        sums_(sums),
        width_(w_.width),
        heads_(w_.heads),
        part_(w_.part),
        all_parts_(w_.heads * w_.part),
        ld3_(w_.ld_in),
        ldo_(row_stride<T>(w_.heads * w_.part)),
        ldw_(w_.ld_out),
        columns_w_(whole_lines<T>(w_.width)) {
    size_ = arrange(memory);
  }

  int64_t size() const { return size_; }
  int64_t kept() const { return kept_; }

  void atom(int64_t i) {
    find_rows(i);
    Places state{job_.rows.kept ? job_.rows.kept + i * kept_ : nullptr};
    if (state.base) place_state(state);
    const bool known = state.base && job_.task != AttentionTask::value;
    const bool tangent = job_.task == AttentionTask::tangent || (job_.task == AttentionTask::dual && job_.e);
    if (n_) {
      gather(job_.rows.g, width_, g_, ldw_);
      gather_three(job_.rows.f, f_);
      if (form_.smooth) gather(job_.rows.s, 1, s_, 1);
      if (known)
        recall(tangent);
      else
        value();
      if (tangent) {
        gather(job_.direction.g, width_, g_dot_, ldw_);
        gather_three(job_.direction.f, f_dot_);
        if (form_.smooth) gather(job_.direction.s, 1, s_dot_, 1);
        change();
      }
    }
    switch (job_.task) {
      case AttentionTask::value:
        for (int64_t a = 0; a < n_; ++a)
          for (int64_t c = 0; c < width_; ++c)
            out_[a * ldw_ + c] = w_.gamma[c] * x_[a * ldw_ + c] + w_.beta[c];
        return scatter(out_, ldw_, width_, job_.y);
      case AttentionTask::tangent:
        for (int64_t a = 0; a < n_; ++a)
          for (int64_t c = 0; c < width_; ++c) out_[a * ldw_ + c] = w_.gamma[c] * x_dot_[a * ldw_ + c];
        return scatter(out_, ldw_, width_, job_.y);
      default:
        if (n_) pull_back(job_.task == AttentionTask::dual, tangent);
        scatter(u_bar_, ldw_, width_, job_.grad.g);
        scatter_three(f_bar_, job_.grad.f);
        if (form_.smooth) scatter(s_bar_, 1, 1, job_.grad.s);
    }
  }

 private:
  int64_t at(int64_t a) const { return first_ + index_[a]; }
  void find_rows(int64_t i) {
    n_ = 0;
    if (job_.rows.start) {
      first_ = job_.rows.start[i];
      places_ = job_.rows.start[i + 1] - first_;
      for (; n_ < places_; ++n_) index_[n_] = n_;
    } else {
      places_ = job_.rows.slots;
      first_ = i * places_;
      for (int64_t k = 0; k < places_; ++k)
        if (job_.rows.mask[first_ + k]) index_[n_++] = k;
    }
    np_ = whole_lines<T>(n_);
    ldn_ = row_stride<T>(n_);
    square_ = n_ * ldn_;
    missing_ = static_cast<T>(job_.rows.missing + job_.rows.slots - n_);
  }
  void gather(const T* from, int64_t columns, T* to, int64_t ld) const {
    for (int64_t a = 0; a < n_; ++a) {
      std::copy_n(from + at(a) * columns, columns, to + a * ld);
      for (int64_t c = columns; c < ld; ++c) to[a * ld + c] = 0;
    }
    if (ld == 1) std::fill(to + n_, to + np_, T(0));
  }
  void gather_three(const T* from, T* const to[3]) const {
    for (int d = 0; d < 3; ++d) {
      for (int64_t a = 0; a < n_; ++a) to[d][a] = from[3 * at(a) + d];
      std::fill(to[d] + n_, to[d] + np_, T(0));
    }
  }
  void scatter(const T* from, int64_t ld, int64_t columns, T* to) const {
    std::fill_n(to + first_ * columns, places_ * columns, T(0));
    for (int64_t a = 0; a < n_; ++a) std::copy_n(from + a * ld, columns, to + at(a) * columns);
  }
  void scatter_three(T* const from[3], T* to) const {
    std::fill_n(to + 3 * first_, 3 * places_, T(0));
    for (int64_t a = 0; a < n_; ++a)
      for (int d = 0; d < 3; ++d) to[3 * at(a) + d] = from[d][a];
  }

  /// gate_ab = f_a . h_b + h_a . f_b (half of it where h is f).
  void gates(T* const f[3], T* const h[3], T* gate) const {
    const bool same = f == h;
    for (int64_t a = 0; a < n_; ++a) {
      T* __restrict to = gate + a * ldn_;
      const T *f0 = f[0], *f1 = f[1], *f2 = f[2], *h0 = h[0], *h1 = h[1], *h2 = h[2];
      const T x = f0[a], y = f1[a], z = f2[a];
#pragma omp simd
      for (int64_t b = 0; b < np_; ++b) to[b] = x * h0[b] + y * h1[b] + z * h2[b];
      if (!same) {
        const T u = h0[a], v = h1[a], w = h2[a];
#pragma omp simd
        for (int64_t b = 0; b < np_; ++b) to[b] += u * f0[b] + v * f1[b] + w * f2[b];
      }
      if (form_.no_diagonal) to[a] = 0;
    }
  }

  /// Of the row a of products of queries and keys.
  void softmax_row(int64_t a, T* x, T* logit, T* raw) const {
    const T kappa = static_cast<T>(form_.kappa), shift = static_cast<T>(kShift);
    for (int64_t b = 0; b < np_; ++b) x[b] *= kappa;
    if (form_.gated) {
      const T* pair = pair_ + a * ldn_;
      for (int64_t b = 0; b < np_; ++b) {
        raw[b] = x[b];
        x[b] *= pair[b];
      }
    }
    T top = form_.smooth ? -shift : x[0];
    if (form_.smooth) {
      const T s = s_[a];
      for (int64_t b = 0; b < np_; ++b) {
        logit[b] = x[b] + shift;
        x[b] = logit[b] * (s * s_[b]) - shift;
      }
    }
    for (int64_t b = 0; b < n_; ++b) top = std::max(top, x[b]);
    for (int64_t b = 0; b < np_; b += kLanes<T>) store(x + b, exp_clamped<T>(load(x + b) - splat(top)));
    std::fill(x + n_, x + np_, T(0));
    T sum = total(x, np_);
    if (form_.smooth) sum += missing_ * std::exp(-shift - top);
    const T inverse = 1 / sum;
    for (int64_t b = 0; b < np_; ++b) x[b] *= inverse;
  }

  void all_gates() const {
    gates(f_, f_, form_.gated ? pair_ : gate_);
    if (form_.gated) damp_gates();
  }
  void weigh_row(int64_t h, int64_t a) const {
    const int64_t row = h * square_ + a * ldn_;
    const T *x = a_ + row, *gate = gate_ + a * ldn_;
    T* weight = p_ + row;
    for (int64_t b = 0; b < np_; ++b) weight[b] = x[b] * gate[b];
  }

  /// What value() makes beside the state: all of it that the derivatives read.
  void recall(bool tangent) {
    all_gates();
    for (int64_t h = 0; h < heads_; ++h) {
      if (tangent) transposed(y_ + (3 * h + 1) * part_, ld3_, n_, part_, kt_ + h * part_ * ldn_, ldn_);
      for (int64_t a = 0; a < n_; ++a) weigh_row(h, a);
      if (job_.task == AttentionTask::dual) sum_values(h);
    }
  }
  void sum_values(int64_t h) const {
    product(n_, part_, n_, by_rows(p_ + h * square_, ldn_), y_ + (3 * h + 2) * part_, ld3_, o_ + h * part_,
            ldo_);
  }

  void value() {
    product(n_, 3 * all_parts_, width_, by_rows(g_, ldw_), w_.in.data(), ld3_, y_, ld3_);
    for (int64_t a = 0; a < n_; ++a)
      for (int64_t p = 0; p < 3 * heads_; ++p) {
        T* __restrict y = y_ + a * ld3_ + p * part_;
        const T* __restrict bias = w_.in_bias.data() + p * part_;
        for (int64_t c = 0; c < part_; ++c) y[c] += bias[c];
        T rho = 1, bend = 0;
        if (form_.normalize) {
          const T norm = dot(y, y, part_), floor = static_cast<T>(form_.floor);
          rho = 1 / std::sqrt(std::max(norm, floor));
          bend = norm >= floor;
          for (int64_t c = 0; c < part_; ++c) y[c] *= rho;
        }
        rho_[3 * heads_ * a + p] = rho, bend_[3 * heads_ * a + p] = bend;
      }
    all_gates();
    for (int64_t h = 0; h < heads_; ++h) {
      const T* y = y_ + 3 * h * part_;
      T* kt = kt_ + h * part_ * ldn_;
      transposed(y + part_, ld3_, n_, part_, kt, ldn_);
      product(n_, np_, part_, by_rows(y, ld3_), kt, ldn_, a_ + h * square_, ldn_);
      for (int64_t a = 0; a < n_; ++a) {
        const int64_t row = h * square_ + a * ldn_;
        softmax_row(a, a_ + row, logit_ + row, form_.gated ? raw_ + row : nullptr);
        weigh_row(h, a);
      }
      sum_values(h);
    }
    product(n_, columns_w_, all_parts_, by_rows(o_, ldo_), w_.out.data(), ldw_, x_, ldw_);
    for (int64_t a = 0; a < n_; ++a) {
      T* __restrict x = x_ + a * ldw_;
      const T* __restrict g = g_ + a * ldw_;
      if (form_.residual)
        for (int64_t c = 0; c < width_; ++c) x[c] += g[c];
      for (int64_t c = 0; c < width_; ++c) x[c] += w_.out_bias[c];
      const T mean = total(x, width_) / static_cast<T>(width_);
      for (int64_t c = 0; c < width_; ++c) x[c] -= mean;
      const T r = 1 / std::sqrt(dot(x, x, width_) / static_cast<T>(width_) + static_cast<T>(form_.eps));
      for (int64_t c = 0; c < width_; ++c) x[c] *= r;
      r_[a] = r;
    }
  }

  /// h := J h, the derivative of unit(); returns q . h.
  T unit_change(int64_t a, int64_t p, T* __restrict h) const {
    if (!form_.normalize) return 0;
    const T* __restrict q = y_ + a * ld3_ + p * part_;
    const int64_t at = 3 * heads_ * a + p;
    const T along = dot(q, h, part_), rho = rho_[at], take = bend_[at] * along;
    for (int64_t c = 0; c < part_; ++c) h[c] = rho * (h[c] - take * q[c]);
    return along;
  }
  /// gate := pair s_a s_b.
  void damp_gates() const {
    for (int64_t a = 0; a < n_; ++a) {
      const T* __restrict pair = pair_ + a * ldn_;
      T* __restrict gate = gate_ + a * ldn_;
      const T s = form_.smooth ? s_[a] : T(1);
      for (int64_t b = 0; b < np_; ++b) gate[b] = pair[b] * (form_.smooth ? s * s_[b] : s);
    }
  }
  /// gate_dot := change of pair s_a s_b.
  void change_damped_gates() const {
    for (int64_t a = 0; a < n_; ++a) {
      const T *pair = pair_ + a * ldn_, *pair_dot = pair_dot_ + a * ldn_;
      T* __restrict gate = gate_dot_ + a * ldn_;
      if (!form_.smooth) {
        std::copy_n(pair_dot, np_, gate);
        continue;
      }
      const T s = s_[a], s_dot = s_dot_[a];
      for (int64_t b = 0; b < np_; ++b)
        gate[b] = pair_dot[b] * (s * s_[b]) + pair[b] * (s_dot * s_[b] + s * s_dot_[b]);
    }
  }
  /// h := J h, the derivative of the normalisation of a row; returns mean(x h).
  T norm_change(int64_t a, T* __restrict h) const {
    const T* __restrict x = x_ + a * ldw_;
    const T along = dot(x, h, width_) / static_cast<T>(width_),
            mean = total(h, width_) / static_cast<T>(width_);
    for (int64_t c = 0; c < width_; ++c) h[c] = r_[a] * (h[c] - mean - along * x[c]);
    return along;
  }

  void change() {
    const T kappa = static_cast<T>(form_.kappa);
    product(n_, 3 * all_parts_, width_, by_rows(g_dot_, ldw_), w_.in.data(), ld3_, y_dot_, ld3_);
    for (int64_t a = 0; a < n_; ++a)
      for (int64_t p = 0; p < 3 * heads_; ++p)
        along_[3 * heads_ * a + p] = unit_change(a, p, y_dot_ + a * ld3_ + p * part_);
    gates(f_, f_dot_, form_.gated ? pair_dot_ : gate_dot_);
    if (form_.gated) change_damped_gates();
    for (int64_t h = 0; h < heads_; ++h) change_head(h, kappa);
    product(n_, columns_w_, all_parts_, by_rows(o_dot_, ldo_), w_.out.data(), ldw_, x_dot_, ldw_);
    for (int64_t a = 0; a < n_; ++a) {
      T* __restrict x = x_dot_ + a * ldw_;
      const T* __restrict g = g_dot_ + a * ldw_;
      if (form_.residual)
        for (int64_t c = 0; c < width_; ++c) x[c] += g[c];
      slope_[a] = norm_change(a, x);
    }
  }
  void change_head(int64_t h, T kappa) {
    const T *y = y_ + 3 * h * part_, *y_dot = y_dot_ + 3 * h * part_;
    const int64_t first = h * square_;
    transposed(y_dot + part_, ld3_, n_, part_, kt_dot_, ldn_);
    product(n_, np_, part_, by_rows(y_dot, ld3_), kt_ + h * part_ * ldn_, ldn_, logit_dot_ + first, ldn_);
    product(n_, np_, part_, by_rows(y, ld3_), kt_dot_, ldn_, logit_dot_ + first, ldn_, true);
    for (int64_t a = 0; a < n_; ++a) {
      const int64_t row = first + a * ldn_;
      T* __restrict l = logit_dot_ + row, * __restrict x = a_dot_ + row, * __restrict p = p_dot_ + row;
      const T *at = a_ + row, *gate = gate_ + a * ldn_, *gate_dot = gate_dot_ + a * ldn_,
              *logit = logit_ + row;
      for (int64_t b = 0; b < np_; ++b) l[b] *= kappa;
      if (form_.gated) {
        const T *pair = pair_ + a * ldn_, *pair_dot = pair_dot_ + a * ldn_, *raw = raw_ + row;
        T* __restrict raw_dot = raw_dot_ + row;
        for (int64_t b = 0; b < np_; ++b) {
          raw_dot[b] = l[b];
          l[b] = l[b] * pair[b] + raw[b] * pair_dot[b];
        }
      }
      if (form_.smooth) {
        const T s = s_[a], s_dot = s_dot_[a];
        for (int64_t b = 0; b < np_; ++b)
          x[b] = l[b] * (s * s_[b]) + logit[b] * (s_dot * s_[b] + s * s_dot_[b]);
      } else {
        for (int64_t b = 0; b < np_; ++b) x[b] = l[b];
      }
      const T c = dot(at, x, np_);
      for (int64_t b = 0; b < np_; ++b) {
        x[b] -= c;
        p[b] = at[b] * (x[b] * gate[b] + gate_dot[b]);
      }
      mean_[h * np_ + a] = c;
    }
    T* o_dot = o_dot_ + h * part_;
    product(n_, part_, n_, by_rows(p_dot_ + first, ldn_), y + 2 * part_, ld3_, o_dot, ldo_);
    product(n_, part_, n_, by_rows(p_ + first, ldn_), y_dot + 2 * part_, ld3_, o_dot, ldo_, true);
  }

  /// Adjoints of u from those of y and of its change.
  void pull_back_norm(bool weights, bool tangent) {
    for (int64_t a = 0; a < n_; ++a) {
      T* __restrict u = u_bar_ + a * ldw_, * __restrict ud = u_dot_bar_ + a * ldw_;
      const T* __restrict x = x_ + a * ldw_, * __restrict xd = x_dot_ + a * ldw_;
      if (job_.dy) {
        const T* __restrict d = job_.dy + at(a) * width_;
        if (weights)
          for (int64_t c = 0; c < width_; ++c) {
            sums_.gamma[c] += d[c] * x[c];
            sums_.beta[c] += d[c];
          }
        for (int64_t c = 0; c < width_; ++c) u[c] = w_.gamma[c] * d[c];
        for (int64_t c = width_; c < ldw_; ++c) u[c] = 0;
        norm_change(a, u);
      } else {
        std::fill_n(u, ldw_, T(0));
      }
      if (!tangent) continue;
      const T* __restrict e = job_.e + at(a) * width_;
      for (int64_t c = 0; c < width_; ++c) {
        sums_.gamma[c] += e[c] * xd[c];
        ud[c] = w_.gamma[c] * e[c];
      }
      for (int64_t c = width_; c < ldw_; ++c) ud[c] = 0;
      const T f = dot(ud, xd, width_) / static_cast<T>(width_), r = r_[a], slope = slope_[a];
      const T along = norm_change(a, ud);
      for (int64_t c = 0; c < width_; ++c) u[c] -= r * (f * x[c] + slope * ud[c] + along * xd[c]);
    }
  }

  /// Adjoints of the softmax and of the gates; leaves those of kappa q . k in l_bar and l_dot_bar.
  void pull_back_rows(int64_t h, bool tangent) {
    const T kappa = static_cast<T>(form_.kappa);
    for (int64_t a = 0; a < n_; ++a) {
      const int64_t pairs = a * ldn_, row = h * square_ + pairs;
      const T *at = a_ + row, *gate = gate_ + pairs, *logit = logit_ + row;
      T* __restrict p = p_bar_ + pairs, * __restrict pd = p_dot_bar_ + pairs;
      T* __restrict gb = row_bar_[0], * __restrict gdb = row_bar_[1], * __restrict x = row_bar_[2], * __restrict xd = row_bar_[3];
      if (tangent) {
        const T *change = a_dot_ + row, *gate_dot = gate_dot_ + pairs;  // change: of x beyond its mean
        T sum_dot = 0;
#pragma omp simd reduction(+ : sum_dot)
        for (int64_t b = 0; b < np_; ++b) {
          gb[b] = at[b] * (p[b] + pd[b] * change[b]);
          gdb[b] = at[b] * pd[b];
          xd[b] = pd[b] * gate[b];
          sum_dot += at[b] * xd[b];
        }
        const T c = mean_[h * np_ + a];
        T sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t b = 0; b < np_; ++b) {
          x[b] = p[b] * gate[b] + pd[b] * gate_dot[b] + xd[b] * change[b] - (change[b] + c) * sum_dot;
          sum += at[b] * x[b];
        }
        for (int64_t b = 0; b < np_; ++b) {
          x[b] = at[b] * (x[b] - sum);
          xd[b] = at[b] * (xd[b] - sum_dot);
        }
      } else {
        T sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t b = 0; b < np_; ++b) {
          gb[b] = at[b] * p[b];
          x[b] = p[b] * gate[b];
          sum += at[b] * x[b];
        }
        for (int64_t b = 0; b < np_; ++b) x[b] = at[b] * (x[b] - sum);
      }
      if (form_.no_diagonal) gb[a] = gdb[a] = 0;
      if (form_.gated) {
        pull_back_gated(a, row, tangent, kappa);
        continue;
      }
      add_gates(a, gb, f_);
      if (tangent) add_gates(a, gdb, f_dot_);
      if (!form_.smooth) {
        for (int64_t b = 0; b < np_; ++b) p[b] = kappa * x[b];
        if (tangent)
          for (int64_t b = 0; b < np_; ++b) pd[b] = kappa * xd[b];
        continue;
      }
      const T s = s_[a];
      T sum = 0;
      if (tangent) {
        const T s_dot = s_dot_[a];
        const T* __restrict l = logit_dot_ + row;
#pragma omp simd reduction(+ : sum)
        for (int64_t b = 0; b < np_; ++b) {
          const T damp = x[b] * logit[b] + xd[b] * l[b], damp_dot = xd[b] * logit[b];
          sum += damp * s_[b] + damp_dot * s_dot_[b];
          s_bar_[b] += damp * s + damp_dot * s_dot;
          p[b] = kappa * (x[b] * (s * s_[b]) + xd[b] * (s_dot * s_[b] + s * s_dot_[b]));
          pd[b] = kappa * xd[b] * (s * s_[b]);
        }
      } else {
#pragma omp simd reduction(+ : sum)
        for (int64_t b = 0; b < np_; ++b) {
          const T damp = x[b] * logit[b];
          sum += damp * s_[b];
          s_bar_[b] += damp * s;
          p[b] = kappa * x[b] * (s * s_[b]);
        }
      }
      s_bar_[a] += sum;
    }
  }
  /// The rest of pull_back_rows for gated logits: x = (raw pair + 20) s_a s_b - 20 and gate = pair s_a s_b.
  void pull_back_gated(int64_t a, int64_t row, bool tangent, T kappa) {
    const int64_t pairs = a * ldn_;
    T* __restrict gb = row_bar_[0], * __restrict gdb = row_bar_[1];
    const T *x = row_bar_[2], *xd = row_bar_[3], *pair = pair_ + pairs, *raw = raw_ + row,
            *logit = logit_ + row;
    T *p = p_bar_ + pairs, *pd = p_dot_bar_ + pairs;
    const T *pair_dot_row = pair_dot_ + pairs, *raw_dot_row = raw_dot_ + row, *logit_dot = logit_dot_ + row;
    const T *switches = s_, *switches_dot = s_dot_;
    T* s_bar = s_bar_;
    const bool smooth = form_.smooth;
    const T s = smooth ? s_[a] : T(1), s_dot = smooth && tangent ? s_dot_[a] : T(0);
    T sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t b = 0; b < np_; ++b) {
      const T sb = smooth ? switches[b] : T(1), ss = s * sb;
      T logit_bar = x[b] * ss, damp = gb[b] * pair[b], damp_dot = 0, pair_bar = gb[b] * ss, pair_dot_bar = 0;
      if (smooth) damp += x[b] * logit[b];
      if (tangent) {
        const T sb_dot = smooth ? switches_dot[b] : T(0), ss_dot = s_dot * sb + s * sb_dot;
        const T pair_dot = pair_dot_row[b], raw_dot = raw_dot_row[b], logit_dot_bar = xd[b] * ss;
        logit_bar += xd[b] * ss_dot;
        damp += gdb[b] * pair_dot;
        damp_dot = gdb[b] * pair[b];
        if (smooth) damp += xd[b] * logit_dot[b], damp_dot += xd[b] * logit[b];
        pair_bar += gdb[b] * ss_dot + logit_dot_bar * raw_dot;
        pair_dot_bar = gdb[b] * ss + logit_dot_bar * raw[b];
        sum += damp_dot * sb_dot;
        if (smooth) s_bar[b] += damp_dot * s_dot;
        pd[b] = kappa * logit_dot_bar * pair[b];
        p[b] = kappa * (logit_bar * pair[b] + logit_dot_bar * pair_dot);
      } else {
        p[b] = kappa * logit_bar * pair[b];
      }
      pair_bar += logit_bar * raw[b];
      sum += damp * sb;
      if (smooth) s_bar[b] += damp * s;
      gb[b] = pair_bar;
      gdb[b] = pair_dot_bar;
    }
    if (smooth) s_bar_[a] += sum;
    add_gates(a, gb, f_);
    if (tangent) add_gates(a, gdb, f_dot_);
  }
  void add_gates(int64_t a, const T* __restrict g, T* const f[3]) {
    for (int d = 0; d < 3; ++d) {
      const T* __restrict v = f[d];
      T* __restrict bar = f_bar_[d];
      const T own = v[a];
      T sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t b = 0; b < np_; ++b) {
        sum += g[b] * v[b];
        bar[b] += g[b] * own;
      }
      bar[a] += sum;
    }
  }

  /// Adjoints of rows before unit(): of the change (in place), and with what it adds of the value.
  void pull_back_unit(bool tangent) {
    if (!form_.normalize) return;
    for (int64_t a = 0; a < n_; ++a)
      for (int64_t p = 0; p < 3 * heads_; ++p) {
        const int64_t row = a * ld3_ + p * part_, at = 3 * heads_ * a + p;
        T* __restrict bar = y_bar_ + row;
        unit_change(a, p, bar);
        if (!tangent) continue;
        T* __restrict dot_bar = y_dot_bar_ + row;
        const T* __restrict q = y_ + row, * __restrict q_dot = y_dot_ + row;
        const T f = dot(dot_bar, q_dot, part_), along = unit_change(a, p, dot_bar);
        const T rate = bend_[at] * rho_[at], change = along_[at];
        for (int64_t c = 0; c < part_; ++c)
          bar[c] -= rate * (f * q[c] + change * dot_bar[c] + along * q_dot[c]);
      }
  }

  void pull_back(bool weights, bool tangent) {
    pull_back_norm(weights, tangent);
    product(n_, all_parts_, width_, by_rows(u_bar_, ldw_), w_.out_t.data(), ld3_, o_bar_, ldo_);
    if (tangent)
      product(n_, all_parts_, width_, by_rows(u_dot_bar_, ldw_), w_.out_t.data(), ld3_, o_dot_bar_, ldo_);
    if (weights) {
      product(all_parts_, columns_w_, n_, turned(o_, ldo_), u_bar_, ldw_, sums_.out, ldw_, true);
      if (tangent)
        product(all_parts_, columns_w_, n_, turned(o_dot_, ldo_), u_dot_bar_, ldw_, sums_.out, ldw_, true);
      add_columns(u_bar_, ldw_, width_, sums_.out_bias);
    }
    for (int d = 0; d < 3; ++d) std::fill_n(f_bar_[d], np_, T(0));
    std::fill_n(s_bar_, np_, T(0));
    for (int64_t h = 0; h < heads_; ++h) pull_back_head(h, tangent);
    pull_back_unit(tangent);
    if (weights) {
      product(width_, 3 * all_parts_, n_, turned(g_, ldw_), y_bar_, ld3_, sums_.in, ld3_, true);
      if (tangent)
        product(width_, 3 * all_parts_, n_, turned(g_dot_, ldw_), y_dot_bar_, ld3_, sums_.in, ld3_, true);
      add_columns(y_bar_, ld3_, 3 * all_parts_, sums_.in_bias);
    }
    product(n_, columns_w_, 3 * all_parts_, by_rows(y_bar_, ld3_), w_.in_t.data(), ldw_, u_bar_, ldw_,
            form_.residual);
  }
  void pull_back_head(int64_t h, bool tangent) {
    const int64_t first = 3 * h * part_;
    const T *y = y_ + first, *y_dot = y_dot_ + first, *k = y + part_, *k_dot = y_dot + part_;
    const T *p = p_ + h * square_, *p_dot = p_dot_ + h * square_, *o_bar = o_bar_ + h * part_,
            *o_dot_bar = o_dot_bar_ + h * part_;
    T *y_bar = y_bar_ + first, *y_dot_bar = y_dot_bar_ + first, *k_bar = y_bar + part_,
      *v_bar = k_bar + part_;
    transposed(y + 2 * part_, ld3_, n_, part_, vt_, ldn_);
    product(n_, np_, part_, by_rows(o_bar, ldo_), vt_, ldn_, p_bar_, ldn_);
    product(n_, part_, n_, turned(p, ldn_), o_bar, ldo_, v_bar, ld3_);
    if (tangent) {
      product(n_, np_, part_, by_rows(o_dot_bar, ldo_), vt_, ldn_, p_dot_bar_, ldn_);
      transposed(y_dot + 2 * part_, ld3_, n_, part_, vt_, ldn_);
      product(n_, np_, part_, by_rows(o_dot_bar, ldo_), vt_, ldn_, p_bar_, ldn_, true);
      product(n_, part_, n_, turned(p_dot, ldn_), o_dot_bar, ldo_, v_bar, ld3_, true);
      product(n_, part_, n_, turned(p, ldn_), o_dot_bar, ldo_, y_dot_bar + 2 * part_, ld3_);
    }
    pull_back_rows(h, tangent);
    product(n_, part_, n_, by_rows(p_bar_, ldn_), k, ld3_, y_bar, ld3_);
    product(n_, part_, n_, turned(p_bar_, ldn_), y, ld3_, k_bar, ld3_);
    if (tangent) {
      product(n_, part_, n_, by_rows(p_dot_bar_, ldn_), k_dot, ld3_, y_bar, ld3_, true);
      product(n_, part_, n_, turned(p_dot_bar_, ldn_), y_dot, ld3_, k_bar, ld3_, true);
      product(n_, part_, n_, by_rows(p_dot_bar_, ldn_), k, ld3_, y_dot_bar, ld3_);
      product(n_, part_, n_, turned(p_dot_bar_, ldn_), y, ld3_, y_dot_bar + part_, ld3_);
    }
  }
  void add_columns(const T* rows, int64_t ld, int64_t columns, T* __restrict sum) const {
    for (int64_t a = 0; a < n_; ++a)
      for (int64_t c = 0; c < columns; ++c) sum[c] += rows[a * ld + c];
  }

  /// Arrays one after the other from `base` on (null: none), and how many numbers they are.
  struct Places {
    T* base;
    int64_t size = 0;
    void operator()(T*& p, int64_t n, bool used = true) {
      p = base ? base + size : nullptr;
      if (used) size += whole_lines<T>(n) + 64 / static_cast<int64_t>(sizeof(T));
    }
  };

  /// What value() leaves to the derivatives.
  void place_state(Places& place) {
    const int64_t slots = std::max<int64_t>(job_.rows.slots, 1), ldn = row_stride<T>(slots);
    place(y_, slots * ld3_);
    place(x_, slots * ldw_);
    place(a_, heads_ * slots * ldn);
    place(logit_, heads_ * slots * ldn, form_.smooth);
    place(raw_, heads_ * slots * ldn, form_.gated);
    for (T** p : {&rho_, &bend_}) place(*p, 3 * heads_ * slots);
    place(r_, slots);
  }

  /// Places of all arrays from `base` on; returns how many numbers they are.
  int64_t arrange(T* base) {
    const int64_t slots = std::max<int64_t>(job_.rows.slots, 1), np = whole_lines<T>(slots),
                  ldn = row_stride<T>(slots);
    const bool back = job_.task == AttentionTask::gradient || job_.task == AttentionTask::dual;
    const bool tangent = job_.task == AttentionTask::tangent || job_.task == AttentionTask::dual;
    Places place{base};
    place_state(place);
    kept_ = place.size;
    T* index;
    place(index, 8 * slots / static_cast<int64_t>(sizeof(T)));
    index_ = reinterpret_cast<int64_t*>(index);
    const int64_t square = slots * ldn, every = heads_ * square;
    const bool gated = form_.gated;
    for (T** p : {&g_, &out_}) place(*p, slots * ldw_);
    place(o_, slots * ldo_);
    place(p_, every);
    place(gate_, square);
    place(pair_, square, gated);
    place(along_, 3 * heads_ * slots);
    place(mean_, heads_ * np);
    for (T** p : {&s_, &s_dot_, &s_bar_, &slope_}) place(*p, np);
    for (int d = 0; d < 3; ++d)
      for (T** p : {&f_[d], &f_dot_[d], &f_bar_[d]}) place(*p, np);
    for (T*& p : row_bar_) place(p, np);
    place(kt_, heads_ * part_ * ldn);
    place(vt_, part_ * ldn, back);
    place(kt_dot_, part_ * ldn, tangent);
    for (T** p : {&g_dot_, &x_dot_}) place(*p, slots * ldw_, tangent);
    place(y_dot_, slots * ld3_, tangent);
    place(o_dot_, slots * ldo_, tangent);
    for (T** p : {&a_dot_, &p_dot_, &logit_dot_}) place(*p, every, tangent);
    place(gate_dot_, square, tangent);
    place(pair_dot_, square, tangent && gated);
    place(raw_dot_, every, tangent && gated);
    place(u_bar_, slots * ldw_, back);
    place(y_bar_, slots * ld3_, back);
    place(o_bar_, slots * ldo_, back);
    place(p_bar_, square, back);
    place(u_dot_bar_, slots * ldw_, back && tangent);
    place(y_dot_bar_, slots * ld3_, back && tangent);
    place(o_dot_bar_, slots * ldo_, back && tangent);
    place(p_dot_bar_, square, back && tangent);
    return place.size;
  }

  const AttentionJob<T>& job_;
  const AttentionForm form_;
  const PackedAttention<T>& w_;
  const PackedAttentionGrads<T> sums_;
  const int64_t width_, heads_, part_, all_parts_, ld3_, ldo_, ldw_, columns_w_;
  int64_t first_ = 0, places_ = 0, n_ = 0, np_ = 0, ldn_ = 0, square_ = 0;
  T missing_ = 0;
  int64_t* index_ = nullptr;
  T *g_, *x_, *out_, *y_, *o_, *a_, *gate_, *pair_, *raw_, *pair_dot_, *raw_dot_, *p_, *logit_, *rho_, *bend_,
      *along_, *s_, *s_dot_, *s_bar_, *r_, *mean_, *slope_, *f_[3], *f_dot_[3], *f_bar_[3], *row_bar_[4],
      *kt_, *vt_, *kt_dot_, *g_dot_, *x_dot_, *y_dot_, *o_dot_, *a_dot_, *gate_dot_, *p_dot_, *logit_dot_,
      *u_bar_, *y_bar_, *o_bar_, *p_bar_, *u_dot_bar_, *y_dot_bar_, *o_dot_bar_, *p_dot_bar_;
  int64_t size_ = 0, kept_ = 0;
};

}  // namespace

template <typename T>
void attend_memory(const AttentionJob<T>& job, int64_t* size, int64_t* kept) {
  const Attention<T> attention(job, {}, nullptr);
  *size = attention.size(), *kept = attention.kept();
}

template <typename T>
void attend(const AttentionJob<T>& job, int64_t begin, int64_t end, const PackedAttentionGrads<T>& sums,
            T* memory) {
  Attention<T> attention(job, sums, memory);
  for (int64_t i = begin; i < end; ++i) attention.atom(i);
}

#define DPTF_INSTANTIATE(T)                                                   \
  template void attend_memory<T>(const AttentionJob<T>&, int64_t*, int64_t*); \
  template void attend<T>(const AttentionJob<T>&, int64_t, int64_t, const PackedAttentionGrads<T>&, T*);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace DPTF_ISA
}  // namespace dptf
