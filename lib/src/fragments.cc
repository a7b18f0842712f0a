#include "dptf/fragments.h"

#include <algorithm>
#include <map>
#include <stdexcept>
#include <string>

namespace dptf {
namespace {

/// Rows of atoms before they are padded: local atoms, then ghosts.
struct Row {
  int frame;
  std::vector<int> local, ghost;
};

void add(const std::vector<int>& atoms, int64_t nloc, Row* row) {
  for (int i : atoms) (i < nloc ? row->local : row->ghost).push_back(i);
}

FragmentMaps pad(const std::vector<Row>& rows, int64_t nall) {
  FragmentMaps out;
  out.rows = static_cast<int64_t>(rows.size());
  int64_t ghosts = 0;
  for (const Row& row : rows) {
    out.nloc = std::max<int64_t>(out.nloc, row.local.size());
    ghosts = std::max<int64_t>(ghosts, row.ghost.size());
  }
  out.width = out.nloc + ghosts;
  out.forward.assign(out.rows * out.width, -1);
  out.backward.assign(out.rows * nall, -1);
  for (int64_t r = 0; r < out.rows; ++r) {
    const auto place = [&](const std::vector<int>& atoms, int64_t first) {
      for (size_t k = 0; k < atoms.size(); ++k) {
        out.forward[r * out.width + first + k] = atoms[k];
        out.backward[r * nall + atoms[k]] = static_cast<int>(first + k);
      }
    };
    place(rows[r].local, 0);
    place(rows[r].ghost, out.nloc);
    out.frame.push_back(rows[r].frame);
  }
  return out;
}

}  // namespace

void split_fragments(int64_t nf, int64_t nloc, int64_t nall, const int* ids, FragmentMaps* core,
                     FragmentMaps* pairs) {
  std::vector<Row> core_rows, pair_rows;
  for (int64_t f = 0; f < nf; ++f) {
    std::map<int, std::vector<int>> atoms;
    for (int64_t i = 0; i < nall; ++i)
      if (ids[f * nall + i] >= 0) atoms[ids[f * nall + i]].push_back(static_cast<int>(i));
    Row row{static_cast<int>(f), {}, {}};
    if (!atoms.empty()) add(atoms.begin()->second, nloc, &row);
    core_rows.push_back(row);
    for (auto it = atoms.begin(); it != atoms.end(); ++it) {
      if (it == atoms.begin()) continue;
      Row pair = row;
      add(it->second, nloc, &pair);
      pair_rows.push_back(pair);
    }
  }
  *core = pad(core_rows, nall);
  *pairs = pad(pair_rows, nall);
}

MergedFrame merge_rows(int64_t rows, int64_t width, int64_t sub_nloc, int64_t parent_nall,
                       const int* forward) {
  MergedFrame out;
  std::vector<std::vector<int>> members(rows);  // places of each row in the merged frame, local ones first
  std::vector<int64_t> locals(rows, 0);
  out.backward.assign(rows * parent_nall, -1);
  for (const bool ghost : {false, true}) {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t k = ghost ? sub_nloc : 0; k < (ghost ? width : std::min(sub_nloc, width)); ++k) {
        const int atom = forward[r * width + k];
        if (atom < 0) continue;
        if (atom >= parent_nall)
          throw std::invalid_argument("row " + std::to_string(r) + " of the map names atom " +
                                      std::to_string(atom) + " of " + std::to_string(parent_nall));
        const int place = static_cast<int>(out.forward.size());
        out.forward.push_back(atom);
        out.backward[r * parent_nall + atom] = place;
        members[r].push_back(place);
        locals[r] += !ghost;
      }
    if (!ghost) {
      if (out.forward.empty()) out.forward.push_back(-1);  // an empty frame is no frame
      out.nloc = static_cast<int64_t>(out.forward.size());
    }
  }
  out.nall = static_cast<int64_t>(out.forward.size());

  std::vector<std::vector<int>> neighbors(out.nloc);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t k = 0; k < locals[r]; ++k)
      for (int other : members[r])
        if (other != members[r][k]) neighbors[members[r][k]].push_back(other);
  out.mesh.assign(16, 0);
  out.mesh[0] = static_cast<int>(out.nloc);
  for (int64_t i = 0; i < out.nloc; ++i) out.mesh.push_back(static_cast<int>(i));
  for (const auto& n : neighbors) out.mesh.push_back(static_cast<int>(n.size()));
  for (const auto& n : neighbors) out.mesh.insert(out.mesh.end(), n.begin(), n.end());
  return out;
}

}  // namespace dptf
