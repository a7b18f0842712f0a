#pragma once

#include <cstdint>

#include "dptf/parallel.h"

namespace dptf {

/// Chain rule from the environment matrix to positions. Shapes: net_deriv [nf, nloc, nnei, ncomp],
/// deriv [nf, nloc, nnei, ncomp, 3] (with respect to the center), rij [nf, nloc, nnei, 3], nlist [nf, nloc,
/// nnei]
/// (-1: empty slot, otherwise an index below nall). With ncomp 3 and deriv null, net_deriv is the derivative
/// in the vector from center to neighbor itself.
template <typename T>
struct EnvDeriv {
  int64_t nf = 0, nloc = 0, nall = 0;
  int nnei = 0, ncomp = 4;
  const T *net_deriv = nullptr, *deriv = nullptr, *rij = nullptr;
  const int* nlist = nullptr;
};

/// force [nf, nall, 3]: F_i -= g . D, F_j += g . D for every slot.
template <typename T>
void env_force(const EnvDeriv<T>& p, T* force, const ParallelFor& parallel);

/// virial [nf, 9] and atom_virial [nf, nall, 9] (on the neighbor): (g . D)_a rij_b for every filled slot.
template <typename T>
void env_virial(const EnvDeriv<T>& p, T* virial, T* atom_virial, const ParallelFor& parallel);

/// Adjoint of net_deriv for the adjoint of the force, grad [nf, grad_atoms, 3]. Neighbors beyond grad_atoms
/// are folded modulo grad_atoms, as graphs without ghosts expect.
template <typename T>
void env_force_grad(const EnvDeriv<T>& p, const T* grad, int64_t grad_atoms, T* grad_net,
                    const ParallelFor& parallel);

/// Adjoint of net_deriv for the adjoints of virial [nf, 9] and atom_virial [nf, nall, 9] (may be null).
template <typename T>
void env_virial_grad(const EnvDeriv<T>& p, const T* grad, const T* grad_atom, T* grad_net,
                     const ParallelFor& parallel);

}  // namespace dptf
