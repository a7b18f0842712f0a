#pragma once

#include <cstdint>
#include <vector>

namespace dptf {

/// Sub-systems of a frame split into fragments: rows of atom indices with their inverse.
struct FragmentMaps {
  int64_t rows = 0, width = 1;  // width: nloc + the largest number of ghosts
  int64_t nloc = 1;             // the largest number of local atoms of a row, at least 1
  std::vector<int>
      forward;  // [rows, width]: place -> atom; local atoms from 0, ghosts from nloc; -1: padding
  std::vector<int> backward;  // [rows, nall]: atom -> place or -1
  std::vector<int> frame;     // [rows]: frame of each row
};

/// Splits frames by fragment number, ids [nf, nall]: negative atoms belong nowhere, the smallest number of a
/// frame is its core (the QM region), every other one a fragment. `core` gets one row a frame with the core
/// alone, `pairs` one row for every frame and fragment with the core followed by the fragment.
void split_fragments(int64_t nf, int64_t nloc, int64_t nall, const int* ids, FragmentMaps* core,
                     FragmentMaps* pairs);

/// All sub-systems side by side as one frame: local atoms of all rows, then ghosts of all rows. In each row
/// of forward [rows, width] ghosts start at sub_nloc.
struct MergedFrame {
  int64_t nloc = 1, nall = 1;
  std::vector<int> forward;   // [nall]: place -> atom (-1 where there is no sub-system at all)
  std::vector<int> backward;  // [rows, parent_nall]: atom -> place or -1
  std::vector<int> mesh;      // neighbor list by value: every local atom sees all others of its sub-system
};
/// Throws std::invalid_argument when forward names an atom outside 0..parent_nall-1.
MergedFrame merge_rows(int64_t rows, int64_t width, int64_t sub_nloc, int64_t parent_nall,
                       const int* forward);

}  // namespace dptf
