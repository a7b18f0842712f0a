#pragma once

#include <cstring>
#include <vector>

#include "dptf/env_mat.h"
#include "dptf/list_extras.h"
#include "op_utils.h"

namespace dptf {

/// The meaning of the `mesh` input, whose length selects the mode: 0 open, 6 periodic (own list), 1 and 7 the
/// same for mixed types, 16 pointers to the caller's list, longer: the list by value (16 header numbers,
/// rows, counts, neighbors; with m[1] = 1 followed by the owners of m[2] atoms; see list_extras.h). 12, of
/// old descriptors alone: the caller's ghosts are in coord, but no list is given.
struct Mesh {
  bool periodic = false;
  bool has_list = false;
  bool own_ghosts = false;
  ExternalList list;
  std::vector<const int*> rows;  // owns firstneigh of a list given by value
  const int* mapping = nullptr;  // owners of all atoms, where the caller tells them
  int64_t nmapping = 0;
  bool exchange = false;  // processes exchange features of atoms
  bool fed = false;       // what they would exchange is fed
  double reserved = 0;    // bytes of what is fed
  bool ghost_rows() const { return exchange || fed; }

  absl::Status parse(const tensorflow::Tensor& mesh, int64_t nloc, bool mixed_types_allowed,
                     bool own_ghosts_allowed = false) {
    const auto m = mesh.flat<int>();
    int64_t n = m.size();
    if (n == 1 || n == 7) {
      if (!mixed_types_allowed)
        return invalid_argument(
            "frames of mixed types (mesh of length ", n,
            ") are not supported by this descriptor; use one with type embedding (se_atten)");
      periodic = n == 7;
      return absl::OkStatus();
    }
    if (n == 0 || n == 6) {
      periodic = n == 6;
      return absl::OkStatus();
    }
    if (n == 12 && own_ghosts_allowed) {
      own_ghosts = true;
      return absl::OkStatus();
    }
    if (n < 16) return invalid_argument("a mesh of length ", n, " has no meaning (0, 1, 6, 7, 16 or longer)");
    has_list = true;
    if (n == 16) {
      list.n = m(1);
      if (const ListExtras* extras = get_extras(m.data())) {
        mapping = extras->mapping;
        nmapping = extras->nmapping;
        exchange = extras->has_exchange();
        fed = extras->fed;
        reserved = extras->reserved;
      }
      std::memcpy(&list.ilist, &m(4), sizeof(list.ilist));
      std::memcpy(&list.numneigh, &m(8), sizeof(list.numneigh));
      std::memcpy(&list.firstneigh, &m(12), sizeof(list.firstneigh));
      return absl::OkStatus();
    }
    list.n = m(0);
    if (list.n != nloc || n < 16 + 2 * nloc)
      return invalid_argument("the neighbor list in mesh is for ", m(0), " atoms, the frame has ", nloc);
    list.ilist = m.data() + 16;
    list.numneigh = m.data() + 16 + nloc;
    if (m(1) == kMappingAppended) {
      nmapping = m(2);
      n -= nmapping;
      if (nmapping < nloc || n < 16 + 2 * nloc)
        return invalid_argument("the neighbor list in mesh says ", nmapping,
                                " owners of atoms, but is too short");
      mapping = m.data() + n;
    }
    fed = m(1) == kExchangesFed;
    if (fed) std::memcpy(&reserved, &m(kReservedAt), sizeof reserved);
    int64_t at = 16 + 2 * nloc;
    for (int64_t k = 0; k < nloc; ++k) {
      if (list.numneigh[k] < 0 || at + list.numneigh[k] > n)
        return invalid_argument("the neighbor list in mesh ends before the neighbors of row ", k);
      rows.push_back(m.data() + at);
      at += list.numneigh[k];
    }
    if (at != n) return invalid_argument("the neighbor list in mesh has ", n - at, " entries too many");
    list.firstneigh = rows.data();
    return absl::OkStatus();
  }
};

}  // namespace dptf
