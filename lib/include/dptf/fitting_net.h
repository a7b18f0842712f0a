#pragma once

#include <cstdint>
#include <vector>

#include "dptf/parallel.h"

namespace dptf {

/// One layer y = phi(x W + b) idt (+ x) of a net in training, row-major W [n_in, n_out]; idt may be null.
/// Where a layer with a residual doubles the width, x is added to both halves. Code of phi as in
/// activation.h.
template <typename T>
struct FittingLayer {
  int64_t n_in = 0, n_out = 0;
  int activation = 0;
  bool residual = false;
  const T *w = nullptr, *b = nullptr, *idt = nullptr;
};

/// Adjoints of the weights of one layer, laid out as they are; idt is null where the layer has none.
template <typename T>
struct FittingLayerGrad {
  T *w = nullptr, *b = nullptr, *idt = nullptr;
};

/// Fitting nets of all types in one call: net k acts on the rows that list k names. Values, the derivative of
/// the output in the input, and the derivatives of both in inputs and weights (training on forces).
///
/// Rows are processed in blocks that stay in the caches, each with the whole chain of layers; sums over rows
/// run in a fixed order, whatever the number of threads. The last layer of a net is linear, without idt and
/// residual, unless all layers are alike (embedding nets). All nets have the same widths.
template <typename T>
class FittingNets {
 public:
  /// rows[k]: rows of x of net k, in the order in which sums run over them.
  FittingNets(std::vector<std::vector<FittingLayer<T>>> nets, std::vector<std::vector<int64_t>> rows,
              bool linear_top = true);

  int64_t n_in() const { return nets_[0][0].n_in; }
  int64_t n_out() const { return nets_[0].back().n_out; }
  /// All rows of all nets; the order of `pre` and `adjoint`.
  int64_t n_rows() const { return static_cast<int64_t>(order_.size()); }
  /// Numbers per row that value() keeps for the derivatives (and again as many with the gradient).
  int64_t n_kept() const { return kept_; }

  // `threads` (of the parallel loop) decides how many rows a block has, which changes no number.

  /// y [all rows of x, n_out] of the rows listed. pre [n_rows, n_kept] := arguments of the activations. With
  /// dydx [all rows of x, n_in] (needs n_out == 1): the derivative of y in x, and adjoint [n_rows, n_kept] :=
  /// derivative of y in the results of the layers (only under a linear layer); otherwise both null.
  void value(const T* x, T* y, T* pre, T* dydx, T* adjoint, int threads, const ParallelFor& parallel) const;

  /// Pull-back of dy (adjoint of y) and, with `adjoint`, of ddydx (adjoint of dydx, may be null) to dx and to
  /// the weights. dx is null if not wanted.
  void gradient(const T* x, const T* pre, const T* adjoint, const T* dy, const T* ddydx, T* dx,
                const std::vector<std::vector<FittingLayerGrad<T>>>& dw, int threads,
                const ParallelFor& parallel) const;

 private:
  struct Packed;
  struct Block {
    int net;
    int64_t begin, count;
  };
  std::vector<std::vector<Block>> jobs(int threads) const;
  Packed pack() const;
  template <typename Body>
  void each_block(const Packed& packed, int threads, const ParallelFor& parallel, const Body& body) const;

  std::vector<std::vector<FittingLayer<T>>> nets_;
  std::vector<int64_t> order_, first_;  // rows by net; first_[k]: where those of net k begin
  int64_t kept_ = 0, work_ = 0;         // numbers kept, and multiplications, per row
  bool linear_top_;
};

}  // namespace dptf
