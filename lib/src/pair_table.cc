#include "dptf/pair_table.h"

#include <cmath>
#include <vector>

#include "dptf/scatter.h"

namespace dptf {
namespace {

/// Energy and its slope at distance r; false below the table.
inline bool pair_energy(const PairTable& t, int64_t ti, int64_t tj, double r, double* e, double* slope) {
  const double u = (r - t.rmin) / t.step;
  *e = *slope = 0;
  if (u < 0) return false;
  if (u >= static_cast<double>(t.pieces)) return true;
  const int64_t k = static_cast<int64_t>(u);
  const double *a = t.data + ((ti * t.ntypes + tj) * t.pieces + k) * 4, w = u - static_cast<double>(k);
  *e = ((a[0] * w + a[1]) * w + a[2]) * w + a[3];
  *slope = ((3 * a[0] * w + 2 * a[1]) * w + a[2]) / t.step;
  return true;
}

/// Calls body(k, j, d, half the energy, half the slope / r) for every pair of atom `row` that interacts;
/// `below` becomes the shortest distance below the table, if there is one.
template <typename T, typename Body>
void for_pairs(const PairTable& table, const PairTableInput<T>& p, int64_t row, double* below,
               const Body& body) {
  const int* type = p.type + row / p.nloc * p.nall;
  const int64_t ti = p.center_type ? p.center_type[row % p.nloc] : type[row % p.nloc];
  for (int k = 0; k < p.nnei; ++k) {
    const int64_t j = p.nlist[row * p.nnei + k];
    if (j < 0) continue;
    const int64_t tj = p.slot_type ? p.slot_type[k] : type[j];
    if (ti < 0 || tj < 0 || ti >= table.ntypes || tj >= table.ntypes) continue;
    const T* d = p.rij + (row * p.nnei + k) * 3;
    const double x = d[0], y = d[1], z = d[2], r = std::sqrt(x * x + y * y + z * z);
    double e, slope;
    if (pair_energy(table, ti, tj, r, &e, &slope))
      body(k, j, d, 0.5 * e, 0.5 * slope / r);
    else if (*below < 0 || r < *below)
      *below = r;
  }
}

/// The smallest of the distances that are not -1.
double smallest(const std::vector<double>& distances) {
  double result = -1;
  for (const double r : distances)
    if (r >= 0 && (result < 0 || r < result)) result = r;
  return result;
}

}  // namespace

template <typename T>
double pair_table(const PairTable& table, const PairTableInput<T>& p, T* atom_energy, T* force,
                  T* atom_virial, const ParallelFor& parallel) {
  ScatterSum<T> forces(force, p.nf, p.nloc, 3 * p.nall), virials(atom_virial, p.nf, p.nloc, 9 * p.nall);
  const int64_t copies = scatter_copies(p.nloc);
  std::vector<double> below(p.nf * copies, -1);
  scatter(p.nf, p.nloc, p.nnei * 30, parallel, [&](int64_t f, int64_t begin, int64_t end, int64_t copy) {
    T *out = forces.row(f, copy), *w = virials.row(f, copy);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = f * p.nloc + i;
      double sum = 0;
      for_pairs(table, p, row, &below[f * copies + copy],
                [&](int, int64_t j, const T* d, double e, double slope) {
                  sum += e;
                  const T pull = static_cast<T>(slope) * p.scale[row];
                  for (int a = 0; a < 3; ++a) {
                    out[3 * i + a] += pull * d[a];
                    out[3 * j + a] -= pull * d[a];
                    for (int b = 0; b < 3; ++b) {
                      const T half = T(-0.5) * pull * d[a] * d[b];
                      w[9 * i + 3 * a + b] += half;
                      w[9 * j + 3 * a + b] += half;
                    }
                  }
                });
      atom_energy[row] = static_cast<T>(sum);
    }
  });
  forces.finish();
  virials.finish();
  return smallest(below);
}

template <typename T>
double pair_slopes(const PairTable& table, const PairTableInput<T>& p, T* atom_energy, T* slope,
                   const ParallelFor& parallel) {
  std::vector<double> below(p.nf * p.nloc, -1);
  parallel(p.nf * p.nloc, p.nnei * 20, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      T* out = slope + row * p.nnei * 3;
      std::fill(out, out + p.nnei * 3, T(0));
      double sum = 0;
      for_pairs(table, p, row, &below[row], [&](int k, int64_t, const T* d, double e, double s) {
        sum += e;
        for (int a = 0; a < 3; ++a) out[3 * k + a] = static_cast<T>(s * d[a]);
      });
      atom_energy[row] = static_cast<T>(sum);
    }
  });
  return smallest(below);
}

#define DPTF_INSTANTIATE(T)                                                                                  \
  template double pair_table<T>(const PairTable&, const PairTableInput<T>&, T*, T*, T*, const ParallelFor&); \
  template double pair_slopes<T>(const PairTable&, const PairTableInput<T>&, T*, T*, const ParallelFor&);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace dptf
