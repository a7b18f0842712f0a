#include "memory_blocks.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "dptf/memory_size.h"

namespace deepmd {
namespace {

/// Bytes of DPTF_MEMORY, 0 without it.
double budget() {
  const double value = dptf::given_memory();
  if (value < 0)
    throw deepmd_exception(std::string("DPTF_MEMORY is '") + std::getenv("DPTF_MEMORY") +
                           "'; give bytes, for instance 4G or 500M");
  return value;
}

}  // namespace

int atoms_per_block(int natoms, double bytes_per_atom) {
  if (!(bytes_per_atom > 0)) return natoms;
  double limit = budget();
  if (limit == 0) limit = 0.5 * dptf::memory_info("MemAvailable:") / dptf::processes_here();
  if (limit == 0) return natoms;
  const double atoms = limit / bytes_per_atom;
  return atoms >= natoms ? natoms : std::max(1, static_cast<int>(atoms));
}

void check_whole(int natoms, double bytes_per_atom, const std::string& model) {
  const double limit = budget(), need = natoms * bytes_per_atom;
  if (limit == 0 || need <= limit) return;
  char text[200];
  std::snprintf(text, sizeof text, "%d atoms need about %.3g GB of memory, DPTF_MEMORY allows %.3g GB",
                natoms, need * 1e-9, limit * 1e-9);
  throw deepmd_exception(
      model + ": " + text +
      ". Models with message passing are not evaluated in blocks of atoms: use fewer atoms, or more ranks");
}

ListBlock::ListBlock(const InputNlist& from, int first, int last, int natoms, std::vector<int>* place)
    : nloc(last - first) {
  auto& at = *place;
  for (int row = first; row < last; ++row) {
    const int i = from.ilist[row];
    if (i < 0 || i >= natoms || at[i] >= 0)
      throw deepmd_exception("row " + std::to_string(row) + " of the neighbor list is for atom " +
                             std::to_string(i) + " of " + std::to_string(natoms) + ", or names it again");
    at[i] = static_cast<int>(atoms.size());
    atoms.push_back(i);
  }
  std::vector<size_t> start;
  for (int row = first; row < last; ++row) {
    start.push_back(neighbors.size());
    for (int n = 0; n < from.numneigh[row]; ++n) {
      const int j = from.firstneigh[row][n] & from.mask;
      if (j < 0 || j >= natoms)
        throw deepmd_exception("the neighbor list of atom " + std::to_string(from.ilist[row]) +
                               " names atom " + std::to_string(j) + " of " + std::to_string(natoms));
      if (at[j] < 0) {
        at[j] = static_cast<int>(atoms.size());
        atoms.push_back(j);
      }
      neighbors.push_back(at[j]);
    }
    ilist.push_back(row - first);
    numneigh.push_back(from.numneigh[row]);
  }
  for (size_t s : start) firstneigh.push_back(neighbors.data() + s);
  for (int i : atoms) at[i] = -1;
}

InputNlist ListBlock::list() { return InputNlist(nloc, ilist.data(), numneigh.data(), firstneigh.data()); }

}  // namespace deepmd
