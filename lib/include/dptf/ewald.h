#pragma once

#include <cstdint>

#include "dptf/parallel.h"

namespace dptf {

/// Energy of two unit charges 1 Å apart, eV.
constexpr double kCoulomb = 14.39964535475696995;

/// Reciprocal-space part of the Ewald sum of Gaussian charges of one frame.
///
/// With S(m) = sum q exp(2 pi i m.R) over the reciprocal vectors m = 0 < |m_d| <= K_d / 2, K_d = ceil(|a_d| /
/// spacing) rounded up to even: energy = k / (2 pi V) sum w |S|^2, w = exp(-pi^2 m^2 / beta^2) / m^2. There
/// is no self-energy and no real-space term.
///
/// coord [n, 3] in Å, charge [n] in e, box [3, 3] (rows) in Å, beta in 1/Å; energy in eV, force [n, 3] in
/// eV/Å, virial [3, 3] in eV. Returns false when the box has no volume.
template <typename T>
bool ewald_reciprocal(int64_t n, const T* coord, const T* charge, const T* box, double beta, double spacing,
                      T* energy, T* force, T* virial, const ParallelFor& parallel);

}  // namespace dptf
