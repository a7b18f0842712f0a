#pragma once

#include <cstdint>

#include "dptf/env_element.h"
#include "dptf/parallel.h"

namespace dptf {

/// One message step over ragged rows (edges of atoms, or angles of edges). Rows are grouped by owner; row r
/// of owner o reads U[o] and V[v[r]]:
///
///   z_r = act(x_r W + U[o] + V[v[r]])             split into its first m columns (a) and the other `kept`
///   ones (b) out[o] = sum_r w_r a_r                         the message y_r = skip * x_r + rho * b_r the
///   updated rows; with x of one column that column is broadcast
///
/// No array of the width of z is kept in memory, unless the caller has room for one; derivatives compute z
/// anew. Sums run in the order of the rows within chunks that depend on the input alone, so results do not
/// depend on the number of threads.
template <typename T>
struct Message {
  int64_t rows = 0, owners = 0, n_v = 0;
  int64_t k = 0, m = 0, kept = 0;  // columns of x; of the message; of y (0 or that of x, any with k = 1)
  const T *x = nullptr, *weight = nullptr, *u = nullptr, *v_rows = nullptr, *w = nullptr, *skip = nullptr,
          *rho = nullptr;
  const int *start = nullptr, *v = nullptr;  // [owners + 1], [rows]
  /// Local: owners come in blocks, and rows of a block read V only at the places of the block's owners.
  bool local = false;
  int64_t blocks = 0;
  const int* block_start = nullptr;                 // [blocks + 1], in owners
  const int *t_start = nullptr, *t_rows = nullptr;  // otherwise: rows by their v, [n_v + 1], [rows]
  int activation = 0;                               // code of dptf/activation.h; 8 is silut
  T threshold = 0;                                  // of silut
  DPTF_MEMBER int64_t columns() const { return m + kept; }
};

/// Derivatives with respect to the arrays of a Message; null: not wanted (d_weight, d_skip and d_rho
/// together).
template <typename T>
struct MessageGrad {
  T *x = nullptr, *weight = nullptr, *u = nullptr, *v_rows = nullptr, *w = nullptr, *skip = nullptr,
    *rho = nullptr;
};

/// Checks the index arrays; throws std::invalid_argument.
template <typename T>
void check_message(const Message<T>& p);

/// out [owners, m], y [rows, kept]; with `keep` [rows, columns], numbers that spare the derivatives the
/// product and a part of the activations, in an order of the kernel's own.
template <typename T>
void message(const Message<T>& p, T* out, T* y, const ParallelFor& parallel, T* keep = nullptr);

/// Derivatives of <g_out, out> + <g_y, y>. With y as wide as x, d.x may be the memory of g_y. `had` is what
/// message() kept; without weights only. The result is the same to rounding with and without.
template <typename T>
void message_grad(const Message<T>& p, const T* g_out, const T* g_y, const MessageGrad<T>& d,
                  const ParallelFor& parallel, const T* had = nullptr);

/// With t the tangent (x, u, v_rows, w used), phi = <t, message_grad>: derivatives of phi with respect to the
/// arrays of the message and to g_out and g_y. d.x may be the memory of t.x, and d_g_y that of g_y.
template <typename T>
struct MessageTangent {
  const T *x = nullptr, *u = nullptr, *v_rows = nullptr, *w = nullptr;
};
template <typename T>
void message_grad_grad(const Message<T>& p, const T* g_out, const T* g_y, const MessageTangent<T>& t,
                       const MessageGrad<T>& d, T* d_g_out, T* d_g_y, const ParallelFor& parallel);

}  // namespace dptf
