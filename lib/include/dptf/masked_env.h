#pragma once

#include <cstdint>

#include "dptf/parallel.h"

namespace dptf {

/// Environment of every atom among all n atoms of its frame, without cutoff, cell or normalisation: rows
/// (1/r, x/r^2, y/r^2, z/r^2) ordered by (type, distance, index), masked atoms (mask 0) and the center itself
/// last in their type with rows of zeros. A masked center has zeros everywhere and -1 in nlist. coord [nf, n,
/// 3], type and mask [nf, n]; em [nf, n, n, 4], deriv [nf, n, n, 4, 3] in the position of the center, rij
/// [nf, n, n, 3], nlist [nf, n, n].
template <typename T>
void masked_env(int64_t nf, int64_t n, const T* coord, const int* type, const int* mask, T* em, T* deriv,
                T* rij, int* nlist, const ParallelFor& parallel);

}  // namespace dptf
