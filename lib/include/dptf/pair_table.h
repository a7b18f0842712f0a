#pragma once

#include <cstdint>

#include "dptf/parallel.h"

namespace dptf {

/// Tabulated pair energies: info = (rmin, step, number of pieces, number of types), data [ntypes, ntypes,
/// pieces, 4] are the coefficients a3, a2, a1, a0 of the cubic in the distance from the start of the piece in
/// steps.
struct PairTable {
  double rmin = 0, step = 1;
  int64_t pieces = 0, ntypes = 0;
  const double* data = nullptr;
};

/// Slots: type [nf, nall], rij [nf, nloc, nnei, 3], nlist [nf, nloc, nnei] (-1: empty), scale [nf, nloc].
/// Where center_type [nloc] and slot_type [nnei] are given, they stand for the types of atoms and neighbors.
template <typename T>
struct PairTableInput {
  int64_t nf = 0, nloc = 0, nall = 0;
  int nnei = 0;
  const int *type = nullptr, *nlist = nullptr, *center_type = nullptr, *slot_type = nullptr;
  const T *rij = nullptr, *scale = nullptr;
};

/// atom_energy [nf, nloc] = half the pair energies (without scale), force [nf, nall, 3] and atom_virial [nf,
/// nall, 9] of scale_i times them, the virial in equal parts on both atoms. Types outside the table do not
/// interact. Returns the smallest distance below the table, or -1 when there is none.
template <typename T>
double pair_table(const PairTable& table, const PairTableInput<T>& p, T* atom_energy, T* force,
                  T* atom_virial, const ParallelFor& parallel);

/// atom_energy as above, and slope [nf, nloc, nnei, 3] = its derivative in rij. Same result.
template <typename T>
double pair_slopes(const PairTable& table, const PairTableInput<T>& p, T* atom_energy, T* slope,
                   const ParallelFor& parallel);

}  // namespace dptf
