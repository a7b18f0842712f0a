#include "dptf/attention.h"

#include <algorithm>
#include <vector>

#include "dptf/attention_kernels.h"
#include "dptf/isa_dispatch.h"
#include "dptf/scratch.h"

namespace dptf {
namespace {

/// Sums over atoms are made in so many parts, whatever the number of threads: the result does not depend on
/// it.
constexpr int64_t kParts = 32;

/// Writes [rows, columns] with row stride ld, or its transpose, from rows with a stride of their own.
template <typename T>
void put(const T* from, int64_t rows, int64_t columns, bool transposed, int64_t ld, T* to, int64_t ld_from) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c) to[transposed ? c * ld + r : r * ld + c] = from[r * ld_from + c];
}
template <typename T>
void take(const T* from, int64_t rows, int64_t columns, int64_t ld, T* to, int64_t ld_to) {
  for (int64_t r = 0; r < rows; ++r) std::copy(from + r * ld, from + r * ld + columns, to + r * ld_to);
}

/// Nanoseconds of an atom, roughly, per matrix product of its size.
template <typename T>
int64_t cost_of(const AttentionJob<T>& job, int64_t products) {
  const int64_t n = job.rows.slots;
  return 1 + products * n * job.w->heads * job.w->hidden * (4 * job.w->width + 2 * n) / 20;
}

template <typename T>
int64_t memory_of(const AttentionJob<T>& job) {
  int64_t size = 0, kept = 0;
  DPTF_ISA_CALL(attend_memory(job, &size, &kept));
  return size;
}

template <typename T>
void run(const AttentionJob<T>& job, int64_t products, const ParallelFor& parallel) {
  parallel(job.rows.atoms, cost_of(job, products), [&](int64_t begin, int64_t end) {
    Scratch<T> memory(memory_of(job));
    DPTF_ISA_CALL(attend(job, begin, end, PackedAttentionGrads<T>(), memory.data()));
  });
}

}  // namespace

template <typename T>
PackedAttention<T>::PackedAttention(const AttentionWeights<T>& w, int64_t n_width, int64_t n_hidden,
                                    int64_t n_heads)
    : width(n_width),
      hidden(n_hidden),
      heads(n_heads),
      part(whole_lines<T>(n_hidden)),
      ld_in(row_stride<T>(3 * heads * part)),
      ld_out(row_stride<T>(n_width)),
      in(width * ld_in),
      in_t(3 * heads * part * ld_out),
      in_bias(ld_in),
      out(heads * part * ld_out),
      out_t(width * ld_in),
      out_bias(ld_out),
      gamma(ld_out),
      beta(ld_out) {
  for (int64_t h = 0; h < heads; ++h) {
    for (int p = 0; p < 3; ++p) {
      const int64_t at = (3 * h + p) * part;
      put(w.matrix[p] + h * hidden, width, hidden, false, ld_in, &in[at], heads * hidden);
      put(w.matrix[p] + h * hidden, width, hidden, true, ld_out, &in_t[at * ld_out], heads * hidden);
      std::copy_n(w.bias[p] + h * hidden, hidden, &in_bias[at]);
    }
    put(w.out + h * hidden * width, hidden, width, false, ld_out, &out[h * part * ld_out], width);
    put(w.out + h * hidden * width, hidden, width, true, ld_in, &out_t[h * part], width);
  }
  std::copy_n(w.out_bias, width, out_bias.data());
  std::copy_n(w.gamma, width, gamma.data());
  std::copy_n(w.beta, width, beta.data());
}

template <typename T>
int64_t attention_kept(const AttentionForm& form, const PackedAttention<T>& w, const AttentionRows<T>& rows) {
  AttentionJob<T> job;
  job.form = form, job.w = &w, job.rows = rows;
  int64_t size = 0, kept = 0;
  DPTF_ISA_CALL(attend_memory(job, &size, &kept));
  return kept;
}

template <typename T>
void attention(const AttentionForm& form, const PackedAttention<T>& w, const AttentionRows<T>& rows, T* y,
               const ParallelFor& parallel) {
  AttentionJob<T> job;
  job.task = AttentionTask::value;
  job.form = form, job.w = &w, job.rows = rows, job.y = y;
  run(job, 1, parallel);
}

template <typename T>
void attention_grad(const AttentionForm& form, const PackedAttention<T>& w, const AttentionRows<T>& rows,
                    const T* dy, const AttentionRowsOf<T>& grad, const ParallelFor& parallel) {
  AttentionJob<T> job;
  job.task = AttentionTask::gradient;
  job.form = form, job.w = &w, job.rows = rows, job.dy = dy, job.grad = grad;
  run(job, 3, parallel);
}

