#include "dptf/jet_layer.h"

#include "dptf/activation.h"

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
#pragma omp simd
      for (int64_t c = 0; c < n; ++c) {
        T f[4];
        activation_derivatives<A>(z0[c] + b[c], f);
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

template <typename T>
struct Backward {
  const JetLayer<T>& p;
  const T* dy;
  int64_t begin, end;
  T *dz, *dprev, *didt_row;

  template <Activation A>
  void operator()() const {
    const int64_t n = p.n;
    for (int64_t row = begin; row < end; ++row) {
      const int64_t net = row / p.nodes;
      const T* __restrict z0 = p.z + row * 3 * n;
      const T* __restrict z1 = z0 + n;
      const T* __restrict z2 = z1 + n;
      const T* __restrict b = p.bias + net * n;
      const T* __restrict g0 = dy + row * 3 * n;
      const T* __restrict g1 = g0 + n;
      const T* __restrict g2 = g1 + n;
      T* __restrict o0 = dz + row * 3 * n;
      T* __restrict o1 = o0 + n;
      T* __restrict o2 = o1 + n;
      const T* __restrict dt = p.idt ? p.idt + net * n : nullptr;
#pragma omp simd
      for (int64_t c = 0; c < n; ++c) {
        T f[4];
        activation_derivatives<A>(z0[c] + b[c], f);
        o0[c] = f[1] * g0[c] + f[2] * z1[c] * g1[c] + (f[3] * z1[c] * z1[c] + f[2] * z2[c]) * g2[c];
        o1[c] = f[1] * g1[c] + 2 * f[2] * z1[c] * g2[c];
        o2[c] = f[1] * g2[c];
      }
      if (dt) {
        T* __restrict t = didt_row + row * n;
        for (int64_t c = 0; c < n; ++c) {
          T f[4];
          activation_derivatives<A>(z0[c] + b[c], f);
          t[c] = f[0] * g0[c] + f[1] * z1[c] * g1[c] + (f[2] * z1[c] * z1[c] + f[1] * z2[c]) * g2[c];
          o0[c] *= dt[c], o1[c] *= dt[c], o2[c] *= dt[c];
        }
      }
      if (p.residual == 0) continue;
      for (int d = 0; d < 3; ++d) {
        T* __restrict x = dprev + (row * 3 + d) * p.n_prev;
        const T* __restrict g = g0 + d * n;
        for (int64_t c = 0; c < p.n_prev; ++c) x[c] = p.residual == 2 ? g[c] + g[p.n_prev + c] : g[c];
      }
    }
  }
};

}  // namespace

template <typename T>
void jet_forward(const JetLayer<T>& p, int64_t begin, int64_t end, T* y) {
  dispatch_activation(p.activation, Forward<T>{p, begin, end, y});
}

template <typename T>
void jet_backward(const JetLayer<T>& p, const T* dy, int64_t begin, int64_t end, T* dz, T* dprev,
                  T* didt_row) {
  dispatch_activation(p.activation, Backward<T>{p, dy, begin, end, dz, dprev, didt_row});
}

#define DPTF_INSTANTIATE(T)                                               \
  template void jet_forward<T>(const JetLayer<T>&, int64_t, int64_t, T*); \
  template void jet_backward<T>(const JetLayer<T>&, const T*, int64_t, int64_t, T*, T*, T*);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace DPTF_ISA
}  // namespace dptf
