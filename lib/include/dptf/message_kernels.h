#pragma once

#include "dptf/message.h"

namespace dptf {

/// Padded copies of the weight: `w` [k, c_pad], `wt` [columns, k_pad].
template <typename T>
struct MessageWeights {
  const T *w = nullptr, *wt = nullptr;
  int64_t c_pad = 0, k_pad = 0;
};

/// Where the partial sums of one chunk go. v_terms: [rows, columns], the contributions to V when V is not
/// local.
template <typename T>
struct MessageChunk {
  int64_t begin = 0, end = 0;  // owners
  MessageGrad<T> d;            // weight, skip, rho: of this chunk alone (weight [k8, c_pad])
  T* v_terms = nullptr;
  T* scratch = nullptr;  // message_scratch() numbers, zeroed
};

/// Rows that are computed together: their activations stay in the caches next to the core.
constexpr int64_t kMessageTile = 32;

/// Working memory of one chunk: two tiles of x, two of the activations, one of the gradient of x, and a
/// vector of any instruction set for every row.
template <typename T>
int64_t message_scratch(const MessageWeights<T>& w, int64_t k_rows) {
  return kMessageTile * (2 * k_rows + 2 * w.c_pad + w.k_pad + 64 / static_cast<int64_t>(sizeof(T)));
}

#define DPTF_DECLARE_MESSAGE(ISA)                                                                        \
  namespace ISA {                                                                                        \
  template <typename T>                                                                                  \
  void message_padding(int64_t k, int64_t columns, int64_t* c_pad, int64_t* k_pad, int64_t* k_rows);     \
  template <typename T>                                                                                  \
  void message_forward(const Message<T>&, const MessageWeights<T>&, const MessageChunk<T>&, T*, T*, T*); \
  template <typename T>                                                                                  \
  void message_backward(const Message<T>&, const MessageWeights<T>&, const MessageChunk<T>&, const T*,   \
                        const T*, const T*);                                                             \
  template <typename T>                                                                                  \
  void message_second(const Message<T>&, const MessageWeights<T>&, const MessageChunk<T>&, const T*,     \
                      const T*, const MessageTangent<T>&, T*, T*);                                       \
  template <typename T>                                                                                  \
  void message_collect(const Message<T>&, const T*, int64_t, int64_t, T*);                               \
  }
DPTF_DECLARE_MESSAGE(baseline)
DPTF_DECLARE_MESSAGE(avx2)
DPTF_DECLARE_MESSAGE(avx512)
#undef DPTF_DECLARE_MESSAGE

}  // namespace dptf
