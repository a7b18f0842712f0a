#include "dptf/ragged_linear.h"

#include <algorithm>
#include <vector>

#include "dptf/isa_dispatch.h"
#include "dptf/ragged_linear_kernels.h"

namespace dptf {
namespace {

int64_t cost_of(int64_t rows, int64_t owners, int64_t width) {
  return std::max<int64_t>(1, rows * width / std::max<int64_t>(1, owners));
}

}  // namespace

template <typename T>
void moments(const RaggedRows& p, const T* w, const T* x, T* h, const ParallelFor& parallel) {
  parallel(p.owners, cost_of(p.rows, p.owners, p.width),
           [&](int64_t begin, int64_t end) { DPTF_ISA_CALL(moments_rows(p, w, x, begin, end, h)); });
}

namespace {

std::vector<int> owners_of_rows(const RaggedRows& p) {
  std::vector<int> owner(p.rows);
  for (int64_t o = 0; o < p.owners; ++o)
    std::fill(owner.data() + p.start[o], owner.data() + p.start[o + 1], static_cast<int>(o));
  return owner;
}

}  // namespace

template <typename T>
void moments_to_x(const RaggedRows& p, const T* w, const T* h, T* x, const ParallelFor& parallel) {
  const std::vector<int> owner = owners_of_rows(p);
  const int64_t n = p.index ? p.n_x : p.rows;
  parallel(n, cost_of(p.rows, n, p.width), [&](int64_t begin, int64_t end) {
    DPTF_ISA_CALL(moments_to_x_rows(p, owner.data(), w, h, begin, end, x));
  });
}

template <typename T>
void moments_to_w(const RaggedRows& p, const T* h, const T* x, T* w, const ParallelFor& parallel) {
  parallel(p.owners, cost_of(p.rows, p.owners, p.width),
           [&](int64_t begin, int64_t end) { DPTF_ISA_CALL(moments_to_w_rows(p, h, x, begin, end, w)); });
}

template <typename T>
void head_sums(const RaggedRows& p, int64_t heads, const T* w, const T* x, T* u,
               const ParallelFor& parallel) {
  parallel(p.owners, cost_of(p.rows, p.owners, heads * p.width),
           [&](int64_t begin, int64_t end) { DPTF_ISA_CALL(head_sums_rows(p, heads, w, x, begin, end, u)); });
}

template <typename T>
void head_sums_to_x(const RaggedRows& p, int64_t heads, const T* w, const T* u, T* x,
                    const ParallelFor& parallel) {
  const std::vector<int> owner = owners_of_rows(p);
  const int64_t n = p.index ? p.n_x : p.rows;
  parallel(n, cost_of(p.rows, n, heads * p.width), [&](int64_t begin, int64_t end) {
    DPTF_ISA_CALL(head_sums_to_x_rows(p, heads, owner.data(), w, u, begin, end, x));
  });
}

template <typename T>
void head_sums_to_w(const RaggedRows& p, int64_t heads, const T* u, const T* x, T* w,
                    const ParallelFor& parallel) {
  parallel(p.owners, cost_of(p.rows, p.owners, heads * p.width), [&](int64_t begin, int64_t end) {
    DPTF_ISA_CALL(head_sums_to_w_rows(p, heads, u, x, begin, end, w));
  });
}

template <typename T>
void spread(int64_t owners, int64_t width, const int* start, const T* x, T* y, const ParallelFor& parallel) {
  parallel(owners, cost_of(start[owners], owners, width) / 4 + 1, [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o)
      for (int64_t r = start[o]; r < start[o + 1]; ++r)
        std::copy(x + o * width, x + (o + 1) * width, y + r * width);
  });
}

template <typename T>
void segment_sum(int64_t owners, int64_t width, const int* start, const T* x, T* y,
                 const ParallelFor& parallel) {
  parallel(owners, cost_of(start[owners], owners, width) / 4 + 1, [&](int64_t begin, int64_t end) {
    DPTF_ISA_CALL(segment_sum_rows(width, start, x, begin, end, y));
  });
}

template <typename T>
void take_rows(const RowCopy<T>& p, const ParallelFor& parallel) {
  parallel(p.n, p.columns / 4 + 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const T* from = p.x + p.at[i] * p.x_width;
      std::copy(from, from + p.columns, p.y + i * p.columns);
    }
  });
}

