#pragma once

#include <cstdint>

#include "dptf/parallel.h"
#include "dptf/tabulate_element.h"

namespace dptf {

/// Contraction with a tabulated net g of `width` channels, the one problem behind all Tabulate ops:
///
///     out[i, m, c] = sum_k rows[i, k, m] g_c(x[i, k]) (1 + factor[i, k, c])
///
/// Two-body descriptors have ncomp = 4 (SeA, SeAtten), three-body ones ncomp = 1 (SeT); without sum over k
/// (SeR) every slot is an i of its own, and rows are absent, which stands for 1.
template <typename T>
struct Tabulate {
  const T* table = nullptr;  // [grid.rows, width, 6]
  TableGrid<T> grid;
  int64_t width = 0, n = 0, slots = 0;
  int ncomp = 4;
  const T* x = nullptr;       // [n, slots]
  const T* rows = nullptr;    // [n, slots, ncomp]
  const T* factor = nullptr;  // [n, slots, width]
};

/// out [n, ncomp, width].
template <typename T>
void tabulate(const Tabulate<T>& p, T* out, const ParallelFor& parallel);

/// From the adjoint dy of out: dx [n, slots], drows [n, slots, ncomp], dfactor [n, slots, width]; the last
/// two may be null.
template <typename T>
void tabulate_grad(const Tabulate<T>& p, const T* dy, T* dx, T* drows, T* dfactor,
                   const ParallelFor& parallel);

/// From adjoints of dx, drows (may be null) and dfactor (may be null): that of dy, [n, ncomp, width].
template <typename T>
void tabulate_grad_grad(const Tabulate<T>& p, const T* zx, const T* zrows, const T* zfactor, T* out,
                        const ParallelFor& parallel);

}  // namespace dptf
