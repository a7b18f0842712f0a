#include "dptf/soft_min.h"

#include <cmath>

#include "dptf/env_element.h"
#include "dptf/scatter.h"

namespace dptf {

template <typename T>
void soft_min_switch(const SlotVectors<T>& p, T alpha, T rmin, T rmax, T* value, T* deriv,
                     const ParallelFor& parallel) {
  parallel(p.nf * p.nloc, p.nnei * 20, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int* list = p.nlist + row * p.nnei;
      const T* rij = p.rij + row * p.nnei * 3;
      T* out = deriv + row * p.nnei * 3;
      std::fill(out, out + p.nnei * 3, T(0));
      // exp(-r / alpha) underflows for narrow alpha; relative to the shortest distance it does not.
      T shortest = -1;
      for (int k = 0; k < p.nnei; ++k) {
        if (list[k] < 0) continue;
        const T r = std::sqrt(rij[3 * k] * rij[3 * k] + rij[3 * k + 1] * rij[3 * k + 1] +
                              rij[3 * k + 2] * rij[3 * k + 2]);
        if (shortest < 0 || r < shortest) shortest = r;
      }
      value[row] = 0;
      if (shortest < 0) continue;
      T sum = 0, weighted = 0;
      for (int k = 0; k < p.nnei; ++k) {
        if (list[k] < 0) continue;
        const T r = std::sqrt(rij[3 * k] * rij[3 * k] + rij[3 * k + 1] * rij[3 * k + 1] +
                              rij[3 * k + 2] * rij[3 * k + 2]);
        const T e = std::exp(-(r - shortest) / alpha);
        sum += e;
        weighted += r * e;
      }
      const T mean = weighted / sum;
      T slope;
      smooth_switch(mean, rmin, rmax, rmax - rmin, &value[row], &slope);
      if (slope == 0) continue;
      for (int k = 0; k < p.nnei; ++k) {
        if (list[k] < 0) continue;
        const T* d = rij + 3 * k;
        const T r = std::sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]), e = std::exp(-(r - shortest) / alpha);
        const T along = slope * e / sum * (1 - (r - mean) / alpha) / r;
        for (int x = 0; x < 3; ++x) out[3 * k + x] = along * d[x];
      }
    }
  });
}

template <typename T>
void slot_force(const SlotVectors<T>& p, T* force, const ParallelFor& parallel) {
  ScatterSum<T> sum(force, p.nf, p.nloc, 3 * p.nall);
  scatter(p.nf, p.nloc, p.nnei * 6, parallel, [&](int64_t f, int64_t begin, int64_t end, int64_t copy) {
    T* out = sum.row(f, copy);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = f * p.nloc + i;
      for (int k = 0; k < p.nnei; ++k) {
        const int j = p.nlist[row * p.nnei + k];
        if (j < 0) continue;
        for (int x = 0; x < 3; ++x) {
          const T t = p.factor[row] * p.vector[(row * p.nnei + k) * 3 + x];
          out[3 * i + x] += t;
          out[3 * static_cast<int64_t>(j) + x] -= t;
        }
      }
    }
  });
  sum.finish();
}

template <typename T>
void slot_virial(const SlotVectors<T>& p, T* virial, T* atom_virial, const ParallelFor& parallel) {
  ScatterSum<T> sum(virial, p.nf, p.nloc, 9), atomic(atom_virial, p.nf, p.nloc, 9 * p.nall);
  scatter(p.nf, p.nloc, p.nnei * 20, parallel, [&](int64_t f, int64_t begin, int64_t end, int64_t copy) {
    T *total = sum.row(f, copy), *out = atomic.row(f, copy);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = f * p.nloc + i;
      for (int k = 0; k < p.nnei; ++k) {
        const int j = p.nlist[row * p.nnei + k];
        if (j < 0) continue;
        const T *v = p.vector + (row * p.nnei + k) * 3, *r = p.rij + (row * p.nnei + k) * 3;
        for (int a = 0; a < 3; ++a)
          for (int b = 0; b < 3; ++b) {
            const T w = -p.factor[row] * v[a] * r[b];
            total[3 * a + b] += w;
            out[9 * static_cast<int64_t>(j) + 3 * a + b] += w;
          }
      }
    }
  });
  sum.finish();
  atomic.finish();
}

namespace {

/// Adjoints of one slot whose vector has the adjoint factor * d.
template <typename T>
struct SlotAdjoint {
  const SlotVectors<T>& p;
  T *grad_factor, *grad_vector;
  void clear(int64_t row) const {
    if (grad_factor) grad_factor[row] = 0;
    if (grad_vector) std::fill(grad_vector + row * p.nnei * 3, grad_vector + (row + 1) * p.nnei * 3, T(0));
  }
  void add(int64_t row, int k, const T d[3]) const {
    const int64_t at = (row * p.nnei + k) * 3;
    for (int x = 0; x < 3; ++x) {
      if (grad_factor) grad_factor[row] += d[x] * p.vector[at + x];
      if (grad_vector) grad_vector[at + x] = p.factor[row] * d[x];
    }
  }
};

}  // namespace

template <typename T>
void slot_force_grad(const SlotVectors<T>& p, const T* grad, int64_t grad_atoms, T* grad_factor,
                     T* grad_vector, const ParallelFor& parallel) {
  const SlotAdjoint<T> adjoint{p, grad_factor, grad_vector};
  parallel(p.nf * p.nloc, p.nnei * 8, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      adjoint.clear(row);
      const T *g = grad + row / p.nloc * grad_atoms * 3, *gi = g + row % p.nloc * 3;
      for (int k = 0; k < p.nnei; ++k) {
        const int j = p.nlist[row * p.nnei + k];
        if (j < 0) continue;
        const T* gj = g + j % grad_atoms * 3;
        const T d[3] = {gi[0] - gj[0], gi[1] - gj[1], gi[2] - gj[2]};
        adjoint.add(row, k, d);
      }
    }
  });
}

template <typename T>
void slot_virial_grad(const SlotVectors<T>& p, const T* grad, const T* grad_atom, T* grad_factor,
                      T* grad_vector, const ParallelFor& parallel) {
  const SlotAdjoint<T> adjoint{p, grad_factor, grad_vector};
  parallel(p.nf * p.nloc, p.nnei * 20, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      adjoint.clear(row);
      const int64_t f = row / p.nloc;
      for (int k = 0; k < p.nnei; ++k) {
        const int j = p.nlist[row * p.nnei + k];
        if (j < 0) continue;
        const T* r = p.rij + (row * p.nnei + k) * 3;
        T d[3] = {};
        for (int a = 0; a < 3; ++a)
          for (int b = 0; b < 3; ++b)
            d[a] -=
                (grad[9 * f + 3 * a + b] + (grad_atom ? grad_atom[(f * p.nall + j) * 9 + 3 * a + b] : T(0))) *
                r[b];
        adjoint.add(row, k, d);
      }
    }
  });
}

#define DPTF_INSTANTIATE(T)                                                                               \
  template void soft_min_switch<T>(const SlotVectors<T>&, T, T, T, T*, T*, const ParallelFor&);           \
  template void slot_force<T>(const SlotVectors<T>&, T*, const ParallelFor&);                             \
  template void slot_virial<T>(const SlotVectors<T>&, T*, T*, const ParallelFor&);                        \
  template void slot_force_grad<T>(const SlotVectors<T>&, const T*, int64_t, T*, T*, const ParallelFor&); \
  template void slot_virial_grad<T>(const SlotVectors<T>&, const T*, const T*, T*, T*, const ParallelFor&);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace dptf
