#pragma once

#include <type_traits>

#include "dptf/activation.h"
#include "dptf/simd_vec.h"

// Activations of numbers and of vectors: act(x, f) puts phi, phi' and phi'' into f. Only for sources in
// src/simd.
namespace dptf {
namespace DPTF_ISA {
namespace {

/// Integers as wide as the numbers of V, which is T or Vec<T>.
template <typename V>
struct BitsOf;
template <>
struct BitsOf<float> {
  typedef int32_t type;
};
template <>
struct BitsOf<double> {
  typedef int64_t type;
};
template <>
struct BitsOf<Vec<float>> {
  typedef int32_t type __attribute__((vector_size(kVectorBytes)));
};
template <>
struct BitsOf<Vec<double>> {
  typedef int64_t type __attribute__((vector_size(kVectorBytes)));
};

/// y limited to [-limit, limit].
template <typename T, typename V>
DPTF_INLINE V limited(V y, T limit) {
  const V high = V{} + limit, low = V{} - limit;
#if defined(DPTF_ISA_avx512)
  if constexpr (std::is_same_v<V, Vec<float>>) return _mm512_max_ps(_mm512_min_ps(y, high), low);
  if constexpr (std::is_same_v<V, Vec<double>>) return _mm512_max_pd(_mm512_min_pd(y, high), low);
#elif defined(DPTF_ISA_avx2)
  if constexpr (std::is_same_v<V, Vec<float>>) return _mm256_max_ps(_mm256_min_ps(y, high), low);
  if constexpr (std::is_same_v<V, Vec<double>>) return _mm256_max_pd(_mm256_min_pd(y, high), low);
#endif
  y = y < high ? y : high;
  return y > low ? y : low;
}

/// Whether any number of x is above the limit.
template <typename T, typename V>
DPTF_INLINE bool any_above(V x, T limit) {
  if constexpr (sizeof(V) == sizeof(T)) {
    return x >= limit;
  } else {
#if defined(DPTF_ISA_avx512)
    if constexpr (sizeof(T) == 4)
      return _mm512_cmp_ps_mask(x, V{} + limit, _CMP_GE_OQ) != 0;
    else
      return _mm512_cmp_pd_mask(x, V{} + limit, _CMP_GE_OQ) != 0;
#else
    const auto mask = x >= V{} + limit;
#if defined(DPTF_ISA_avx2)
    return _mm256_movemask_epi8((__m256i)mask) != 0;
#elif defined(__SSE2__)
    return _mm_movemask_epi8((__m128i)mask) != 0;
#else
    bool found = false;
    for (int k = 0; k < kLanes<T>; ++k) found |= mask[k] != 0;
    return found;
#endif
#endif
  }
}

/// 1 / x for 1 <= x <= exp(87); a division takes twice as long as an estimate and one Newton step, which has
/// the same precision but for the last bit.
template <typename T, typename V>
DPTF_INLINE V reciprocal(V x) {
#if defined(DPTF_ISA_avx512)
  if constexpr (std::is_same_v<V, Vec<float>>) {
    const V r = _mm512_rcp14_ps(x);
    return r * (2 - x * r);
  }
#endif
  return T(1) / x;
}

/// exp(y) of T or Vec<T>; relative error of a few units in the last place.
template <typename T, typename V>
DPTF_INLINE V exp_clamped(V y) {
  using S = ExpSeries<T>;
  y = limited(y, S::kLimit);
  const V shifted = y * S::kLog2e + S::kRound;
  const V n = shifted - S::kRound;
  const V r = (y - n * S::kLn2High) - n * S::kLn2Low;
  typename BitsOf<V>::type bits;
  __builtin_memcpy(&bits, &shifted, sizeof bits);
  bits = (bits + S::kBias) << S::kShift;
  V scale;
  __builtin_memcpy(&scale, &bits, sizeof scale);
  return scale + scale * S::sum(r);
}

template <typename T, typename V>
DPTF_INLINE V sigmoid(V x) {
#if defined(DPTF_ISA_avx512)
  if constexpr (std::is_same_v<V, Vec<float>>) {
    // exp(-x) = 2^t in fewer steps: there are instructions that round and that scale by 2^n. The sum is
    // fitted on |t - n| <= 1/2, relative error 2e-8.
    const V t = _mm512_min_ps(x * -ExpSeries<T>::kLog2e, V{} + 125), n = _mm512_roundscale_ps(t, 0),
            r = t - n;
    V e = r * 0.00015353362f + 0.0013398875f;
    e = e * r + 0.00961843692f;
    e = e * r + 0.0555033237f;
    e = e * r + 0.240226477f;
    e = e * r + 0.693147182f;
    const V power = _mm512_scalef_ps(e * r + 1, n);
    return reciprocal<T>(1 + power);
  }
#endif
  return reciprocal<T>(T(1) + exp_clamped<T>(-x));
}

template <typename T>
struct Silu {
  static constexpr bool kVector = true;
  template <typename V>
  DPTF_INLINE_MEMBER void operator()(V x, V f[3]) const {
    const V s = sigmoid<T>(x), d = s * (1 - s);
    f[0] = x * s;
    f[1] = s + x * d;
    f[2] = d * (2 + x * (1 - 2 * s));
  }
};

/// silu below the threshold, above it a tanh with the same value and slope there. tanh(z) = 2 sigmoid(2 z) -
/// 1, so one sigmoid serves both sides. Few numbers are above: vectors without one take the short way.
template <typename T>
struct Silut {
  static constexpr bool kVector = true;
  T threshold, slope, constant;
  explicit Silut(T t) : threshold(t) {
    const T s = sigmoid<T>(t);
    slope = s * (1 + t * (1 - s));
    constant = t * s;
  }
  template <typename V>
  DPTF_INLINE_MEMBER void operator()(V x, V f[3]) const {
    const auto low = x < V{} + threshold;
    if (__builtin_expect(!any_above(x, threshold), 1)) return Silu<T>()(x, f);
    const V above = 2 * slope * (x - threshold);
    const V y = low ? x : above;
    const V s = sigmoid<T>(y), d = s * (1 - s), t = 2 * s - 1, q = slope * (1 - t * t);
    const V f0 = x * s, f1 = s + x * d, f2 = d * (2 + x * (1 - 2 * s)), g0 = t + constant,
            g2 = -2 * slope * t * q;
    f[0] = low ? f0 : g0;
    f[1] = low ? f1 : q;
    f[2] = low ? f2 : g2;
  }
};

template <Activation A, typename T>
struct Plain {
  static constexpr bool kVector = false;
  DPTF_INLINE_MEMBER void operator()(T x, T f[3]) const {
    T g[4];
    activation_derivatives<A>(x, g);
    f[0] = g[0], f[1] = g[1], f[2] = g[2];
  }
};

/// Calls f with the activation of a code of dptf/activation.h, silut (8) with its threshold, or gelu of
/// TensorFlow.
template <typename T, typename F>
DPTF_INLINE void with_activation(int code, T threshold, F&& f) {
  switch (code) {
    case 1:
      return f(Plain<Activation::tanh, T>());
    case 2:
      return f(Plain<Activation::gelu, T>());
    case 3:
      return f(Plain<Activation::relu, T>());
    case 4:
      return f(Plain<Activation::relu6, T>());
    case 5:
      return f(Plain<Activation::softplus, T>());
    case 6:
      return f(Plain<Activation::sigmoid, T>());
    case 7:
      return f(Silu<T>());
    case 8:
      return f(Silut<T>(threshold));
    case kGeluOfTensorFlow:
      return f(Plain<static_cast<Activation>(kGeluOfTensorFlow), T>());
    default:
      return f(Plain<Activation::linear, T>());
  }
}

}  // namespace
}  // namespace DPTF_ISA
}  // namespace dptf
