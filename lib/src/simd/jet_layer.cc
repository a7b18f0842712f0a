#include "dptf/jet_layer.h"

#include "dptf/activation.h"
#include "dptf/simd_activation.h"

namespace dptf {
namespace DPTF_ISA {
namespace {

template <typename T>
struct Forward {
  const JetLayer<T>& p;
  int64_t begin, end;
  T* y;

  template <Activation A>
  void operator()() const {
    run([](T x, T f[4]) { activation_derivatives<A>(x, f); });
  }

  template <typename Phi>
  DPTF_INLINE_MEMBER void run(const Phi& phi) const {
    const int64_t n = p.n;
    for (int64_t row = begin; row < end; ++row) {
      const int64_t net = row / p.nodes;
      const T* __restrict z0 = p.z + row * 3 * n;
      const T* __restrict z1 = z0 + n;
      const T* __restrict z2 = z1 + n;
      const T* __restrict b = p.bias + net * n;
      T* __restrict y0 = y + row * 3 * n;
      T* __restrict y1 = y0 + n;
      T* __restrict y2 = y1 + n;
#pragma GCC ivdep
      for (int64_t c = 0; c < n; ++c) {
        T f[4];
        phi(z0[c] + b[c], f);
        y0[c] = f[0];
        y1[c] = f[1] * z1[c];
        y2[c] = f[2] * z1[c] * z1[c] + f[1] * z2[c];
      }
      if (p.idt) {
        const T* __restrict dt = p.idt + net * n;
        for (int64_t c = 0; c < n; ++c) y0[c] *= dt[c], y1[c] *= dt[c], y2[c] *= dt[c];
      }
      for (int copy = 0; copy < p.residual; ++copy)
        for (int d = 0; d < 3; ++d) {
          const T* __restrict x = p.prev + (row * 3 + d) * p.n_prev;
          T* __restrict out = y0 + d * n + copy * p.n_prev;
          for (int64_t c = 0; c < p.n_prev; ++c) out[c] += x[c];
        }
    }
  }
};

}  // namespace

template <typename T>
void jet_forward(const JetLayer<T>& p, int64_t begin, int64_t end, T* y) {
  const Forward<T> forward{p, begin, end, y};
  if (!dispatch_activation(p.activation, forward)) forward.run(Silut<T>(p.threshold));
}

template void jet_forward<double>(const JetLayer<double>&, int64_t, int64_t, double*);
template void jet_forward<float>(const JetLayer<float>&, int64_t, int64_t, float*);

}  // namespace DPTF_ISA
}  // namespace dptf
