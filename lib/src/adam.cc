#include "dptf/adam.h"

#include <algorithm>

#include "dptf/isa_dispatch.h"

namespace dptf {

template <typename T>
void adam(const std::vector<AdamArray<T>>& arrays, const AdamStep<T>& step, const ParallelFor& parallel) {
  constexpr int64_t kPart = 1 << 13;
  struct Part {
    const AdamArray<T>* array;
    int64_t begin, end;
  };
  std::vector<Part> parts;
  for (const AdamArray<T>& a : arrays)
    for (int64_t k = 0; k < a.n; k += kPart) parts.push_back({&a, k, std::min(k + kPart, a.n)});
  parallel(static_cast<int64_t>(parts.size()), kPart * 4, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k)
      DPTF_ISA_CALL(adam_range(*parts[k].array, step, parts[k].begin, parts[k].end));
  });
}

template void adam<double>(const std::vector<AdamArray<double>>&, const AdamStep<double>&,
                           const ParallelFor&);
template void adam<float>(const std::vector<AdamArray<float>>&, const AdamStep<float>&, const ParallelFor&);

}  // namespace dptf
