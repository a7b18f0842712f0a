#include "dptf/tabulate.h"

#include "dptf/isa_dispatch.h"
#include "dptf/tabulate_kernels.h"

namespace dptf {

namespace {
template <typename T>
int64_t cost(const Tabulate<T>& p) {
  return p.slots * p.width * 3 + 1;
}
}  // namespace

template <typename T>
void tabulate(const Tabulate<T>& p, T* out, const ParallelFor& parallel) {
  parallel(p.n, cost(p),
           [&](int64_t begin, int64_t end) { DPTF_ISA_CALL(tabulate_rows(p, begin, end, out)); });
}

template <typename T>
void tabulate_grad(const Tabulate<T>& p, const T* dy, T* dx, T* drows, T* dfactor,
                   const ParallelFor& parallel) {
  parallel(p.n, 2 * cost(p), [&](int64_t begin, int64_t end) {
    DPTF_ISA_CALL(tabulate_grad_rows(p, dy, begin, end, dx, drows, dfactor));
  });
}

template <typename T>
void tabulate_grad_grad(const Tabulate<T>& p, const T* zx, const T* zrows, const T* zfactor, T* out,
                        const ParallelFor& parallel) {
  parallel(p.n, 2 * cost(p), [&](int64_t begin, int64_t end) {
    DPTF_ISA_CALL(tabulate_grad_grad_rows(p, zx, zrows, zfactor, begin, end, out));
  });
}

#define DPTF_INSTANTIATE(T)                                                                     \
  template void tabulate<T>(const Tabulate<T>&, T*, const ParallelFor&);                        \
  template void tabulate_grad<T>(const Tabulate<T>&, const T*, T*, T*, T*, const ParallelFor&); \
  template void tabulate_grad_grad<T>(const Tabulate<T>&, const T*, const T*, const T*, T*,     \
                                      const ParallelFor&);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace dptf