template <typename T>
void attention_tangent(const AttentionForm& form, const PackedAttention<T>& w, const AttentionRows<T>& rows,
                       const AttentionRowsOf<const T>& direction, T* ty, const ParallelFor& parallel) {
  AttentionJob<T> job;
  job.task = AttentionTask::tangent;
  job.form = form, job.w = &w, job.rows = rows, job.direction = direction, job.y = ty;
  run(job, 3, parallel);
}

template <typename T>
void attention_dual(const AttentionForm& form, const PackedAttention<T>& w, const AttentionRows<T>& rows,
                    const T* dy, const AttentionRowsOf<const T>& direction, const T* e,
                    const AttentionRowsOf<T>& grad, const AttentionWeightGrads<T>& weights,
                    const ParallelFor& parallel) {
  AttentionJob<T> job;
  job.task = AttentionTask::dual;
  job.form = form, job.w = &w, job.rows = rows, job.dy = dy, job.direction = direction, job.e = e,
  job.grad = grad;
  const int64_t parts = std::min(kParts, rows.atoms);
  const int64_t in = w.width * w.ld_in, out = w.heads * w.part * w.ld_out,
                size = in + w.ld_in + out + 3 * w.ld_out;
  AlignedVector<T> sums((parts + 1) * size);
  const auto at = [&](int64_t k) {
    PackedAttentionGrads<T> p;
    p.in = sums.data() + k * size;
    p.in_bias = p.in + in;
    p.out = p.in_bias + w.ld_in;
    p.out_bias = p.out + out;
    p.gamma = p.out_bias + w.ld_out;
    p.beta = p.gamma + w.ld_out;
    return p;
  };
  parallel(parts, cost_of(job, 8) * (rows.atoms / std::max<int64_t>(parts, 1) + 1),
           [&](int64_t begin, int64_t end) {
             Scratch<T> memory(memory_of(job));
             for (int64_t k = begin; k < end; ++k)
               DPTF_ISA_CALL(
                   attend(job, k * rows.atoms / parts, (k + 1) * rows.atoms / parts, at(k), memory.data()));
           });
  T* total = sums.data() + parts * size;
  parallel(size, parts, [&](int64_t begin, int64_t end) {
    for (int64_t k = 0; k < parts; ++k)
      for (int64_t i = begin; i < end; ++i) total[i] += sums[k * size + i];
  });
  const PackedAttentionGrads<T> p = at(parts);
  for (int64_t h = 0; h < w.heads; ++h) {
    for (int i = 0; i < 3; ++i) {
      const int64_t at = (3 * h + i) * w.part;
      take(p.in + at, w.width, w.hidden, w.ld_in, weights.matrix[i] + h * w.hidden, w.heads * w.hidden);
      std::copy_n(p.in_bias + at, w.hidden, weights.bias[i] + h * w.hidden);
    }
    take(p.out + h * w.part * w.ld_out, w.hidden, w.width, w.ld_out, weights.out + h * w.hidden * w.width,
         w.width);
  }
  std::copy_n(p.out_bias, w.width, weights.out_bias);
  std::copy_n(p.gamma, w.width, weights.gamma);
  std::copy_n(p.beta, w.width, weights.beta);
}

#define DPTF_INSTANTIATE(T)                                                                                 \
  template struct PackedAttention<T>;                                                                       \
  template int64_t attention_kept<T>(const AttentionForm&, const PackedAttention<T>&,                       \
                                     const AttentionRows<T>&);                                              \
  template void attention<T>(const AttentionForm&, const PackedAttention<T>&, const AttentionRows<T>&, T*,  \
                             const ParallelFor&);                                                           \
  template void attention_grad<T>(const AttentionForm&, const PackedAttention<T>&, const AttentionRows<T>&, \
                                  const T*, const AttentionRowsOf<T>&, const ParallelFor&);                 \
  template void attention_tangent<T>(const AttentionForm&, const PackedAttention<T>&,                       \
                                     const AttentionRows<T>&, const AttentionRowsOf<const T>&, T*,          \
                                     const ParallelFor&);                                                   \
  template void attention_dual<T>(const AttentionForm&, const PackedAttention<T>&, const AttentionRows<T>&, \
                                  const T*, const AttentionRowsOf<const T>&, const T*,                      \
                                  const AttentionRowsOf<T>&, const AttentionWeightGrads<T>&,                \
                                  const ParallelFor&);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace dptf
