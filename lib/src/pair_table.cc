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

}  // namespace

template <typename T>
double pair_table(const PairTable& table, const PairTableInput<T>& p, T* atom_energy, T* force,
                  T* atom_virial, const ParallelFor& parallel) {
  ScatterSum<T> forces(force, p.nf, p.nloc, 3 * p.nall), virials(atom_virial, p.nf, p.nloc, 9 * p.nall);
  const int64_t copies = scatter_copies(p.nloc);
  std::vector<double> shortest(p.nf * copies, -1);
  scatter(p.nf, p.nloc, p.nnei * 30, parallel, [&](int64_t f, int64_t begin, int64_t end, int64_t copy) {
    T *out = forces.row(f, copy), *w = virials.row(f, copy);
    double& below = shortest[f * copies + copy];
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = f * p.nloc + i;
      const int64_t ti = p.type[f * p.nall + i];
      double sum = 0;
      for (int k = 0; k < p.nnei; ++k) {
        const int64_t j = p.nlist[row * p.nnei + k];
        if (j < 0) continue;
        const int64_t tj = p.type[f * p.nall + j];
        if (ti < 0 || tj < 0 || ti >= table.ntypes || tj >= table.ntypes) continue;
        const T* d = p.rij + (row * p.nnei + k) * 3;
        const double r = std::sqrt(static_cast<double>(d[0]) * d[0] + static_cast<double>(d[1]) * d[1] +
                                   static_cast<double>(d[2]) * d[2]);
        double e, slope;
        if (!pair_energy(table, ti, tj, r, &e, &slope)) {
          if (below < 0 || r < below) below = r;
          continue;
        }
        sum += 0.5 * e;
        const T pull = static_cast<T>(0.5 * slope / r) * p.scale[row];
        for (int a = 0; a < 3; ++a) {
          out[3 * i + a] += pull * d[a];
          out[3 * j + a] -= pull * d[a];
          for (int b = 0; b < 3; ++b) {
            const T half = T(-0.5) * pull * d[a] * d[b];
            w[9 * i + 3 * a + b] += half;
            w[9 * j + 3 * a + b] += half;
          }
        }
      }
      atom_energy[row] = static_cast<T>(sum);
    }
  });
  forces.finish();
  virials.finish();
  double result = -1;
  for (const double r : shortest)
    if (r >= 0 && (result < 0 || r < result)) result = r;
  return result;
}

template double pair_table<double>(const PairTable&, const PairTableInput<double>&, double*, double*, double*,
                                   const ParallelFor&);
template double pair_table<float>(const PairTable&, const PairTableInput<float>&, float*, float*, float*,
                                  const ParallelFor&);

}  // namespace dptf
