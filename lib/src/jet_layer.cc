#include "dptf/jet_layer.h"

#include "dptf/isa_dispatch.h"

namespace dptf {

template <typename T>
void jet_layer(const JetLayer<T>& p, T* y, const ParallelFor& parallel) {
  parallel(p.nets * p.nodes, p.n * 40,
           [&](int64_t begin, int64_t end) { DPTF_ISA_CALL(jet_forward(p, begin, end, y)); });
}

template void jet_layer<double>(const JetLayer<double>&, double*, const ParallelFor&);
template void jet_layer<float>(const JetLayer<float>&, float*, const ParallelFor&);

}  // namespace dptf
