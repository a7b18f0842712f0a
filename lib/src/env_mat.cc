#include "dptf/env_mat.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <stdexcept>
#include <string>

#include "dptf/env_element.h"
#include "dptf/neighbor_rank.h"

namespace dptf {
namespace {

using Candidate = RankedNeighbor;

/// Positions and types that neighbor indices refer to, and how indices are reported.
template <typename T>
struct Positions {
  const T* coord;
  const int* type;
  const int* mapping;  // nullptr: report the index itself
};

/// Ranks the candidates of one center and puts them into the slots. Returns the number left out.
template <typename T>
int format_row(const EnvMat<T>& p, const Positions<double>& pos, int64_t center, std::vector<Candidate>& cand,
               int* slots) {
  const float rc2 = p.rcut * p.rcut;
  size_t n = 0;
  for (Candidate c : cand) {
    c.d2 = rank_distance(pos.coord + 3 * static_cast<int64_t>(c.index), pos.coord + 3 * center);
    if (c.d2 <= rc2) cand[n++] = c;
  }
  cand.resize(n);
  std::sort(cand.begin(), cand.end());
  const int nnei = p.nnei();
  std::fill(slots, slots + nnei, -1);
  int lost = 0, offset = 0, block = 0, used = 0;
  for (const Candidate& c : cand) {
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

template <int NCOMP, typename T>
void fill_row(const EnvMat<T>& p, const Positions<double>& pos, int64_t center, const int* slots,
              int center_type, int64_t row, const EnvMatOut<T>& out) {
  const int nnei = p.nnei(), width = nnei * NCOMP;
  T* em = out.em + row * width;
  T* deriv = out.deriv + row * width * 3;
  T* rij = out.rij + row * nnei * 3;
  int* nlist = out.nlist + row * nnei;
  const T range = static_cast<T>(p.rcut - p.rcut_smth), rs = p.rcut_smth, rc = p.rcut;
  for (int k = 0; k < nnei; ++k) {
    const int j = slots[k];
    nlist[k] = j < 0 ? -1 : (pos.mapping ? pos.mapping[j] : j);
    if (out.ntype) out.ntype[row * nnei + k] = j < 0 ? p.ntypes : pos.type[j];
    if (out.nmask) out.nmask[row * nnei + k] = j >= 0;
    T e[NCOMP] = {}, de[NCOMP * 3] = {};
    T d[3] = {};
    if (j >= 0) {
      for (int x = 0; x < 3; ++x)
        d[x] = static_cast<T>(pos.coord[3 * static_cast<int64_t>(j) + x] - pos.coord[3 * center + x]);
      env_element<NCOMP>(d, rs, rc, range, e, de);
    }
    std::copy(d, d + 3, rij + 3 * k);
    if (center_type < 0) {  // a virtual center has no environment at all
      std::fill(em + k * NCOMP, em + (k + 1) * NCOMP, T(0));
      std::fill(deriv + k * NCOMP * 3, deriv + (k + 1) * NCOMP * 3, T(0));
      continue;
    }
    const T* avg = p.davg + static_cast<int64_t>(center_type) * width + k * NCOMP;
    const T* std_ = p.dstd + static_cast<int64_t>(center_type) * width + k * NCOMP;
    for (int c = 0; c < NCOMP; ++c) {
      em[k * NCOMP + c] = (e[c] - avg[c]) / std_[c];
      for (int x = 0; x < 3; ++x) deriv[(k * NCOMP + c) * 3 + x] = de[3 * c + x] / std_[c];
    }
  }
}

template <typename T>
int one_row(const EnvMat<T>& p, const Positions<double>& pos, int64_t center, std::vector<Candidate>& cand,
            std::vector<int>& slots, int64_t row, const EnvMatOut<T>& out) {
  const int lost = format_row(p, pos, center, cand, slots.data());
  const int type = pos.type[center];
  if (p.ncomp == 4)
    fill_row<4>(p, pos, center, slots.data(), type, row, out);
  else
    fill_row<1>(p, pos, center, slots.data(), type, row, out);
  return lost;
}

constexpr int64_t kRowCost = 12000;

template <typename T>
int64_t own_list(const EnvMat<T>& p, int64_t frame, const EnvMatOut<T>& out, const ParallelFor& parallel) {
  const T* coord = p.coord + frame * p.nall * 3;
  const int* type = p.type + frame * p.nall;
  const ExtendedFrame ext =
      extend_frame(coord, type, p.nloc, p.periodic ? p.box + frame * 9 : nullptr, p.rcut);
  const CellList cells(ext.coord.data(), static_cast<int64_t>(ext.type.size()), p.rcut);
  const Positions<double> pos{ext.coord.data(), ext.type.data(), p.periodic ? ext.mapping.data() : nullptr};
  std::atomic<int64_t> lost{0};
  parallel(p.nloc, kRowCost, [&](int64_t begin, int64_t end) {
    std::vector<Candidate> cand;
    std::vector<int> slots(p.nnei());
    for (int64_t i = begin; i < end; ++i) {
      cand.clear();
      if (pos.type[i] >= 0)
        cells.visit(pos.coord + 3 * i, [&](int j, double) {
          if (j != i && pos.type[j] >= 0) cand.push_back({p.mixed ? 0 : pos.type[j], 0, j, 0});
        });
      lost += one_row(p, pos, i, cand, slots, frame * p.nloc + i, out);
    }
  });
  return lost;
}

template <typename T>
int64_t external_list(const EnvMat<T>& p, int64_t frame, const EnvMatOut<T>& out,
                      const ParallelFor& parallel) {
  const int* type = p.type + frame * p.nall;
  const std::vector<double> coord(p.coord + frame * p.nall * 3, p.coord + (frame + 1) * p.nall * 3);
  const Positions<double> pos{coord.data(), type, nullptr};
  std::atomic<int64_t> lost{0}, bad{-1};
  parallel(p.list->n, kRowCost, [&](int64_t begin, int64_t end) {
    std::vector<Candidate> cand;
    std::vector<int> slots(p.nnei());
    for (int64_t k = begin; k < end; ++k) {
      const int i = p.list->ilist[k];
      cand.clear();
      for (int n = 0; n < p.list->numneigh[k]; ++n) {
        const int j = p.list->firstneigh[k][n];
        if (j < 0 || j >= p.nall) {
          bad = i;
          break;
        }
        if (j != i && type[j] >= 0) cand.push_back({p.mixed ? 0 : type[j], 0, j, 0});
      }
      lost += one_row(p, pos, i, cand, slots, frame * p.nloc + i, out);
    }
  });
  if (bad >= 0)
    throw std::invalid_argument("the neighbor list of atom " + std::to_string(bad) +
                                " names an atom outside 0.." + std::to_string(p.nall - 1));
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
  int64_t lost = 0;
  if (p.nf >= 4 && !p.list) {
    // Many small frames: one frame a task beats splitting each.
    std::atomic<int64_t> sum{0};
    std::vector<std::string> errors(p.nf);
    parallel(p.nf, kRowCost * p.nloc, [&](int64_t begin, int64_t end) {
      for (int64_t f = begin; f < end; ++f) {
        try {
          sum += own_list(p, f, out, serial_for);
        } catch (const std::exception& e) {
          errors[f] = e.what();
        }
      }
    });
    for (int64_t f = 0; f < p.nf; ++f)
      if (!errors[f].empty()) throw std::invalid_argument("frame " + std::to_string(f) + ": " + errors[f]);
    return sum;
  }
  for (int64_t f = 0; f < p.nf; ++f) {
    try {
      lost += p.list ? external_list(p, f, out, parallel) : own_list(p, f, out, parallel);
    } catch (const std::invalid_argument& e) {
      throw std::invalid_argument("frame " + std::to_string(f) + ": " + e.what());
    }
  }
  return lost;
}

template int64_t env_mat<double>(const EnvMat<double>&, const EnvMatOut<double>&, const ParallelFor&);
template int64_t env_mat<float>(const EnvMat<float>&, const EnvMatOut<float>&, const ParallelFor&);

}  // namespace dptf
