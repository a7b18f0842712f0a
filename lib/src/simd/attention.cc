// The value of attention layers, and its change along a direction.
#include "attention_atom.h"
#include "dptf/simd_activation.h"

namespace dptf {
namespace DPTF_ISA {
namespace {

/// Logits of slots that are switched off.
constexpr double kShift = 20.0;

}  // namespace

template <typename T>
void Attention<T>::atom(int64_t i) {
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
        for (int64_t c = 0; c < width_; ++c) out_[a * ldw_ + c] = w_.gamma[c] * x_[a * ldw_ + c] + w_.beta[c];
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

/// gate_ab = f_a . h_b + h_a . f_b (half of it where h is f).
template <typename T>
void Attention<T>::gates(T* const f[3], T* const h[3], T* gate) const {
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
template <typename T>
void Attention<T>::softmax_row(int64_t a, T* x, T* logit, T* raw) const {
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

template <typename T>
void Attention<T>::all_gates() const {
  gates(f_, f_, form_.gated ? pair_ : gate_);
  if (form_.gated) damp_gates();
}

template <typename T>
void Attention<T>::weigh_row(int64_t h, int64_t a) const {
  const int64_t row = h * square_ + a * ldn_;
  const T *x = a_ + row, *gate = gate_ + a * ldn_;
  T* weight = p_ + row;
  for (int64_t b = 0; b < np_; ++b) weight[b] = x[b] * gate[b];
}

/// What value() makes beside the state: all of it that the derivatives read.
template <typename T>
void Attention<T>::recall(bool tangent) {
  all_gates();
  for (int64_t h = 0; h < heads_; ++h) {
    if (tangent) transposed(y_ + (3 * h + 1) * part_, ld3_, n_, part_, kt_ + h * part_ * ldn_, ldn_);
    for (int64_t a = 0; a < n_; ++a) weigh_row(h, a);
    if (job_.task == AttentionTask::dual) sum_values(h);
  }
}

template <typename T>
void Attention<T>::sum_values(int64_t h) const {
  product(n_, part_, n_, by_rows(p_ + h * square_, ldn_), y_ + (3 * h + 2) * part_, ld3_, o_ + h * part_,
          ldo_);
}

template <typename T>
void Attention<T>::value() {
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

/// gate := pair s_a s_b.
template <typename T>
void Attention<T>::damp_gates() const {
  for (int64_t a = 0; a < n_; ++a) {
    const T* __restrict pair = pair_ + a * ldn_;
    T* __restrict gate = gate_ + a * ldn_;
    const T s = form_.smooth ? s_[a] : T(1);
    for (int64_t b = 0; b < np_; ++b) gate[b] = pair[b] * (form_.smooth ? s * s_[b] : s);
  }
}

/// gate_dot := change of pair s_a s_b.
template <typename T>
void Attention<T>::change_damped_gates() const {
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

template <typename T>
void Attention<T>::change() {
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

template <typename T>
void Attention<T>::change_head(int64_t h, T kappa) {
  const T *y = y_ + 3 * h * part_, *y_dot = y_dot_ + 3 * h * part_;
  const int64_t first = h * square_;
  transposed(y_dot + part_, ld3_, n_, part_, kt_dot_, ldn_);
  product(n_, np_, part_, by_rows(y_dot, ld3_), kt_ + h * part_ * ldn_, ldn_, logit_dot_ + first, ldn_);
  product(n_, np_, part_, by_rows(y, ld3_), kt_dot_, ldn_, logit_dot_ + first, ldn_, true);
  for (int64_t a = 0; a < n_; ++a) {
    const int64_t row = first + a * ldn_;
    T* __restrict l = logit_dot_ + row, * __restrict x = a_dot_ + row, * __restrict p = p_dot_ + row;
    const T *at = a_ + row, *gate = gate_ + a * ldn_, *gate_dot = gate_dot_ + a * ldn_, *logit = logit_ + row;
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
