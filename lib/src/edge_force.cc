#include "dptf/edge_force.h"

#include <algorithm>

namespace dptf {
namespace {

/// Calls f(edge, frame, row of the center in [nf*nall]).
template <typename F>
void for_edges(const EdgeForceShape& p, F&& f) {
  for (int64_t frame = 0; frame < p.nf; ++frame)
    for (int64_t i = 0; i < p.nloc; ++i) {
      const int64_t row = frame * p.nloc + i;
      for (int64_t e = p.start[row]; e < p.start[row + 1]; ++e) f(e, frame, i);
    }
}

}  // namespace

template <typename T>
void edge_force(const EdgeForceShape& p, const T* g, const T* vec, T* force, T* virial) {
  std::fill(force, force + p.nf * p.nall * 3, T(0));
  std::fill(virial, virial + p.nf * 9, T(0));
  for_edges(p, [&](int64_t e, int64_t frame, int64_t i) {
    T* center = force + 3 * (frame * p.nall + i);
    T* neighbor = force + 3 * static_cast<int64_t>(p.atom[e]);
    T* w = virial + 9 * frame;
    for (int a = 0; a < 3; ++a) {
      const T x = g[3 * e + a];
      center[a] += x;
      neighbor[a] -= x;
      for (int b = 0; b < 3; ++b) w[3 * a + b] -= x * vec[3 * e + b];
    }
  });
}

template <typename T>
void edge_force_grad(const EdgeForceShape& p, const T* grad_force, const T* grad_virial, const T* vec,
                     T* dg) {
  for_edges(p, [&](int64_t e, int64_t frame, int64_t i) {
    const T* center = grad_force + 3 * (frame * p.nall + i);
    const T* neighbor = grad_force + 3 * static_cast<int64_t>(p.atom[e]);
    const T* w = grad_virial + 9 * frame;
    for (int a = 0; a < 3; ++a) {
      T x = center[a] - neighbor[a];
      for (int b = 0; b < 3; ++b) x -= w[3 * a + b] * vec[3 * e + b];
      dg[3 * e + a] = x;
    }
  });
}

template <typename T>
void edge_atom_virial(const EdgeForceShape& p, const T* g, const T* moment, const T* vec, const T* local,
                      T* virial) {
  std::fill(virial, virial + p.nf * p.nall * 9, T(0));
  for_edges(p, [&](int64_t e, int64_t frame, int64_t i) {
    T* center = virial + 9 * (frame * p.nall + i);
    T* neighbor = virial + 9 * static_cast<int64_t>(p.atom[e]);
    const T* r = local + 3 * (frame * p.nloc + i);
    for (int a = 0; a < 3; ++a)
      for (int b = 0; b < 3; ++b) {
        // de_l/dr_k is +de/dd for the neighbor and -de/dd for the center.
        const T m = moment[9 * e + 3 * b + a], x = g[3 * e + a];
        neighbor[3 * a + b] += m - x * (r[b] + vec[3 * e + b]);
        center[3 * a + b] -= m - x * r[b];
      }
  });
}

#define DPTF_INSTANTIATE(T)                                                                  \
  template void edge_force<T>(const EdgeForceShape&, const T*, const T*, T*, T*);            \
  template void edge_force_grad<T>(const EdgeForceShape&, const T*, const T*, const T*, T*); \
  template void edge_atom_virial<T>(const EdgeForceShape&, const T*, const T*, const T*, const T*, T*);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace dptf
