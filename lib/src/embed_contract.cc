#include "dptf/embed_contract.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "dptf/embed_contract_kernels.h"
#include "dptf/isa_dispatch.h"
#include "dptf/scratch.h"

namespace dptf {
namespace {

/// Largest memory for the moments of a block of atoms [bytes].
constexpr int64_t kBlockBytes = int64_t{16} << 20;

template <typename T>
int64_t columns() {
  int64_t c = 0;
  const auto set = [&c](int64_t n) { c = n; };
#define DPTF_COLUMNS(ISA) set(ISA::embed_columns(sizeof(T)))
#ifdef DPTF_HAVE_X86_DISPATCH
  switch (cpu_isa()) {
    case CpuIsa::avx512:
      DPTF_COLUMNS(avx512);
      break;
    case CpuIsa::avx2:
      DPTF_COLUMNS(avx2);
      break;
    default:
      DPTF_COLUMNS(baseline);
  }
#else
  DPTF_COLUMNS(baseline);
#endif
#undef DPTF_COLUMNS
  return c;
}

/// chebyshev_transform() as a matrix [kTerms, kTerms].
const double* transform() {
  static const std::vector<double> matrix = [] {
    std::vector<double> m(kTerms * kTerms);
    for (int k = 0; k < kTerms; ++k)
      for (int q = 0; q < kTerms; ++q) m[k * kTerms + q] = chebyshev_transform(k, q);
    return m;
  }();
  return matrix.data();
}

/// What the kernels need beside the problem: coefficients of the pieces, and memory for every thread.
template <typename T>
class Work {
 public:
  Work(const EmbedContract<T>& p, bool forward, bool backward, const ParallelFor& parallel)
      : p_(p),
        bins_(p.n_nets * p.n_pieces),
        unit_(columns<T>()),
        stride_((p.width + unit_ - 1) / unit_ * unit_),
        capacity_(std::max<int64_t>(1, std::min<int64_t>(p.nnei, bins_))),
        numbers_((forward || backward ? 1 : 0) * bins_ * kTerms * stride_ * (backward ? 2 : 1)) {
    c.stride = stride_;
    if (!forward && !backward) return;
    c.c = numbers_.data();
    c.transposed = backward ? c.c + bins_ * kTerms * stride_ : nullptr;
    parallel(bins_, kTerms * kTerms * p.width / 4, [&](int64_t begin, int64_t end) {
      DPTF_ISA_CALL(embed_coefficients(p, transform(), begin, end, c));
    });
  }

  /// Calls f(begin, end, memory of the thread) for the atoms from `first` to `last`.
  template <typename F>
  void atoms(int64_t first, int64_t last, const ParallelFor& parallel, F&& f) const {
    const int64_t cost = p_.nnei * 40 + std::min<int64_t>(p_.nnei / 4 + 1, bins_) * kTerms * p_.width;
    parallel(last - first, cost, [&](int64_t begin, int64_t end) {
      Scratch<int> ints(embed_ints(p_));
      Scratch<T> numbers(2 * p_.nnei + 64 + capacity_ * 4 * kTerms);
      EmbedScratch<T> room;
      room.ints = ints.data();
      room.moments = numbers.data();
      room.numbers = room.moments + capacity_ * 4 * kTerms;
      f(first + begin, first + end, room);
    });
  }

  EmbedCoefficients<T> c;
  int64_t bins() const { return bins_; }
  int64_t unit() const { return unit_; }
  int64_t stride() const { return stride_; }
  int64_t capacity() const { return capacity_; }

