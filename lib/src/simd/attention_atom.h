#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "attention_products.h"

namespace dptf {
namespace DPTF_ISA {

/// Attention of the neighbors of one atom at a time: its matrices stay in the caches. Names: a "dot" is a
/// change along the direction, a "bar" an adjoint.
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

  void atom(int64_t i);

 private:
  // Value and change: attention.cc.
  void gates(T* const f[3], T* const h[3], T* gate) const;
  void softmax_row(int64_t a, T* x, T* logit, T* raw) const;
  void all_gates() const;
  void weigh_row(int64_t h, int64_t a) const;
  void recall(bool tangent);
  void sum_values(int64_t h) const;
  void value();
  void damp_gates() const;
  void change_damped_gates() const;
  void change();
  void change_head(int64_t h, T kappa);
  // Adjoints: attention_back.cc.
  void pull_back_norm(bool weights, bool tangent);
  void pull_back_rows(int64_t h, bool tangent);
  void pull_back_gated(int64_t a, int64_t row, bool tangent, T kappa);
  void add_gates(int64_t a, const T* g, T* const f[3]);
  void pull_back_unit(bool tangent);
  void pull_back(bool weights, bool tangent);
  void pull_back_head(int64_t h, bool tangent);
  void add_columns(const T* rows, int64_t ld, int64_t columns, T* sum) const;

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

  /// h := J h, the derivative of unit(); returns q . h.
  T unit_change(int64_t a, int64_t p, T* __restrict h) const {
    if (!form_.normalize) return 0;
    const T* __restrict q = y_ + a * ld3_ + p * part_;
    const int64_t at = 3 * heads_ * a + p;
    const T along = dot(q, h, part_), rho = rho_[at], take = bend_[at] * along;
    for (int64_t c = 0; c < part_; ++c) h[c] = rho * (h[c] - take * q[c]);
    return along;
  }
  /// h := J h, the derivative of the normalisation of a row; returns mean(x h).
  T norm_change(int64_t a, T* __restrict h) const {
    const T* __restrict x = x_ + a * ldw_;
    const T along = dot(x, h, width_) / static_cast<T>(width_),
            mean = total(h, width_) / static_cast<T>(width_);
    for (int64_t c = 0; c < width_; ++c) h[c] = r_[a] * (h[c] - mean - along * x[c]);
    return along;
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

}  // namespace DPTF_ISA
}  // namespace dptf
