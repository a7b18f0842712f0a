#pragma once

#include "dptf/attention.h"
#include "dptf/round_up.h"

namespace dptf {

/// Numbers from one row to the next: whole cache lines, an odd number of them so that rows do not share
/// places in caches.
template <typename T>
constexpr int64_t row_stride(int64_t n) {
  constexpr int64_t line = 64 / sizeof(T);
  return ((n + line - 1) / line | 1) * line;
}
template <typename T>
constexpr int64_t whole_lines(int64_t n) {
  return round_up(n, 64 / sizeof(T));
}

/// Sums of derivatives in weights, laid out as in PackedAttention.
template <typename T>
struct PackedAttentionGrads {
  T *in = nullptr, *in_bias = nullptr, *out = nullptr, *out_bias = nullptr, *gamma = nullptr, *beta = nullptr;
};

/// What is wanted of an atom.
enum class AttentionTask { value, gradient, tangent, dual };

/// What attend() does for atoms [begin, end), in memory of attend_memory() numbers, of which `kept` would be
/// kept per atom; unused pointers are null.
template <typename T>
struct AttentionJob {
  AttentionTask task = AttentionTask::value;
  AttentionForm form;
  const PackedAttention<T>* w = nullptr;
  AttentionRows<T> rows;
  const T* dy = nullptr;
  AttentionRowsOf<const T> direction;
  const T* e = nullptr;
  T* y = nullptr;
  AttentionRowsOf<T> grad;
};

#define DPTF_DECLARE_ATTENTION_KERNELS(ISA)                                                                \
  namespace ISA {                                                                                          \
  template <typename T>                                                                                    \
  void attend_memory(const AttentionJob<T>& job, int64_t* size, int64_t* kept);                            \
  template <typename T>                                                                                    \
  void attend(const AttentionJob<T>& job, int64_t begin, int64_t end, const PackedAttentionGrads<T>& sums, \
              T* memory);                                                                                  \
  }
DPTF_DECLARE_ATTENTION_KERNELS(baseline)
DPTF_DECLARE_ATTENTION_KERNELS(avx2)
DPTF_DECLARE_ATTENTION_KERNELS(avx512)
#undef DPTF_DECLARE_ATTENTION_KERNELS

}  // namespace dptf
