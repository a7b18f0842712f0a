#pragma once

#include <cstdint>

#include "dptf/parallel.h"

namespace dptf {

/// Bilinear and linear maps over ragged rows. Every map's derivatives are maps of this file again, so they
/// can be differentiated any number of times. Sums run in the order of the rows.

/// Rows r of owner o (start[o] <= r < start[o+1]) look at x[index[r]] (index null: x[r]). t_start and t_rows
/// list the rows by index.
struct RaggedRows {
  int64_t owners = 0, rows = 0, n_x = 0, width = 0;
  const int *start = nullptr, *index = nullptr, *t_start = nullptr, *t_rows = nullptr;
};

/// h[o, c, :] = sum_r w[r, c] x[index[r], :], c < 3.
template <typename T>
void moments(const RaggedRows& p, const T* w, const T* x, T* h, const ParallelFor& parallel);
/// x[i, :] = sum over r with index[r] = i and c of w[r, c] h[owner(r), c, :].
template <typename T>
void moments_to_x(const RaggedRows& p, const T* w, const T* h, T* x, const ParallelFor& parallel);
/// w[r, c] = h[owner(r), c, :] . x[index[r], :].
template <typename T>
void moments_to_w(const RaggedRows& p, const T* h, const T* x, T* w, const ParallelFor& parallel);

/// The same with weights of parts of x: rows of x are `heads` parts of `width` numbers, w [rows, heads].
/// u[o, h, :] = sum_r w[r, h] x[index[r], h, :].
template <typename T>
void head_sums(const RaggedRows& p, int64_t heads, const T* w, const T* x, T* u, const ParallelFor& parallel);
/// x[i, h, :] = sum over r with index[r] = i of w[r, h] u[owner(r), h, :].
template <typename T>
void head_sums_to_x(const RaggedRows& p, int64_t heads, const T* w, const T* u, T* x,
                    const ParallelFor& parallel);
/// w[r, h] = u[owner(r), h, :] . x[index[r], h, :].
template <typename T>
void head_sums_to_w(const RaggedRows& p, int64_t heads, const T* u, const T* x, T* w,
                    const ParallelFor& parallel);

/// y[r] = x[owner(r)].
template <typename T>
void spread(int64_t owners, int64_t width, const int* start, const T* x, T* y, const ParallelFor& parallel);
/// y[o] = sum over the rows of o of x[r].
template <typename T>
void segment_sum(int64_t owners, int64_t width, const int* start, const T* x, T* y,
                 const ParallelFor& parallel);

/// Rows of x at distinct places `at`, or their first columns, and rows y of that width.
template <typename T>
struct RowCopy {
  int64_t n = 0, columns = 0, n_x = 0, x_width = 0;
  const int* at = nullptr;
  const T* x = nullptr;
  T* y = nullptr;
};
/// y[i] = the first columns of x[at[i]].
template <typename T>
void take_rows(const RowCopy<T>& p, const ParallelFor& parallel);
/// x (not that of p) gets zeros, and y[i] at at[i].
template <typename T>
void put_rows(const RowCopy<T>& p, T* x, const ParallelFor& parallel);
/// sum = x with y[i] added to the first columns of the row at[i]; sum may be x.
template <typename T>
void add_rows(const RowCopy<T>& p, T* sum, const ParallelFor& parallel);

/// Groups of rows, and the number of their first pair.
struct PairGroups {
  int64_t groups = 0;
  const int* start = nullptr;      // [groups + 1]
  const int64_t* first = nullptr;  // [groups]
};

/// Products of all ordered pairs of rows of a group: out[first + j n + k] = u_j . v_k for the n rows of a
/// group, whose pairs begin at `first`, the sum of n^2 over the groups before.
template <typename T>
void pair_dot(int64_t groups, const int* start, const T* u, const T* v, T* out, const ParallelFor& parallel);
/// left: out_j = sum_k g_jk v_k; right: out_k = sum_j g_jk v_j.
template <typename T>
void pair_apply(int64_t groups, const int* start, const T* g, const T* v, bool right, T* out,
                const ParallelFor& parallel);

}  // namespace dptf
