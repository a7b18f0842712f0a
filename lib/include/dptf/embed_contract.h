#pragma once

#include <cstdint>

#include "dptf/parallel.h"

namespace dptf {

/// The contraction A[i,c,:] = sum_j R[i,j,c] G(R[i,j,0]) of the smooth-edition descriptors, where G is a net
/// of one number given by its values and two derivatives on a uniform grid (quintic Hermite pieces between
/// the nodes).
///
/// Layouts (row-major): env [n_atoms, nnei, 4], nlist [n_atoms, nnei] (-1: empty slot; a block of slots per
/// neighbor type, filled from its front), nodes [n_nets, n_nodes, 3, width], a [n_atoms, 4, width]. Every
/// argument x must lie on the grid: x0 <= x <= x0 + (n_nodes - 1) h; embed_grid() gives such a grid.
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
  bool mixed =
      false;  // one block of slots for all types: nlist holds the types of neighbors, -1 slots are left out
  int64_t n_nets = 0, n_nodes = 0, width = 0;
  const T* nodes = nullptr;
  T x0 = 0, h = 1;
};

/// a := A.
template <typename T>
void embed_contract(const EmbedContract<T>& p, T* a, const ParallelFor& parallel);

/// da is the adjoint of A. denv := its pull-back to env (through R and through the argument of G alike).
template <typename T>
void embed_contract_grad_env(const EmbedContract<T>& p, const T* da, T* denv, const ParallelFor& parallel);

/// Adjoint of the nodes. With z == nullptr: of A contracted with da. Otherwise of denv = grad_env(da)
/// contracted with z. The sums run in a fixed order, whatever the number of threads.
template <typename T>
void embed_contract_grad_nodes(const EmbedContract<T>& p, const T* da, const T* z, T* dnodes,
                               const ParallelFor& parallel);

/// z is the adjoint of denv = grad_env(da). dda := its pull-back to da.
template <typename T>
void embed_contract_grad_grad(const EmbedContract<T>& p, const T* z, T* dda, const ParallelFor& parallel);

/// z is the adjoint of denv = grad_env(da). denv2 := its pull-back to env (needs second derivatives of G).
template <typename T>
void embed_contract_grad_grad_env(const EmbedContract<T>& p, const T* da, const T* z, T* denv2,
                                  const ParallelFor& parallel);

/// Grid with spacing h, aligned to multiples of h, that covers the first component of every used slot of env.
/// Returns the number of nodes (at least 2); throws std::runtime_error when a value is not finite or more
/// than `max_nodes` would be needed.
template <typename T>
int64_t embed_grid(const EmbedContract<T>& p, T h, int64_t max_nodes, T* x0);

}  // namespace dptf
