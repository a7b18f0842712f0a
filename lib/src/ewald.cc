#include "dptf/ewald.h"

#include <cmath>
#include <complex>
#include <vector>

namespace dptf {
namespace {

constexpr double kPi = 3.14159265358979323846;
using Complex = std::complex<double>;

/// exp(2 pi i m s) for m = 0..half and all atoms, as [atom, m]; negative m are complex conjugates.
struct Phases {
  int64_t half;
  std::vector<Complex> values;
  Phases(int64_t n, int64_t half, const double* fractional, int axis) : half(half), values(n * (half + 1)) {
    for (int64_t i = 0; i < n; ++i) {
      const double s = fractional[3 * i + axis];
      for (int64_t m = 0; m <= half; ++m)
        values[i * (half + 1) + m] = std::polar(1.0, 2 * kPi * static_cast<double>(m) * s);
    }
  }
  Complex operator()(int64_t i, int64_t m) const {
    const Complex& v = values[i * (half + 1) + (m < 0 ? -m : m)];
    return m < 0 ? std::conj(v) : v;
  }
};

}  // namespace

template <typename T>
bool ewald_reciprocal(int64_t n, const T* coord, const T* charge, const T* box, double beta, double spacing,
                      T* energy, T* force, T* virial, const ParallelFor& parallel) {
  double a[9], inverse[9];
  for (int k = 0; k < 9; ++k) a[k] = static_cast<double>(box[k]);
  const auto minor = [&](int i, int j) {  // cofactor of a[i][j]
    const int p = (i + 1) % 3, q = (i + 2) % 3, r = (j + 1) % 3, s = (j + 2) % 3;
    return a[3 * p + r] * a[3 * q + s] - a[3 * p + s] * a[3 * q + r];
  };
  const double det = a[0] * minor(0, 0) + a[1] * minor(0, 1) + a[2] * minor(0, 2);
  if (!(std::abs(det) > 0) || !std::isfinite(det)) return false;
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) inverse[3 * j + i] = minor(i, j) / det;
  int64_t half[3];
  for (int d = 0; d < 3; ++d) {
    const double length =
        std::sqrt(a[3 * d] * a[3 * d] + a[3 * d + 1] * a[3 * d + 1] + a[3 * d + 2] * a[3 * d + 2]);
    half[d] = (static_cast<int64_t>(std::ceil(length / spacing)) + 1) / 2;
  }
  std::vector<double> fractional(3 * n);
  for (int64_t i = 0; i < n; ++i)
    for (int d = 0; d < 3; ++d) {
      double s = 0;
      for (int k = 0; k < 3; ++k) s += static_cast<double>(coord[3 * i + k]) * inverse[3 * k + d];
      fractional[3 * i + d] = s - std::floor(s);
    }
  const Phases px(n, half[0], fractional.data(), 0), py(n, half[1], fractional.data(), 1),
      pz(n, half[2], fractional.data(), 2);
  // Vectors with opposite signs count the same: one of every two is enough.
  struct Mode {
    int64_t m[3];
    double k[3], weight;
    Complex s;
  };
  std::vector<Mode> modes;
  for (int64_t x = 0; x <= half[0]; ++x)
    for (int64_t y = x ? -half[1] : 0; y <= half[1]; ++y)
      for (int64_t z = (x || y) ? -half[2] : 1; z <= half[2]; ++z) {
        Mode mode{{x, y, z}, {}, 0, 0};
        double square = 0;
        for (int d = 0; d < 3; ++d) {
          for (int c = 0; c < 3; ++c) mode.k[d] += static_cast<double>(mode.m[c]) * inverse[3 * d + c];
          square += mode.k[d] * mode.k[d];
        }
        mode.weight = std::exp(-kPi * kPi * square / (beta * beta)) / square;
        modes.push_back(mode);
      }
  parallel(static_cast<int64_t>(modes.size()), n * 10, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      Mode& mode = modes[k];
      for (int64_t i = 0; i < n; ++i)
        mode.s += static_cast<double>(charge[i]) * px(i, mode.m[0]) * py(i, mode.m[1]) * pz(i, mode.m[2]);
    }
  });
  const double factor = 2 * kCoulomb / (2 * kPi * std::abs(det));
  double e = 0, w[9] = {};
  for (const Mode& mode : modes) {
    const double square = mode.k[0] * mode.k[0] + mode.k[1] * mode.k[1] + mode.k[2] * mode.k[2];
    const double term = factor * mode.weight * std::norm(mode.s);
    e += term;
    const double c = 2 * (1 + kPi * kPi * square / (beta * beta)) / square;
    for (int x = 0; x < 3; ++x)
      for (int y = 0; y < 3; ++y) w[3 * x + y] += term * ((x == y) - c * mode.k[x] * mode.k[y]);
  }
  *energy = static_cast<T>(e);
  for (int k = 0; k < 9; ++k) virial[k] = static_cast<T>(w[k]);
  parallel(n, static_cast<int64_t>(modes.size()) * 12, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      double f[3] = {};
      for (const Mode& mode : modes) {
        const Complex phase = px(i, mode.m[0]) * py(i, mode.m[1]) * pz(i, mode.m[2]);
        const double push = mode.weight * (phase.imag() * mode.s.real() - phase.real() * mode.s.imag());
        for (int x = 0; x < 3; ++x) f[x] += push * mode.k[x];
      }
      for (int x = 0; x < 3; ++x)
        force[3 * i + x] = static_cast<T>(factor * 4 * kPi * static_cast<double>(charge[i]) * f[x]);
    }
  });
  return true;
}

template bool ewald_reciprocal<double>(int64_t, const double*, const double*, const double*, double, double,
                                       double*, double*, double*, const ParallelFor&);
template bool ewald_reciprocal<float>(int64_t, const float*, const float*, const float*, double, double,
                                      float*, float*, float*, const ParallelFor&);

}  // namespace dptf
