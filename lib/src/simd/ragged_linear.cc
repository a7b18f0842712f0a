#include "dptf/ragged_linear_kernels.h"
#include "dptf/simd_vec.h"

namespace dptf {
namespace DPTF_ISA {

template <typename T>
void moments_rows(const RaggedRows& p, const T* w, const T* x, int64_t begin, int64_t end, T* h) {
  const int64_t d = p.width;
  for (int64_t o = begin; o < end; ++o) {
    T* __restrict h0 = h + 3 * o * d;
    T* __restrict h1 = h0 + d;
    T* __restrict h2 = h1 + d;
    for (int64_t c = 0; c < 3 * d; ++c) h0[c] = 0;
    for (int64_t r = p.start[o]; r < p.start[o + 1]; ++r) {
      const T* __restrict row = x + (p.index ? p.index[r] : r) * d;
      const T w0 = w[3 * r], w1 = w[3 * r + 1], w2 = w[3 * r + 2];
#pragma omp simd
      for (int64_t c = 0; c < d; ++c) {
        h0[c] += w0 * row[c];
        h1[c] += w1 * row[c];
        h2[c] += w2 * row[c];
      }
    }
  }
}

/// Rows [begin, end) of x; `owner` gives the owner of every row.
template <typename T>
void moments_to_x_rows(const RaggedRows& p, const int* owner, const T* w, const T* h, int64_t begin,
                       int64_t end, T* x) {
  const int64_t d = p.width;
  for (int64_t i = begin; i < end; ++i) {
    T* __restrict out = x + i * d;
    for (int64_t c = 0; c < d; ++c) out[c] = 0;
    const int64_t first = p.index ? p.t_start[i] : i, last = p.index ? p.t_start[i + 1] : i + 1;
    for (int64_t t = first; t < last; ++t) {
      const int64_t r = p.index ? p.t_rows[t] : t;
      const T* __restrict h0 = h + 3 * static_cast<int64_t>(owner[r]) * d;
      const T w0 = w[3 * r], w1 = w[3 * r + 1], w2 = w[3 * r + 2];
#pragma omp simd
      for (int64_t c = 0; c < d; ++c) out[c] += w0 * h0[c] + w1 * h0[d + c] + w2 * h0[2 * d + c];
    }
  }
}

template <typename T>
void moments_to_w_rows(const RaggedRows& p, const T* h, const T* x, int64_t begin, int64_t end, T* w) {
  const int64_t d = p.width;
  for (int64_t o = begin; o < end; ++o) {
    const T* __restrict h0 = h + 3 * o * d;
    for (int64_t r = p.start[o]; r < p.start[o + 1]; ++r) {
      const T* __restrict row = x + (p.index ? p.index[r] : r) * d;
      T s0 = 0, s1 = 0, s2 = 0;
#pragma omp simd reduction(+ : s0, s1, s2)
      for (int64_t c = 0; c < d; ++c) {
        s0 += h0[c] * row[c];
        s1 += h0[d + c] * row[c];
        s2 += h0[2 * d + c] * row[c];
      }
      w[3 * r] = s0;
      w[3 * r + 1] = s1;
      w[3 * r + 2] = s2;
    }
  }
}

namespace {

/// to += the parts of x times the weights of the parts.
template <typename T>
DPTF_INLINE void add_heads(int64_t heads, int64_t width, const T* __restrict w, const T* __restrict x,
                           T* __restrict to) {
  if (width == 1) {
#pragma omp simd
    for (int64_t h = 0; h < heads; ++h) to[h] += w[h] * x[h];
    return;
  }
  for (int64_t h = 0; h < heads; ++h) {
    const T weight = w[h];
#pragma omp simd
    for (int64_t c = h * width; c < (h + 1) * width; ++c) to[c] += weight * x[c];
  }
}

}  // namespace

template <typename T>
void head_sums_rows(const RaggedRows& p, int64_t heads, const T* w, const T* x, int64_t begin, int64_t end,
                    T* u) {
  const int64_t d = heads * p.width;
  for (int64_t o = begin; o < end; ++o) {
    T* out = u + o * d;
    for (int64_t c = 0; c < d; ++c) out[c] = 0;
    for (int64_t r = p.start[o]; r < p.start[o + 1]; ++r)
      add_heads(heads, p.width, w + r * heads, x + (p.index ? p.index[r] : r) * d, out);
  }
}

template <typename T>
void head_sums_to_x_rows(const RaggedRows& p, int64_t heads, const int* owner, const T* w, const T* u,
                         int64_t begin, int64_t end, T* x) {
  const int64_t d = heads * p.width;
  for (int64_t i = begin; i < end; ++i) {
    T* out = x + i * d;
    for (int64_t c = 0; c < d; ++c) out[c] = 0;
    const int64_t first = p.index ? p.t_start[i] : i, last = p.index ? p.t_start[i + 1] : i + 1;
    for (int64_t t = first; t < last; ++t) {
      const int64_t r = p.index ? p.t_rows[t] : t;
      add_heads(heads, p.width, w + r * heads, u + owner[r] * d, out);
    }
  }
}

template <typename T>
void head_sums_to_w_rows(const RaggedRows& p, int64_t heads, const T* u, const T* x, int64_t begin,
                         int64_t end, T* w) {
  const int64_t d = heads * p.width;
  for (int64_t o = begin; o < end; ++o) {
    const T* __restrict own = u + o * d;
    for (int64_t r = p.start[o]; r < p.start[o + 1]; ++r) {
      const T* __restrict row = x + (p.index ? p.index[r] : r) * d;
      T* __restrict to = w + r * heads;
      if (p.width == 1) {
#pragma omp simd
        for (int64_t h = 0; h < heads; ++h) to[h] = own[h] * row[h];
        continue;
      }
      for (int64_t h = 0; h < heads; ++h) {
        T sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t c = h * p.width; c < (h + 1) * p.width; ++c) sum += own[c] * row[c];
        to[h] = sum;
      }
    }
  }
}

template <typename T>
void segment_sum_rows(int64_t width, const int* start, const T* x, int64_t begin, int64_t end, T* y) {
  for (int64_t o = begin; o < end; ++o) {
    T* __restrict out = y + o * width;
    for (int64_t c = 0; c < width; ++c) out[c] = 0;
    for (int64_t r = start[o]; r < start[o + 1]; ++r) {
      const T* __restrict row = x + r * width;
#pragma omp simd
      for (int64_t c = 0; c < width; ++c) out[c] += row[c];
    }
  }
}

#define DPTF_INSTANTIATE(T)                                                                                 \
  template void moments_rows<T>(const RaggedRows&, const T*, const T*, int64_t, int64_t, T*);               \
  template void moments_to_x_rows<T>(const RaggedRows&, const int*, const T*, const T*, int64_t, int64_t,   \
                                     T*);                                                                   \
  template void moments_to_w_rows<T>(const RaggedRows&, const T*, const T*, int64_t, int64_t, T*);          \
  template void head_sums_rows<T>(const RaggedRows&, int64_t, const T*, const T*, int64_t, int64_t, T*);    \
  template void head_sums_to_x_rows<T>(const RaggedRows&, int64_t, const int*, const T*, const T*, int64_t, \
                                       int64_t, T*);                                                        \
  template void head_sums_to_w_rows<T>(const RaggedRows&, int64_t, const T*, const T*, int64_t, int64_t,    \
                                       T*);                                                                 \
  template void segment_sum_rows<T>(int64_t, const int*, const T*, int64_t, int64_t, T*);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace DPTF_ISA
}  // namespace dptf
