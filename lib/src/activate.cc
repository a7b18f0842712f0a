#include "dptf/activate.h"

#include "dptf/isa_dispatch.h"

namespace dptf {

template <typename T>
void activate(int code, T threshold, int order, int64_t n, const T* x, const T* a, const T* b, T* out,
              const ParallelFor& parallel) {
  parallel(n, 2, [&](int64_t begin, int64_t end) {
    const T *a_part = a ? a + begin : nullptr, *b_part = b ? b + begin : nullptr;
    DPTF_ISA_CALL(
        activate_numbers(code, threshold, order, end - begin, x + begin, a_part, b_part, out + begin));
  });
}

#define DPTF_INSTANTIATE(T) \
  template void activate<T>(int, T, int, int64_t, const T*, const T*, const T*, T*, const ParallelFor&);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace dptf
