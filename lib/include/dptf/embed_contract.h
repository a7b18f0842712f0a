#pragma once

#include <cstdint>

#include "dptf/chebyshev.h"
#include "dptf/parallel.h"

namespace dptf {

/// The contraction A[i,c,:] = sum_j R[i,j,c] G(R[i,j,0]) of the smooth-edition descriptors, where G is a net
/// of one number given by its values at the Chebyshev nodes of equal pieces.
///
/// With phi_k(x) the polynomials of a piece, the sum over neighbors is done first, on moments that do not
/// know the width of the net:
///     P[i, piece, c, k] = sum_{j in piece} R[i,j,c] phi_k(R[i,j,0]),   A[i,c,:] = sum P[i, piece, c, k]
///     C[piece, k, :],
/// so what remains, in value and in all derivatives, are dense products with the coefficients C.
///
/// With weights the rows are weight[i,j] R[i,j,:]; the argument stays R[i,j,0].
///
/// Layouts (row-major): env [n_atoms, nnei, 4], nlist [n_atoms, nnei] (-1: empty slot; a block of slots per
/// neighbor type, filled from its front), nodes [n_nets, n_pieces, kTerms, width], a [n_atoms, 4, width].
/// Every argument x must lie on the grid: x0 <= x <= x0 + n_pieces h; embed_grid() gives such a grid.
template <typename T>
struct EmbedContract {
  int64_t n_atoms = 0;
  int nnei = 0, ntypes = 0;
  const int* sel = nullptr;     // [ntypes] slots per neighbor type
  const int* net_of = nullptr;  // [ntypes, ntypes] net of (center type, neighbor type); -1: excluded pair,
                                // contributes nothing
  const int* atype = nullptr;   // [n_atoms]; negative: virtual atom, contributes nothing
  const T* env = nullptr;
  const int* nlist = nullptr;
  bool mixed = false;  // one block of slots for all types: nlist holds types (of empty slots one more), -1
                       // slots are left out
  const T* weight = nullptr;  // [n_atoms, nnei] with mixed: factor of the rows, not of the argument; null: 1
  int64_t n_nets = 0, n_pieces = 0, width = 0;
  const T* nodes = nullptr;
  T x0 = 0, h = 1;  // left end of the first piece, width of a piece
};

/// a := A.
template <typename T>
void embed_contract(const EmbedContract<T>& p, T* a, const ParallelFor& parallel);

/// Adjoints of the rows, and of the weights where there are any (null otherwise).
template <typename T>
struct EmbedRows {
  T *env = nullptr, *weight = nullptr;
};

/// da is the adjoint of A. d := its pull-back to env (through R and through the argument of G alike) and
/// weights.
template <typename T>
void embed_contract_grad_env(const EmbedContract<T>& p, const T* da, EmbedRows<T> d,
                             const ParallelFor& parallel);

/// dnodes := adjoint of the nodes for the adjoint da of A. Sums run in a fixed order, whatever the number of
/// threads.
template <typename T>
void embed_contract_grad_nodes(const EmbedContract<T>& p, const T* da, T* dnodes,
                               const ParallelFor& parallel);

/// z is the adjoint of d = grad_env(da). dda := its pull-back to da, dnodes := its pull-back to the nodes;
/// either may be null.
template <typename T>
void embed_contract_grad_grad(const EmbedContract<T>& p, const T* da, EmbedRows<const T> z, T* dda, T* dnodes,
                              const ParallelFor& parallel);

/// z is the adjoint of d = grad_env(da). d2 := its pull-back to env and weights (needs second derivatives of
/// G).
template <typename T>
void embed_contract_grad_grad_env(const EmbedContract<T>& p, const T* da, EmbedRows<const T> z,
                                  EmbedRows<T> d2, const ParallelFor& parallel);

/// Pieces of width h, aligned to multiples of h, that cover the first component of every used slot of env.
/// Returns their number (at least 1); throws std::runtime_error when a value is not finite or more than
/// `max_pieces` would be needed.
template <typename T>
int64_t embed_grid(const EmbedContract<T>& p, T h, int64_t max_pieces, T* x0);

}  // namespace dptf
