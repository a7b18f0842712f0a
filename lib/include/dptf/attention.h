#pragma once

#include <cstdint>

#include "dptf/aligned.h"
#include "dptf/parallel.h"

namespace dptf {

/// A layer of gated self-attention among the neighbors of an atom, for rows g [slots, width] of which only
/// those of the mask exist (the result is zero elsewhere), with q, k, v, x, A and o for every head:
///     q, k, v = unit(g W + b)                      (unit: over its norm, if `normalize`)
///     x_ab = kappa q_a . k_b                       (gated: times f_a . f_b)
///     A = softmax_b(x)                             (smooth: of (x + 20) s_a s_b - 20, where slots without
///                                                   a neighbor count with -20)
///     o_a = sum_b A_ab (f_a . f_b) v_b             (no_diagonal: b != a; gated and smooth: times s_a s_b)
///     y = gamma (u - mean u) / sqrt(var u + eps) + beta,   u = g + o W_out + b_out   (residual; or without
///     g)
struct AttentionForm {
  double kappa = 1, eps = 1e-3, floor = 1e-12;  // squared norms count as at least `floor`
  bool normalize = true, smooth = false, no_diagonal = false, gated = false, residual = true;
  int64_t heads = 1;
};

/// matrix [width, heads hidden], bias [heads hidden] of queries, keys and values; of the way back [heads
/// hidden, width], [width].
template <typename T>
struct AttentionWeights {
  const T *matrix[3] = {}, *bias[3] = {}, *out = nullptr, *out_bias = nullptr, *gamma = nullptr,
          *beta = nullptr;
};

/// The weights as the kernels read them: rows of whole cache lines, queries, keys and values of a head side
/// by side, head after head; both ways.
template <typename T>
struct PackedAttention {
  PackedAttention() = default;
  PackedAttention(const AttentionWeights<T>& w, int64_t width, int64_t hidden, int64_t heads = 1);
  int64_t width = 0, hidden = 0, heads = 1;  // hidden: of a head
  int64_t part = 0;                          // columns of queries, of keys, of values of a head
  int64_t ld_in = 0, ld_out = 0;             // strides of rows of all parts, and of `width` numbers
  AlignedVector<T> in, in_t, in_bias;        // [width, ld_in], [3 heads part, ld_out], [ld_in]
  AlignedVector<T> out, out_t, out_bias;     // [heads part, ld_out], [width, ld_in], [ld_out]
  AlignedVector<T> gamma, beta;              // [ld_out]
};

/// Rows of all atoms: `slots` of each, those of the mask; or with `start` all of [start[i], start[i + 1]), at
/// most `slots`.
template <typename T>
struct AttentionRows {
  int64_t atoms = 0, slots = 0, missing = 0;  // missing: further empty slots of every atom
  const bool* mask = nullptr;                 // [atoms, slots]
  const int* start = nullptr;                 // [atoms + 1]
  const T *g = nullptr, *f = nullptr,
          *s = nullptr;  // [atoms, slots, width], [atoms, slots, 3], [atoms, slots]
  T* kept = nullptr;  // [atoms, attention_kept()], written by attention() and read by the derivatives; null:
                      // they evaluate it anew
};

/// Numbers per atom of what attention() keeps for its derivatives.
template <typename T>
int64_t attention_kept(const AttentionForm& form, const PackedAttention<T>& w, const AttentionRows<T>& rows);

/// What belongs to rows: a direction in which they change, or adjoints; null: none.
template <typename T>
struct AttentionRowsOf {
  T *g = nullptr, *f = nullptr, *s = nullptr;
};

template <typename T>
void attention(const AttentionForm& form, const PackedAttention<T>& w, const AttentionRows<T>& rows, T* y,
               const ParallelFor& parallel);

/// Pull-back of dy to the rows.
template <typename T>
void attention_grad(const AttentionForm& form, const PackedAttention<T>& w, const AttentionRows<T>& rows,
                    const T* dy, const AttentionRowsOf<T>& grad, const ParallelFor& parallel);

/// Change of y along `direction`.
template <typename T>
void attention_tangent(const AttentionForm& form, const PackedAttention<T>& w, const AttentionRows<T>& rows,
                       const AttentionRowsOf<const T>& direction, T* ty, const ParallelFor& parallel);

/// Derivatives of dy . y + e . (change of y along `direction`) in rows and weights; dy or e with its
/// direction may be null.
template <typename T>
struct AttentionWeightGrads {
  T *matrix[3] = {}, *bias[3] = {}, *out = nullptr, *out_bias = nullptr, *gamma = nullptr, *beta = nullptr;
};
template <typename T>
void attention_dual(const AttentionForm& form, const PackedAttention<T>& w, const AttentionRows<T>& rows,
                    const T* dy, const AttentionRowsOf<const T>& direction, const T* e,
                    const AttentionRowsOf<T>& grad, const AttentionWeightGrads<T>& weights,
                    const ParallelFor& parallel);

}  // namespace dptf
