#pragma once

#include <cstdint>

namespace dptf {

/// out := phi^(order)(x) of an activation (activation.h), element by element, times the factors a and b that
/// are not null. Throws std::invalid_argument for an unknown code.
template <typename T>
void activation_elements(int code, int order, int64_t n, const T* x, const T* a, const T* b, T* out);

/// A layer y = phi(ybar) (+ input) of `in` inputs and `out` outputs in a network of one input x, for `rows`
/// values of x. ybar [rows, out] is the pre-activation, y [rows, out] its activation, w [in, out]. dy and d2y
/// [rows, in] are the derivatives of the layer's inputs in x; null in the first layer, whose only input is x.
/// The inputs of later layers are added to the outputs where their numbers agree or are doubled.
template <typename T>
struct LayerDerivative {
  int64_t rows = 0, in = 0, out = 0;
  const T *y = nullptr, *w = nullptr, *dy = nullptr, *d2y = nullptr, *ybar = nullptr;
};

/// result [rows, out] := first or second derivative of the layer's outputs in x.
/// Throws std::invalid_argument for an unknown code.
template <typename T>
void layer_derivative(int code, const LayerDerivative<T>& p, bool second, T* result);

}  // namespace dptf
