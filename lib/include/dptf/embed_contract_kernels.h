#pragma once

#include <cstdint>

#include "dptf/embed_contract.h"
#include "dptf/inline.h"

namespace dptf {

/// Number of slots from `slot` on, below `end`, with the same type or index, row and weight.
template <typename T>
DPTF_INLINE int run_length(const int* nlist, const T* env, const T* weight, int slot, int end) {
  int next = slot + 1;
  while (next < end && nlist[next] == nlist[slot] && env[4 * next] == env[4 * slot] &&
         env[4 * next + 1] == env[4 * slot + 1] && env[4 * next + 2] == env[4 * slot + 2] &&
         env[4 * next + 3] == env[4 * slot + 3] && (!weight || weight[next] == weight[slot]))
    ++next;
  return next - slot;
}

/// Calls f(slot, multiplicity, net) for the used slots of one atom; runs of equal empty slots are visited
/// once. An empty slot is not zero: its row is (-davg/dstd), so it contributes a constant.
template <typename T, typename F>
DPTF_INLINE void for_each_slot(const EmbedContract<T>& p, int64_t i, F&& f) {
  const int ti = p.atype[i];
  if (ti < 0) return;
  const T* env = p.env + i * p.nnei * 4;
  const int* nlist = p.nlist + i * p.nnei;
  if (p.mixed) {
    const T* weight = p.weight ? p.weight + i * p.nnei : nullptr;
    for (int slot = 0, n; slot < p.nnei; slot += n) {
      n = run_length(nlist, env, weight, slot, p.nnei);
      const int net = nlist[slot] < 0 ? -1 : p.net_of[ti * p.ntypes + nlist[slot]];
      if (net >= 0) f(slot, n, net);
    }
    return;
  }
  int slot = 0;
  for (int tj = 0; tj < p.ntypes; ++tj) {
    const int end = slot + p.sel[tj], net = p.net_of[ti * p.ntypes + tj];
    if (net < 0) {
      slot = end;
      continue;
    }
    while (slot < end) {
      const int n = nlist[slot] < 0 ? run_length<T>(nlist, env, nullptr, slot, end) : 1;
      f(slot, n, net);
      slot += n;
    }
  }
}

/// Coefficients of all pieces, padded for the vector loops: c [bins, kTerms, stride] and transposed
/// [bins, stride, kTerms]; bins are numbered net * n_pieces + piece.
template <typename T>
struct EmbedCoefficients {
  int64_t stride = 0;
  T *c = nullptr, *transposed = nullptr;
};

/// Moments of a block of atoms: atom i has count[i] used pieces, in bin [i, capacity], with their moments p
/// [i, capacity, 4, kTerms].
template <typename T>
struct EmbedMoments {
  int64_t capacity = 0;
  int* count = nullptr;
  int* bin = nullptr;
  T* p = nullptr;
};

/// Place of the moments of an atom (counted within the block) in one piece.
struct EmbedUse {
  int atom, place;
};

/// Memory of a thread: embed_ints() integers, 2 nnei numbers, and room for the moments of one atom.
template <typename T>
struct EmbedScratch {
  int* ints = nullptr;
  T *numbers = nullptr, *moments = nullptr;
};

template <typename T>
DPTF_INLINE int64_t embed_ints(const EmbedContract<T>& p) {
  return 7 * (p.nnei + 1) + p.n_nets * p.n_pieces;
}

#define DPTF_DECLARE_EMBED_KERNELS(ISA)                                                                      \
  namespace ISA {                                                                                            \
  int64_t embed_columns(int bytes);                                                                          \
  template <typename T>                                                                                      \
  void embed_coefficients(const EmbedContract<T>& p, const double* transform, int64_t begin, int64_t end,    \
                          EmbedCoefficients<T> c);                                                           \
  template <typename T>                                                                                      \
  void embed_forward(const EmbedContract<T>& p, EmbedRows<const T> z, EmbedCoefficients<T> c, int64_t begin, \
                     int64_t end, int64_t block, EmbedMoments<T> keep, EmbedScratch<T> room, T* out);        \
  template <typename T>                                                                                      \
  void embed_pull(const EmbedContract<T>& p, EmbedCoefficients<T> c, const T* da, EmbedRows<const T> z,      \
                  int64_t begin, int64_t end, EmbedScratch<T> room, EmbedRows<T> out);                       \
  template <typename T>                                                                                      \
  void embed_accumulate(const EmbedContract<T>& p, const T* da, int64_t block, EmbedMoments<T> m,            \
                        const EmbedUse* begin, const EmbedUse* end, int64_t column, int64_t stride, T* dc);  \
  template <typename T>                                                                                      \
  void embed_pull_nodes(const EmbedContract<T>& p, const double* transform, const T* dc, int64_t stride,     \
                        int64_t begin, int64_t end, T* dnodes);                                              \
  }
DPTF_DECLARE_EMBED_KERNELS(baseline)
DPTF_DECLARE_EMBED_KERNELS(avx2)
DPTF_DECLARE_EMBED_KERNELS(avx512)
#undef DPTF_DECLARE_EMBED_KERNELS

}  // namespace dptf
