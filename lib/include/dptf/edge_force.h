#pragma once

#include <cstdint>

namespace dptf {

/// Forces and virials from g = dE/dd of every edge (d = neighbor minus center): the center gets +g, the
/// neighbor -g, and W[a, b] = -sum g[a] d[b].
struct EdgeForceShape {
  int64_t nf = 0, nloc = 0, nall = 0, edges = 0;
  const int *start = nullptr, *atom = nullptr;  // [nf*nloc + 1] edges by center, [edges] row of [nf*nall]
};

/// force [nf, nall, 3], virial [nf, 9].
template <typename T>
void edge_force(const EdgeForceShape& p, const T* g, const T* vec, T* force, T* virial);

/// Derivative in g of <grad_force, force> + <grad_virial, virial>.
template <typename T>
void edge_force_grad(const EdgeForceShape& p, const T* grad_force, const T* grad_virial, const T* vec, T* dg);

/// Atomic virials [nf, nall, 9]: W_k = sum_l de_l/dr_k (r_l - r_k) over the atoms l with energy e_l, where an
/// image of k counts for k. moment[e, b, a] is the derivative in d_e[a] of sum_l e_l r_l[b] with r_l held
/// constant; local [nf*nloc, 3] are the r_l.
template <typename T>
void edge_atom_virial(const EdgeForceShape& p, const T* g, const T* moment, const T* vec, const T* local,
                      T* virial);

}  // namespace dptf
