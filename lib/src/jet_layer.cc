#include "dptf/jet_layer.h"

#include <algorithm>
#include <vector>

#include "dptf/isa_dispatch.h"

namespace dptf {

template <typename T>
void jet_layer(const JetLayer<T>& p, T* y, const ParallelFor& parallel) {
  parallel(p.nets * p.nodes, p.n * 40,
           [&](int64_t begin, int64_t end) { DPTF_ISA_CALL(jet_forward(p, begin, end, y)); });
}

template <typename T>
void jet_layer_grad(const JetLayer<T>& p, const T* dy, T* dz, T* dprev, T* dbias, T* didt,
                    const ParallelFor& parallel) {
  std::vector<T> didt_rows(p.idt ? p.nets * p.nodes * p.n : 0);
  parallel(p.nets * p.nodes, p.n * 50, [&](int64_t begin, int64_t end) {
    DPTF_ISA_CALL(jet_backward(p, dy, begin, end, dz, dprev, didt_rows.data()));
  });
  // The sums over nodes are short; one thread in a fixed order keeps them reproducible.
  std::fill(dbias, dbias + p.nets * p.n, T(0));
  if (didt) std::fill(didt, didt + p.nets * p.n, T(0));
  for (int64_t net = 0; net < p.nets; ++net)
    for (int64_t k = 0; k < p.nodes; ++k) {
      const int64_t row = net * p.nodes + k;
      for (int64_t c = 0; c < p.n; ++c) dbias[net * p.n + c] += dz[row * 3 * p.n + c];
      if (didt)
        for (int64_t c = 0; c < p.n; ++c) didt[net * p.n + c] += didt_rows[row * p.n + c];
    }
}

#define DPTF_INSTANTIATE(T)                                               \
  template void jet_layer<T>(const JetLayer<T>&, T*, const ParallelFor&); \
  template void jet_layer_grad<T>(const JetLayer<T>&, const T*, T*, T*, T*, T*, const ParallelFor&);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace dptf
