#pragma once

#include <vector>

#include "common.h"

namespace deepmd {

/// Atoms that may be evaluated at once: as many as fit in DPTF_MEMORY (bytes, or with a unit: 500M, 4G), or
/// in half of the free memory, shared by the processes of the machine. At least 1; natoms where all fit.
int atoms_per_block(int natoms, double bytes_per_atom);

/// Throws where the atoms of a model that cannot be evaluated in blocks do not fit in DPTF_MEMORY.
void check_whole(int natoms, double bytes_per_atom, const std::string& model);

/// Some rows of a neighbor list as a problem of its own: their atoms, then all neighbors as ghosts.
struct ListBlock {
  std::vector<int> atoms;  // caller's index of every atom, the local ones first
  int nloc = 0;
  std::vector<int> ilist, numneigh, neighbors;
  std::vector<int*> firstneigh;

  /// Rows first..last-1 of a list over natoms atoms; `place` is [natoms], -1 everywhere, and left so.
  ListBlock(const InputNlist& list, int first, int last, int natoms, std::vector<int>* place);
  InputNlist list();
};

}  // namespace deepmd
