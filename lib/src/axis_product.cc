#include "dptf/axis_product.h"

#include "dptf/isa_dispatch.h"
#include "dptf/scratch.h"

namespace dptf {

template <typename T>
void axis_product(const AxisProduct<T>& p, const T* a, const T* b, bool both, T* d,
                  const ParallelFor& parallel) {
  parallel(p.n, p.rows * p.width * p.axis / 4,
           [&](int64_t begin, int64_t end) { DPTF_ISA_CALL(axis_products(p, a, b, both, d, begin, end)); });
}

template <typename T>
void axis_product_grad(const AxisProduct<T>& p, const T* dd, const T* a, T* da, const ParallelFor& parallel) {
  parallel(p.n, p.rows * p.width * p.axis / 2, [&](int64_t begin, int64_t end) {
    Scratch<T> scratch(8 * p.axis);
    DPTF_ISA_CALL(axis_gradients(p, dd, a, da, scratch.data(), begin, end));
  });
}

#define DPTF_INSTANTIATE(T)                                                                               \
  template void axis_product<T>(const AxisProduct<T>&, const T*, const T*, bool, T*, const ParallelFor&); \
  template void axis_product_grad<T>(const AxisProduct<T>&, const T*, const T*, T*, const ParallelFor&);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace dptf
