#pragma once

#include <cstring>
#include <vector>

#include "dptf/env_mat.h"
#include "op_utils.h"

namespace dptf {

/// The meaning of the `mesh` input, whose length selects the mode: 0 open, 6 periodic (own list), 1 and 7 the
/// same for mixed types, 16 pointers to the caller's list, longer: the list by value.
struct Mesh {
  bool periodic = false;
  bool has_list = false;
  ExternalList list;
  std::vector<const int*> rows;  // owns firstneigh of a list given by value

  absl::Status parse(const tensorflow::Tensor& mesh, int64_t nloc, bool mixed_types_allowed) {
    const auto m = mesh.flat<int>();
    const int64_t n = m.size();
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
    if (n < 16) return invalid_argument("a mesh of length ", n, " has no meaning (0, 1, 6, 7, 16 or longer)");
    has_list = true;
    if (n == 16) {
      list.n = m(1);
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
