#pragma once

#include <cstdint>

namespace dptf {

/// Neighbor slots of nf frames: rij [nf, nloc, nnei, 3] from center to neighbor (may be null where only the
/// list matters), nlist [nf, nloc, nnei] with -1 for an empty slot, otherwise an index below nall.
template <typename T>
struct Slots {
  int64_t nf = 0, nloc = 0, nall = 0;
  int nnei = 0;
  const T* rij = nullptr;
  const int* nlist = nullptr;
};

}  // namespace dptf
