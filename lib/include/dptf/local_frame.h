#pragma once

#include <cstdint>
#include <vector>

#include "dptf/env_mat.h"
#include "dptf/parallel.h"

namespace dptf {

/// Descriptor of neighbors in the local frame of their center. The nearest sel_a[t] neighbors of type t give
/// four components (1/r, z/r^2, x/r^2, y/r^2) each, the next sel_r[t] give 1/r; nothing is smooth at the
/// cutoff. axis_rule has six numbers for each center type, or is empty: (kind, type, place) of the two
/// neighbors that span the frame, kind 0 for the angular, 1 for the radial slots.
template <typename T>
struct LocalFrame {
  int64_t nf = 0, nloc = 0, nall = 0;
  int ntypes = 0;
  float rcut = 0;
  std::vector<int> sel_a, sel_r, axis_rule;
  const T *coord = nullptr, *box = nullptr;  // [nf, nall, 3], [nf, 9]
  const int* type = nullptr;                 // [nf, nall]
  bool periodic = false;
  const ExternalList* list = nullptr;
  const T *davg = nullptr, *dstd = nullptr;  // [ntypes, width]

  int n_angular() const { return total(sel_a); }
  int nnei() const { return total(sel_a) + total(sel_r); }
  int width() const { return 4 * total(sel_a) + total(sel_r); }

 private:
  static int total(const std::vector<int>& sel) {
    int n = 0;
    for (int s : sel) n += s;
    return n;
  }
};

/// Results: em [nf, nloc, width], deriv [nf, nloc, width, 4, 3] in the positions of center, first and second
/// axis atom and neighbor, rij [nf, nloc, nnei, 3], nlist [nf, nloc, nnei], axis [nf, nloc, 4] = (kind,
/// place) of both axis atoms, rot_mat [nf, nloc, 3, 3] whose rows are the unit vectors of the frame.
template <typename T>
struct LocalFrameOut {
  T *em = nullptr, *deriv = nullptr, *rij = nullptr, *rot_mat = nullptr;
  int *nlist = nullptr, *axis = nullptr;
};

/// Fills `out`; returns the number of neighbors without a slot. Throws std::invalid_argument, among others
/// for an atom that has no neighbor where axis_rule wants one.
template <typename T>
int64_t local_frame(const LocalFrame<T>& p, const LocalFrameOut<T>& out, const ParallelFor& parallel);

/// Chain rule from the descriptor to positions. net_deriv [nf, nloc, width], the others as in LocalFrameOut.
template <typename T>
struct FrameDeriv {
  int64_t nf = 0, nloc = 0, nall = 0;
  int n_angular = 0, n_radial = 0;
  const T *net_deriv = nullptr, *deriv = nullptr, *rij = nullptr;
  const int *nlist = nullptr, *axis = nullptr;

  int nnei() const { return n_angular + n_radial; }
  int width() const { return 4 * n_angular + n_radial; }
};

/// force [nf, nall, 3].
template <typename T>
void frame_force(const FrameDeriv<T>& p, T* force, const ParallelFor& parallel);

/// virial [nf, 9], atom_virial [nf, nall, 9] on the atom that is displaced.
template <typename T>
void frame_virial(const FrameDeriv<T>& p, T* virial, T* atom_virial, const ParallelFor& parallel);

/// Adjoint of net_deriv for the adjoint of the force, grad [nf, grad_atoms, 3]; atoms beyond grad_atoms are
/// folded modulo grad_atoms.
template <typename T>
void frame_force_grad(const FrameDeriv<T>& p, const T* grad, int64_t grad_atoms, T* grad_net,
                      const ParallelFor& parallel);

/// Adjoint of net_deriv for the adjoints of virial [nf, 9] and atom_virial [nf, nall, 9] (may be null).
template <typename T>
void frame_virial_grad(const FrameDeriv<T>& p, const T* grad, const T* grad_atom, T* grad_net,
                       const ParallelFor& parallel);

}  // namespace dptf
