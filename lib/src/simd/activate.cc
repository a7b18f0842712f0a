#include "dptf/activate.h"

#include "dptf/simd_activation.h"
#include "dptf/simd_vec.h"

namespace dptf {
namespace DPTF_ISA {
namespace {

template <typename T>
struct Numbers {
  int order;
  int64_t n;
  const T *x, *a, *b;
  T* out;

  template <int ORDER, typename V, typename Act>
  DPTF_INLINE_MEMBER V value(const Act& act, V at, V a_value, V b_value) const {
    V f[3];
    act(at, f);
    if constexpr (ORDER == 0) return f[0];
    if constexpr (ORDER == 1) return f[1] * a_value;
    return f[2] * a_value * b_value;
  }

  template <int ORDER, typename Act>
  DPTF_INLINE_MEMBER void run(const Act& act) const {
    // An order without a factor does not read it; x stands in for its place.
    const T *pa = ORDER > 0 ? a : x, *pb = ORDER > 1 ? b : x;
    int64_t k = 0;
    if constexpr (Act::kVector)
      for (; k + kLanes<T> <= n; k += kLanes<T>)
        store(out + k, value<ORDER>(act, load(x + k), load(pa + k), load(pb + k)));
    for (; k < n; ++k) out[k] = value<ORDER>(act, x[k], pa[k], pb[k]);
  }

  template <typename Act>
  DPTF_INLINE_MEMBER void operator()(const Act act) const {
    if (order == 0) return run<0>(act);
    if (order == 1) return run<1>(act);
    run<2>(act);
  }
};

}  // namespace

template <typename T>
void activate_numbers(int code, T threshold, int order, int64_t n, const T* x, const T* a, const T* b,
                      T* out) {
  with_activation<T>(code, threshold, Numbers<T>{order, n, x, a, b, out});
}

#define DPTF_INSTANTIATE(T) \
  template void activate_numbers<T>(int, T, int, int64_t, const T*, const T*, const T*, T*);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace DPTF_ISA
}  // namespace dptf
