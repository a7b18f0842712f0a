#pragma once

#include <cstdint>

#include "dptf/parallel.h"

namespace dptf {

/// One layer of an embedding net acting on jets: rows hold value, first and second derivative in the net's
/// scalar input. z [nets, nodes, 3, n] is the product of the previous rows with the weights (no bias), prev
/// [nets, nodes, 3, n_prev] the previous rows, bias and idt [nets, n] (idt may be null). residual: 0 none, 1
/// adds prev (n_prev == n), 2 adds (prev, prev) (2 n_prev == n). Activation 8 is silut with the threshold.
template <typename T>
struct JetLayer {
  int64_t nets = 0, nodes = 0, n = 0, n_prev = 0;
  int activation = 1, residual = 0;
  T threshold = 3;
  const T *z = nullptr, *prev = nullptr, *bias = nullptr, *idt = nullptr;
};

/// y [nets, nodes, 3, n] := phi(z + bias) idt + residual, carried through both derivatives.
template <typename T>
void jet_layer(const JetLayer<T>& p, T* y, const ParallelFor& parallel);

#define DPTF_DECLARE_JET_KERNELS(ISA)                                       \
  namespace ISA {                                                           \
  template <typename T>                                                     \
  void jet_forward(const JetLayer<T>& p, int64_t begin, int64_t end, T* y); \
  }
DPTF_DECLARE_JET_KERNELS(baseline)
DPTF_DECLARE_JET_KERNELS(avx2)
DPTF_DECLARE_JET_KERNELS(avx512)
#undef DPTF_DECLARE_JET_KERNELS

}  // namespace dptf
