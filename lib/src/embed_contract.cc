#include "dptf/embed_contract.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "dptf/embed_contract_kernels.h"
#include "dptf/isa_dispatch.h"

namespace dptf {
namespace {

/// Intervals are summed in chunks of this many bins; the partition does not depend on the number of threads,
/// so the order of every sum is fixed.
constexpr int64_t kBinsPerChunk = 16;

template <typename T>
int64_t cost_per_atom(const EmbedContract<T>& p) {
  return p.nnei * p.width * 8;
}

/// The used slots of all atoms, ordered by net and interval (counting sort, stable in atoms and slots).
template <typename T>
std::vector<EmbedSlot> sort_slots(const EmbedContract<T>& p, std::vector<int64_t>* bin_start) {
  const int64_t pieces = p.n_nodes - 1, n_bins = p.n_nets * pieces;
  std::vector<EmbedSlot> slots;
  slots.reserve(p.n_atoms * p.nnei / 2);
  for (int64_t i = 0; i < p.n_atoms; ++i)
    for_each_slot(p, i, [&](int slot, int multiplicity, int net) {
      const T u = (p.env[(i * p.nnei + slot) * 4] - p.x0) / p.h;
      const int64_t k = std::min<int64_t>(std::max<int64_t>(static_cast<int64_t>(u), 0), pieces - 1);
      slots.push_back({i, slot, multiplicity, net * pieces + k});
    });
  bin_start->assign(n_bins + 1, 0);
  for (const auto& s : slots) ++(*bin_start)[s.bin + 1];
  for (int64_t b = 0; b < n_bins; ++b) (*bin_start)[b + 1] += (*bin_start)[b];
  std::vector<int64_t> next(bin_start->begin(), bin_start->end() - 1);
  std::vector<EmbedSlot> sorted(slots.size());
  for (const auto& s : slots) sorted[next[s.bin]++] = s;
  return sorted;
}

}  // namespace

template <typename T>
void embed_contract(const EmbedContract<T>& p, T* a, const ParallelFor& parallel) {
  parallel(p.n_atoms, cost_per_atom(p),
           [&](int64_t begin, int64_t end) { DPTF_ISA_CALL(embed_forward(p, begin, end, a)); });
}

template <typename T>
void embed_contract_grad_env(const EmbedContract<T>& p, const T* da, T* denv, const ParallelFor& parallel) {
  parallel(p.n_atoms, 2 * cost_per_atom(p),
           [&](int64_t begin, int64_t end) { DPTF_ISA_CALL(embed_grad_env(p, da, begin, end, denv)); });
}

template <typename T>
void embed_contract_grad_grad(const EmbedContract<T>& p, const T* z, T* dda, const ParallelFor& parallel) {
  parallel(p.n_atoms, 2 * cost_per_atom(p),
           [&](int64_t begin, int64_t end) { DPTF_ISA_CALL(embed_grad_grad(p, z, begin, end, dda)); });
}

template <typename T>
void embed_contract_grad_grad_env(const EmbedContract<T>& p, const T* da, const T* z, T* denv2,
                                  const ParallelFor& parallel) {
  parallel(p.n_atoms, 2 * cost_per_atom(p), [&](int64_t begin, int64_t end) {
    DPTF_ISA_CALL(embed_grad_grad_env(p, da, z, begin, end, denv2));
  });
}

template <typename T>
void embed_contract_grad_nodes(const EmbedContract<T>& p, const T* da, const T* z, T* dnodes,
                               const ParallelFor& parallel) {
  const int64_t pieces = p.n_nodes - 1, row = 3 * p.width;
  std::fill(dnodes, dnodes + p.n_nets * p.n_nodes * row, T(0));
  std::vector<int64_t> bin_start;
  const std::vector<EmbedSlot> slots = sort_slots(p, &bin_start);
  // An interval touches its two nodes, which lie side by side. Chunks of neighboring intervals are summed in
  // place; the node that a chunk shares with the next one goes to `edge` and is added afterwards.
  const int64_t chunks_per_net = (pieces + kBinsPerChunk - 1) / kBinsPerChunk,
                n_chunks = p.n_nets * chunks_per_net;
  std::vector<T> edge(n_chunks * row, T(0));
  parallel(n_chunks, std::max<int64_t>(1, slots.size() / n_chunks) * p.width * 16,
           [&](int64_t begin, int64_t end) {
             std::vector<T> last(2 * row);
             for (int64_t chunk = begin; chunk < end; ++chunk) {
               const int64_t net = chunk / chunks_per_net, k0 = (chunk % chunks_per_net) * kBinsPerChunk;
               const int64_t k1 = std::min(k0 + kBinsPerChunk, pieces);
               for (int64_t k = k0; k < k1; ++k) {
                 const EmbedSlot* first = slots.data() + bin_start[net * pieces + k];
                 const EmbedSlot* stop = slots.data() + bin_start[net * pieces + k + 1];
                 if (first == stop) continue;
                 T* out = dnodes + (net * p.n_nodes + k) * row;
                 if (k + 1 < k1) {
                   DPTF_ISA_CALL(embed_grad_nodes(p, da, z, first, stop, out));
                 } else {
                   std::fill(last.begin(), last.end(), T(0));
                   DPTF_ISA_CALL(embed_grad_nodes(p, da, z, first, stop, last.data()));
                   for (int64_t c = 0; c < row; ++c) {
                     out[c] += last[c];
                     edge[chunk * row + c] = last[row + c];
                   }
                 }
               }
             }
           });
  for (int64_t chunk = 0; chunk < n_chunks; ++chunk) {
    const int64_t net = chunk / chunks_per_net;
    const int64_t k1 = std::min((chunk % chunks_per_net + 1) * kBinsPerChunk, pieces);
    T* out = dnodes + (net * p.n_nodes + k1) * row;
    for (int64_t c = 0; c < row; ++c) out[c] += edge[chunk * row + c];
  }
}

template <typename T>
int64_t embed_grid(const EmbedContract<T>& p, T h, int64_t max_nodes, T* x0) {
  T lo = 0, hi = 0;
  bool any = false, finite = true;
  for (int64_t i = 0; i < p.n_atoms; ++i)
    for_each_slot(p, i, [&](int slot, int, int) {
      const T x = p.env[(i * p.nnei + slot) * 4];
      finite = finite && std::isfinite(x);
      lo = any ? std::min(lo, x) : x;
      hi = any ? std::max(hi, x) : x;
      any = true;
    });
  if (!finite)
    throw std::runtime_error("the environment matrix is not finite (NaN coordinates or coinciding atoms)");
  // One spare interval at both ends keeps rounding of x / h harmless.
  const double first = std::floor(static_cast<double>(lo) / h) - 1,
               last = std::ceil(static_cast<double>(hi) / h) + 1;
  if (last - first + 1 > static_cast<double>(max_nodes))
    throw std::runtime_error("neighbors are so close that the embedding grid would need " +
                             std::to_string(last - first + 1) + " nodes (limit " + std::to_string(max_nodes) +
                             "): look for overlapping atoms, or set training/tabulated_embedding to false");
  *x0 = static_cast<T>(first * h);
  return static_cast<int64_t>(last - first) + 1;
}

#define DPTF_INSTANTIATE(T)                                                                             \
  template void embed_contract<T>(const EmbedContract<T>&, T*, const ParallelFor&);                     \
  template void embed_contract_grad_env<T>(const EmbedContract<T>&, const T*, T*, const ParallelFor&);  \
  template void embed_contract_grad_grad<T>(const EmbedContract<T>&, const T*, T*, const ParallelFor&); \
  template void embed_contract_grad_grad_env<T>(const EmbedContract<T>&, const T*, const T*, T*,        \
                                                const ParallelFor&);                                    \
  template void embed_contract_grad_nodes<T>(const EmbedContract<T>&, const T*, const T*, T*,           \
                                             const ParallelFor&);                                       \
  template int64_t embed_grid<T>(const EmbedContract<T>&, T, int64_t, T*);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace dptf
