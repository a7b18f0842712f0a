#pragma once

#include "dptf/ragged_linear.h"

namespace dptf {

#define DPTF_DECLARE_RAGGED(ISA)                                                                         \
  namespace ISA {                                                                                        \
  template <typename T>                                                                                  \
  void moments_rows(const RaggedRows&, const T*, const T*, int64_t, int64_t, T*);                        \
  template <typename T>                                                                                  \
  void moments_to_x_rows(const RaggedRows&, const int*, const T*, const T*, int64_t, int64_t, T*);       \
  template <typename T>                                                                                  \
  void moments_to_w_rows(const RaggedRows&, const T*, const T*, int64_t, int64_t, T*);                   \
  template <typename T>                                                                                  \
  void head_sums_rows(const RaggedRows&, int64_t, const T*, const T*, int64_t, int64_t, T*);             \
  template <typename T>                                                                                  \
  void head_sums_to_x_rows(const RaggedRows&, int64_t, const int*, const T*, const T*, int64_t, int64_t, \
                           T*);                                                                          \
  template <typename T>                                                                                  \
  void head_sums_to_w_rows(const RaggedRows&, int64_t, const T*, const T*, int64_t, int64_t, T*);        \
  template <typename T>                                                                                  \
  void segment_sum_rows(int64_t, const int*, const T*, int64_t, int64_t, T*);                            \
  }
DPTF_DECLARE_RAGGED(baseline)
DPTF_DECLARE_RAGGED(avx2)
DPTF_DECLARE_RAGGED(avx512)
#undef DPTF_DECLARE_RAGGED

}  // namespace dptf
