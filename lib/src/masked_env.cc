#include "dptf/masked_env.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "dptf/env_element.h"

namespace dptf {

template <typename T>
void masked_env(int64_t nf, int64_t n, const T* coord, const int* type, const int* mask, T* em, T* deriv,
                T* rij, int* nlist, const ParallelFor& parallel) {
  struct Slot {
    int type;
    double r;
    int index;
    bool operator<(const Slot& o) const {
      return type != o.type ? type < o.type : (r != o.r ? r < o.r : index < o.index);
    }
  };
  constexpr T kFar = std::numeric_limits<T>::max();  // the switch is 1 at every distance
  std::fill(em, em + nf * n * n * 4, T(0));
  std::fill(deriv, deriv + nf * n * n * 12, T(0));
  std::fill(rij, rij + nf * n * n * 3, T(0));
  std::fill(nlist, nlist + nf * n * n, -1);
  parallel(nf * n, 100 * n, [&](int64_t begin, int64_t end) {
    std::vector<Slot> slots(n);
    for (int64_t row = begin; row < end; ++row) {
      if (!mask[row]) continue;
      const int64_t f = row / n, i = row % n;
      const T* x = coord + f * n * 3;
      for (int64_t j = 0; j < n; ++j) {
        double r2 = 0;
        for (int k = 0; k < 3; ++k)
          r2 += double(x[3 * j + k] - x[3 * i + k]) * double(x[3 * j + k] - x[3 * i + k]);
        const bool real = j != i && mask[f * n + j];
        slots[j] = {type[f * n + j], real ? std::sqrt(r2) : std::numeric_limits<double>::infinity(),
                    static_cast<int>(j)};
      }
      std::sort(slots.begin(), slots.end());
      for (int64_t k = 0; k < n; ++k) {
        const int64_t j = slots[k].index, at = row * n + k;
        nlist[at] = static_cast<int>(j);
        if (std::isinf(slots[k].r)) continue;
        for (int c = 0; c < 3; ++c) rij[3 * at + c] = x[3 * j + c] - x[3 * i + c];
        env_element<4>(rij + 3 * at, kFar, kFar, T(1), em + 4 * at, deriv + 12 * at);
      }
    }
  });
}

template void masked_env<double>(int64_t, int64_t, const double*, const int*, const int*, double*, double*,
                                 double*, int*, const ParallelFor&);
template void masked_env<float>(int64_t, int64_t, const float*, const int*, const int*, float*, float*,
                                float*, int*, const ParallelFor&);

}  // namespace dptf
