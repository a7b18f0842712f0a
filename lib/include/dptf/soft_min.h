#pragma once

#include <cstdint>

#include "dptf/parallel.h"

namespace dptf {

/// Vectors on the neighbor slots of every atom, with one factor per atom. Shapes: factor [nf, nloc],
/// vector and rij [nf, nloc, nnei, 3], nlist [nf, nloc, nnei] (-1: empty).
template <typename T>
struct SlotVectors {
  int64_t nf = 0, nloc = 0, nall = 0;
  int nnei = 0;
  const T *factor = nullptr, *vector = nullptr, *rij = nullptr;
  const int* nlist = nullptr;
};

/// Switch of the soft minimum m = sum r e / sum e, e = exp(-r / alpha), of the distances around an atom:
/// value [nf, nloc] is 1 below rmin, 0 above rmax and for atoms without neighbors; deriv [nf, nloc, nnei, 3]
/// is its derivative in the position of the neighbor.
template <typename T>
void soft_min_switch(const SlotVectors<T>& p, T alpha, T rmin, T rmax, T* value, T* deriv,
                     const ParallelFor& parallel);

/// force [nf, nall, 3]: F_i += factor_i vector, F_j -= factor_i vector for every slot.
template <typename T>
void slot_force(const SlotVectors<T>& p, T* force, const ParallelFor& parallel);

/// virial [nf, 9] and atom_virial [nf, nall, 9] (on the neighbor): -factor_i vector_a rij_b.
template <typename T>
void slot_virial(const SlotVectors<T>& p, T* virial, T* atom_virial, const ParallelFor& parallel);

/// Adjoints of factor and vector (either may be null) for the adjoint of the force, grad [nf, grad_atoms,
/// 3]; neighbors beyond grad_atoms are folded modulo grad_atoms.
template <typename T>
void slot_force_grad(const SlotVectors<T>& p, const T* grad, int64_t grad_atoms, T* grad_factor,
                     T* grad_vector, const ParallelFor& parallel);

/// The same for the adjoints of virial [nf, 9] and atom_virial [nf, nall, 9] (may be null).
template <typename T>
void slot_virial_grad(const SlotVectors<T>& p, const T* grad, const T* grad_atom, T* grad_factor,
                      T* grad_vector, const ParallelFor& parallel);

}  // namespace dptf
