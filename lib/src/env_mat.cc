#include "dptf/env_mat.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <stdexcept>
#include <string>

#include "dptf/center_visit.h"
#include "dptf/env_element.h"
#include "dptf/field_element.h"
#include "dptf/force_element.h"

namespace dptf {
namespace {

/// Ranks the candidates of one center and puts them into the slots. Returns the number left out.
template <typename T>
int format_row(const EnvMat<T>& p, const Positions& pos, int64_t center, std::vector<RankedNeighbor>& cand,
               std::vector<int>& slots) {
  if (p.mixed)
    for (RankedNeighbor& c : cand) c.type = 0;
  rank_candidates(pos, center, p.rcut, &cand);
  slots.assign(p.nnei(), -1);
  int lost = 0, offset = 0, block = 0, used = 0;
  for (const RankedNeighbor& c : cand) {
    while (block < c.type) {
      offset += p.sel[block++];
      used = 0;
    }
    if (used < p.sel[block])
      slots[offset + used++] = c.index;
    else
      ++lost;
  }
  return lost;
}

template <EnvRows ROWS, typename T>
void fill_rows(const EnvMat<T>& p, const Positions& pos, int64_t center, const int* slots, int64_t frame,
               const EnvMatOut<T>& out) {
  constexpr int NCOMP = ROWS == EnvRows::radial ? 1 : 4;
  const int nnei = p.nnei(), width = nnei * NCOMP, center_type = pos.type[center];
  const int64_t row = frame * p.nloc + center;
  T* rij = out.rij + row * nnei * 3;
  int* nlist = out.nlist + row * nnei;
  const T range = static_cast<T>(p.rcut - p.rcut_smth), rs = p.rcut_smth, rc = p.rcut;
  for (int k = 0; k < nnei; ++k) {
    const int j = slots[k];
    nlist[k] = j < 0 ? -1 : pos.reported(j);
    if (out.ntype) out.ntype[row * nnei + k] = j < 0 ? p.ntypes : pos.type[j];
    if (out.nmask) out.nmask[row * nnei + k] = j >= 0;
    T* const d = rij + 3 * k;
    for (int x = 0; x < 3; ++x)
      d[x] = j < 0 ? T(0)
                   : static_cast<T>(pos.coord[3 * static_cast<int64_t>(j) + x] - pos.coord[3 * center + x]);
    if (!out.em) continue;
    T e[NCOMP] = {}, de[NCOMP * 3] = {};
    if (j >= 0) {
      if constexpr (NCOMP == 1 || ROWS == EnvRows::angular)
        env_element<NCOMP>(d, rs, rc, range, e, de);
      else
        field_element<ROWS>(d, p.field + row * 3, rs, rc, range, e, de);
    }
    const int64_t column = k * NCOMP, at = std::max(center_type, 0) * static_cast<int64_t>(width) + column;
    normalise_slot<NCOMP>(center_type >= 0, e, de, p.davg + at, p.dstd + at, out.em + row * width + column,
                          out.deriv + 3 * (row * width + column));
  }
}

template <typename T>
void fill_row(const EnvMat<T>& p, const Positions& pos, int64_t center, const int* slots, int64_t frame,
              const EnvMatOut<T>& out) {
  switch (p.rows) {
#define DPTF_CASE(ROWS) \
  case EnvRows::ROWS:   \
    return fill_rows<EnvRows::ROWS>(p, pos, center, slots, frame, out);
    DPTF_CASE(angular)
    DPTF_CASE(radial)
    DPTF_CASE(field)
    DPTF_CASE(field_parallel)
    DPTF_CASE(field_vertical)
#undef DPTF_CASE
  }
}

template <typename T>
int64_t one_frame(const EnvMat<T>& p, int64_t frame, const EnvMatOut<T>& out, const ParallelFor& parallel) {
  FrameAtoms<T> atoms;
  atoms.nloc = p.nloc;
  atoms.nall = p.nall;
  atoms.coord = p.coord + frame * p.nall * 3;
  atoms.type = p.type + frame * p.nall;
  atoms.box = p.periodic ? p.box + frame * 9 : nullptr;
  atoms.list = p.list;
  atoms.rcut = p.rcut;
  std::atomic<int64_t> lost{0};
  visit_centers(
      atoms, parallel,
      [&](const Positions& pos, int64_t i, std::vector<RankedNeighbor>& cand, std::vector<int>& slots) {
        lost += format_row(p, pos, i, cand, slots);
        fill_row(p, pos, i, slots.data(), frame, out);
      });
  return lost;
}

template <typename T>
void check(const EnvMat<T>& p) {
  const int blocks = p.mixed ? 1 : p.ntypes;
  if (static_cast<int>(p.sel.size()) != blocks)
    throw std::invalid_argument("sel has " + std::to_string(p.sel.size()) + " entries, expected " +
                                std::to_string(blocks));
  check_atoms(p.nf, p.nloc, p.nall, p.ntypes, p.type, p.list);
}

}  // namespace

void check_atoms(int64_t nf, int64_t nloc, int64_t nall, int ntypes, const int* type,
                 const ExternalList* list) {
  for (int64_t i = 0; i < nf * nall; ++i)
    if (type[i] >= ntypes)
      throw std::invalid_argument("atom " + std::to_string(i % nall) + " of frame " +
                                  std::to_string(i / nall) + " has type " + std::to_string(type[i]) +
                                  ", the model knows " + std::to_string(ntypes) + " types");
  if (!list) return;
  std::vector<char> seen(nloc, 0);
  if (list->n != nloc)
    throw std::invalid_argument("the neighbor list has " + std::to_string(list->n) + " rows for " +
                                std::to_string(nloc) + " local atoms");
  for (int64_t k = 0; k < list->n; ++k) {
    const int i = list->ilist[k];
    if (i < 0 || i >= nloc || seen[i]++)
      throw std::invalid_argument(
          "the neighbor list's ilist is not a permutation of the local atoms (entry " + std::to_string(k) +
          " is " + std::to_string(i) + ")");
  }
}

template <typename T>
int64_t env_mat(const EnvMat<T>& p, const EnvMatOut<T>& out, const ParallelFor& parallel) {
  check(p);
  return visit_frames(p.nf, p.nloc, p.list, parallel,
                      [&](int64_t f, const ParallelFor& inner) { return one_frame(p, f, out, inner); });
}

template int64_t env_mat<double>(const EnvMat<double>&, const EnvMatOut<double>&, const ParallelFor&);
template int64_t env_mat<float>(const EnvMat<float>&, const EnvMatOut<float>&, const ParallelFor&);

}  // namespace dptf
