#pragma once

#include <algorithm>
#include <vector>

// Frames that are evaluated in blocks of atoms.
namespace dptf {

/// Splits atoms into groups of at most `size` that are close to each other: halves along the longest side,
/// again and again. coord has three numbers for every atom that `atoms` may name.
template <typename V>
std::vector<std::vector<int>> compact_groups(std::vector<int> atoms, const V* coord, int size);

/// About how many times the arithmetic of a whole frame its blocks take where features of atoms are exchanged
/// so many times (measured: 4.6 with 11 of DPA-3).
inline double block_cost(size_t exchanges) { return std::max(1.0, 0.42 * exchanges); }

}  // namespace dptf
