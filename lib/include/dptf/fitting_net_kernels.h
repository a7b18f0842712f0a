#pragma once

#include <cstdint>

#include "dptf/fitting_net.h"
#include "dptf/inline.h"

namespace dptf {

/// Widths of internal rows are multiples of this, so that every vector loop may run over whole vectors.
constexpr int64_t kFittingUnit = 16;
DPTF_INLINE int64_t fitting_stride(int64_t n) { return (n + kFittingUnit - 1) / kFittingUnit * kFittingUnit; }

/// What a kernel sees of a layer: its matrix as panels of columns that can be read in whole vectors (panel j
/// begins at j * panel_step, its rows lie row_step apart), where its numbers lie in a row of the kept arrays,
/// and where its panels begin in the arrays s and g.
template <typename T>
struct FittingLayerView {
  FittingLayer<T> layer;
  const T* matrix = nullptr;
  int64_t panel_step = 0, row_step = 0, at = 0, panels_at = 0;
};

/// Rows of one net for a kernel. Row r of the block is row rows[r] of x, y, dydx and their adjoints, and row
/// first + r of the kept arrays (null where not wanted), which have `stride` numbers per row.
template <typename T>
struct FittingBlock {
  const FittingLayerView<T>* layers = nullptr;
  int n_layers = 0;
  bool linear_top = true;
  const int64_t* rows = nullptr;
  int64_t count = 0, first = 0, stride = 0;
  const T *x = nullptr, *dy = nullptr, *ddydx = nullptr;
  T *y = nullptr, *dydx = nullptr, *dx = nullptr;
  T *pre = nullptr, *adjoint = nullptr;
  // For the weights: result h and its tangent t of every hidden layer, and q, the row terms of the adjoint of
  // idt, as kept arrays; adjoints s and g of the arguments (of h and of t) and of the outputs in panels of
  // columns, each [rows of the net, columns].
  T *h = nullptr, *t = nullptr, *q = nullptr, *s = nullptr, *g = nullptr;
  int64_t net_rows = 0, net_first = 0;  // rows of the net, and which of them is row 0 of the block
  T* scratch = nullptr;                 // of fitting_scratch() numbers
};

DPTF_INLINE int64_t fitting_scratch(int64_t rows, int64_t stride, int64_t n_in, int64_t n_out) {
  return (rows + 3 * kFittingUnit) * (6 * stride + 3 * fitting_stride(n_in) + 2 * fitting_stride(n_out)) +
         16 * kFittingUnit;
}

/// dw[c, :] of a layer for inputs c in [begin, end): sum over rows of in^T s (+ tangent^T g); row r of `in`
/// is in[index ? index[r] : r]. s and g in panels as above.
template <typename T>
struct FittingProduct {
  int64_t rows = 0, n_out = 0;
  const int64_t* index = nullptr;
  const T *in = nullptr, *tangent = nullptr, *s = nullptr, *g = nullptr;  // tangent may be null
  int64_t in_stride = 0;
  T* dw = nullptr;
};

#define DPTF_DECLARE_FITTING_KERNELS(ISA)                                        \
  namespace ISA {                                                                \
  int64_t fitting_panel(int bytes);                                              \
  template <typename T>                                                          \
  void fitting_pack(const FittingLayer<T>& w, int64_t panel, T* packed);         \
  template <typename T>                                                          \
  void fitting_value(const FittingBlock<T>& block);                              \
  template <typename T>                                                          \
  void fitting_gradient(const FittingBlock<T>& block);                           \
  template <typename T>                                                          \
  void fitting_product(const FittingProduct<T>& p, int64_t begin, int64_t end);  \
  template <typename T>                                                          \
  void fitting_sum(const T* x, int64_t rows, int64_t stride, int64_t n, T* out); \
  }
DPTF_DECLARE_FITTING_KERNELS(baseline)
DPTF_DECLARE_FITTING_KERNELS(avx2)
DPTF_DECLARE_FITTING_KERNELS(avx512)
#undef DPTF_DECLARE_FITTING_KERNELS

}  // namespace dptf