template <typename T>
void put_rows(const RowCopy<T>& p, T* x, const ParallelFor& parallel) {
  std::fill(x, x + p.n_x * p.x_width, T(0));
  parallel(p.n, p.columns / 4 + 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      std::copy(p.y + i * p.columns, p.y + (i + 1) * p.columns, x + p.at[i] * p.x_width);
  });
}

template <typename T>
void add_rows(const RowCopy<T>& p, T* sum, const ParallelFor& parallel) {
  if (sum != p.x) std::copy(p.x, p.x + p.n_x * p.x_width, sum);
  parallel(p.n, p.columns / 4 + 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      for (int64_t c = 0; c < p.columns; ++c) sum[p.at[i] * p.x_width + c] += p.y[i * p.columns + c];
  });
}

namespace {

/// Calls f(group, first row, rows, first pair).
template <typename F>
void for_groups(int64_t groups, const int* start, const ParallelFor& parallel, F&& f) {
  std::vector<int64_t> first(groups + 1, 0);
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t n = start[g + 1] - start[g];
    first[g + 1] = first[g] + n * n;
  }
  parallel(groups, 1 + 2 * first[groups] / std::max<int64_t>(groups, 1), [&](int64_t begin, int64_t end) {
    for (int64_t g = begin; g < end; ++g)
      f(static_cast<int64_t>(start[g]), static_cast<int64_t>(start[g + 1] - start[g]), first[g]);
  });
}

}  // namespace

template <typename T>
void pair_dot(int64_t groups, const int* start, const T* u, const T* v, T* out, const ParallelFor& parallel) {
  for_groups(groups, start, parallel, [&](int64_t at, int64_t n, int64_t first) {
    for (int64_t j = 0; j < n; ++j) {
      const T* a = u + 3 * (at + j);
      for (int64_t k = 0; k < n; ++k) {
        const T* b = v + 3 * (at + k);
        out[first + j * n + k] = a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
      }
    }
  });
}

template <typename T>
void pair_apply(int64_t groups, const int* start, const T* g, const T* v, bool right, T* out,
                const ParallelFor& parallel) {
  for_groups(groups, start, parallel, [&](int64_t at, int64_t n, int64_t first) {
    for (int64_t a = 0; a < n; ++a) {
      T s[3] = {};
      for (int64_t b = 0; b < n; ++b) {
        const T weight = g[first + (right ? b * n + a : a * n + b)];
        for (int d = 0; d < 3; ++d) s[d] += weight * v[3 * (at + b) + d];
      }
      std::copy(s, s + 3, out + 3 * (at + a));
    }
  });
}

#define DPTF_INSTANTIATE(T)                                                                                \
  template void moments<T>(const RaggedRows&, const T*, const T*, T*, const ParallelFor&);                 \
  template void moments_to_x<T>(const RaggedRows&, const T*, const T*, T*, const ParallelFor&);            \
  template void moments_to_w<T>(const RaggedRows&, const T*, const T*, T*, const ParallelFor&);            \
  template void head_sums<T>(const RaggedRows&, int64_t, const T*, const T*, T*, const ParallelFor&);      \
  template void head_sums_to_x<T>(const RaggedRows&, int64_t, const T*, const T*, T*, const ParallelFor&); \
  template void head_sums_to_w<T>(const RaggedRows&, int64_t, const T*, const T*, T*, const ParallelFor&); \
  template void spread<T>(int64_t, int64_t, const int*, const T*, T*, const ParallelFor&);                 \
  template void segment_sum<T>(int64_t, int64_t, const int*, const T*, T*, const ParallelFor&);            \
  template void take_rows<T>(const RowCopy<T>&, const ParallelFor&);                                       \
  template void put_rows<T>(const RowCopy<T>&, T*, const ParallelFor&);                                    \
  template void add_rows<T>(const RowCopy<T>&, T*, const ParallelFor&);                                    \
  template void pair_dot<T>(int64_t, const int*, const T*, const T*, T*, const ParallelFor&);              \
  template void pair_apply<T>(int64_t, const int*, const T*, const T*, bool, T*, const ParallelFor&);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace dptf
