#pragma once

#include <cstdint>

#include "dptf/embed_contract.h"
#include "dptf/inline.h"

namespace dptf {

/// One used slot (or a run of equal empty slots, counted by `multiplicity`) of the contraction.
struct EmbedSlot {
  int64_t atom;
  int slot, multiplicity;
  int64_t bin;  // net * (n_nodes - 1) + interval
};

/// Calls f(slot, multiplicity, net) for the used slots of one atom; runs of equal empty slots are visited
/// once. An empty slot is not zero: its row is (-davg/dstd), so it contributes a constant.
template <typename T, typename F>
DPTF_INLINE void for_each_slot(const EmbedContract<T>& p, int64_t i, F&& f) {
  const int ti = p.atype[i];
  if (ti < 0) return;
  const T* env = p.env + i * p.nnei * 4;
  const int* nlist = p.nlist + i * p.nnei;
  if (p.mixed) {
    for (int slot = 0; slot < p.nnei; ++slot) {
      const int net = nlist[slot] < 0 ? -1 : p.net_of[ti * p.ntypes + nlist[slot]];
      if (net >= 0) f(slot, 1, net);
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
      int next = slot + 1;
      if (nlist[slot] < 0)
        while (next < end && nlist[next] < 0 && env[4 * next] == env[4 * slot] &&
               env[4 * next + 1] == env[4 * slot + 1] && env[4 * next + 2] == env[4 * slot + 2] &&
               env[4 * next + 3] == env[4 * slot + 3])
          ++next;
      f(slot, next - slot, net);
      slot = next;
    }
  }
}

#define DPTF_DECLARE_EMBED_KERNELS(ISA)                                                                    \
  namespace ISA {                                                                                          \
  template <typename T>                                                                                    \
  void embed_forward(const EmbedContract<T>& p, int64_t begin, int64_t end, T* a);                         \
  template <typename T>                                                                                    \
  void embed_grad_env(const EmbedContract<T>& p, const T* da, int64_t begin, int64_t end, T* denv);        \
  template <typename T>                                                                                    \
  void embed_grad_grad(const EmbedContract<T>& p, const T* z, int64_t begin, int64_t end, T* dda);         \
  template <typename T>                                                                                    \
  void embed_grad_grad_env(const EmbedContract<T>& p, const T* da, const T* z, int64_t begin, int64_t end, \
                           T* out);                                                                        \
  template <typename T>                                                                                    \
  void embed_grad_nodes(const EmbedContract<T>& p, const T* da, const T* z, const EmbedSlot* begin,        \
                        const EmbedSlot* end, T* dpiece);                                                  \
  }
DPTF_DECLARE_EMBED_KERNELS(baseline)
DPTF_DECLARE_EMBED_KERNELS(avx2)
DPTF_DECLARE_EMBED_KERNELS(avx512)
#undef DPTF_DECLARE_EMBED_KERNELS

}  // namespace dptf
