#include "dptf/layer_derivative.h"

#include <stdexcept>
#include <string>

#include "dptf/activation.h"

namespace dptf {
namespace {

[[noreturn]] void unknown(int code) {
  throw std::invalid_argument("activation " + std::to_string(code) +
                              " is unknown (1 tanh, 2 gelu, 3 relu, 4 relu6, 5 softplus, 6 sigmoid, 7 silu)");
}

/// phi' and phi'' at the pre-activation x; where the output y tells them, from y.
template <Activation A, typename T>
void slopes(T x, T y, T* first, T* second) {
  if constexpr (A == Activation::tanh) {
    *first = 1 - y * y, *second = -2 * y * *first;
  } else if constexpr (A == Activation::sigmoid) {
    *first = y * (1 - y), *second = *first * (1 - 2 * y);
  } else {
    T f[4];
    activation_derivatives<A>(x, f);
    *first = f[1], *second = f[2];
  }
}

template <typename T>
struct Elements {
  int order;
  int64_t n;
  const T *x, *a, *b;
  T* out;
  template <Activation A>
  void operator()() const {
    for (int64_t k = 0; k < n; ++k) {
      T f[4];
      activation_derivatives<A>(x[k], f);
      out[k] = f[order] * (a ? a[k] : T(1)) * (b ? b[k] : T(1));
    }
  }
};

template <typename T>
struct Layer {
  const LayerDerivative<T>& p;
  bool second;
  T* result;
  template <Activation A>
  void operator()() const {
    const bool residual = p.dy && (p.out == p.in || p.out == 2 * p.in);
    for (int64_t r = 0; r < p.rows; ++r)
      for (int64_t c = 0; c < p.out; ++c) {
        T f1, f2, u = p.dy ? T(0) : p.w[c], v = 0;  // derivatives of ybar in x
        slopes<A>(p.ybar[r * p.out + c], p.y[r * p.out + c], &f1, &f2);
        for (int64_t s = 0; p.dy && s < p.in; ++s) {
          u += p.dy[r * p.in + s] * p.w[s * p.out + c];
          if (second) v += p.d2y[r * p.in + s] * p.w[s * p.out + c];
        }
        T value = second ? f1 * v + f2 * u * u : f1 * u;
        if (residual) value += (second ? p.d2y : p.dy)[r * p.in + c % p.in];
        result[r * p.out + c] = value;
      }
  }
};

}  // namespace

template <typename T>
void activation_elements(int code, int order, int64_t n, const T* x, const T* a, const T* b, T* out) {
  if (!dispatch_activation(code, Elements<T>{order, n, x, a, b, out})) unknown(code);
}

template <typename T>
void layer_derivative(int code, const LayerDerivative<T>& p, bool second, T* result) {
  if (code < 1 || !dispatch_activation(code, Layer<T>{p, second, result})) unknown(code);
}

#define DPTF_INSTANTIATE(T)                                                                  \
  template void activation_elements<T>(int, int, int64_t, const T*, const T*, const T*, T*); \
  template void layer_derivative<T>(int, const LayerDerivative<T>&, bool, T*);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace dptf
