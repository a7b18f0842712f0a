#include "dptf/force_virial.h"

#include <algorithm>
#include <type_traits>

#include "dptf/force_element.h"
#include "dptf/scatter.h"

namespace dptf {
namespace {

/// Derivatives of a slot, null where the slot is its own leaf.
template <typename T>
inline const T* slot_deriv(const EnvDeriv<T>& p, int64_t slot) {
  return p.deriv ? p.deriv + slot * p.ncomp * 3 : nullptr;
}

/// Calls f with the number of components as a compile-time constant.
template <typename F>
void with_ncomp(int ncomp, const F& f) {
  if (ncomp == 4)
    f(std::integral_constant<int, 4>());
  else if (ncomp == 3)
    f(std::integral_constant<int, 3>());
  else
    f(std::integral_constant<int, 1>());
}

template <int NCOMP, typename T>
void force_rows(const EnvDeriv<T>& p, int64_t f, int64_t begin, int64_t end, T* force) {
  for (int64_t i = begin; i < end; ++i) {
    const int64_t row = f * p.nloc + i;
    T own[3] = {};
    for (int k = 0; k < p.nnei; ++k) {
      const int j = p.nlist[row * p.nnei + k];
      T t[3];
      slot_force<NCOMP>(p.net_deriv + (row * p.nnei + k) * NCOMP, slot_deriv(p, row * p.nnei + k), t);
      for (int x = 0; x < 3; ++x) own[x] += t[x];
      if (j < 0) continue;
      for (int x = 0; x < 3; ++x) force[3 * j + x] += t[x];
    }
    for (int x = 0; x < 3; ++x) force[3 * i + x] -= own[x];
  }
}

template <int NCOMP, typename T>
void virial_rows(const EnvDeriv<T>& p, int64_t f, int64_t begin, int64_t end, T* virial, T* atom_virial) {
  for (int64_t i = begin; i < end; ++i) {
    const int64_t row = f * p.nloc + i;
    for (int k = 0; k < p.nnei; ++k) {
      const int j = p.nlist[row * p.nnei + k];
      if (j < 0) continue;
      T t[3];
      slot_force<NCOMP>(p.net_deriv + (row * p.nnei + k) * NCOMP, slot_deriv(p, row * p.nnei + k), t);
      const T* r = p.rij + (row * p.nnei + k) * 3;
      for (int a = 0; a < 3; ++a)
        for (int b = 0; b < 3; ++b) {
          const T w = t[a] * r[b];
          virial[3 * a + b] += w;
          atom_virial[9 * static_cast<int64_t>(j) + 3 * a + b] += w;
        }
    }
  }
}

}  // namespace

template <typename T>
void env_force(const EnvDeriv<T>& p, T* force, const ParallelFor& parallel) {
  ScatterSum<T> sum(force, p.nf, p.nloc, 3 * p.nall);
  scatter(p.nf, p.nloc, p.nnei * p.ncomp * 3, parallel,
          [&](int64_t f, int64_t begin, int64_t end, int64_t copy) {
            with_ncomp(p.ncomp, [&](auto n) { force_rows<n.value>(p, f, begin, end, sum.row(f, copy)); });
          });
  sum.finish();
}

template <typename T>
void env_virial(const EnvDeriv<T>& p, T* virial, T* atom_virial, const ParallelFor& parallel) {
  ScatterSum<T> sum(virial, p.nf, p.nloc, 9), atomic(atom_virial, p.nf, p.nloc, 9 * p.nall);
  scatter(p.nf, p.nloc, p.nnei * p.ncomp * 6, parallel,
          [&](int64_t f, int64_t begin, int64_t end, int64_t copy) {
            with_ncomp(p.ncomp, [&](auto n) {
              virial_rows<n.value>(p, f, begin, end, sum.row(f, copy), atomic.row(f, copy));
            });
          });
  sum.finish();
  atomic.finish();
}

template <typename T>
void env_force_grad(const EnvDeriv<T>& p, const T* grad, int64_t grad_atoms, T* grad_net,
                    const ParallelFor& parallel) {
  parallel(p.nf * p.nloc, p.nnei * p.ncomp * 4, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T* g = grad + row / p.nloc * grad_atoms * 3;
      const T* gi = g + row % p.nloc * 3;
      for (int k = 0; k < p.nnei; ++k) {
        const int j = p.nlist[row * p.nnei + k];
        T d[3];
        for (int x = 0; x < 3; ++x) d[x] = (j < 0 ? T(0) : g[j % grad_atoms * 3 + x]) - gi[x];
        slot_adjoint(p.ncomp, d, slot_deriv(p, row * p.nnei + k), grad_net + (row * p.nnei + k) * p.ncomp);
      }
    }
  });
}

template <typename T>
void env_virial_grad(const EnvDeriv<T>& p, const T* grad, const T* grad_atom, T* grad_net,
                     const ParallelFor& parallel) {
  parallel(p.nf * p.nloc, p.nnei * p.ncomp * 8, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t f = row / p.nloc;
      for (int k = 0; k < p.nnei; ++k) {
        const int j = p.nlist[row * p.nnei + k];
        T* out = grad_net + (row * p.nnei + k) * p.ncomp;
        std::fill(out, out + p.ncomp, T(0));
        if (j < 0) continue;
        const T* r = p.rij + (row * p.nnei + k) * 3;
        T d[3];
        for (int a = 0; a < 3; ++a) {
          d[a] = 0;
          for (int b = 0; b < 3; ++b) {
            T w = grad[9 * f + 3 * a + b];
            if (grad_atom) w += grad_atom[(f * p.nall + j) * 9 + 3 * a + b];
            d[a] += w * r[b];
          }
        }
        slot_adjoint(p.ncomp, d, slot_deriv(p, row * p.nnei + k), out);
      }
    }
  });
}

#define DPTF_INSTANTIATE(T)                                                                       \
  template void env_force<T>(const EnvDeriv<T>&, T*, const ParallelFor&);                         \
  template void env_virial<T>(const EnvDeriv<T>&, T*, T*, const ParallelFor&);                    \
  template void env_force_grad<T>(const EnvDeriv<T>&, const T*, int64_t, T*, const ParallelFor&); \
  template void env_virial_grad<T>(const EnvDeriv<T>&, const T*, const T*, T*, const ParallelFor&);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace dptf