 private:
  const EmbedContract<T>& p_;
  int64_t bins_, unit_, stride_, capacity_;
  Scratch<T> numbers_;
};

/// out := moments times coefficients (may be null); dnodes := adjoint of the nodes for the adjoint da of that
/// product. The moments are those of the rows, or of the pull-back of z.
template <typename T>
void with_nodes(const EmbedContract<T>& p, const T* da, EmbedRows<const T> z, T* out, T* dnodes,
                const ParallelFor& parallel) {
  const Work<T> work(p, out != nullptr, false, parallel);
  const int64_t piece = kTerms * work.stride(), panels = work.stride() / work.unit();
  const int64_t block = std::min(
      p.n_atoms,
      std::max<int64_t>(8, std::min<int64_t>(512, kBlockBytes / (work.capacity() * 4 * kTerms * sizeof(T)))));
  Scratch<T> dc(work.bins() * piece), kept(block * work.capacity() * 4 * kTerms);
  std::fill_n(dc.data(), work.bins() * piece, T(0));
  std::vector<int> count(block), bin(block * work.capacity());
  EmbedMoments<T> m;
  m.capacity = work.capacity();
  m.count = count.data();
  m.bin = bin.data();
  m.p = kept.data();
  for (int64_t first = 0; first < p.n_atoms; first += block) {
    const int64_t last = std::min(first + block, p.n_atoms);
    work.atoms(first, last, parallel, [&](int64_t begin, int64_t end, EmbedScratch<T> room) {
      DPTF_ISA_CALL(embed_forward(p, z, work.c, begin, end, first, m, room, out));
    });
    // Which atoms use a bin, in their order: the sums do not depend on the number of threads.
    std::vector<int64_t> start(work.bins() + 1, 0);
    for (int64_t i = 0; i < last - first; ++i)
      for (int k = 0; k < count[i]; ++k) ++start[bin[i * m.capacity + k] + 1];
    for (int64_t b = 0; b < work.bins(); ++b) start[b + 1] += start[b];
    std::vector<EmbedUse> uses(start.back());
    std::vector<int64_t> next(start.begin(), start.end() - 1);
    for (int64_t i = 0; i < last - first; ++i)
      for (int k = 0; k < count[i]; ++k) uses[next[bin[i * m.capacity + k]]++] = {static_cast<int>(i), k};
    std::vector<int64_t> items;
    for (int64_t b = 0; b < work.bins(); ++b)
      for (int64_t j = 0; start[b + 1] > start[b] && j < panels; ++j) items.push_back(b * panels + j);
    const int64_t n = static_cast<int64_t>(items.size());
    parallel(n, static_cast<int64_t>(uses.size()) * kTerms * p.width / std::max<int64_t>(n, 1),
             [&](int64_t begin, int64_t end) {
               for (int64_t k = begin; k < end; ++k) {
                 const int64_t b = items[k] / panels, column = items[k] % panels * work.unit();
                 if (column < p.width)
                   DPTF_ISA_CALL(embed_accumulate(p, da, first, m, uses.data() + start[b],
                                                  uses.data() + start[b + 1], column, work.stride(),
                                                  dc.data() + b * piece));
               }
             });
  }
  parallel(work.bins(), kTerms * kTerms * p.width / 4, [&](int64_t begin, int64_t end) {
    DPTF_ISA_CALL(embed_pull_nodes(p, transform(), dc.data(), work.stride(), begin, end, dnodes));
  });
}

template <typename T>
void pull(const EmbedContract<T>& p, const T* da, EmbedRows<const T> z, EmbedRows<T> out,
          const ParallelFor& parallel) {
  const Work<T> work(p, false, true, parallel);
  work.atoms(0, p.n_atoms, parallel, [&](int64_t begin, int64_t end, EmbedScratch<T> room) {
    DPTF_ISA_CALL(embed_pull(p, work.c, da, z, begin, end, room, out));
  });
}

template <typename T>
void forward(const EmbedContract<T>& p, EmbedRows<const T> z, T* out, const ParallelFor& parallel) {
  const Work<T> work(p, true, false, parallel);
  work.atoms(0, p.n_atoms, parallel, [&](int64_t begin, int64_t end, EmbedScratch<T> room) {
    DPTF_ISA_CALL(embed_forward(p, z, work.c, begin, end, int64_t{0}, EmbedMoments<T>{}, room, out));
  });
}

}  // namespace

template <typename T>
void embed_contract(const EmbedContract<T>& p, T* a, const ParallelFor& parallel) {
  forward<T>(p, {}, a, parallel);
}

template <typename T>
void embed_contract_grad_env(const EmbedContract<T>& p, const T* da, EmbedRows<T> d,
                             const ParallelFor& parallel) {
  pull<T>(p, da, {}, d, parallel);
}

template <typename T>
void embed_contract_grad_nodes(const EmbedContract<T>& p, const T* da, T* dnodes,
                               const ParallelFor& parallel) {
  with_nodes<T>(p, da, {}, nullptr, dnodes, parallel);
}

template <typename T>
void embed_contract_grad_grad(const EmbedContract<T>& p, const T* da, EmbedRows<const T> z, T* dda, T* dnodes,
                              const ParallelFor& parallel) {
  if (dnodes)
    with_nodes(p, da, z, dda, dnodes, parallel);
  else if (dda)
    forward(p, z, dda, parallel);
}

template <typename T>
void embed_contract_grad_grad_env(const EmbedContract<T>& p, const T* da, EmbedRows<const T> z,
                                  EmbedRows<T> d2, const ParallelFor& parallel) {
  pull(p, da, z, d2, parallel);
}

template <typename T>
int64_t embed_grid(const EmbedContract<T>& p, T h, int64_t max_pieces, T* x0) {
  T lo = 0, hi = 0;
  bool any = false, finite = true;
  for (int64_t i = 0; i < p.n_atoms; ++i)
    for_each_slot(p, i, [&](int slot, int, int) {
      const T x = p.env[(i * p.nnei + slot) * 4];
      finite = finite && std::isfinite(x);
      lo = any ? std::min(lo, x) : x;
      hi = any ? std::max(hi, x) : x;
      any = true;
    });
  if (!finite)
    throw std::runtime_error("the environment matrix is not finite (NaN coordinates or coinciding atoms)");
  const double first = std::floor(static_cast<double>(lo) / h),
               last = std::floor(static_cast<double>(hi) / h);
  if (last - first + 1 > static_cast<double>(max_pieces))
    throw std::runtime_error("neighbors are so close that the embedding grid would need " +
                             std::to_string(static_cast<int64_t>(last - first) + 1) + " pieces (limit " +
                             std::to_string(max_pieces) +
                             "): look for overlapping atoms, or set training/tabulated_embedding to false");
  *x0 = static_cast<T>(first * h);
  return static_cast<int64_t>(last - first) + 1;
}

#define DPTF_INSTANTIATE(T)                                                                                \
  template void embed_contract<T>(const EmbedContract<T>&, T*, const ParallelFor&);                        \
  template void embed_contract_grad_env<T>(const EmbedContract<T>&, const T*, EmbedRows<T>,                \
                                           const ParallelFor&);                                            \
  template void embed_contract_grad_nodes<T>(const EmbedContract<T>&, const T*, T*, const ParallelFor&);   \
  template void embed_contract_grad_grad<T>(const EmbedContract<T>&, const T*, EmbedRows<const T>, T*, T*, \
                                            const ParallelFor&);                                           \
  template void embed_contract_grad_grad_env<T>(const EmbedContract<T>&, const T*, EmbedRows<const T>,     \
                                                EmbedRows<T>, const ParallelFor&);                         \
  template int64_t embed_grid<T>(const EmbedContract<T>&, T, int64_t, T*);
DPTF_INSTANTIATE(double)
DPTF_INSTANTIATE(float)

}  // namespace dptf
