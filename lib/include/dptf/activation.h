#pragma once

#include <cmath>

#include "dptf/inline.h"
#include "dptf/vecmath.h"

namespace dptf {

/// Activation codes; 1 to 7 are those of the public Unaggregated* ops.
enum class Activation : int {
  linear = 0,
  tanh = 1,
  gelu = 2,
  relu = 3,
  relu6 = 4,
  softplus = 5,
  sigmoid = 6,
  silu = 7
};
/// Code of silut: silu up to a threshold, a tanh beyond; it is not among those that are dispatched by name.
constexpr int kSilut = 8;
/// Code of gelu with 0.044715 in single precision, as tf.nn.gelu has it in graphs of any precision.
constexpr int kGeluOfTensorFlow = 9;

/// f[0..3] := phi(x), phi'(x), phi''(x), phi'''(x). The formulas follow from the definitions in the field's
/// standard form; gelu is the tanh form 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))). Loops over it
/// vectorise with GCC ivdep, not with omp simd, which keeps f in memory.
template <Activation A, typename T>
DPTF_INLINE void activation_derivatives(T x, T f[4]) {
  if constexpr (A == Activation::linear) {
    f[0] = x, f[1] = 1, f[2] = 0, f[3] = 0;
  } else if constexpr (A == Activation::tanh) {
    const T t = tanh_vec(x), d = 1 - t * t;
    f[0] = t, f[1] = d, f[2] = -2 * t * d, f[3] = d * (6 * t * t - 2);
  } else if constexpr (A == Activation::relu) {
    f[0] = x > 0 ? x : 0, f[1] = x > 0 ? 1 : 0, f[2] = 0, f[3] = 0;
  } else if constexpr (A == Activation::relu6) {
    const bool inside = x > 0 && x < 6;
    f[0] = x > 0 ? (x < 6 ? x : T(6)) : T(0), f[1] = inside ? 1 : 0, f[2] = 0, f[3] = 0;
  } else if constexpr (A == Activation::gelu || static_cast<int>(A) == kGeluOfTensorFlow) {
    constexpr double cube = A == Activation::gelu ? 0.044715 : static_cast<double>(0.044715f);
    const T k = T(0.79788456080286535588), u = k * (x + T(cube) * x * x * x), t = tanh_vec(u), d = 1 - t * t;
    const T u1 = k * (1 + T(3 * cube) * x * x), u2 = k * T(6 * cube) * x, u3 = k * T(6 * cube);
    const T t2 = -2 * t * d, t3 = d * (6 * t * t - 2);
    const T g = T(0.5) * (1 + t), g1 = T(0.5) * d * u1, g2 = T(0.5) * (t2 * u1 * u1 + d * u2);
    const T g3 = T(0.5) * (t3 * u1 * u1 * u1 + 3 * t2 * u1 * u2 + d * u3);
    f[0] = x * g, f[1] = g + x * g1, f[2] = 2 * g1 + x * g2, f[3] = 3 * g2 + x * g3;
  } else {
    const T s = T(0.5) * (1 + tanh_vec(T(0.5) * x)), d = s * (1 - s), d2 = d * (1 - 2 * s),
            d3 = d * (1 - 6 * d);
    if constexpr (A == Activation::sigmoid) {
      f[0] = s, f[1] = d, f[2] = d2, f[3] = d3;
    } else if constexpr (A == Activation::softplus) {
      f[0] = (x > 0 ? x : T(0)) + std::log1p(std::exp(-std::fabs(x))), f[1] = s, f[2] = d, f[3] = d2;
    } else {
      f[0] = x * s, f[1] = s + x * d, f[2] = 2 * d + x * d2, f[3] = 3 * d2 + x * d3;
    }
  }
}

/// The same of silut.
template <typename T>
DPTF_INLINE void silut_derivatives(T threshold, T x, T f[4]) {
  if (x < threshold) return activation_derivatives<Activation::silu>(x, f);
  T at[4];
  activation_derivatives<Activation::silu>(threshold, at);
  activation_derivatives<Activation::tanh>(at[1] * (x - threshold), f);
  f[0] += at[0], f[1] *= at[1], f[2] *= at[1] * at[1], f[3] *= at[1] * at[1] * at[1];
}

/// Calls f(std::integral_constant<Activation, A>) for a run-time code; false for an unknown one.
template <typename F>
DPTF_INLINE bool dispatch_activation(int code, F&& f) {
  switch (code) {
#define DPTF_CASE(NAME)                        \
  case static_cast<int>(Activation::NAME):     \
    f.template operator()<Activation::NAME>(); \
    return true;
    DPTF_CASE(linear)
    DPTF_CASE(tanh)
    DPTF_CASE(gelu)
    DPTF_CASE(relu)
    DPTF_CASE(relu6)
    DPTF_CASE(softplus)
    DPTF_CASE(sigmoid)
    DPTF_CASE(silu)
#undef DPTF_CASE
    case kGeluOfTensorFlow:
      f.template operator()<static_cast<Activation>(kGeluOfTensorFlow)>();
      return true;
    default:
      return false;
  }
}

}  // namespace dptf
