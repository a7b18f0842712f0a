// Adjoints of attention layers; the order of the lines is that of reverse differentiation.
#include "attention_atom.h"

namespace dptf {
namespace DPTF_ISA {

/// Adjoints of u from those of y and of its change.
template <typename T>
void Attention<T>::pull_back_norm(bool weights, bool tangent) {
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
template <typename T>
void Attention<T>::pull_back_rows(int64_t h, bool tangent) {
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
template <typename T>
void Attention<T>::pull_back_gated(int64_t a, int64_t row, bool tangent, T kappa) {
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

template <typename T>
void Attention<T>::add_gates(int64_t a, const T* __restrict g, T* const f[3]) {
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
template <typename T>
void Attention<T>::pull_back_unit(bool tangent) {
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

template <typename T>
void Attention<T>::pull_back(bool weights, bool tangent) {
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

template <typename T>
void Attention<T>::pull_back_head(int64_t h, bool tangent) {
  const int64_t first = 3 * h * part_;
  const T *y = y_ + first, *y_dot = y_dot_ + first, *k = y + part_, *k_dot = y_dot + part_;
  const T *p = p_ + h * square_, *p_dot = p_dot_ + h * square_, *o_bar = o_bar_ + h * part_,
          *o_dot_bar = o_dot_bar_ + h * part_;
  T *y_bar = y_bar_ + first, *y_dot_bar = y_dot_bar_ + first, *k_bar = y_bar + part_, *v_bar = k_bar + part_;
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

template <typename T>
void Attention<T>::add_columns(const T* rows, int64_t ld, int64_t columns, T* __restrict sum) const {
  for (int64_t a = 0; a < n_; ++a)
    for (int64_t c = 0; c < columns; ++c) sum[c] += rows[a * ld + c];
}

template void Attention<double>::pull_back(bool, bool);
template void Attention<float>::pull_back(bool, bool);

}  // namespace DPTF_ISA
}  // namespace dptf
