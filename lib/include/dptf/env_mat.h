#pragma once

#include <cstdint>
#include <vector>

#include "dptf/neighbor_search.h"
#include "dptf/parallel.h"

namespace dptf {

/// A neighbor list made by somebody else: row k lists the neighbors of atom ilist[k]. Indices run over all
/// atoms of the frame, ghosts included; the list is full and may reach beyond the cutoff. The arrays are
/// borrowed.
struct ExternalList {
  int64_t n = 0;
  const int* ilist = nullptr;
  const int* numneigh = nullptr;
  const int* const* firstneigh = nullptr;
};

/// Throws std::invalid_argument for a type the model does not know and for a list that does not fit the
/// atoms.
void check_atoms(int64_t nf, int64_t nloc, int64_t nall, int ntypes, const int* type,
                 const ExternalList* list);

/// What a row of the environment matrix holds: radial and angular part, the radial part alone, or parts along
/// and across an electric field (field_element.h).
enum class EnvRows { angular, radial, field, field_parallel, field_vertical };

/// Environment matrix of nf frames. With `mixed` the list
/// has one block of sel[0] slots for all types, ordered by distance.
template <typename T>
struct EnvMat {
  int64_t nf = 0, nloc = 0, nall = 0;
  int ntypes = 0;
  EnvRows rows = EnvRows::angular;
  bool mixed = false;
  float rcut = 0, rcut_smth = 0;  // float32, as the op attributes
  std::vector<int> sel;
  const T *coord = nullptr, *box = nullptr;  // [nf, nall, 3], [nf, 9]; box only read when periodic
  const int* type = nullptr;                 // [nf, nall]
  bool periodic = false;                     // own list with periodic images (needs nall == nloc)
  const ExternalList* list = nullptr;        // nullptr: own list
  const T* field = nullptr;                  // [nf, nloc, 3], only for the rows in a field
  const T *davg = nullptr, *dstd = nullptr;  // [ntypes, nnei * ncomp]

  int ncomp() const { return rows == EnvRows::radial ? 1 : 4; }
  int nnei() const {
    int n = 0;
    for (int s : sel) n += s;
    return n;
  }
};

/// Results: em [nf, nloc, nnei*ncomp], deriv [nf, nloc, nnei*ncomp, 3], rij [nf, nloc, nnei, 3], nlist [nf,
/// nloc, nnei]; ntype [nf, nloc, nnei] and nmask the same (both may be null; ntypes / false for an empty
/// slot). With em null only neighbors and vectors are found; a device fills the rows (cuda_kernels.h).
template <typename T>
struct EnvMatOut {
  T *em = nullptr, *deriv = nullptr, *rij = nullptr;
  int *nlist = nullptr, *ntype = nullptr;
  bool* nmask = nullptr;
};

/// Fills `out`. Returns the number of neighbors that found no slot (sel exceeded).
/// Throws std::invalid_argument on input that cannot be evaluated.
template <typename T>
int64_t env_mat(const EnvMat<T>& p, const EnvMatOut<T>& out, const ParallelFor& parallel);

}  // namespace dptf
